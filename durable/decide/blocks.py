"""Blocks: which branches begin, and what the end of a branch means for its block."""

from durable.decide.ends import interrupt_steps
from durable.decide.sequence import explained, refuse_step
from durable.definition.definition import Definition
from durable.definition.node import FINALLY, ON_TIMEOUT, BlockNode
from durable.definition.step import ForeachStep, ParallelStep, RepeatStep
from durable.effects import BeginBranch, Consequences, EnterStep, FollowUp, Wake
from durable.expressions import ExpressionError
from durable.history.entries import (
    BlockStarted,
    BranchEnded,
    BranchesCancelled,
    BranchStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    TimerFired,
    TimerSet,
)
from durable.history.state import BlockState, State
from durable.history.words import Failure
from durable.path import join_path, number_frame
from durable.scope import build_scope, to_document

BURST = 500
"""Decisions in a row after which a loop pauses for a moment, so that no commit grows too large."""

LOOP = "steps"
"""The one branch of a `foreach` or `repeat`."""


def started(definition: Definition, state: State, entry: BlockStarted) -> list[FollowUp]:
    """The first branches of a block."""
    path, at = entry.path, entry.at
    if entry.kind == "on_timeout":
        return [BeginBranch(at, path, ON_TIMEOUT)]
    node = definition.block(path)
    match node.spec:
        case ParallelStep():
            return [BeginBranch(at, path, name) for name in node.spec.branches]
        case ForeachStep():
            if not entry.count:
                return [StepCompleted(at=at, path=path)]
            return [BeginBranch(at, path, LOOP)] * min(entry.count, node.spec.max_parallel)
        case RepeatStep():
            return [BeginBranch(at, path, LOOP)]
    return [_chosen(definition, state, node, path, at)] if entry.kind == "switch" else [BeginBranch(at, path, "try")]


def _chosen(definition: Definition, state: State, node: BlockNode, path: str, at: int) -> FollowUp:
    """The first case of a switch that holds."""
    scope = build_scope(definition, state, path)
    try:
        for branch, when in node.whens.items():
            if when is None or when.holds(scope):
                return BeginBranch(at, path, branch)
    except ExpressionError as error:
        return refuse_step(path, at, explained(definition, state, path, error))
    return BeginBranch(at, path, "else")


def begin(definition: Definition, state: State, move: BeginBranch) -> list[FollowUp]:
    """Begin a branch, unless its block is to end."""
    block = state.blocks[move.path]
    if block.is_stopping and not (block.kind == "try" and move.branch == FINALLY):
        return _unbegun(definition, block, move)
    if block.kind == "foreach" and block.begun >= block.count:
        return []
    index = block.begun if block.kind in ("foreach", "repeat") else None
    return [BranchStarted(at=move.at, path=move.path, branch=move.branch, index=index)]


def _unbegun(definition: Definition, block: BlockState, move: BeginBranch) -> list[FollowUp]:
    """In a block that is to end no branch begins; if none is under way, nobody else would end it."""
    if block.running:
        return []
    was_entered = block.kind == "try" and move.branch != "try"
    return [_cleanup(definition, block, move.path, move.at) if was_entered else _end(block, move.path, move.at)]


def branch_started(definition: Definition, state: State, entry: BranchStarted) -> list[FollowUp]:
    path, at = entry.path, entry.at
    if not state.blocks[path].running:
        return []  # it ended as it began: its condition cannot be evaluated
    first = definition.node(path).firsts.get(entry.branch)
    if first is None:
        return [BranchEnded(at=at, path=path, branch=entry.branch, index=entry.index, status="completed")]
    return [EnterStep(at, join_path(number_frame(path, entry.index), first))]


def branches_cancelled(definition: Definition, state: State, entry: BranchesCancelled) -> Consequences:
    return interrupt_steps(definition, state, entry.path, entry.at)


# -- the end of a branch ----------------------------------------------------------------------------------------


def branch_ended(definition: Definition, state: State, entry: BranchEnded) -> list[FollowUp]:
    """What the end of a branch means for its block: another branch, the block's end, or nothing yet."""
    block = state.blocks[entry.path]
    match block.kind:
        case "try":
            return _after_phase(definition, state, block, entry)
        case "parallel":
            return _after_branch(definition, block, entry)
        case "foreach":
            return _after_item(definition, state, block, entry)
        case "repeat":
            return _after_turn(definition, state, block, entry)
    return [_end(block, entry.path, entry.at)]


