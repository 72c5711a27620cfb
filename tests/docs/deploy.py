"""The tables of docs/deploy/README.md and docs/telemetry.md, from the alerts, the metrics and the code: `python -m
tests.docs.deploy` writes them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from durable.metrics import render_metrics

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "deploy"
PAGE = FOLDER / "README.md"
TELEMETRY = ROOT / "docs" / "telemetry.md"

ALWAYS = {
    "time": "when, in UTC with milliseconds",
    "level": "`debug`, `info`, `warning`, `error` or `critical`",
    "logger": "which part of the service reports it",
    "message": "what happened",
}
SOMETIMES = {
    "run": "the id of the run",
    "step": "the path of the step",
    "attempt": "the number of the attempt",
    "pipeline": "the id of the pipeline",
    "by": "the name of the key that asked for it",
    "reason": "why it was asked for",
    "recoveries": "how often the run was recovered without any progress",
    "bulk": "the id of the bulk operation",
    "item": "the run or the delivery of a bulk operation",
    "status": "the status of the bulk operation",
    "error": "the traceback of an exception",
}


def list_alerts() -> list[dict[str, Any]]:
    """The rules of alerts.yaml."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def find_log_fields() -> set[str]:
    """The fields that the code gives to its log lines: the texts that are keys of a mapping in `extra=`."""
    files = (file for room in ("durable", "triggers", "connectors") for file in (ROOT / room).rglob("*.py"))
    return {name for file in files for name in _find_fields(ast.parse(file.read_text()))}


def _find_fields(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "extra":
            keys = (key for each in ast.walk(node.value) if isinstance(each, ast.Dict) for key in each.keys)
            yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


def _make_tables() -> dict[str, str]:
    alerts = ["| alert | when | what to do |", "| --- | --- | --- |"]
    for rule in list_alerts():
        lasting = f", for {rule['for']}" if "for" in rule else ""
        notes = rule["annotations"]
        when = rule["expr"].replace("|", "\\|")
        alerts.append(f"| `{rule['alert']}` | `{when}`{lasting} | {notes['summary']} {notes['action']} |")
    fields = ["| field | what it is |", "| --- | --- |"]
    fields += [f"| `{name}` | {what} |" for name, what in (ALWAYS | SOMETIMES).items()]
    return {"alerts": "\n".join(alerts), "log fields": "\n".join(fields), "metrics": "\n".join(_list_metrics())}


def _list_metrics() -> Iterator[str]:
    yield from ("| metric | kind | meaning |", "| --- | --- | --- |")
    found = re.findall(r"^# HELP (\w+) (.*)\n# TYPE \w+ (\w+)$", render_metrics().decode(), re.MULTILINE)
    yield from (f"| `{name}` | {kind} | {text} |" for name, text, kind in sorted(found) if name.startswith("waypost_"))


def fill_tables(page: str) -> str:
    """The page with its tables as they should be."""
    for name, table in _make_tables().items():
        mark = f"<!-- {name} -->\n\n"
        if mark not in page:
            continue
        before, after = page.split(mark)
        rest = after.split("\n\n", 1)[1] if after.startswith("|") else after
        page = f"{before}{mark}{table}\n\n{rest}"
    return page


if __name__ == "__main__":
    for page in (PAGE, TELEMETRY):
        page.write_text(fill_tables(page.read_text()))
