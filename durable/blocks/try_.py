"""`try`: handles a failure of its steps with the first matching handler, and always performs `finally`."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import Field

from durable.blocks.block import Block
from durable.blocks.endings import end_block
from durable.blocks.reopening import find_branch_stop, void_steps
from durable.blocks.syntax import Branch, Resolver, StepSpec, StepSyntax, find_branch, list_conditional_branches
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions.expression import Expression, ExpressionError
from durable.history.entries import BlockStarted, BranchEnded, BranchReopened, BranchStarted, StepReopened
from durable.history.state import BlockState, State
from durable.history.words import Failure
from durable.path import join_path
from durable.problem import Explanation, Pointer
from durable.scope import RunScope, to_document
from durable.spec_model import Condition, Mapped, SpecModel
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import NO_STEPS, Steps

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep

TRY = "try"
FINALLY = "finally"


# -- how it is written --------------------------------------------------------------------------------------------


class HandlerSpec(SpecModel, title="Handler"):
    """A handler of a `catch`."""

    when: Condition | None = Field(
        None, description="An expression that reads `error`; without one, the handler matches every error"
    )
    steps: "tuple[AnyStep, ...]" = Field(description="The steps of the handler")


class TrySpec(StepSpec, json_schema_extra={"anyOf": [{"required": ["catch"]}, {"required": ["finally"]}]}):
    """A block that catches a failure of its steps with the first handler that matches."""

    try_: Annotated["tuple[AnyStep, ...]", Field(min_length=1)] = Field(
        alias="try", description="The steps whose failure is caught"
    )
    catch: Annotated[tuple[HandlerSpec, ...], Field(min_length=1)] | None = Field(
        None, description="The handlers of a failure; the first that matches is performed"
    )
    finally_: "tuple[AnyStep, ...] | None" = Field(
        None, alias="finally", description="Steps that are always performed, even after a cancellation"
    )


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    yield from find_branch("try", step, pointer)
    handlers = [*list_conditional_branches("catch", "catch", step, pointer, adds=("error",), reads=("try",))]
    yield from handlers
    yield from find_branch("finally", step, pointer, reads=("try", *(each.label for each in handlers)))


def _check_try_keys(keys: Collection[str], are_known: bool) -> Explanation | None:
    if are_known and not {"catch", "finally"} & set(keys):
        return Explanation("a 'try' without 'catch' or 'finally' changes nothing", "add one of them")
    return None


# -- how it is stored and compiled --------------------------------------------------------------------------------


class CatchHandler(msgspec.Struct, frozen=True, omit_defaults=True):
    """A handler for failures for which `when` is true; without `when`, for any failure."""

    steps: Steps
    when: str | None = None


class TryStep(msgspec.Struct, frozen=True, tag="try", tag_field="kind", omit_defaults=True):
    """Handles a failure of its steps with the first matching handler. `cleanup` (`finally`) is always performed."""

    id: str
    steps: Steps
    catch: tuple[CatchHandler, ...] = ()
    cleanup: Steps = NO_STEPS
    condition: str | None = None


def _label(number: int) -> str:
    return f"catch {number}"


def _resolve(spec: TrySpec, resolver: Resolver) -> TryStep:
    handlers = tuple(CatchHandler(resolver.resolve_steps(each.steps), each.when) for each in spec.catch or ())
    finally_ = resolver.resolve_steps(spec.finally_)
    return TryStep(spec.id, resolver.resolve_steps(spec.try_), handlers, finally_, spec.if_)


def _list_branches(step: TryStep) -> Iterator[tuple[str, Steps]]:
    yield TRY, step.steps
    yield from ((_label(number), handler.steps) for number, handler in enumerate(step.catch, 1))
    yield FINALLY, step.cleanup


def _compile(step: TryStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    whens = {
        _label(number): Expression.parse(handler.when) if handler.when is not None else None
        for number, handler in enumerate(step.catch, 1)
    }
    return {common["path"]: BlockNode(**common, step=step, whens=whens, catching=frozenset(whens))}


def _fold_end(block: BlockState, entry: BranchEnded) -> None:
    """Keep the last failure as the block's error, until a handler completes."""
    if entry.status == "failed":
        block.error = entry.error
        if entry.branch == TRY:
            block.caught = entry.error
    elif entry.status == "completed" and entry.branch not in (TRY, FINALLY):
        block.error, block.is_handled = None, True


