"""`foreach`: the steps are performed for each item of a list, some of them at the same time."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

import msgspec

from durable.blocks import loops
from durable.blocks.block import NONE, Block
from durable.blocks.endings import end_block
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions import Expression, ExpressionError
from durable.history.entries import BlockStarted, BranchEnded, BranchesCancelled, StepCompleted, TimerFired
from durable.history.state import BlockState, State
from durable.path import number_frame
from durable.scope import EvaluationContext, LazyMapping, to_document, view_steps
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline, Names
from durable.steps.resolved import Steps
from durable.values import JSON, Value
from durable.wording import name_kind

ITEMS_LIMIT = 100_000


class ForeachStep(msgspec.Struct, frozen=True, tag="foreach", tag_field="kind", omit_defaults=True):
    """The steps are performed for each of `items`, an expression's list; each item is read as `name`."""

    id: str
    items: str
    steps: Steps
    name: str = "item"
    max_parallel: int = 1
    on_item_error: Literal["stop", "collect"] = "stop"
    condition: str | None = None


def _list_branches(step: ForeachStep) -> Iterator[tuple[str, Steps]]:
    yield loops.LOOP, step.steps


def _compile(step: ForeachStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    node = BlockNode(
        **common,
        spec=step,
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
    """An item; each is decoded when it is asked for."""
    block = state.blocks[path]
    items: list[msgspec.Raw] | None = state.memo.get(path)
    if items is None:
        block.items.load()  # says which payload is missing
        items = state.memo[path] = msgspec.json.decode(bytes(block.items.data), type=list[msgspec.Raw])
    value: JSON = msgspec.json.decode(items[index])
    return value


def _view_items(context: EvaluationContext, node: BlockNode, block: BlockState, path: str) -> object:
    return [_view_item(context, node, block, path, index) for index in range(block.begun)]


def _view_item(context: EvaluationContext, node: BlockNode, block: BlockState, path: str, index: int) -> LazyMapping:
    """What became of an item, and its steps by their ids."""
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


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> list[FollowUp]:
    if not entry.count:
        return [StepCompleted(at=entry.at, path=entry.path)]
    width = min(entry.count, _get_step(pipeline, entry.path).max_parallel)
    return [BeginBranch(entry.at, entry.path, loops.LOOP)] * width


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
    """Begin as many items as there is room for, after a pause."""
    room = _get_step(pipeline, entry.path).max_parallel - state.blocks[entry.path].running
    return [BeginBranch(entry.at, entry.path, loops.LOOP)] * min(room, loops.BURST), []


def _get_step(pipeline: CompiledPipeline, path: str) -> ForeachStep:
    step = pipeline.nodes[path].spec
    assert isinstance(step, ForeachStep)
    return step


BLOCK = Block(
    kind="foreach",
    step=ForeachStep,
    list_branches=_list_branches,
    compile=_compile,
    open=_open,
    begin=_begin,
    follow=_follow,
    fire=_fire,
    is_loop=True,
)
