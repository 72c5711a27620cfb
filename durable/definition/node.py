"""A step of a definition, compiled, at its place in the tree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from durable.definition.spec import (
    ActionSpec,
    ForeachSpec,
    ParallelSpec,
    Part,
    RepeatSpec,
    StepSpec,
    SwitchSpec,
    TrySpec,
)
from durable.expressions import Expression, Template
from durable.flow import LINKED
from durable.path import AGAIN, UNDO, inside

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

    spec: ActionSpec
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

    spec: SwitchSpec | ForeachSpec | ParallelSpec | TrySpec | RepeatSpec
    whens: Mapping[str, Expression | None] = field(default_factory=dict)
    expression: Expression | None = None

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """What its expressions read."""
        read = [*self.whens.values(), self.expression, self.condition]
        return frozenset().union(*(expression.names for expression in read if expression))


AnyNode: TypeAlias = ActionNode | BlockNode
Steps: TypeAlias = Sequence[StepSpec]


def compiled(steps: Steps, part: Part, around: tuple[tuple[str, str], ...] = ()) -> dict[str, AnyNode]:
    """The steps of a sequence and of everything inside them, by their paths."""
    frame = around[-1][0] if around else ""
    followers = [*(step.id for step in steps), None][1:]
    nodes: dict[str, AnyNode] = {}
    for step, follower in zip(steps, followers, strict=True):
        path = inside(frame, step.id)
        branches = dict(_branches(step))
        common = _Common(path, part, follower, around, {label: _first(inner) for label, inner in branches.items()})
        nodes[path] = _action(step, common) if isinstance(step, ActionSpec) else _block(step, common)
        for label, inner in branches.items():
            nodes |= compiled(inner, part, (*around, (path, label)))
        if isinstance(step, ActionSpec) and step.undo:
            nodes |= _inner(step, step.undo, common)
    return nodes


@dataclass(frozen=True, slots=True)
class _Common:
    """What every node has, but for its spec."""

    path: str
    part: Part
    follower: str | None
    around: tuple[tuple[str, str], ...]
    firsts: Mapping[str, str | None]


def _branches(step: StepSpec) -> Iterator[tuple[str, Steps]]:
    """The sequences inside a step by their labels."""
    match step:
        case ActionSpec():
            if step.timeout_steps:
                yield ON_TIMEOUT, step.timeout_steps
        case SwitchSpec():
            yield from ((f"case {number}", case.steps) for number, case in enumerate(step.cases, 1))
            yield "else", step.otherwise
        case ForeachSpec() | RepeatSpec():
            yield "steps", step.steps
        case ParallelSpec():
            yield from step.branches.items()
        case TrySpec():
            yield "try", step.steps
            yield from ((f"catch {number}", handler.steps) for number, handler in enumerate(step.catch, 1))
            yield FINALLY, step.cleanup


def _first(steps: Steps) -> str | None:
    return steps[0].id if steps else None


def _action(spec: ActionSpec, common: _Common) -> ActionNode:
    return ActionNode(
        spec=spec,
        path=common.path,
        part=common.part,
        follower=common.follower,
        around=common.around,
        firsts=common.firsts,
        condition=_expression(spec.condition),
        input=Template.parse(spec.input, spec.urls),
        keep=_template(spec.keep),
        undo=Template.parse(spec.undo.input, spec.undo.urls) if spec.undo else None,
        timeout_value=_template(spec.timeout_value) if spec.times_out == "value" else None,
    )


def _block(spec: SwitchSpec | ForeachSpec | ParallelSpec | TrySpec | RepeatSpec, common: _Common) -> BlockNode:
    whens: dict[str, Expression | None] = {}
    expression: Expression | None = None
    match spec:
        case SwitchSpec():
            whens = {f"case {number}": _expression(case.when) for number, case in enumerate(spec.cases, 1)}
        case TrySpec():
            whens = {f"catch {number}": _expression(handler.when) for number, handler in enumerate(spec.catch, 1)}
        case ForeachSpec():
            expression = _expression(spec.items)
        case RepeatSpec():
            expression = _expression(spec.until)
        case ParallelSpec():
            pass
    return BlockNode(
        spec=spec,
        path=common.path,
        part=common.part,
        follower=common.follower,
        around=common.around,
        firsts=common.firsts,
        condition=_expression(spec.condition),
        whens=whens,
        expression=expression,
    )


def _inner(step: ActionSpec, undo: ActionSpec, common: _Common) -> dict[str, ActionNode]:
    """What takes a step's effect back, and what repeats the step to learn its output. Their inputs are rendered where
    the step stands, and by whoever begins them."""
    empty = Template.parse(None)
    return {
        path: ActionNode(spec=spec, path=path, part=common.part, around=common.around, input=empty, is_inner=True)
        for path, spec in ((inside(common.path, UNDO), undo), (inside(common.path, AGAIN), step))
    }


def _expression(text: str | None) -> Expression | None:
    return Expression.parse(text) if text is not None else None


def _template(tree: object) -> Template | None:
    return Template.parse(tree) if tree is not None else None  # type: ignore[arg-type]  # JSON, as it was decoded