def _fold_reopening(block: BlockState, entry: BranchReopened) -> None:
    """A handler reads the failure that it handles."""
    if entry.branch not in (TRY, FINALLY):
        block.error = block.caught


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> Consequences:
    return [BeginBranch(entry.at, entry.path, TRY)], []


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    path, at = entry.path, entry.at
    block = state.blocks[path]
    if entry.branch == FINALLY:
        return [end_block(block, path, at)], []
    if entry.status == "failed" and entry.branch == TRY and not block.is_stopping:
        return _catch(pipeline, state, block, path, at), []
    return [_clean_up(pipeline, block, path, at)], []


def _catch(pipeline: CompiledPipeline, state: State, block: BlockState, path: str, at: int) -> list[FollowUp]:
    """Start the first handler that matches the failure; if none does, the block fails after its cleanup."""
    scope = RunScope(pipeline, state, path, error=to_document(block.error or Failure()))
    for branch, when in pipeline.blocks[path].whens.items():
        try:
            if when is None or when.holds(scope):
                return [BeginBranch(at, path, branch)]
        except ExpressionError as problem:
            failure = Failure.of("invalid", "expression", f"{branch}: {problem}", path)
            ended = BranchEnded(at=at, path=path, branch=branch, status="failed", error=failure)
            return [BranchStarted(at=at, path=path, branch=branch), ended]
    return [_clean_up(pipeline, block, path, at)]


def _reopen(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue in the handler, if one was reached, or else in the `try` branch; `finally` is then performed again. If
    only `finally` failed, continue in it."""
    path, at = entry.path, entry.at
    block, firsts = state.blocks[path], pipeline.nodes[path].firsts
    handlers = (branch for branch in firsts if branch not in (TRY, FINALLY))
    entered = next((each for each in handlers if join_path(path, firsts[each] or "") in state.steps), TRY)
    if not block.is_handled and find_branch_stop(pipeline, state, path, entered):
        voided = void_steps(pipeline, state, path, firsts[FINALLY], at)
        return [*voided, BranchReopened(at=at, path=path, branch=entered)], []
    if find_branch_stop(pipeline, state, path, FINALLY):
        return [BranchReopened(at=at, path=path, branch=FINALLY)], []
    return [end_block(block, path, at)], []


def _skip(pipeline: CompiledPipeline, state: State, follow_up: BeginBranch) -> Consequences:
    """Perform `finally` if the `try` branch has started."""
    block = state.blocks[follow_up.path]
    if follow_up.branch == TRY:
        return [end_block(block, follow_up.path, follow_up.at)], []
    return [_clean_up(pipeline, block, follow_up.path, follow_up.at)], []


def _clean_up(pipeline: CompiledPipeline, block: BlockState, path: str, at: int) -> FollowUp:
    if pipeline.nodes[path].firsts[FINALLY] is not None:
        return BeginBranch(at, path, FINALLY)
    return end_block(block, path, at)


_SYNTAX = StepSyntax(
    key="try",
    model=TrySpec,
    resolve=_resolve,
    list_branches=_list_written_branches,
    check_keys=_check_try_keys,
    examples={"catch": "[{when: error.class == 'client', steps: […]}]"},
    item_examples={"catch": "{when: …, steps: […]}"},
    steps_keys=("try", "finally"),
    parts=(HandlerSpec,),
    conditions=("when",),
)

BLOCK = Block(
    kind="try",
    syntax=_SYNTAX,
    step=TryStep,
    list_branches=_list_branches,
    compile=_compile,
    begin=_begin,
    follow=_follow,
    skip=_skip,
    reopen=_reopen,
    cleanup=FINALLY,
    fold_end=_fold_end,
    fold_reopening=_fold_reopening,
)
