"""`switch`: the steps of the first case that holds are performed, or those of `else`."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from durable.blocks.block import Block
from durable.blocks.endings import end_block, explain_failure, refuse_step
from durable.effects import BeginBranch, Consequences, FollowUp
from durable.expressions import Expression, ExpressionError
from durable.history.entries import BlockStarted, BranchEnded
from durable.history.state import State
from durable.scope import RunScope
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import NO_STEPS, Steps

ELSE = "else"


class SwitchCase(msgspec.Struct, frozen=True):
    """A case of a switch."""

    when: str
    steps: Steps


class SwitchStep(msgspec.Struct, frozen=True, tag="switch", tag_field="kind", omit_defaults=True):
    """The first case that holds is performed, or `otherwise`."""

    id: str
    cases: tuple[SwitchCase, ...]
    otherwise: Steps = NO_STEPS
    condition: str | None = None


def _list_branches(step: SwitchStep) -> Iterator[tuple[str, Steps]]:
    yield from ((f"case {number}", case.steps) for number, case in enumerate(step.cases, 1))
    yield ELSE, step.otherwise


def _compile(step: SwitchStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    whens = {f"case {number}": Expression.parse(case.when) for number, case in enumerate(step.cases, 1)}
    return {common["path"]: BlockNode(**common, spec=step, whens=whens)}


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted) -> list[FollowUp]:
    path, at = entry.path, entry.at
    scope = RunScope(pipeline, state, path)
    try:
        for branch, when in pipeline.block(path).whens.items():
            if when is None or when.holds(scope):
                return [BeginBranch(at, path, branch)]
    except ExpressionError as error:
        return [refuse_step(path, at, explain_failure(pipeline, state, path, error))]
    return [BeginBranch(at, path, ELSE)]


def _follow(pipeline: CompiledPipeline, state: State, entry: BranchEnded) -> Consequences:
    return [end_block(state.blocks[entry.path], entry.path, entry.at)], []


BLOCK = Block(
    kind="switch", step=SwitchStep, list_branches=_list_branches, compile=_compile, begin=_begin, follow=_follow
)
