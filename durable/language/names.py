"""The names that an expression may read at its place in a file, and what to say of the others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from durable.language.problem import quoted, suggestion

FIELDS: dict[str, frozenset[str]] = {
    "trigger": frozenset({"body", "headers", "query", "path", "id", "type", "time"}),
    "run": frozenset({"id", "url", "pipeline", "version", "started_at"}),
    "error": frozenset({"class", "code", "message", "step", "attempt", "details"}),
}
STEP_FIELDS = frozenset({"output", "status", "error", "attempts"})

OF_A_TRIGGER = frozenset({"trigger"})
OF_ADMISSION = frozenset({"trigger", "inputs", "run"})
OF_A_RUN = frozenset({"trigger", "inputs", "run", "steps"})
RESERVED = frozenset({*OF_A_RUN, "secrets", "error", "output", "index"})

WITH_OUTPUT = frozenset({"use", "foreach", "repeat"})
"""The kinds of step whose output can be read."""

_ELSEWHERE = {
    "error": "it is there only in 'catch' and 'on_failure'",
    "output": "it is there only in 'keep' and 'undo'; read steps.ID.output",
    "index": "it is there only inside a 'foreach' or 'repeat'",
}
_FOREIGN = {
    "item": "an item has its name only inside its 'foreach'",
    "env": "secrets are read as secrets.NAME",
    "event": "what arrived is read as trigger.body",
    "payload": "what arrived is read as trigger.body",
    "body": "did you mean 'trigger.body'",
    "headers": "did you mean 'trigger.headers'",
    "query": "did you mean 'trigger.query'",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a step stands: its place in the order of the file, and the blocks around it with the branch it is in."""

    id: str
    kind: str | None
    order: int
    line: int
    blocks: tuple[tuple["Spot", str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a name cannot be read."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be read at one place. `visible` are the steps before it, and grows as a sequence is walked."""

    roots: frozenset[str]
    spots: Mapping[str, Spot]
    inputs: Collection[str] | None = None
    visible: set[str] = field(default_factory=set)
    here: Spot | None = None

    def at(self, here: Spot | None) -> "Scope":
        """The same names, for messages about another place."""
        return replace(self, here=here)

    def adding(self, *roots: str) -> "Scope":
        """More names; the same steps."""
        return replace(self, roots=self.roots | set(roots))

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
        return _field_fault(root, name[1:])

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
        kind = self.spots[step].kind
        if name[2] == "output" and kind not in {*WITH_OUTPUT, None}:
            return Fault(f"the {kind} {quoted(step)} has no output", "read the steps inside it")
        return _field_fault("error", name[3:]) if name[2] == "error" else None

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
        loops = [block for block, _ in there.blocks if block.kind in {"foreach", "repeat"} and block not in blocks]
        if loops and (self.here is None or loops[0].order < self.here.order):
            message = f"the step {quoted(step)} is inside the {loops[0].kind} {quoted(loops[0].id)}"
            return Fault(message, f"read the block's: steps.{loops[0].id}.output")
        return Fault(f"the step {quoted(step)} comes later, on line {there.line}", "move it up, or this down")


def _field_fault(root: str, rest: tuple[str, ...]) -> Fault | None:
    known = FIELDS.get(root)
    if known is None or not rest or rest[0] in known:
        return None
    return Fault(f"{quoted(root)} has no {quoted(rest[0])}", suggestion(rest[0], known))
