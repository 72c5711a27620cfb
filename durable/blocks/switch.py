"""`switch`: performs the steps of the first case whose condition is true, or those of `else`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from pydantic import Field

from durable.blocks.block import Block, reopen_branch
from durable.blocks.endings import explain_failure, refuse_step
from durable.blocks.syntax import Branch, Resolver, StepSpec, StepSyntax, find_branch, list_conditional_branches
from durable.effects import BeginBranch, Consequences
from durable.expressions.expression import Expression, ExpressionError
from durable.history.entries import BlockStarted, StepReopened
from durable.history.state import State
from durable.problem import Pointer
from durable.scope import RunScope
from durable.spec_model import Condition, Mapped, SpecModel
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import NO_STEPS, Steps

if TYPE_CHECKING:
    from durable.blocks.syntax import AnyStep

ELSE = "else"


# -- how it is written --------------------------------------------------------------------------------------------


class CaseSpec(SpecModel, title="Case"):
    """A case of a `switch`."""

    when: Condition = Field(description="An expression; the first case for which it is true is performed")
    steps: "tuple[AnyStep, ...]" = Field(description="The steps of the case")


class SwitchSpec(StepSpec):
    """A block that performs the first case whose condition is true."""

    switch: Annotated[tuple[CaseSpec, ...], Field(min_length=1)] = Field(
        description="The cases; the first whose condition is true is performed"
    )
    else_: "tuple[AnyStep, ...] | None" = Field(None, alias="else", description="Steps to perform if no case matches")


def _list_written_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    yield from list_conditional_branches("switch", "case", step, pointer)
    yield from find_branch("else", step, pointer, may_be_left_out=True)


# -- how it is stored and compiled --------------------------------------------------------------------------------


class SwitchCase(msgspec.Struct, frozen=True):
    """A case of a switch."""

    when: str
    steps: Steps


class SwitchStep(msgspec.Struct, frozen=True, tag="switch", tag_field="kind", omit_defaults=True):
    """Performs the first case whose condition is true, or `otherwise`."""

    id: str
    cases: tuple[SwitchCase, ...]
    otherwise: Steps = NO_STEPS
    condition: str | None = None


def _resolve(spec: SwitchSpec, resolver: Resolver) -> SwitchStep:
    cases = tuple(SwitchCase(case.when, resolver.resolve_steps(case.steps)) for case in spec.switch)
    return SwitchStep(spec.id, cases, resolver.resolve_steps(spec.else_), spec.if_)


def _list_branches(step: SwitchStep) -> Iterator[tuple[str, Steps]]:
    yield from ((f"case {number}", case.steps) for number, case in enumerate(step.cases, 1))
    yield ELSE, step.otherwise


def _compile(step: SwitchStep, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    whens = {f"case {number}": Expression.parse(case.when) for number, case in enumerate(step.cases, 1)}
    return {common["path"]: BlockNode(**common, step=step, whens=whens)}


def _begin(pipeline: CompiledPipeline, state: State, entry: BlockStarted | StepReopened) -> Consequences:
    path, at = entry.path, entry.at
    scope = RunScope(pipeline, state, path)
    try:
        for branch, when in pipeline.blocks[path].whens.items():
            if when is None or when.holds(scope):
                return [BeginBranch(at, path, branch)], []
    except ExpressionError as error:
        return [refuse_step(path, at, explain_failure(pipeline, state, path, error))], []
    return [BeginBranch(at, path, ELSE)], []


def _reopen(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue in the chosen case; if none was chosen, choose again."""
    if not state.blocks[entry.path].branch:
        return _begin(pipeline, state, entry)
    return reopen_branch(pipeline, state, entry)


_SYNTAX = StepSyntax(
    key="switch",
    model=SwitchSpec,
    resolve=_resolve,
    list_branches=_list_written_branches,
    examples={"switch": "[{when: inputs.total > 100, steps: […]}], and 'else: […]' next to it"},
    item_examples={"switch": "{when: …, steps: […]}"},
    steps_keys=("else",),
    parts=(CaseSpec,),
    conditions=("when",),
)

BLOCK = Block(
    kind="switch",
    syntax=_SYNTAX,
    step=SwitchStep,
    list_branches=_list_branches,
    compile=_compile,
    begin=_begin,
    reopen=_reopen,
)