def _end(block: BlockState, path: str, at: int) -> FollowUp:
    """The end of a block, as its branches have ended."""
    if block.is_cancelled:
        return StepCancelled(at=at, path=path)
    if block.error is not None:
        return StepFailed(at=at, path=path, error=block.error)
    return StepCompleted(at=at, path=path)


def _after_branch(definition: Definition, block: BlockState, entry: BranchEnded) -> list[FollowUp]:
    if not block.running:
        return [_end(block, entry.path, entry.at)]
    spec = definition.block(entry.path).spec
    assert isinstance(spec, ParallelStep)
    if entry.status == "failed" and spec.on_branch_error == "cancel" and not block.is_stopping:
        return [BranchesCancelled(at=entry.at, path=entry.path)]
    return []


def _after_item(definition: Definition, state: State, block: BlockState, entry: BranchEnded) -> list[FollowUp]:
    path, at = entry.path, entry.at
    spec = definition.block(path).spec
    assert isinstance(spec, ForeachStep)
    collects = spec.on_item_error == "collect"
    is_failing = block.error is not None and not collects
    if block.is_stopping or is_failing or block.begun >= block.count:
        if block.running:
            return [BranchesCancelled(at=at, path=path)] if is_failing and not block.is_stopping else []
        return [StepCompleted(at=at, path=path) if collects and not block.is_cancelled else _end(block, path, at)]
    return _next(state, path, at, at)


def _after_turn(definition: Definition, state: State, block: BlockState, entry: BranchEnded) -> list[FollowUp]:
    path, at = entry.path, entry.at
    if entry.status != "completed" or block.is_stopping:
        return [_end(block, path, at)]
    node = definition.block(path)
    assert isinstance(node.spec, RepeatStep)
    assert node.expression
    scope = build_scope(definition, state, path, frame=number_frame(path, entry.index))
    try:
        if node.expression.holds(scope):
            return [StepCompleted(at=at, path=path)]
    except ExpressionError as error:
        return [refuse_step(path, at, f"until: {explained(definition, state, path, error)}")]
    if node.spec.max_times is not None and block.begun >= node.spec.max_times:
        message = f"'until' did not hold after {block.begun} turns"
        return [StepFailed(at=at, path=path, error=Failure.of(None, "repeat_exhausted", message, path))]
    return _next(state, path, at, max(at, block.branch_at + (node.spec.every or 0)))


def _next(state: State, path: str, at: int, due: int) -> list[FollowUp]:
    """The next item or turn: now, or at its time."""
    if due == at and state.since_fact < BURST:
        return [BeginBranch(at, path, LOOP)]
    return [] if path in state.active else [TimerSet(at=at, path=path, due=due)]


def timer_set(entry: TimerSet) -> Consequences:
    return [], [Wake(entry.path, entry.due)]


def timer_fired(definition: Definition, state: State, entry: TimerFired) -> list[FollowUp]:
    """The time has come for the next turn, or for as many items as there is room for."""
    block = state.blocks[entry.path]
    spec = definition.block(entry.path).spec
    room = spec.max_parallel - block.running if isinstance(spec, ForeachStep) else 1
    return [BeginBranch(entry.at, entry.path, LOOP)] * min(room, BURST)


# -- try --------------------------------------------------------------------------------------------------------


def _after_phase(definition: Definition, state: State, block: BlockState, entry: BranchEnded) -> list[FollowUp]:
    path, at = entry.path, entry.at
    if entry.branch == FINALLY:
        return [_end(block, path, at)]
    if entry.status == "failed" and entry.branch == "try" and not block.is_stopping:
        return _caught(definition, state, block, path, at)
    return [_cleanup(definition, block, path, at)]


def _caught(definition: Definition, state: State, block: BlockState, path: str, at: int) -> list[FollowUp]:
    """The first handler that answers the failure; without one it is passed on after the cleanup."""
    scope = build_scope(definition, state, path, error=to_document(block.error or Failure()))
    for branch, when in definition.block(path).whens.items():
        try:
            if when is None or when.holds(scope):
                return [BeginBranch(at, path, branch)]
        except ExpressionError as problem:
            failure = Failure.of("invalid", "expression", f"{branch}: {problem}", path)
            ended = BranchEnded(at=at, path=path, branch=branch, status="failed", error=failure)
            return [BranchStarted(at=at, path=path, branch=branch), ended]
    return [_cleanup(definition, block, path, at)]


def _cleanup(definition: Definition, block: BlockState, path: str, at: int) -> FollowUp:
    if definition.block(path).firsts[FINALLY] is not None:
        return BeginBranch(at, path, FINALLY)
    return _end(block, path, at)
