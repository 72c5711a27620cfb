"""`repeat`: performs the steps until a condition is true."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
from pydantic import Field
from pydantic import model_validator as validator

from durable.blocks import loops
from durable.blocks.block import Block
from durable.blocks.endings import end_block, explain_failure, refuse_step
from durable.blocks.reopening import find_branch_stop
from durable.blocks.syntax import Branch, Resolver, StepSpec, StepSyntax, find_branch, needs_steps
from durable.durations import Timeout, parse_duration
from durable.effects import BeginBranch, Consequences
from durable.expressions.expression import Expression, ExpressionError
from durable.history.entries import (
    BlockStarted,
    BranchEnded,
    BranchReopened,
    StepCompleted,
    StepFailed,
    StepReopened,
    TimerFired,
)
from durable.history.state import BlockState, State
from durable.history.words import Failure
from durable.path import number_frame
from durable.problem import Pointer
from durable.scope import EvaluationContext, RunScope, view_steps
from durable.spec_model import Condition, Mapped, SpecModel, Whole
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import Steps

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep


# -- how it is written --------------------------------------------------------------------------------------------


class RepeatSpec(
    SpecModel, title="Repeat", json_schema_extra={"anyOf": [{"required": ["every"]}, {"required": ["max_times"]}]}
):
    """How often the block's steps are performed."""

    until: Condition = Field(
        description="An expression that is evaluated after each iteration; the block ends when it is true"
    )
    every: Timeout | None = Field(
        None, description="The time from the start of one iteration to the start of the next; default: no delay"
    )
    max_times: Annotated[Whole, Field(ge=1, le=100_000)] | None = Field(
        None, description="The step fails after this many iterations; required without `every`"
    )

    @validator(mode="after")
    def _ends_or_pauses(self) -> Self:
        if self.every is None and self.max_times is None:
            raise ValueError("'repeat' could run forever without a pause; set 'every', 'max_times' or both")
        return self


class RepeatBlockSpec(StepSpec):
    """A block that repeats its steps until a condition is true."""

    repeat: RepeatSpec = Field(description="How often the block's steps are performed")
    steps: Annotated["tuple[AnyStep, ...]", Field(min_length=1)] = Field(
        description="The steps of the `foreach` or `repeat`"
    )


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    yield from find_branch("steps", step, pointer, adds=("index",), until=("repeat", "until"), is_loop=True)


# -- how it is stored and compiled --------------------------------------------------------------------------------


class RepeatStep(msgspec.Struct, frozen=True, tag="repeat", tag_field="kind", omit_defaults=True):
    """Performs the steps until an expression is true, at most `max_times` times; each turn starts `every` ms after the
    previous one."""

    id: str
    until: str
    steps: Steps
    every: int | None = None
    max_times: int | None = None
    condition: str | None = None


def _resolve(spec: RepeatBlockSpec, resolver: Resolver) -> RepeatStep:
    every = parse_duration(spec.repeat.every) if spec.repeat.every else None
    steps = resolver.resolve_steps(spec.steps)
    return RepeatStep(spec.id, spec.repeat.until, steps, every, spec.repeat.max_times, spec.if_)


def _compile(step: RepeatStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    until = Expression.parse(step.until)
    return {common["path"]: BlockNode(**common, step=step, expression=until, is_loop=True, view=_view_last_turn)}


def _view_last_turn(context: EvaluationContext, node: BlockNode, block: BlockState, path: str) -> object:
    """The steps of the turn that began last; those of the first if none has begun, since the block paused before it."""
    return view_steps(context, node, number_frame(path, max(0, block.begun - 1)))


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> Consequences:
    return [BeginBranch(entry.at, entry.path, loops.LOOP)], []


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    path, at = entry.path, entry.at
    block, node = state.blocks[path], pipeline.blocks[path]
    if entry.status != "completed" or block.is_stopping:
        return [end_block(block, path, at)], []
    assert isinstance(node.step, RepeatStep)
    assert node.expression
    scope = RunScope(pipeline, state, path, frame=number_frame(path, entry.index))
    try:
        if node.expression.holds(scope):
            return [StepCompleted(at=at, path=path)], []
    except ExpressionError as error:
        return [refuse_step(path, at, f"until: {explain_failure(pipeline, state, path, error)}")], []
    if node.step.max_times is not None and block.begun - block.turns_before >= node.step.max_times:
        message = f"'until' was not true after {block.begun} turns"
        return [StepFailed(at=at, path=path, error=Failure.of(None, "repeat_exhausted", message, path))], []
    return loops.begin_next(state, path, at, max(at, block.branch_at + (node.step.every or 0))), []


def _reopen(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue the last turn; if its steps are done, start the next one."""
    path, at = entry.path, entry.at
    last = state.blocks[path].begun - 1
    if last >= 0 and find_branch_stop(pipeline, state, path, loops.LOOP, last):
        return [BranchReopened(at=at, path=path, branch=loops.LOOP, index=last)], []
    return [BeginBranch(at, path, loops.LOOP)], []


def _fire(pipeline: CompiledPipeline, state: State, entry: TimerFired) -> Consequences:
    return [BeginBranch(entry.at, entry.path, loops.LOOP)], []


_SYNTAX = StepSyntax(
    key="repeat",
    model=RepeatBlockSpec,
    resolve=_resolve,
    list_branches=_list_written_branches,
    check_keys=needs_steps("repeat"),
    shows="turn",
    mapping_keys=("repeat",),
    parts=(RepeatSpec,),
    conditions=("until",),
    examples={"repeat": "{until: …, max_times: 10}"},
)

BLOCK = Block(
    kind="repeat",
    syntax=_SYNTAX,
    step=RepeatStep,
    list_branches=loops.list_branches,
    compile=_compile,
    begin=_begin,
    follow=_follow,
    fire=_fire,
    reopen=_reopen,
    is_loop=True,
)
