"""The names that an expression may read at its place in a file, and what to say of the others."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import get_args

from durable.action import ErrorClass
from durable.history import StepStatus
from durable.language.headers import CREDENTIALS, check_header_name, check_withheld
from durable.language.known import Fault, Held, Known, Plain, behind, is_number, not_an_item, shown, unheld, unlike
from durable.language.problem import quoted, suggestion
from durable.values import JSON

FIELDS: dict[str, frozenset[str]] = {
    "trigger": frozenset({"body", "headers", "query", "path", "id", "type", "time", "source", "subject"}),
    "run": frozenset({"id", "url", "pipeline", "version", "started_at", "links"}),
    "error": frozenset({"class", "code", "message", "step", "attempt", "details"}),
}
STEP_FIELDS = frozenset({"output", "status", "error", "attempts"})
ITEM_FIELDS = frozenset({"status", "error", "steps"})
STATUSES = get_args(StepStatus)
CLASSES = get_args(ErrorClass)
LOOPS = frozenset({"foreach", "repeat"})

OF_A_TRIGGER = frozenset({"trigger"})
OF_ADMISSION = frozenset({"trigger", "inputs", "run"})
OF_A_RUN = frozenset({"trigger", "inputs", "run", "steps"})
RESERVED = frozenset({*OF_A_RUN, "secrets", "error", "output", "index"})
SYNTAX = frozenset({"and", "else", "false", "if", "in", "is", "none", "not", "null", "true"})
"""Words of expressions, which no item can be called."""

WITH_OUTPUT = frozenset({"use", "foreach", "repeat"})
"""The kinds of step whose output can be read."""

_TEXT = Plain(frozenset({"string"}))
_ELSEWHERE = {
    "error": "it is there only in 'catch' and 'on_failure'",
    "output": "it is there only in 'keep' and 'undo'; read steps.ID.output",
    "index": "it is there only inside a 'foreach' or 'repeat'",
}
_NO_PARAMETER = "there is none in it; write for example 'path: /orders/{shop}' to read trigger.path.shop"
_FOREIGN = {
    "item": "an item has its name only inside its 'foreach'",
    "env": "secrets are read as secrets.NAME",
    "event": "what arrived is read as trigger.body",
    "payload": "what arrived is read as trigger.body",
    "body": "did you mean 'trigger.body'",
    "headers": "did you mean 'trigger.headers'",
    **dict.fromkeys(("NULL", "Null", "nil", "undefined"), "write null"),
    "TRUE": "write true",
    "FALSE": "write false",
    "query": "did you mean 'trigger.query'",
}


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """Where a step stands: its place in the order of the file, and the blocks around it with the branch it is in.

    `output` is what it is known to give; `links` are the names of its links (none: it has one itself; None: it is
    answered by nobody).
    """

    id: str
    kind: str | None
    order: int
    line: int
    blocks: tuple[tuple["Spot", str], ...] = ()
    output: Known = None
    links: Collection[str] | None = None
    has_condition: bool = False
    has_undo: bool = False

    @property
    def loops(self) -> list["Spot"]:
        """The loops around it, the outermost first."""
        return [block for block, _ in self.blocks if block.kind in LOOPS]

    @property
    def ids(self) -> Iterator[str]:
        """Its own id, and those of the blocks around it."""
        yield self.id
        yield from (block.id for block, _ in self.blocks)


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be read at one place. `visible` are the steps before it, and grows as a sequence is walked; `parameters`
    are the names in the path of a webhook that is read there, `arrival` the parts that `trigger` has, `withheld` the
    headers that are not kept, `passed` the inputs to which a trigger gives its headers. What is None, nobody knows."""

    roots: frozenset[str]
    spots: Mapping[str, Spot]
    inputs: Collection[str] | None = None
    visible: set[str] = field(default_factory=set)
    here: Spot | None = None
    output: Known = None
    parameters: Collection[str] | None = None
    arrival: Collection[str] = FIELDS["trigger"]
    withheld: Collection[str] = CREDENTIALS
    passed: Collection[str] = ()

    def at(self, here: Spot | None) -> "Scope":
        """The same names, for messages about another place."""
        return replace(self, here=here)

    def adding(self, *roots: str) -> "Scope":
        """More names; the same steps."""
        return replace(self, roots=self.roots | set(roots))

    def after(self, output: Known) -> "Scope":
        """What `keep` and `undo` read: also what the action returned."""
        return replace(self.adding("output"), output=output)

    def branch(self, *roots: str, after: Collection[str] = ()) -> "Scope":
        """The beginning of a branch: what is seen here, and what comes after it is not seen back here."""
        return replace(self.adding(*roots), visible=self.visible | set(after))

    def fault(self, name: tuple[str, ...]) -> Fault | None:
        """Why a name like `("steps", "hold", "output")` cannot be read here."""
        root = name[0]
        if root not in self.roots:
            return self._unknown(root)
        if root == "steps":
            return self._step_fault(name)
        if root == "inputs" and self.inputs is not None and len(name) > 1 and name[1] not in self.inputs:
            message = f"the pipeline has no input {quoted(name[1])}"
            return Fault(message, suggestion(name[1], self.inputs) or "declare it under 'inputs'")
        if root == "output":
            return unheld(self.output, name[1:], ["output"]) or _header_fault(self.output, ["output"], name[1:])
        if root == "trigger":
            return self._arrival_fault(name)
        if name[:2] == ("run", "links"):
            return self._link_fault(name)
        return _field_fault(root, name[1:])

    def misread(self, name: tuple[str, ...], value: JSON) -> Fault | None:
        """Why it makes no sense to compare a name with a constant."""
        if len(name) != 3 or name[0] != "steps" or name[2] != "status" or value in STATUSES:
            return None
        if isinstance(value, str):
            return Fault(f"no step has the status {quoted(value)}", suggestion(value, STATUSES))
        step = self.spots.get(name[1])
        fits = step and step.kind == "use" and unheld(step.output, ["status"], ["output"]) is None
        hint = f"the HTTP status is steps.{name[1]}.output.status" if fits else f"known: {', '.join(STATUSES)}"
        return Fault(f"a step's status is a word such as 'completed', and never {_constant(value)}", hint)

    def doubt_name(self, name: tuple[str, ...]) -> Fault | None:
        """Why a name is likely never there: a header in another case than it is stored in."""
        match name:
            case ("inputs", passed, key, *_) if passed in self.passed and key != key.lower():
                return Fault(
                    f"the headers in {quoted(f'inputs.{passed}')} are in lower case",
                    f"write inputs.{passed}['{key.lower()}'], or call the input 'headers', where any case matches",
                )
            case ("trigger", "body", *_, "headers", key) if "headers" not in self.arrival and key != key.lower():
                return Fault(
                    "headers that another pipeline sends with an event are in lower case, and a body matches exactly",
                    f"write {shown(name[:-1])}['{key.lower()}'], unless the event has {quoted(key)}",
                )
        return None

    def doubt(self, name: tuple[str, ...], value: JSON) -> Fault | None:
        """Why a name can hardly be meant to be compared with a constant: it is of another type, or never that word."""
        match name:
            case ("error", "class") | ("steps", _, "error", "class"):
                return _class_doubt(value)
            case ("steps", id, "output", *rest):
                step = self.spots.get(id)
                return unlike(behind(step.output, rest), name, value) if step and step.kind == "use" else None
            case ("output", *rest):
                return unlike(behind(self.output, rest), name, value)
            case ("trigger", "headers" | "query" | "path", _):
                return unlike(_TEXT, name, value)
            case ("trigger", "headers" | "query" | "path" as part) if value is not None:
                said = quoted(value) if isinstance(value, str) else _constant(value)
                return Fault(f"'trigger.{part}' is a mapping, and never {said}", f"read a part: trigger.{part}['name']")
        return None

    def _unknown(self, root: str) -> Fault:
        if root in RESERVED:
            readable = ", ".join(sorted(self.roots))
            return Fault(f"{quoted(root)} cannot be read here", _ELSEWHERE.get(root, f"here can be read: {readable}"))
        message = f"there is no name {quoted(root)}"
        if root in self.spots and "steps" in self.roots:
            return Fault(message, f"did you mean 'steps.{root}.output'")
        if self.inputs and root in self.inputs and "inputs" in self.roots:
            return Fault(message, f"did you mean 'inputs.{root}'")
        return Fault(message, _FOREIGN.get(root) or suggestion(root, self.roots | {"secrets"}))

    def _step_fault(self, name: tuple[str, ...]) -> Fault | None:
        if len(name) == 1:
            return Fault("'steps' cannot be read as a whole", "name the step: steps.ID.output")
        step = name[1]
        if step not in self.visible:
            return self._unreadable(step)
        if len(name) == 2:
            return Fault(f"'steps.{step}' cannot be read as a whole", f"read its part: steps.{step}.output")
        if name[2] not in STEP_FIELDS:
            return Fault(f"a step has no {quoted(name[2])}", suggestion(name[2], STEP_FIELDS))
        return self._part_fault(self.spots[step], name, 2)

    def _part_fault(self, step: Spot, name: Sequence[str], start: int) -> Fault | None:
        """Why the parts of a step cannot be read that stand in a name from there on."""
        if start >= len(name):
            return None
        part, rest = name[start], name[start + 1 :]
        if part not in STEP_FIELDS:
            return Fault(f"a step has no {quoted(part)}", suggestion(part, STEP_FIELDS))
        match part, step.kind:
            case "error", _:
                return _field_fault("error", rest)
            case "output", "foreach":
                return self._item_fault(step, name, start + 1)
            case "output", "repeat":
                return self._inner_fault(step, name, start + 1)
            case "output", kind if kind not in {*WITH_OUTPUT, None}:
                return Fault(f"the {kind} {quoted(step.id)} has no output", "read the steps inside it")
            case "output", _:
                whole = name[: start + 1]
                return unheld(step.output, rest, whole) or _header_fault(step.output, whole, rest)
        return None

    def _item_fault(self, loop: Spot, name: Sequence[str], start: int) -> Fault | None:
        """The same for the items of a `foreach`."""
        match name[start:]:
            case []:
                return None
            case [key, *_] if not is_number(key):
                return not_an_item(name[:start], key)
            case [_, part, *_] if part not in ITEM_FIELDS:
                return Fault(f"an item has no {quoted(part)}", suggestion(part, ITEM_FIELDS))
            case [_, "error", *rest]:
                return _field_fault("error", rest)
            case [_, "steps", *_]:
                return self._inner_fault(loop, name, start + 2)
        return None

    def _inner_fault(self, loop: Spot, name: Sequence[str], start: int) -> Fault | None:
        """The same for the steps of an item or a turn, which are known by their ids."""
        if start >= len(name):
            return None
        id, inner = name[start], self._steps_of(loop)
        if id not in inner:
            message = f"the {loop.kind} {quoted(loop.id)} has no step {quoted(id)}"
            return Fault(message, suggestion(id, inner) or f"read a step of it: {shown(name[:start])}.ID.output")
        return self._part_fault(inner[id], name, start + 1)

    def _steps_of(self, loop: Spot) -> dict[str, Spot]:
        return {spot.id: spot for spot in self.spots.values() if spot.loops[-1:] == [loop]}

    def _arrival_fault(self, name: Sequence[str]) -> Fault | None:
        """Why a part of what arrived cannot be read."""
        if fault := _field_fault("trigger", name[1:]):
            return fault
        if len(name) > 1 and name[1] not in self.arrival:
            message = f"this kind of trigger has no {quoted(name[1])}"
            return Fault(message, f"it has {', '.join(sorted(self.arrival))}")
        match name[1:]:
            case ("path", *rest):
                return self._parameter_fault(rest)
            case ("headers", key, *_):
                return check_header_name("trigger.headers", key) or check_withheld(key, self.withheld)
        return None

    def _parameter_fault(self, rest: Sequence[str]) -> Fault | None:
        """Why a part of the webhook's path cannot be read."""
        if self.parameters is None or not rest or rest[0] in self.parameters:
            return None
        wanted = quoted(f"{{{rest[0]}}}")
        return Fault(f"the trigger's path has no {wanted}", suggestion(rest[0], self.parameters) or _NO_PARAMETER)

    def _link_fault(self, name: tuple[str, ...]) -> Fault | None:
        """Why a link cannot be read; it may be that of a wait which comes later."""
        linked = {id: spot for id, spot in self.spots.items() if spot.links is not None}
        if "steps" not in self.roots:
            return Fault("'run.links' cannot be read here", "there are links once the run has begun")
        if len(name) == 2:
            return Fault("'run.links' cannot be read as a whole", "name the wait: run.links.ID")
        wait = linked.get(name[2])
        if wait is None:
            what = "a link answers a wait.webhook or a wait.approval" if name[2] in self.spots else None
            message = f"there is no wait {quoted(name[2])} that a link answers"
            return Fault(message, suggestion(name[2], linked) or what)
        around = [block for block, _ in self.here.blocks] if self.here else []
        strange = [loop for loop in wait.loops if loop not in around]
        if strange:
            message = f"the wait {quoted(wait.id)} is inside the {strange[0].kind} {quoted(strange[0].id)}"
            return Fault(message, "its link can be read only there, since each time has its own")
        return _named_link_fault(wait, name)

    def _unreadable(self, step: str) -> Fault:
        there = self.spots.get(step)
        if there is None:
            return Fault(f"there is no step {quoted(step)}", suggestion(step, self.visible))
        if self.here and there.id == self.here.id:
            return Fault(f"the step {quoted(step)} cannot read itself", "in 'keep' and 'undo' its output is 'output'")
        around = self.here.blocks if self.here else ()
        blocks = [block for block, _ in around]
        if there in blocks:
            return Fault(f"{quoted(step)} is the block around this", "it can be read after its end")
        for (block, branch), (other, its_branch) in zip(there.blocks, around, strict=False):
            if block == other and branch != its_branch:
                message = f"the step {quoted(step)} is in another branch, {branch} of {quoted(block.id)}"
                return Fault(message, "what branches do can be read after their block")
        loops = [loop for loop in there.loops if loop not in blocks]
        if loops and (self.here is None or loops[0].order < self.here.order):
            message = f"the step {quoted(step)} is inside the {loops[0].kind} {quoted(loops[0].id)}"
            return Fault(message, f"read the block's: {_from_outside([*loops, there])}")
        return Fault(f"the step {quoted(step)} comes later, on line {there.line}", "move it up, or this down")


