"""`waypost plan`: what the config folder would change in the running service."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import typer
from rich.console import Console
from rich.text import Text

from durable.values import JSON
from triggers.commands.failure import FAILED
from triggers.commands.output import console, format_count, print_json, print_table
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.commands.problems import print_problems, reword_for_shell
from triggers.commands.validate import check_config
from triggers.instance import Instance
from triggers.reading.client import connect_service

PipelineFileDocument: TypeAlias = Mapping[str, JSON]
"""A pipeline file as the API describes it: `id file status version webhooks problems`."""

DISABLED = "disabled"

NOT_MEANING = frozenset({"id", "file", "status", "problems"})
"""What of a description is not its meaning."""

TONES = {"new": "green", "changed": "yellow", "removed": "red", "invalid": "bold red"}


def plan(config: Config = CONFIG, data: Data = DATA, as_json: AsJson = False) -> None:
    found = check_config(None, config, os.environ)
    url, served = asyncio.run(_list_served(Instance(config, data, os.environ)))
    made = make_plan([file.described() for file in found.pipelines], served or [])
    if as_json:
        problems = [str(reword_for_shell(each)) for each in found.connections.problems] if found.connections else []
        unread = [str(problem) for problem in found.unread.problems]
        print_json({"service": url, **made.to_json(), "connections": problems, "unread": unread})
    else:
        out = console()
        against = f"the service at {url}" if url else f"no service, since none works on {data}: everything is new"
        out.print(f"{config} against {against}", soft_wrap=True)
        print_plan(out, made)
        print_problems((file for file in found.files if not file.is_valid or file is found.unread), out)
    if not found.is_valid:
        raise typer.Exit(FAILED)


async def _list_served(instance: Instance) -> tuple[str | None, list[dict[str, Any]] | None]:
    """The address of the running service and what it serves; None without one."""
    async with connect_service(instance) as service:
        return (service.url, await service.list_pipelines()) if service else (None, None)


@dataclass(frozen=True, slots=True)
class PipelineChange:
    """What becomes of one pipeline; None stands for what is not known or not there."""

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
        kinds: dict[str, JSON] = {kind: [each.to_json() for each in self.of(kind)] for kind in TONES}
        return kinds | {"unchanged": self.unchanged}


def make_plan(folder: Sequence[PipelineFileDocument], served: Sequence[PipelineFileDocument]) -> Plan:
    """Compare the folder's files with what a service serves; a file that is invalid would disable only itself."""
    before = {str(each["id"]): each for each in served if each["status"] != DISABLED}
    invalid = [each for each in folder if each["status"] == DISABLED]
    valid = {str(each["id"]): each for each in folder if each["status"] != DISABLED}
    kept = {str(each[name]) for each in invalid for name in ("id", "file")}
    changes = [
        *(_change("new", None, each) for id, each in valid.items() if id not in before),
        *(_change("changed", before[id], each) for id, each in valid.items() if _is_changed(before.get(id), each)),
        *(
            _change("removed", each, None)
            for id, each in before.items()
            if id not in valid and kept.isdisjoint({id, str(each["file"])})
        ),
        *(_change("invalid", before.get(str(each["id"])), each) for each in invalid),
    ]
    return Plan(tuple(changes), sum(id in before and not _is_changed(before[id], each) for id, each in valid.items()))


def _is_changed(before: PipelineFileDocument | None, after: PipelineFileDocument) -> bool:
    return before is not None and _meaning(before) != _meaning(after)


def _meaning(file: PipelineFileDocument) -> dict[str, JSON]:
    return {name: value for name, value in file.items() if name not in NOT_MEANING}


def _change(kind: str, before: PipelineFileDocument | None, after: PipelineFileDocument | None) -> PipelineChange:
    file = after or before or {}
    old, new = _webhooks(before), _webhooks(after)
    is_served_on = kind == "invalid"
    return PipelineChange(
        id=str(file["id"]),
        file=str(file["file"]),
        kind=kind,
        before=_version(before),
        after=_version(after),
        appear=() if is_served_on else tuple(path for path in new if path not in old),
        disappear=() if is_served_on else tuple(path for path in old if path not in new),
        problems=_texts(after, "problems") if after else (),
    )


def _version(file: PipelineFileDocument | None) -> str | None:
    return str(file["version"]) if file and file["version"] else None


def _webhooks(file: PipelineFileDocument | None) -> tuple[str, ...]:
    return _texts(file, "webhooks") if file else ()


def _texts(file: PipelineFileDocument, name: str) -> tuple[str, ...]:
    listed = file[name]
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def print_plan(out: Console, plan: Plan) -> None:
    """A line a change, and a last line that counts those that stay."""
    if plan.changes:
        print_table(out, ("PIPELINE", "CHANGE", "VERSION", "WEBHOOKS"), map(_row, plan.changes), fold="WEBHOOKS")
    out.print(f"{plan.unchanged} unchanged")


def _row(change: PipelineChange) -> tuple[str | Text, ...]:
    webhooks = [*(f"+ {path}" for path in change.appear), *(f"- {path}" for path in change.disappear)]
    told = format_count(len(change.problems), "problem") if change.kind == "invalid" else "  ".join(webhooks)
    return change.id, Text(change.kind, TONES[change.kind]), _versions(change), told


def _versions(change: PipelineChange) -> str:
    short = [version[:12] for version in (change.before, change.after) if version]
    if change.kind == "changed" and len(set(short)) == 1:
        return f"{short[0]}, as before"
    return " → ".join(short)
