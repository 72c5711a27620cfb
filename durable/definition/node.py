"""A step of a definition, compiled, at its place in the tree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from durable.definition.step import (
    ActionStep,
    ForeachStep,
    ParallelStep,
    Part,
    RepeatStep,
    ResolvedStep,
    SwitchStep,
    TryStep,
)
from durable.expressions import Expression, Template
from durable.flow import LINKED
from durable.path import AGAIN, UNDO, join_path

ON_TIMEOUT = "on_timeout"
FINALLY = "finally"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A step. `path` is that of its place in the definition, `follower` the id of what comes after it in its sequence,
    `around` the paths of the blocks that it stands in, each with the branch, the outermost first. `firsts` are the ids
    of the first steps in its own branches. What `is_inner` is no step of the file: the undo of one, or its repetition.
    """

    path: str
    part: Part
    follower: str | None = None
    around: tuple[tuple[str, str], ...] = ()
    condition: Expression | None = None
    firsts: Mapping[str, str | None] = field(default_factory=dict)
    is_inner: bool = False

    @property
    def branch(self) -> str:
        """The branch of the block around it in which it stands."""
        return self.around[-1][1] if self.around else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionNode(Node):
    """A step that uses an action."""

    spec: ActionStep
    input: Template
    keep: Template | None = None
    undo: Template | None = None
    timeout_value: Template | None = None

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """What its expressions read."""
        read = [self.condition, self.input, self.keep, self.undo, self.timeout_value]
        return frozenset().union(*(each.names for each in read if each))

    @property
    def has_link(self) -> bool:
        """Whether somebody can answer it by a link."""
        if self.spec.use != "wait.any":
            return self.spec.use in LINKED
        waits = self.spec.input.get("waits") if isinstance(self.spec.input, dict) else None
        return any(isinstance(each, dict) and each.get("use") in LINKED for each in (waits or {}).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNode(Node):
    """A block. `whens` are the conditions of its branches, in order (None: it always holds); `expression` gives the
    items of a `foreach` or ends a `repeat`."""

    spec: SwitchStep | ForeachStep | ParallelStep | TryStep | RepeatStep
    whens: Mapping[str, Expression | None] = field(default_factory=dict)
    expression: Expression | None = None

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """What its expressions read."""
        read = [*self.whens.values(), self.expression, self.condition]
        return frozenset().union(*(expression.names for expression in read if expression))


AnyNode: TypeAlias = ActionNode | BlockNode
Steps: TypeAlias = Sequence[ResolvedStep]


def compile_steps(steps: Steps, part: Part, around: tuple[tuple[str, str], ...] = ()) -> dict[str, AnyNode]:
    """The steps of a sequence and of everything inside them, by their paths."""
    frame = around[-1][0] if around else ""
    followers = [*(step.id for step in steps), None][1:]
    nodes: dict[str, AnyNode] = {}
    for step, follower in zip(steps, followers, strict=True):
        path = join_path(frame, step.id)
        branches = dict(_list_branches(step))
        common = _Common(path, part, follower, around, {label: _find_first(inner) for label, inner in branches.items()})
        nodes[path] = _compile_action(step, common) if isinstance(step, ActionStep) else _compile_block(step, common)
        for label, inner in branches.items():
            nodes |= compile_steps(inner, part, (*around, (path, label)))
        if isinstance(step, ActionStep) and step.undo:
            nodes |= _compile_inner(step, step.undo, common)
    return nodes


@dataclass(frozen=True, slots=True)
class _Common:
    """What every node has, but for its spec."""

    path: str
    part: Part
    follower: str | None
    around: tuple[tuple[str, str], ...]
    firsts: Mapping[str, str | None]


def _list_branches(step: ResolvedStep) -> Iterator[tuple[str, Steps]]:
    """The sequences inside a step by their labels."""
    match step:
        case ActionStep():
            if step.timeout_steps:
                yield ON_TIMEOUT, step.timeout_steps
        case SwitchStep():
            yield from ((f"case {number}", case.steps) for number, case in enumerate(step.cases, 1))
            yield "else", step.otherwise
        case ForeachStep() | RepeatStep():
            yield "steps", step.steps
        case ParallelStep():
            yield from step.branches.items()
        case TryStep():
            yield "try", step.steps
            yield from ((f"catch {number}", handler.steps) for number, handler in enumerate(step.catch, 1))
            yield FINALLY, step.cleanup


def _find_first(steps: Steps) -> str | None:
    return steps[0].id if steps else None


def _compile_action(spec: ActionStep, common: _Common) -> ActionNode:
    return ActionNode(
        spec=spec,
        path=common.path,
        part=common.part,
        follower=common.follower,
        around=common.around,
        firsts=common.firsts,
        condition=_parse_expression(spec.condition),
        input=Template.parse(spec.input, spec.urls),
        keep=_parse_template(spec.keep),
        undo=Template.parse(spec.undo.input, spec.undo.urls) if spec.undo else None,
        timeout_value=_parse_template(spec.timeout_value) if spec.times_out == "value" else None,
    )


def _compile_block(spec: SwitchStep | ForeachStep | ParallelStep | TryStep | RepeatStep, common: _Common) -> BlockNode:
    whens: dict[str, Expression | None] = {}
    expression: Expression | None = None
    match spec:
        case SwitchStep():
            whens = {f"case {number}": _parse_expression(case.when) for number, case in enumerate(spec.cases, 1)}
        case TryStep():
            whens = {f"catch {number}": _parse_expression(handler.when) for number, handler in enumerate(spec.catch, 1)}
        case ForeachStep():
            expression = _parse_expression(spec.items)
        case RepeatStep():
            expression = _parse_expression(spec.until)
        case ParallelStep():
            pass
    return BlockNode(
        spec=spec,
        path=common.path,
        part=common.part,
        follower=common.follower,
        around=common.around,
        firsts=common.firsts,
        condition=_parse_expression(spec.condition),
        whens=whens,
        expression=expression,
    )


def _compile_inner(step: ActionStep, undo: ActionStep, common: _Common) -> dict[str, ActionNode]:
    """What takes a step's effect back, and what repeats the step to learn its output. Their inputs are rendered where
    the step stands, and by whoever begins them."""
    empty = Template.parse(None)
    return {
        path: ActionNode(spec=spec, path=path, part=common.part, around=common.around, input=empty, is_inner=True)
        for path, spec in ((join_path(common.path, UNDO), undo), (join_path(common.path, AGAIN), step))
    }


def _parse_expression(text: str | None) -> Expression | None:
    return Expression.parse(text) if text is not None else None


def _parse_template(tree: object) -> Template | None:
    return Template.parse(tree) if tree is not None else None  # type: ignore[arg-type]  # JSON, as it was decoded
