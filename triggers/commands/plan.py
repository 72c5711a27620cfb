"""`waypost plan`: what the config folder would change in the running service."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from durable.values import JSON
from durable.wording import count_things
from triggers.commands.failure import FAILED
from triggers.commands.output import open_console, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import print_problems, reword_for_shell
from triggers.commands.validate import check_config
from triggers.documents.pipelines import PipelineLineDocument
from triggers.instance import Instance
from triggers.reading.client import connect_service

DISABLED = "disabled"

NOT_MEANING = frozenset({"id", "file", "status", "problems"})
"""The fields that may differ without a change of the pipeline."""

CHANGE_STYLES = {"new": "green", "changed": "yellow", "removed": "red", "invalid": "bold red"}


def plan(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    instance = Instance(config, data, os.environ)
    found = check_config(None, instance)
    url, served = asyncio.run(_list_served(instance))
    made = make_plan([file.describe() for file in found.pipelines], served or [])
    if as_json:
        problems = [str(reword_for_shell(each)) for each in found.connections.problems] if found.connections else []
        unread = [str(problem) for problem in found.unread.problems]
        print_json({"service": url, **made.to_json(), "connections": problems, "unread": unread})
    else:
        out = open_console()
        against = f"the service at {url}" if url else f"no service, since none is running on {data}: everything is new"
        out.print(f"{config} against {against}", soft_wrap=True)
        print_plan(out, made)
        print_problems((file for file in found.files if not file.is_valid or file is found.unread), out)
    if not found.is_valid:
        raise typer.Exit(FAILED)


async def _list_served(instance: Instance) -> tuple[str | None, list[PipelineLineDocument] | None]:
    """The address of the running service and what it serves; None without one."""
    async with connect_service(instance) as service:
        return (service.url, await service.list_pipelines()) if service else (None, None)


@dataclass(frozen=True, slots=True)
class PipelineChange:
    """The change of one pipeline; a version that does not exist is None."""

    id: str
    file: str
    kind: str
    before: str | None = None
    after: str | None = None
    appear: tuple[str, ...] = ()
    disappear: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        return {
            "id": self.id,
            "file": self.file,
            "version": {"before": self.before, "after": self.after},
            "webhooks": {"appear": list(self.appear), "disappear": list(self.disappear)},
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change, and how many pipelines stay as they are."""

    changes: tuple[PipelineChange, ...]
    unchanged: int

    def of(self, kind: str) -> list[PipelineChange]:
        return [change for change in self.changes if change.kind == kind]

    def to_json(self) -> dict[str, JSON]:
        kinds: dict[str, JSON] = {kind: [each.to_json() for each in self.of(kind)] for kind in CHANGE_STYLES}
        return kinds | {"unchanged": self.unchanged}


def make_plan(folder: Sequence[PipelineLineDocument], served: Sequence[PipelineLineDocument]) -> Plan:
    """Compare the folder's files with what a service serves; a file that is invalid would disable only itself."""
    before = {each.id: each for each in served if each.status != DISABLED}
    invalid = [each for each in folder if each.status == DISABLED]
    valid = {each.id: each for each in folder if each.status != DISABLED}
    kept = {name for each in invalid for name in (each.id, each.file)}
    changes = [
        *(_make_change("new", None, each) for id, each in valid.items() if id not in before),
        *(_make_change("changed", before[id], each) for id, each in valid.items() if _is_changed(before.get(id), each)),
        *(
            _make_change("removed", each, None)
            for id, each in before.items()
            if id not in valid and kept.isdisjoint({id, each.file})
        ),
        *(_make_change("invalid", before.get(each.id), each) for each in invalid),
    ]
    return Plan(tuple(changes), sum(id in before and not _is_changed(before[id], each) for id, each in valid.items()))


def _is_changed(before: PipelineLineDocument | None, after: PipelineLineDocument) -> bool:
    return before is not None and _find_meaning(before) != _find_meaning(after)


def _find_meaning(file: PipelineLineDocument) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(file).items() if name not in NOT_MEANING}


def _make_change(kind: str, before: PipelineLineDocument | None, after: PipelineLineDocument | None) -> PipelineChange:
    file = after or before
    assert file, "a change has a file before or after it"
    old, new = before.webhooks if before else [], after.webhooks if after else []
    is_served_on = kind == "invalid"
    return PipelineChange(
        id=file.id,
        file=file.file,
        kind=kind,
        before=before.version if before else None,
        after=after.version if after else None,
        appear=() if is_served_on else tuple(path for path in new if path not in old),
        disappear=() if is_served_on else tuple(path for path in old if path not in new),
        problems=tuple(after.problems) if after else (),
    )


def print_plan(out: Console, plan: Plan) -> None:
    """A line a change, and a last line that counts those that stay."""
    if plan.changes:
        print_table(out, ("PIPELINE", "CHANGE", "VERSION", "WEBHOOKS"), map(_make_row, plan.changes), fold="WEBHOOKS")
    out.print(f"{plan.unchanged} unchanged")


def _make_row(change: PipelineChange) -> tuple[str | Text, ...]:
    webhooks = [*(f"+ {path}" for path in change.appear), *(f"- {path}" for path in change.disappear)]
    what = count_things(len(change.problems), "problem") if change.kind == "invalid" else "  ".join(webhooks)
    return change.id, Text(change.kind, CHANGE_STYLES[change.kind]), _format_versions(change), what


def _format_versions(change: PipelineChange) -> str:
    short = [version[:12] for version in (change.before, change.after) if version]
    if change.kind == "changed" and len(set(short)) == 1:
        return f"{short[0]}, as before"
    return " → ".join(short)
