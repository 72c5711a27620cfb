"""`parallel`: branches that are performed at the same time."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from durable.blocks.block import NONE, Block
from durable.blocks.endings import end_block
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.history.entries import BlockStarted, BranchEnded, BranchesCancelled
from durable.history.state import State
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import Steps


class ParallelStep(msgspec.Struct, frozen=True, tag="parallel", tag_field="kind", omit_defaults=True):
    """The branches are performed at the same time; when one fails, the others are cancelled or come to their end."""

    id: str
    branches: dict[str, Steps]
    on_branch_error: Literal["cancel", "finish"] = "cancel"
    condition: str | None = None


def _list_branches(step: ParallelStep) -> Iterable[tuple[str, Steps]]:
    return step.branches.items()


def _compile(step: ParallelStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    return {common["path"]: BlockNode(**common, spec=step)}


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> list[FollowUp]:
    return [BeginBranch(entry.at, entry.path, name) for name in pipeline.nodes[entry.path].firsts]


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    block = state.blocks[entry.path]
    if not block.running:
        return [end_block(block, entry.path, entry.at)], []
    step = pipeline.nodes[entry.path].spec
    assert isinstance(step, ParallelStep)
    if entry.status == "failed" and step.on_branch_error == "cancel" and not block.is_stopping:
        return [BranchesCancelled(at=entry.at, path=entry.path)], []
    return NONE


BLOCK = Block(
    kind="parallel", step=ParallelStep, list_branches=_list_branches, compile=_compile, begin=_begin, follow=_follow
)
