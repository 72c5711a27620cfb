"""Scopes: the names that an expression can read at its place in a file, and why others cannot be read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import get_args

from durable.action import ErrorClass
from durable.history.words import StepStatus
from durable.known_values import (
    KnownMapping,
    KnownScalar,
    KnownValue,
    explain_list_access,
    explain_mismatch,
    explain_missing,
    format_name,
    is_index,
    look_up,
)
from durable.language.headers import CREDENTIALS, check_header_name, check_withheld
from durable.language.step_info import StepInfo
from durable.problem import Explanation
from durable.values import JSON
from durable.wording import quote, suggest

FIELDS: dict[str, frozenset[str]] = {
    "trigger": frozenset({"body", "headers", "query", "path", "id", "type", "time", "source", "subject"}),
    "run": frozenset({"id", "url", "service_url", "pipeline", "version", "started_at", "links"}),
    "error": frozenset({"class", "code", "message", "step", "attempt", "details"}),
}
_FIELDS = {root: KnownMapping(dict.fromkeys(keys)) for root, keys in FIELDS.items()}
STEP_FIELDS = frozenset({"output", "status", "error", "attempts"})
ITEM_FIELDS = frozenset({"status", "error", "steps"})
STATUSES = get_args(StepStatus)
CLASSES = get_args(ErrorClass)

OF_A_TRIGGER = frozenset({"trigger"})
OF_ADMISSION = frozenset({"trigger", "inputs", "run"})
OF_A_RUN = frozenset({"trigger", "inputs", "run", "steps"})
RESERVED = frozenset({*OF_A_RUN, "secrets", "error", "output", "index"})
SYNTAX = frozenset({"and", "else", "false", "if", "in", "is", "none", "not", "null", "true"})
"""Words of the expression language, which cannot be names of items."""

_TEXT = KnownScalar(frozenset({"string"}))
_ELSEWHERE = {
    "error": "it is available only in 'catch' and 'on_failure'",
    "output": "it is available only in 'keep' and 'undo'; read steps.ID.output",
    "index": "it is available only inside a 'foreach' or 'repeat'",
}
_NO_PARAMETER = "the path has no parameter; write for example 'path: /orders/{shop}' to read trigger.path.shop"
_FOREIGN = {
    "item": "the item is available only inside its 'foreach'",
    "env": "read secrets as secrets.NAME",
    "event": "read the request's body as trigger.body",
    "payload": "read the request's body as trigger.body",
    "body": "did you mean 'trigger.body'",
    "headers": "did you mean 'trigger.headers'",
    **dict.fromkeys(("NULL", "Null", "nil", "undefined"), "write null"),
    "TRUE": "write true",
    "FALSE": "write false",
    "query": "did you mean 'trigger.query'",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that can be read at one place. None means unknown: nothing is checked.

    `visible`: the previous steps; grows as a sequence is walked.
    `parameters`: the names in the path of the webhook.
    `arrival`: the fields of `trigger`.
    `withheld`: the headers that are not stored.
    `passed`: the inputs to which a trigger passes its headers.
    """

    roots: frozenset[str]
    steps: Mapping[str, StepInfo]
    inputs: Collection[str] | None = None
    visible: set[str] = field(default_factory=set)
    here: StepInfo | None = None
    output: KnownValue = None
    parameters: Collection[str] | None = None
    arrival: Collection[str] = FIELDS["trigger"]
    withheld: Collection[str] = CREDENTIALS
    passed: Collection[str] = ()

    def at(self, here: StepInfo | None) -> "Scope":
        """Return a scope with the same names, whose messages refer to another step."""
        return replace(self, here=here)

    def add_roots(self, *roots: str) -> "Scope":
        """Return a scope with additional names and the same steps."""
        return replace(self, roots=self.roots | set(roots))

    def after(self, output: KnownValue) -> "Scope":
        """Return the scope of `keep` and `undo`, which also read what the action returned."""
        return replace(self.add_roots("output"), output=output)

    def branch(self, *roots: str, after: Collection[str] = ()) -> "Scope":
        """Return the scope at the beginning of a branch: it sees what is visible here, and its own steps are not
        visible outside."""
        return replace(self.add_roots(*roots), visible=self.visible | set(after))

    def explain_unreadable(self, name: tuple[str, ...]) -> Explanation | None:
        """Explain why a name such as `("steps", "hold", "output")` cannot be read here."""
        root = name[0]
        if root not in self.roots:
            return self._explain_unknown(root)
        if root == "steps":
            return self._explain_step(name)
        if root == "inputs" and self.inputs is not None and len(name) > 1 and name[1] not in self.inputs:
            message = f"the pipeline has no input {quote(name[1])}"
            return Explanation(message, suggest(name[1], self.inputs) or "declare it under 'inputs'")
        if root == "output":
            return explain_missing(self.output, name[1:], ["output"]) or _explain_header(
                self.output, ["output"], name[1:]
            )
        if root == "trigger":
            return self._explain_arrival(name)
        if name[:2] == ("run", "links"):
            return self._explain_link(name)
        return _explain_field(root, name[1:])

    def explain_comparison(self, name: tuple[str, ...], value: JSON) -> Explanation | None:
        """Explain why a comparison of a name with a constant makes no sense."""
        if len(name) != 3 or name[0] != "steps" or name[2] != "status" or value in STATUSES:
            return None
        if isinstance(value, str):
            return Explanation(f"no step has the status {quote(value)}", suggest(value, STATUSES))
        step = self.steps.get(name[1])
        fits = step and step.kind == "use" and explain_missing(step.output, ["status"], ["output"]) is None
        hint = f"the HTTP status is steps.{name[1]}.output.status" if fits else f"known: {', '.join(STATUSES)}"
        return Explanation(f"a step's status is a word such as 'completed', and never {_format_constant(value)}", hint)

    def doubt_name(self, name: tuple[str, ...]) -> Explanation | None:
        """Warn about a name that probably never exists: headers are stored in lower case."""
        match name:
            case ("inputs", passed, key, *_) if passed in self.passed and key != key.lower():
                return Explanation(
                    f"the headers in {quote(f'inputs.{passed}')} are in lower case",
                    f"write inputs.{passed}['{key.lower()}'], or name the input 'headers', where case does not matter",
                )
            case ("trigger", "body", *_, "headers", key) if "headers" not in self.arrival and key != key.lower():
                return Explanation(
                    "headers in an event from another pipeline are in lower case, and keys of a body are "
                    "case-sensitive",
                    f"write {format_name(name[:-1])}['{key.lower()}'], unless the event has {quote(key)}",
                )
        return None

    def doubt_comparison(self, name: tuple[str, ...], value: JSON) -> Explanation | None:
        """Warn about a comparison with a constant that the name probably never equals, or that has another type."""
        match name:
            case ("error", "class") | ("steps", _, "error", "class"):
                return _doubt_class(value)
            case ("steps", id, "output", *rest):
                step = self.steps.get(id)
                return (
                    explain_mismatch(look_up(step.output, rest), name, value) if step and step.kind == "use" else None
                )
            case ("output", *rest):
                return explain_mismatch(look_up(self.output, rest), name, value)
            case ("trigger", "headers" | "query" | "path", _):
                return explain_mismatch(_TEXT, name, value)
            case ("trigger", "headers" | "query" | "path" as part) if value is not None:
                said = quote(value) if isinstance(value, str) else _format_constant(value)
                return Explanation(
                    f"'trigger.{part}' is a mapping, and never {said}", f"read a part: trigger.{part}['name']"
                )
        return None

    def _explain_unknown(self, root: str) -> Explanation:
        if root in RESERVED:
            readable = ", ".join(sorted(self.roots))
            return Explanation(
                f"{quote(root)} cannot be read here", _ELSEWHERE.get(root, f"available here: {readable}")
            )
        message = f"there is no name {quote(root)}"
        if root in self.steps and "steps" in self.roots:
            return Explanation(message, f"did you mean 'steps.{root}.output'")
        if self.inputs and root in self.inputs and "inputs" in self.roots:
            return Explanation(message, f"did you mean 'inputs.{root}'")
        return Explanation(message, _FOREIGN.get(root) or suggest(root, self.roots | {"secrets"}))

    def _explain_step(self, name: tuple[str, ...]) -> Explanation | None:
        if len(name) == 1:
            return Explanation("'steps' cannot be read as a whole", "name the step: steps.ID.output")
        step = name[1]
        if step not in self.visible:
            return self._explain_unreadable_step(step)
        if len(name) == 2:
            return Explanation(f"'steps.{step}' cannot be read as a whole", f"read its part: steps.{step}.output")
        return self._explain_part(self.steps[step], name, 2)

    def _explain_part(self, step: StepInfo, name: Sequence[str], start: int) -> Explanation | None:
        """Explain why a part of a step cannot be read; `start` is the index in the name at which the part begins."""
        if start >= len(name):
            return None
        part, rest = name[start], name[start + 1 :]
        if part not in STEP_FIELDS:
            return Explanation(f"a step has no {quote(part)}", suggest(part, STEP_FIELDS))
        match part, step.kind:
            case "error", _:
                return _explain_field("error", rest)
            case "output", _ if step.shows == "items":
                return self._explain_item(step, name, start + 1)
            case "output", _ if step.shows == "turn":
                return self._explain_inner(step, name, start + 1)
            case "output", kind if kind not in {"use", None}:
                return Explanation(f"the {kind} {quote(step.id)} has no output", "read the steps inside it")
            case "output", _:
                whole = name[: start + 1]
                return explain_missing(step.output, rest, whole) or _explain_header(step.output, whole, rest)
        return None

    def _explain_item(self, loop: StepInfo, name: Sequence[str], start: int) -> Explanation | None:
        """Like `_explain_part`, for the items of a loop."""
        match name[start:]:
            case []:
                return None
            case [key, *_] if not is_index(key):
                return explain_list_access(name[:start], key)
            case [_, part, *_] if part not in ITEM_FIELDS:
                return Explanation(f"an item has no {quote(part)}", suggest(part, ITEM_FIELDS))
            case [_, "error", *rest]:
                return _explain_field("error", rest)
            case [_, "steps", *_]:
                return self._explain_inner(loop, name, start + 2)
        return None

    def _explain_inner(self, loop: StepInfo, name: Sequence[str], start: int) -> Explanation | None:
        """Like `_explain_part`, for the steps of an item or a turn, by id."""
        if start >= len(name):
            return None
        id, inner = name[start], self._find_steps_of(loop)
        if id not in inner:
            message = f"the {loop.kind} {quote(loop.id)} has no step {quote(id)}"
            return Explanation(
                message, suggest(id, inner) or f"read a step of it: {format_name(name[:start])}.ID.output"
            )
        return self._explain_part(inner[id], name, start + 1)

    def _find_steps_of(self, loop: StepInfo) -> dict[str, StepInfo]:
        return {step.id: step for step in self.steps.values() if step.loops[-1:] == [loop]}

    def _explain_arrival(self, name: Sequence[str]) -> Explanation | None:
        """Explain why a part of `trigger` cannot be read."""
        if unknown := _explain_field("trigger", name[1:]):
            return unknown
        if len(name) > 1 and name[1] not in self.arrival:
            message = f"this kind of trigger has no {quote(name[1])}"
            return Explanation(message, f"it has {', '.join(sorted(self.arrival))}")
        match name[1:]:
            case ("path", *rest):
                return self._explain_parameter(rest)
            case ("headers", key, *_):
                return check_header_name("trigger.headers", key) or check_withheld(key, self.withheld)
        return None

    def _explain_parameter(self, rest: Sequence[str]) -> Explanation | None:
        """Explain why a part of the webhook's path cannot be read."""
        if self.parameters is None or not rest or rest[0] in self.parameters:
            return None
        wanted = quote(f"{{{rest[0]}}}")
        return Explanation(f"the trigger's path has no {wanted}", suggest(rest[0], self.parameters) or _NO_PARAMETER)

    def _explain_link(self, name: tuple[str, ...]) -> Explanation | None:
        """Explain why a link cannot be read. Links of later waits can be read."""
        linked = {id: step for id, step in self.steps.items() if step.links is not None}
        if "steps" not in self.roots:
            return Explanation("'run.links' cannot be read here", "links exist only after the run has started")
        if len(name) == 2:
            return Explanation("'run.links' cannot be read as a whole", "name the wait: run.links.ID")
        wait = linked.get(name[2])
        if wait is None:
            what = "only wait.webhook and wait.approval have links" if name[2] in self.steps else None
            message = f"there is no wait {quote(name[2])} that has a link"
            return Explanation(message, suggest(name[2], linked) or what)
        around = [block for block, _ in self.here.blocks] if self.here else []
        strange = [loop for loop in wait.loops if loop not in around]
        if strange:
            message = f"the wait {quote(wait.id)} is inside the {strange[0].kind} {quote(strange[0].id)}"
            return Explanation(message, "its link can be read only there, since each iteration has its own")
        return _explain_link_name(wait, name)

    def _explain_unreadable_step(self, step: str) -> Explanation:
        there = self.steps.get(step)
        if there is None:
            return Explanation(f"there is no step {quote(step)}", suggest(step, self.visible))
        if self.here and there.id == self.here.id:
            return Explanation(
                f"the step {quote(step)} cannot read itself", "in 'keep' and 'undo' its output is 'output'"
            )
        around = self.here.blocks if self.here else ()
        blocks = [block for block, _ in around]
        if there in blocks:
            return Explanation(
                f"{quote(step)} is the block that contains this step", "it can be read after it has ended"
            )
        for (block, branch), (other, its_branch) in zip(there.blocks, around, strict=False):
            if block == other and branch.label != its_branch.label:
                message = f"the step {quote(step)} is in another branch, {branch.label} of {quote(block.id)}"
                return Explanation(message, "steps of other branches can be read after the block")
        loops = [loop for loop in there.loops if loop not in blocks]
        if loops and (self.here is None or loops[0].order < self.here.order):
            message = f"the step {quote(step)} is inside the {loops[0].kind} {quote(loops[0].id)}"
            return Explanation(message, f"read the block's: {_write_outside_name([*loops, there])}")
        return Explanation(
            f"the step {quote(step)} comes later, on line {there.line}", "move it up, or move this step down"
        )


