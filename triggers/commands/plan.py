"""What a config folder would change: its pipelines beside those that a service serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console
from rich.text import Text

from durable.values import JSON
from triggers.commands.output import format_count, print_table

PipelineFileDocument: TypeAlias = Mapping[str, JSON]
"""A pipeline file as the API describes it: `id file status version webhooks problems`."""

DISABLED = "disabled"

NOT_MEANING = frozenset({"id", "file", "status", "problems"})
"""What of a description is not its meaning."""

TONES = {"new": "green", "changed": "yellow", "removed": "red", "invalid": "bold red"}


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

    def described(self) -> dict[str, JSON]:
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

    def described(self) -> dict[str, JSON]:
        kinds: dict[str, JSON] = {kind: [each.described() for each in self.of(kind)] for kind in TONES}
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
