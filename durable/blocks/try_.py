"""`try`: a failure of the steps is answered by the first `catch` that holds; `finally` is performed in any case."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from durable.blocks.block import Block
from durable.blocks.endings import end_block
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions import Expression, ExpressionError
from durable.history.entries import BlockStarted, BranchEnded, BranchStarted
from durable.history.state import BlockState, State
from durable.history.words import Failure
from durable.scope import RunScope, to_document
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import NO_STEPS, Steps

TRY = "try"
FINALLY = "finally"


class CatchHandler(msgspec.Struct, frozen=True, omit_defaults=True):
    """What answers a failure for which `when` holds, or any."""

    steps: Steps
    when: str | None = None


class TryStep(msgspec.Struct, frozen=True, tag="try", tag_field="kind", omit_defaults=True):
    """A failure of the steps is answered by the first handler that holds; `cleanup` (`finally`) is performed in any
    case."""

    id: str
    steps: Steps
    catch: tuple[CatchHandler, ...] = ()
    cleanup: Steps = NO_STEPS
    condition: str | None = None


def _label(number: int) -> str:
    return f"catch {number}"


def _list_branches(step: TryStep) -> Iterator[tuple[str, Steps]]:
    yield TRY, step.steps
    yield from ((_label(number), handler.steps) for number, handler in enumerate(step.catch, 1))
    yield FINALLY, step.cleanup


def _compile(step: TryStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    whens = {
        _label(number): Expression.parse(handler.when) if handler.when is not None else None
        for number, handler in enumerate(step.catch, 1)
    }
    return {common["path"]: BlockNode(**common, spec=step, whens=whens, catching=frozenset(whens))}


def _fold_end(block: BlockState, entry: BranchEnded) -> None:
    """The last failure is that of the block; a handler that completes has answered it."""
    if entry.status == "failed":
        block.error = entry.error
    elif entry.status == "completed" and entry.branch not in (TRY, FINALLY):
        block.error = None


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> list[FollowUp]:
    return [BeginBranch(entry.at, entry.path, TRY)]


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    path, at = entry.path, entry.at
    block = state.blocks[path]
    if entry.branch == FINALLY:
        return [end_block(block, path, at)], []
    if entry.status == "failed" and entry.branch == TRY and not block.is_stopping:
        return _catch(pipeline, state, block, path, at), []
    return [_clean_up(pipeline, block, path, at)], []


def _catch(pipeline: CompiledPipeline, state: State, block: BlockState, path: str, at: int) -> list[FollowUp]:
    """Begin the first handler that answers the failure; without one it is passed on after the cleanup."""
    scope = RunScope(pipeline, state, path, error=to_document(block.error or Failure()))
    for branch, when in pipeline.block(path).whens.items():
        try:
            if when is None or when.holds(scope):
                return [BeginBranch(at, path, branch)]
        except ExpressionError as problem:
            failure = Failure.of("invalid", "expression", f"{branch}: {problem}", path)
            ended = BranchEnded(at=at, path=path, branch=branch, status="failed", error=failure)
            return [BranchStarted(at=at, path=path, branch=branch), ended]
    return [_clean_up(pipeline, block, path, at)]


def _skip(pipeline: CompiledPipeline, state: State, move: BeginBranch) -> Consequences:
    """A block that was entered is cleaned up."""
    block = state.blocks[move.path]
    if move.branch == TRY:
        return [end_block(block, move.path, move.at)], []
    return [_clean_up(pipeline, block, move.path, move.at)], []


def _clean_up(pipeline: CompiledPipeline, block: BlockState, path: str, at: int) -> FollowUp:
    if pipeline.nodes[path].firsts[FINALLY] is not None:
        return BeginBranch(at, path, FINALLY)
    return end_block(block, path, at)


BLOCK = Block(
    kind="try",
    step=TryStep,
    list_branches=_list_branches,
    compile=_compile,
    begin=_begin,
    follow=_follow,
    skip=_skip,
    cleanup=FINALLY,
    fold_end=_fold_end,
)
