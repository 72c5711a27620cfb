"""`waypost connector`: create, document and check a connector."""

import asyncio
import json
import os
from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from durable.language.catalogue import explain_broken
from durable.lazy import load_module
from triggers.commands.failure import FAILED, WRONG_USE, CommandFailed
from triggers.commands.learn import load_known_connectors
from triggers.commands.output import open_console, print_fields, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import print_problems
from triggers.commands.scaffold import write_scaffold
from triggers.config.catalogue import load_connectors
from triggers.config.connections import Connections
from triggers.config.describe_connector import describe_action, describe_connector, ensure_known
from triggers.documents.connectors import ActionDocument, ConnectorDocument, ValueDocument
from triggers.instance import Instance

connector = typer.Typer(no_args_is_help=True)

MANY = 50
"""The number of actions of a connector above which its list ends with a hint."""

UNTESTED = 10
"""The number of actions without tests that a report names."""

VERDICTS = ("passed", "failed", "skipped")

REPEATABLE = {"yes": "yes", "key": "with its key", "no": "no", None: ""}

Name = Annotated[str, typer.Argument(help="The name of the connector, as in `use`.")]


@connector.command("new", help="Write the files of a new connector into the config folder.")
def create(
    name: Name,
    form: Annotated[str, typer.Option("--form", help="The form: yaml, python, openapi or mcp.")] = "yaml",
    config: Config = CONFIG,
) -> None:
    option = "" if config == CONFIG else f" --config {config}"
    for path in write_scaffold(config, name, form):
        typer.echo(f"Wrote {path}")
    typer.echo("Next:")
    typer.echo(f"  waypost connector show {name}{option}     # lists its actions")
    typer.echo(f"  waypost connector check {name}{option}    # performs them against a stub of the service")


@connector.command("show", help="Show the documentation of a connector or one of its actions, with an example to copy.")
def show(
    name: Annotated[str, typer.Argument(help="A connector, or one of its actions.", metavar="NAME[.ACTION]")],
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="List only the actions that contain these words.")
    ] = "",
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    known = load_known_connectors(Instance(config, data, os.environ))
    ensure_known(known, name)
    # The journal's libraries take half a second to import, and other commands need none of them.
    secrets = load_module("triggers.reading.stored_secrets").load_secrets(Instance(config, data, os.environ))
    connections = Connections(config, known, secrets)
    names = connections.list_names(name.partition(".")[0])
    if "." in name:
        action = describe_action(known, name, names)
        print_json(action) if as_json else print_action(open_console(), action)
        return
    found = describe_connector(known, name, names, search)
    print_json(found) if as_json else print_connector(open_console(), found)
    print_problems([connections], open_console(err=True))


