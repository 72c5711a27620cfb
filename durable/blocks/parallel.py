"""`parallel`: performs several branches concurrently."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from pydantic import Field

from durable.blocks.block import NONE, Block
from durable.blocks.endings import end_block
from durable.blocks.reopening import find_branch_stop
from durable.blocks.syntax import EXAMPLE_STEP, Branch, Resolver, StepSpec, StepSyntax, find_branch
from durable.effects import BeginBranch, Consequences
from durable.history.entries import BlockStarted, BranchEnded, BranchesCancelled, BranchReopened, StepReopened
from durable.history.state import State
from durable.problem import Pointer
from durable.spec_model import Identifier, Mapped, get_mapping
from durable.steps.node import CompiledPipeline
from durable.steps.resolved import Steps

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep


# -- how it is written --------------------------------------------------------------------------------------------


class ParallelSpec(StepSpec):
    """A block that performs its branches at the same time."""

    parallel: Annotated[dict[Identifier, "tuple[AnyStep, ...]"], Field(min_length=1)] = Field(
        description="Branches by name; they are performed at the same time"
    )
    on_branch_error: Literal["cancel", "finish"] | None = Field(
        None,
        description="What happens to the other branches when one fails: `cancel` cancels them (default), `finish` "
        "lets them finish",
    )


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    branches = get_mapping(step.get("parallel"))
    for name in branches:
        yield from find_branch(name, branches, (*pointer, "parallel"))


# -- how it is stored and compiled --------------------------------------------------------------------------------


class ParallelStep(msgspec.Struct, frozen=True, tag="parallel", tag_field="kind", omit_defaults=True):
    """Performs the branches concurrently. When one fails, the others are cancelled or run to their end."""

    id: str
    branches: dict[str, Steps]
    on_branch_error: Literal["cancel", "finish"] = "cancel"
    condition: str | None = None


def _resolve(spec: ParallelSpec, resolver: Resolver) -> ParallelStep:
    branches = {name: resolver.resolve_steps(steps) for name, steps in spec.parallel.items()}
    return ParallelStep(spec.id, branches, spec.on_branch_error or "cancel", spec.if_)


def _list_branches(step: ParallelStep) -> Iterable[tuple[str, Steps]]:
    return step.branches.items()


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> Consequences:
    return [BeginBranch(entry.at, entry.path, name) for name in pipeline.nodes[entry.path].firsts], []


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    block = state.blocks[entry.path]
    if not block.running:
        return [end_block(block, entry.path, entry.at)], []
    step = pipeline.nodes[entry.path].step
    assert isinstance(step, ParallelStep)
    if entry.status == "failed" and step.on_branch_error == "cancel" and not block.is_stopping:
        return [BranchesCancelled(at=entry.at, path=entry.path)], []
    return NONE


def _reopen(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue the branches that are not completed."""
    path, at = entry.path, entry.at
    stopped = [name for name in pipeline.nodes[path].firsts if find_branch_stop(pipeline, state, path, name)]
    if not stopped:
        return [end_block(state.blocks[path], path, at)], []
    return [BranchReopened(at=at, path=path, branch=name) for name in stopped], []


_SYNTAX = StepSyntax(
    key="parallel",
    model=ParallelSpec,
    resolve=_resolve,
    list_branches=_list_written_branches,
    examples={"parallel": f"{{mail: [{EXAMPLE_STEP}], chat: [{EXAMPLE_STEP}]}}"},
)

BLOCK = Block(
    kind="parallel",
    syntax=_SYNTAX,
    step=ParallelStep,
    list_branches=_list_branches,
    begin=_begin,
    follow=_follow,
    reopen=_reopen,
)