def _from_outside(path: Sequence[Spot]) -> str:
    """How a step is read from outside the loops around it; the last of the path is the step."""
    inner = [
        f"[0].steps.{spot.id}.output" if loop.kind == "foreach" else f".{spot.id}.output"
        for loop, spot in pairwise(path)
    ]
    return f"steps.{path[0].id}.output{''.join(inner)}"


def _named_link_fault(wait: Spot, name: tuple[str, ...]) -> Fault | None:
    whole = shown(name[:3])
    if not wait.links:
        return Fault(f"{quoted(whole)} is a text", "it has no parts; remove the rest") if len(name) > 3 else None
    if len(name) == 3:
        return Fault(f"the wait {quoted(wait.id)} has more than one link", f"name it: {whole}.{min(wait.links)}")
    if name[3] not in wait.links:
        message = f"the wait {quoted(wait.id)} has no {quoted(name[3])} that a link answers"
        return Fault(message, suggestion(name[3], wait.links))
    return None


def _class_doubt(value: JSON) -> Fault | None:
    if not isinstance(value, str) or value in CLASSES:
        return None
    return Fault(f"no error has the class {quoted(value)}", suggestion(value, CLASSES))


def _constant(value: JSON) -> str:
    return "null" if value is None else str(value).lower()


def _header_fault(output: Known, name: Sequence[str], rest: Sequence[str]) -> Fault | None:
    """Why an answer's header cannot be read behind a name."""
    has_headers = isinstance(output, Held) and output.keys.get("headers", output) is None
    if not has_headers or len(rest) < 2 or rest[0] != "headers":
        return None
    return check_header_name(shown([*name, "headers"]), rest[1])


def _field_fault(root: str, rest: Sequence[str]) -> Fault | None:
    known = FIELDS.get(root)
    if known is None or not rest or rest[0] in known:
        return None
    return Fault(f"{quoted(root)} has no {quoted(rest[0])}", suggestion(rest[0], known))
