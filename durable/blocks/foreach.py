"""`foreach`: performs the steps for each item of a list, concurrently if `max_parallel` allows it."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from pydantic import Field

from durable.blocks import loops
from durable.blocks.block import NONE, Block
from durable.blocks.endings import end_block
from durable.blocks.syntax import Branch, Resolver, StepSpec, StepSyntax, find_branch, needs_steps
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions.expression import Expression, ExpressionError
from durable.history.entries import (
    BlockStarted,
    BranchEnded,
    BranchesCancelled,
    BranchReopened,
    StepCompleted,
    StepReopened,
    TimerFired,
)
from durable.history.state import BlockState, State
from durable.path import number_frame
from durable.problem import DataProblem, Pointer
from durable.scope import EvaluationContext, LazyMapping, to_document, view_steps
from durable.spec_model import Condition, Identifier, Mapped, Whole
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline, Names
from durable.steps.resolved import Steps
from durable.values import JSON, Value
from durable.wording import name_kind, quote

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep

ITEMS_LIMIT = 100_000


# -- how it is written --------------------------------------------------------------------------------------------


class ForeachSpec(StepSpec):
    """A block that performs its steps for each item of a list."""

    foreach: Condition = Field(description="An expression that returns the list of items")
    as_: Identifier | None = Field(
        None, alias="as", description="The name by which the steps read the item; default item"
    )
    max_parallel: Annotated[Whole, Field(ge=1, le=1_000)] | None = Field(
        None, description="How many items are processed at once; default 1"
    )
    on_item_error: Literal["stop", "collect"] | None = Field(
        None, description="Whether a failed item ends the block or is collected in its output; default stop"
    )
    steps: Annotated["tuple[AnyStep, ...]", Field(min_length=1)] = Field(
        description="The steps of the `foreach` or `repeat`"
    )


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    name = step.get("as", "item")
    adds = ("index", name) if isinstance(name, str) else ("index",)
    yield from find_branch("steps", step, pointer, adds=adds, is_loop=True, may_be_left_out=True)


def _check_item_name(step: Mapped, taken: Collection[str]) -> Iterator[DataProblem]:
    name = step.get("as", "item") if "foreach" in step else None
    if isinstance(name, str) and name in taken:
        what = f"the item's name {quote(name)} is taken"
        yield DataProblem(("as",), what, "choose another with 'as'", is_key="as" not in step)


# -- how it is stored and compiled --------------------------------------------------------------------------------


class ForeachStep(msgspec.Struct, frozen=True, tag="foreach", tag_field="kind", omit_defaults=True):
    """Performs the steps for each item of a list. `items` is an expression; `name` is the name of the current item."""

    id: str
    items: str
    steps: Steps
    name: str = "item"
    max_parallel: int = 1
    on_item_error: Literal["stop", "collect"] = "stop"
    condition: str | None = None


def _resolve(spec: ForeachSpec, resolver: Resolver) -> ForeachStep:
    return ForeachStep(
        spec.id,
        spec.foreach,
        resolver.resolve_steps(spec.steps),
        spec.as_ or "item",
        spec.max_parallel or 1,
        spec.on_item_error or "stop",
        spec.if_,
    )


def _compile(step: ForeachStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    node = BlockNode(
        **common,
        step=step,
        expression=Expression.parse(step.items),
        is_loop=True,
        view=_view_items,
        names_inside=partial(_name_item, step.name),
    )
    return {node.path: node}


# -- what expressions read --------------------------------------------------------------------------------------


def _name_item(name: str, state: State, path: str, index: int) -> Names:
    return {name: partial(_load_item, state, path, index)}


def _load_item(state: State, path: str, index: int) -> JSON:
    """Decode one item; most expressions read only the current item."""
    block = state.blocks[path]
    items: list[msgspec.Raw] | None = state.memo.get(path)
    if items is None:
        block.items.load()  # raises `PayloadMissing`, which names the payload
        items = state.memo[path] = msgspec.json.decode(bytes(block.items.data), type=list[msgspec.Raw])
    value: JSON = msgspec.json.decode(items[index])
    return value


def _view_items(context: EvaluationContext, node: BlockNode, block: BlockState, path: str) -> object:
    return [_view_item(context, node, block, path, index) for index in range(block.begun)]


def _view_item(context: EvaluationContext, node: BlockNode, block: BlockState, path: str, index: int) -> LazyMapping:
    """Return the status and error of an item, and its steps by id."""
    failure = block.failures.get(index)
    status = "failed" if failure else "cancelled" if index in block.cancelled else "completed"
    return LazyMapping(
        {
            "status": lambda: status,
            "error": lambda: to_document(failure) if failure else None,
            "steps": partial(view_steps, context, node, number_frame(path, index)),
        }
    )


# -- decisions --------------------------------------------------------------------------------------------------


def _fold_reopening(block: BlockState, entry: BranchReopened) -> None:
    """Forget how the item ended."""
    if entry.index is not None:
        block.failures.pop(entry.index, None)
        block.cancelled.pop(entry.index, None)


def _open(node: BlockNode, path: str, at: int, scope: Mapping[str, object]) -> BlockStarted:
    assert node.expression
    items = node.expression.evaluate(scope)
    if not isinstance(items, list):
        kind = "true or false" if isinstance(items, bool) else name_kind(items)
        raise ExpressionError(f"'{node.expression.source}' is {kind}, and 'foreach' needs a list")
    if len(items) > ITEMS_LIMIT:
        raise ExpressionError(
            f"'{node.expression.source}' has {len(items):,} items, and 'foreach' takes {ITEMS_LIMIT:,}"
        )
    return BlockStarted(at=at, path=path, kind="foreach", items=Value.of(items), count=len(items))


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> Consequences:
    if not entry.count:
        return [StepCompleted(at=entry.at, path=entry.path)], []
    width = min(entry.count, _get_step(pipeline, entry.path).max_parallel)
    return [BeginBranch(entry.at, entry.path, loops.LOOP, width)], []


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    path, at = entry.path, entry.at
    block = state.blocks[path]
    collects = _get_step(pipeline, path).on_item_error == "collect"
    is_failing = block.error is not None and not collects
    if not (block.is_stopping or is_failing or block.begun >= block.count):
        return loops.begin_next(state, path, at, at), []
    if block.running:
        return ([BranchesCancelled(at=at, path=path)], []) if is_failing and not block.is_stopping else NONE
    if collects and not block.is_cancelled:
        return [StepCompleted(at=at, path=path)], []
    return [end_block(block, path, at)], []


def _fire(pipeline: CompiledPipeline, state: State, entry: TimerFired) -> Consequences:
    """Start as many items as the limit allows, after a pause."""
    room = _get_step(pipeline, entry.path).max_parallel - state.blocks[entry.path].running
    return [BeginBranch(entry.at, entry.path, loops.LOOP, room)], []


def _reopen(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue the cancelled items, and the failed ones unless their failures are collected; then the other items."""
    path, at = entry.path, entry.at
    block, step = state.blocks[path], _get_step(pipeline, path)
    stopped = {*block.cancelled, *(block.failures if step.on_item_error == "stop" else ())}
    again: list[FollowUp] = [
        BranchReopened(at=at, path=path, branch=loops.LOOP, index=index) for index in sorted(stopped)
    ]
    room = min(step.max_parallel - len(again), block.count - block.begun)
    if room > 0:
        return [*again, BeginBranch(at, path, loops.LOOP, room)], []
    return again or [end_block(block, path, at)], []


def _get_step(pipeline: CompiledPipeline, path: str) -> ForeachStep:
    step = pipeline.nodes[path].step
    assert isinstance(step, ForeachStep)
    return step


_SYNTAX = StepSyntax(
    key="foreach",
    model=ForeachSpec,
    resolve=_resolve,
    list_branches=_list_written_branches,
    check_keys=needs_steps("foreach"),
    check_names=_check_item_name,
    items="foreach",
    conditions=("foreach",),
    shows="items",
    examples={"foreach": "inputs.lines"},
)

BLOCK = Block(
    kind="foreach",
    syntax=_SYNTAX,
    step=ForeachStep,
    list_branches=loops.list_branches,
    compile=_compile,
    open=_open,
    begin=_begin,
    follow=_follow,
    fire=_fire,
    reopen=_reopen,
    fold_reopening=_fold_reopening,
    is_loop=True,
)