def _write_outside_name(path: Sequence[StepInfo]) -> str:
    """Return the name by which a step is read from outside its loops: the loops, then the step."""
    inner = [
        f"[0].steps.{step.id}.output" if loop.shows == "items" else f".{step.id}.output"
        for loop, step in pairwise(path)
    ]
    return f"steps.{path[0].id}.output{''.join(inner)}"


def _explain_link_name(wait: StepInfo, name: tuple[str, ...]) -> Explanation | None:
    whole = format_name(name[:3])
    if not wait.links:
        return Explanation(f"{quote(whole)} is a text", "it has no parts; remove the rest") if len(name) > 3 else None
    if len(name) == 3:
        return Explanation(f"the wait {quote(wait.id)} has more than one link", f"name it: {whole}.{min(wait.links)}")
    if name[3] not in wait.links:
        message = f"the wait {quote(wait.id)} has no {quote(name[3])} that has a link"
        return Explanation(message, suggest(name[3], wait.links))
    return None


def _doubt_class(value: JSON) -> Explanation | None:
    if not isinstance(value, str) or value in CLASSES:
        return None
    return Explanation(f"no error has the class {quote(value)}", suggest(value, CLASSES))


def _format_constant(value: JSON) -> str:
    return "null" if value is None else str(value).lower()


def _explain_header(output: KnownValue, name: Sequence[str], rest: Sequence[str]) -> Explanation | None:
    """Explain why a header of an HTTP response cannot be read."""
    has_headers = isinstance(output, KnownMapping) and output.keys.get("headers", output) is None
    if not has_headers or len(rest) < 2 or rest[0] != "headers":
        return None
    return check_header_name(format_name([*name, "headers"]), rest[1])


def _explain_field(root: str, rest: Sequence[str]) -> Explanation | None:
    return explain_missing(_FIELDS.get(root), rest, [root])
