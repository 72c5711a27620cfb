"""Steps one after the other: a step is reached, and what follows its end."""

from collections.abc import Mapping

from durable.decide.ends import finish_cleanup, finish_main
from durable.definition.definition import Definition
from durable.definition.node import FINALLY, AnyNode, BlockNode
from durable.definition.step import ForeachStep
from durable.effects import EnterStep, FollowUp
from durable.expressions import Expression, ExpressionError
from durable.flow import write_input
from durable.history.entries import BlockStarted, BranchEnded, StepFailed, StepScheduled, StepSkipped
from durable.history.state import State
from durable.history.words import EndStatus, Failure
from durable.path import frame_of, join_path
from durable.scope import EvaluationContext, build_scope
from durable.values import NotJSON, Value
from durable.wording import name_kind

ITEMS_LIMIT = 100_000
"""Items of a `foreach`."""


def enter_step(definition: Definition, state: State, move: EnterStep) -> list[FollowUp]:
    """Reach a step, unless what it stands in is to end."""
    path, at = move.path, move.at
    node = definition.node(path)
    if _is_over(state, node, path):
        return end_sequence(definition, state, path, at, "cancelled")
    scope = build_scope(definition, state, path)
    try:
        if node.condition and not node.condition.holds(scope):
            return [StepSkipped(at=at, path=path)]
        if isinstance(node, BlockNode):
            return [_block(node, path, at, scope)]
        rendered, secrets = node.input.render(scope)
        rendered = write_input(node.spec.use, rendered)
        has_undo = node.undo is not None
        return [StepScheduled(at=at, path=path, input=Value.of(rendered), secrets=secrets, has_undo=has_undo)]
    except (ExpressionError, NotJSON) as error:
        return [refuse_step(path, at, explained(definition, state, path, error))]


def _is_over(state: State, node: AnyNode, path: str) -> bool:
    around = state.block_around(path)
    if around is None:
        return state.is_stopping if node.part == "cleanup" else state.ending is not None
    block = state.blocks[around[0]]
    return block.is_stopping and not (block.kind == "try" and node.branch == FINALLY)


def _block(node: BlockNode, path: str, at: int, scope: Mapping[str, object]) -> BlockStarted:
    if not isinstance(node.spec, ForeachStep):
        return BlockStarted(at=at, path=path, kind=node.spec.__struct_config__.tag)  # type: ignore[arg-type]  # as there
    assert isinstance(node.expression, Expression)
    items = node.expression.evaluate(scope)
    if not isinstance(items, list):
        kind = "true or false" if isinstance(items, bool) else name_kind(items)
        raise ExpressionError(f"'{node.expression.source}' is {kind}, and 'foreach' needs a list")
    if len(items) > ITEMS_LIMIT:
        raise ExpressionError(
            f"'{node.expression.source}' has {len(items):,} items, and 'foreach' takes {ITEMS_LIMIT:,}"
        )
    return BlockStarted(at=at, path=path, kind="foreach", items=Value.of(items), count=len(items))


def follow_step(definition: Definition, state: State, path: str, at: int) -> list[FollowUp]:
    """What follows a step that is done, or was skipped."""
    follower = definition.node(path).follower
    if follower is not None:
        return [EnterStep(at, join_path(frame_of(path), follower))]
    return end_sequence(definition, state, path, at, "completed")


def end_sequence(
    definition: Definition, state: State, path: str, at: int, status: EndStatus, error: Failure | None = None
) -> list[FollowUp]:
    """The sequence in which a step stands is over, because of that step."""
    node = definition.node(path)
    around = state.block_around(path)
    if around:
        block, index = around
        return [BranchEnded(at=at, path=block, branch=node.branch, index=index, status=status, error=error)]
    if node.part == "cleanup":
        return [finish_cleanup(state, at, status, error)]
    return [] if state.main else [finish_main(definition, state, at, status, error)]


def refuse_step(path: str, at: int, message: str) -> StepFailed:
    """A step whose own expressions cannot be evaluated, or whose input makes no sense."""
    return StepFailed(at=at, path=path, error=Failure.of("invalid", "expression", message, path))


def explained(definition: Definition, state: State, path: str, error: Exception) -> str:
    """The error's message, and which of the steps that the expression reads was not performed."""
    read = {name[1] for name in definition.node(path).names if name[0] == "steps" and len(name) > 1}
    place = EvaluationContext(definition, state, frame_of(path))
    found = {id: state.steps.get(place.path_of(id)) for id in sorted(read & definition.places.keys())}
    missing = [
        f"step {id!r} was {'skipped' if step else 'not performed'}"
        for id, step in found.items()
        if step is None or step.status == "skipped"
    ]
    return f"{error} ({', '.join(missing)})" if missing else str(error)
