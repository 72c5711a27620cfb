"""`repeat`: the steps are performed until a condition holds."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from durable.blocks import loops
from durable.blocks.block import Block
from durable.blocks.endings import end_block, explain_failure, refuse_step
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions import Expression, ExpressionError
from durable.history.entries import BlockStarted, BranchEnded, StepCompleted, StepFailed, TimerFired
from durable.history.state import BlockState, State
from durable.history.words import Failure
from durable.path import number_frame
from durable.scope import EvaluationContext, RunScope, view_steps
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import Steps


class RepeatStep(msgspec.Struct, frozen=True, tag="repeat", tag_field="kind", omit_defaults=True):
    """The steps are performed until an expression holds, `max_times` at most, and a turn begins `every` (ms) after the
    one before it."""

    id: str
    until: str
    steps: Steps
    every: int | None = None
    max_times: int | None = None
    condition: str | None = None


def _list_branches(step: RepeatStep) -> Iterator[tuple[str, Steps]]:
    yield loops.LOOP, step.steps


def _compile(step: RepeatStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    until = Expression.parse(step.until)
    return {common["path"]: BlockNode(**common, spec=step, expression=until, is_loop=True, view=_view_last_turn)}


def _view_last_turn(context: EvaluationContext, node: BlockNode, block: BlockState, path: str) -> object:
    return view_steps(context, node, number_frame(path, block.begun - 1))


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> list[FollowUp]:
    return [BeginBranch(entry.at, entry.path, loops.LOOP)]


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    path, at = entry.path, entry.at
    block, node = state.blocks[path], pipeline.block(path)
    if entry.status != "completed" or block.is_stopping:
        return [end_block(block, path, at)], []
    assert isinstance(node.spec, RepeatStep)
    assert node.expression
    scope = RunScope(pipeline, state, path, frame=number_frame(path, entry.index))
    try:
        if node.expression.holds(scope):
            return [StepCompleted(at=at, path=path)], []
    except ExpressionError as error:
        return [refuse_step(path, at, f"until: {explain_failure(pipeline, state, path, error)}")], []
    if node.spec.max_times is not None and block.begun >= node.spec.max_times:
        message = f"'until' did not hold after {block.begun} turns"
        return [StepFailed(at=at, path=path, error=Failure.of(None, "repeat_exhausted", message, path))], []
    return loops.begin_next(state, path, at, max(at, block.branch_at + (node.spec.every or 0))), []


def _fire(pipeline: CompiledPipeline, state: State, entry: TimerFired) -> Consequences:
    return [BeginBranch(entry.at, entry.path, loops.LOOP)], []


BLOCK = Block(
    kind="repeat",
    step=RepeatStep,
    list_branches=_list_branches,
    compile=_compile,
    begin=_begin,
    follow=_follow,
    fire=_fire,
    is_loop=True,
)