@connector.command(
    "check",
    help="Check a connector: perform its actions against a stub, to which all its HTTP requests are sent, and run its "
    "tests. Exit code 1 if a check fails.",
)
def check(
    name: Annotated[str, typer.Argument(help="A connector, or one of its actions.", metavar="NAME[.ACTION]")],
    every: Annotated[bool, typer.Option("--all", help="Check all actions, however many there are.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every check of every action.")] = False,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    known = load_connectors(config)
    found, _, action = name.partition(".")
    subject = known.find(found)
    if subject is None or not subject.discovery:
        ensure_known(known, name)
    if subject is None:
        raise CommandFailed(f"{found} is part of Waypost itself and calls no service", WRONG_USE)
    if subject.discovery:
        what = f"the actions of {found} are the tools of its server, and only the server can check them"
        raise CommandFailed(f"{what}; `waypost connector show {found}` lists them", WRONG_USE)
    if why := known.broken.get(found):
        raise CommandFailed(explain_broken(found, why).message)
    # The suite belongs to the connectors, which no other part of the commands knows.
    suite = load_module("connectors.conformance.suite")
    most = None if every else suite.MOST
    report = asyncio.run(suite.check_connector(subject, only=action or None, most=most))
    print_json(report) if as_json else print_report(open_console(), report, is_verbose=verbose)
    if not report.is_passed:
        raise typer.Exit(FAILED)


def print_report(out: Console, report: Any, *, is_verbose: bool) -> None:
    """Print what was checked with the numbers of actions, and each failure with its reason."""
    if is_verbose:
        rows = [(each.action or "", each.check, style_verdict(each.verdict), each.reason) for each in report.results]
        print_table(out, ("ACTION", "CHECK", "RESULT", "REASON"), rows, fold="REASON")
    else:
        counts: dict[str, Counter[str]] = {}
        for each in report.results:
            counts.setdefault("its tests" if each.check.startswith("test ") else each.check, Counter())[
                each.verdict
            ] += 1
        lines = [(name, *(str(found[verdict] or "") for verdict in VERDICTS)) for name, found in counts.items()]
        print_table(out, ("CHECK", "PASSED", "FAILED", "NOT APPLICABLE"), lines, fold="CHECK")
    failures = [each for each in report.results if each.verdict == "failed"]
    for each in failures:
        where = f"{report.connector}.{each.action}" if each.action else report.connector
        out.print(Text.assemble(("\nfailed", "red"), f"  {where}: {each.check}\n        {each.reason}"), soft_wrap=True)
    out.print()
    if report.untested:
        names = ", ".join(report.untested[:UNTESTED]) + (", …" if len(report.untested) > UNTESTED else "")
        out.print(f"Checked with sample inputs and responses, because they have no tests: {names}", soft_wrap=True)
    if report.left_out:
        out.print(f"{report.left_out:,} actions were not checked; --all checks them too.")
    passed, skipped = report.count("passed"), report.count("skipped")
    out.print(f"{passed} checks passed, {len(failures)} failed, {skipped} do not apply", soft_wrap=True)


def style_verdict(verdict: str) -> Text:
    """A verdict in its colour."""
    return Text(*{"passed": ("passed", "green"), "failed": ("failed", "red")}.get(verdict, ("not applicable", "")))


def print_connector(out: Console, found: ConnectorDocument) -> None:
    """Print a connector with a line for each action."""
    out.print(Text.assemble((found.name, "bold"), f"  {found.summary}"))
    facts = {
        "from": found.origin,
        "problem": found.problem,
        "auth": "; or ".join(" and ".join(way) for way in found.auth) or None,
        "limit": ", ".join(found.limit) or None,
        "test": found.test,
        "connections": ", ".join(found.connections) or None,
    }
    print_fields(out, facts.items(), indent=0)
    out.print()
    rows = [(each.use, REPEATABLE[each.idempotent], each.summary) for each in found.actions]
    print_table(out, ("ACTION", "REPEATABLE", "SUMMARY"), rows, fold="SUMMARY")
    if len(found.actions) > MANY:
        what = f"`waypost connector show {found.name} --search WORD` lists those that contain a word."
        out.print(f"\n{len(found.actions):,} actions. {what}", soft_wrap=True)
    if found.skipped:
        out.print()
        print_table(out, ("SKIPPED", "REASON"), found.skipped.items(), fold="REASON")
    if found.fields is not None:
        out.print()
        print_values(out, "CONNECTION FIELD", found.fields)
    if found.example:
        out.print("\nA connection, for connections.yaml:\n")
        out.print(found.example, soft_wrap=True)


def print_action(out: Console, action: ActionDocument) -> None:
    """Print an action with its inputs, its output, and an example."""
    out.print(Text.assemble((action.use, "bold"), f"  {action.summary}"))
    on_crash = f"{action.on_crash}, unless the step sets it" if action.on_crash else None
    undo = f"{action.undo.use} with {json.dumps(action.undo.given, ensure_ascii=False)}" if action.undo else None
    facts: dict[str, str | None] = {
        "repeatable": REPEATABLE[action.idempotent] or None,
        "key": action.key,
        "on_crash": on_crash,
        "pages": "gets its output in pages, each of which is a checkpoint" if action.is_paged else None,
        "undo": undo,
        "connections": ", ".join(action.connections) or None,
    }
    print_fields(out, facts.items(), indent=0)
    out.print()
    print_values(out, "INPUT", action.inputs)
    out.print()
    if isinstance(action.output, str):
        out.print(f"Output: {action.output}")
    else:
        rows = [(each.name, each.type, each.description) for each in action.output]
        print_table(out, ("OUTPUT", "TYPE", "DESCRIPTION"), rows, fold="DESCRIPTION")
    out.print("\nA step:\n")
    out.print(action.example, soft_wrap=True)


def print_values(out: Console, column: str, values: list[ValueDocument]) -> None:
    """Print a line for each input or field."""
    rows = ((each.name, each.type, _format_default(each), _describe(each)) for each in values)
    print_table(out, (column, "TYPE", "DEFAULT", "DESCRIPTION"), rows, fold="DESCRIPTION")


def _format_default(value: ValueDocument) -> str:
    return "required" if value.required else json.dumps(value.default, ensure_ascii=False)


def _describe(value: ValueDocument) -> str:
    """The description of an input, and which action lists its values."""
    listed = f"listed by {value.options['use']}" if isinstance(value.options, dict) and "use" in value.options else ""
    return "; ".join(each for each in (value.description, listed) if each)
