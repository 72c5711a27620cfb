"""Copies the checkpoints of a run into a fork of it.

The facts of the other run's history are reported to the new run, which decides what follows from them, as it does for
any fact. So blocks, loops and branches need no rules of their own, and a fact that a newer version no longer expects
refuses the fork. The times of the facts stay as they were.

The new run stops before the step from which it is to go on. Other branches and items do not depend on that step, so
what completed in them is copied as well, even if it completed later.

ForkRefused          the run cannot be forked so; the message says why
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args

import msgspec

from durable.blocks.core_actions import CORE_ACTIONS
from durable.blocks.kinds import BLOCKS
from durable.blocks.undo import BLOCK as UNDO_BLOCK
from durable.decide.advance import Advance
from durable.decide.steps import is_to_end
from durable.definition import Definition
from durable.effects import HoldFork
from durable.history import entries
from durable.history.entries import AnyEntry, Fact, RunForked, RunStarted
from durable.history.state import State
from durable.path import find_step_path
from durable.steps.node import ActionNode, AnyNode, CompiledPipeline
from durable.wording import quote, suggest

ENTRIES_LIMIT = 50_000
"""The maximum number of entries with which a fork begins; they are written in one commit."""

_FACTS = frozenset(get_args(Fact)) - {entries.StepCompleted}
_NOT_COPIED = (RunStarted, entries.StartDue, entries.SlotGranted)
_ENDINGS = (
    entries.StepFailed,
    entries.StepCancelled,
    entries.BranchesCancelled,
    entries.MainEnding,
    entries.UndoStarted,
)
"""Decisions after which a branch beside the step does not go on as if nothing had happened."""


class ForkRefused(Exception):
    """A run cannot be forked so; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Original:
    """The run that is forked, with its compiled pipeline, its history and its state."""

    run: str
    pipeline: CompiledPipeline
    history: Sequence[AnyEntry]
    state: State


@dataclass(frozen=True, slots=True)
class CopiedRun:
    """A fork, up to and including `RunForked`.

    `copied`: how many steps have a copied checkpoint.
    `again`: the steps that ran beside the fork's step and have no checkpoint, so that they are performed anew.
    """

    state: State
    entries: list[AnyEntry]
    copied: int
    again: tuple[str, ...]


@dataclass(slots=True)
class _Unit:
    """A fact of a history, and the decisions that followed from it."""

    fact: Fact
    decisions: list[AnyEntry] = field(default_factory=list)


def copy_run(
    definition: Definition,
    run: str,
    started: RunStarted,
    original: Original,
    fork: RunForked,
    follow: Callable[[Advance], None],
) -> CopiedRun:
    """Begin the fork `run`, and copy what the original did before the step, up to `RunForked`.

    `started` has the time and the deadline of the original's, on which the times of what follows depend.

    `follow` lets an `Advance` decide; it loads the payloads that are missing. Raises `ForkRefused`.
    """
    check_step(definition, fork.path, original)
    copy = _Copy(definition, run, original, fork.path, follow)
    copy.report(started)
    units = deque(_split_units(original))
    while units and not copy.is_held:
        copy.report_before(units.popleft())
    if not copy.is_held:
        status = original.state.steps[fork.path].status if fork.path in original.state.steps else "pending"
        raise ForkRefused(f"run {original.run} did not reach the step {fork.path}: it is {status}")
    copy.report_beside(units)
    again = copy.check_whole()
    copied = sum(step.is_copied and path not in copy.state.blocks for path, step in copy.state.steps.items())
    copy.report(fork)
    return CopiedRun(copy.state, copy.entries, copied, again)


def check_step(pipeline: CompiledPipeline, path: str, original: Original) -> AnyNode:
    """Return the node of the step at a path; raises `ForkRefused` if no run can be forked from it."""
    node = _find_node(pipeline, path)
    if (step := find_step_path(path)) != path:
        raise ForkRefused(f"{path} is a page of {step}: fork from {step}, which gets all of its pages anew")
    if node is None:
        hint = suggest(path, original.state.steps) or "`waypost show` lists the steps"
        raise ForkRefused(f"version {pipeline.version[:12]} has no step {quote(path)}; {hint}")
    if node.is_inner:
        raise ForkRefused(f"{path} is an undo step: fork from a step of the pipeline")
    is_finally = any(branch == BLOCKS[_get_kind(pipeline.nodes[block])].cleanup for block, branch in node.around)
    if node.part == "cleanup" or is_finally:
        raise ForkRefused(f"{path} is a cleanup step: fork from an earlier step")
    return node


def _find_node(pipeline: CompiledPipeline, path: str) -> AnyNode | None:
    try:
        return pipeline.nodes[path]
    except KeyError:
        return None


def _get_kind(node: AnyNode) -> str:
    return str(node.step.__struct_config__.tag)  # type: ignore[attr-defined]  # a struct


# -- the history ------------------------------------------------------------------------------------------------


def _split_units(original: Original) -> Iterator[_Unit]:
    """Split a history into facts, each with the decisions that followed from it."""
    unit: _Unit | None = None
    for entry in original.history:
        if type(entry) in _FACTS or _is_reported(original.pipeline, entry, unit):
            if unit is not None:
                yield unit
            unit = _Unit(entry)  # type: ignore[arg-type]  # a fact, by the line above
        elif unit is not None:
            unit.decisions.append(entry)
    if unit is not None:
        yield unit


def _is_reported(pipeline: CompiledPipeline, entry: AnyEntry, unit: _Unit | None) -> bool:
    """Whether a checkpoint was reported by the engine, so that it is a fact."""
    if not isinstance(entry, entries.StepCompleted):
        return False
    if entry.started_at is not None:
        return True
    node = _find_node(pipeline, entry.path)
    core = CORE_ACTIONS.get(node.step.use) if isinstance(node, ActionNode) else None
    is_end_of_call = unit is not None and isinstance(unit.fact, entries.ChildEnded) and unit.fact.path == entry.path
    return core is not None and core.is_reported and not is_end_of_call


# -- copying ----------------------------------------------------------------------------------------------------


class _Copy:
    """A fork that is being made. `is_held`: it stands before the step from which it goes on."""

    def __init__(
        self,
        definition: Definition,
        run: str,
        original: Original,
        until: str,
        follow: Callable[[Advance], None],
    ) -> None:
        self.state = State(run=run)
        self.entries: list[AnyEntry] = []
        self.is_held = False
        self._definition = definition
        self._original = original
        self._until = until
        self._follow = follow
        self._new: deque[str] = deque()
        """Steps and blocks that began to wait for a fact."""

    def report(self, fact: Fact) -> bool:
        """Let the fork decide what follows from a fact; False if the fork does not expect it."""
        advance = Advance(self._definition, self.state, fact)
        self._follow(advance)
        self.entries += advance.entries
        if len(self.entries) > ENTRIES_LIMIT:
            raise ForkRefused(f"the fork would start with more than {ENTRIES_LIMIT:,} entries, which is the limit")
        self.is_held |= any(isinstance(effect, HoldFork) for effect in advance.effects)
        self._new += [
            entry.path for entry in advance.entries if isinstance(entry, entries.StepScheduled | entries.TimerSet)
        ]
        return bool(advance.entries)

    def report_before(self, unit: _Unit) -> None:
        """Copy a fact from before the step; raises `ForkRefused` if the fork does not expect it."""
        fact = unit.fact
        if isinstance(fact, _NOT_COPIED):
            return
        if not (self._is_same_action(fact) and self.report(fact)):
            raise self._make_refusal(getattr(fact, "path", "") or "its start")

    def _make_refusal(self, where: str) -> ForkRefused:
        """The refusal of a fork on a version that takes another way to the step."""
        ahead = next((path for path in self.state.active if path not in self.state.open), None)
        is_elsewhere = ahead and ahead != where
        hint = f"it reaches {ahead} instead: fork from {ahead}" if is_elsewhere else "fork from an earlier step"
        what = f"version {self._definition.version[:12]} does not reach {self._until} in the same way"
        return ForkRefused(f"{what} as run {self._original.run}, which was at {where}; {hint}, or from the start")

    def report_beside(self, units: Iterable[_Unit]) -> None:
        """Copy what completed beside the step."""
        facts: dict[str, deque[Fact]] = {}
        completed = {path for path, step in self._original.state.steps.items() if step.status == "completed"}
        for unit in units:
            path = getattr(unit.fact, "path", None)
            if path in completed and not any(isinstance(each, _ENDINGS) for each in unit.decisions):
                facts.setdefault(path, deque()).append(unit.fact)
        self._new = deque(self.state.active)
        while self._new:
            path = self._new.popleft()
            if path in self.state.open:
                self._pass_pause(path)
                continue
            waiting = facts.get(path, ())
            while waiting and path in self.state.active:
                fact = waiting.popleft()
                if isinstance(
                    fact, entries.StepCompleted | entries.PageCompleted
                ):  # attempts that failed were not all copied
                    fact = msgspec.structs.replace(fact, attempt=self.state.steps[path].attempt)
                if self._is_same_action(fact):
                    self.report(fact)

    def _pass_pause(self, path: str) -> None:
        """End the pause of a loop, as its timer does."""
        due = self.state.steps[path].due
        if path in self.state.active and due is not None:
            self.report(entries.TimerFired(at=due, path=path))

    def _is_same_action(self, fact: Fact) -> bool:
        """Whether the step that a fact is about performs the same action as in the original."""
        path = getattr(fact, "path", None)
        if not path:
            return True
        before, now = _find_node(self._original.pipeline, path), _find_node(self._definition, path)
        if not (isinstance(before, ActionNode) and isinstance(now, ActionNode)):
            return type(before) is type(now)
        return before.step.use == now.step.use and before.step.is_paged == now.step.is_paged

    def check_whole(self) -> tuple[str, ...]:
        """Return the steps that are performed anew beside the fork's step; raises `ForkRefused` if what was copied does
        not hold any more, or must not be performed again."""
        state, original = self.state, self._original.state
        for path, undo in original.undos.items():
            step, own = state.steps.get(path), state.undos.get(path)
            was_undone = own is not None and own.status == undo.status
            if undo.status != "registered" and step is not None and step.status == "completed" and not was_undone:
                raise ForkRefused(f"the effect of {path} was undone after {self._until}: fork from {path}")
        if undoing := next((path for path in state.open if state.blocks[path].kind == UNDO_BLOCK.kind), None):
            raise ForkRefused(f"{undoing} is undoing effects: fork from an earlier step")
        if is_to_end(state, self._definition.nodes[self._until], self._until):
            raise ForkRefused(f"{self._until} was cancelled at once by a failure beside it: fork from an earlier step")
        again = tuple(path for path in state.active if path not in state.open)
        if doubtful := [path for path in again if (step := original.steps.get(path)) and step.status == "uncertain"]:
            raise ForkRefused(
                f"it is not known whether {doubtful[0]} took effect, and the fork would repeat it: fork from that step"
            )
        return again
