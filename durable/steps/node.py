"""Nodes: the steps of a pipeline, compiled, each with its place in the tree. Decisions work on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypeVar

from durable.expressions.expression import Expression
from durable.expressions.template import Template
from durable.path import strip_numbers
from durable.steps.resolved import ActionStep, Part, ResolvedPipeline, ResolvedStep

Names: TypeAlias = Mapping[str, Callable[[], object]]
"""Names that an expression can read, and what makes the value of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A compiled step.

    `path` is its path in the definition, without numbers; `follower` the id of the next step in its sequence; `around`
    the paths of the blocks that contain it, each with the branch, the outermost first. `firsts` are the ids of the
    first steps in its own branches. In the branches that are `catching`, `error` is the failure of this block. A node
    that `is_inner` is not a step of the file, but the undo of one or its repetition. The items or turns of one that
    `is_loop` are numbered.
    """

    path: str
    part: Part
    follower: str | None = None
    around: tuple[tuple[str, str], ...] = ()
    condition: Expression | None = None
    firsts: Mapping[str, str | None] = field(default_factory=dict)
    catching: frozenset[str] = frozenset()
    is_inner: bool = False
    is_loop: bool = False

    @property
    def branch(self) -> str:
        """The branch that contains it, of the innermost block around it."""
        return self.around[-1][1] if self.around else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionNode(Node):
    """A step that uses an action. `links` are the names of the waits in it, if one of them can be answered by a link;
    empty if the step itself has the link, and None if there is no link. If it `listens`, it waits for an event; if it
    `counts_once`, what it starts or waits for needs a dedupe key."""

    step: ActionStep
    input: Template
    keep: Template | None = None
    undo: Template | None = None
    timeout_value: Template | None = None
    links: tuple[str, ...] | None = None
    listens: bool = False
    counts_once: bool = False

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """The names that its expressions read."""
        read = [self.condition, self.input, self.keep, self.undo, self.timeout_value]
        return frozenset().union(*(each.names for each in read if each))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNode(Node):
    """A block. `whens` are the conditions of its branches, in order (None always holds); `expression` is one that the
    block itself evaluates. `view` makes the output that expressions read, and `names_inside` makes the names that only
    the steps of an item or a turn can read."""

    step: ResolvedStep
    whens: Mapping[str, Expression | None] = field(default_factory=dict)
    expression: Expression | None = None
    view: Callable[..., object] | None = None
    names_inside: Callable[..., Names] | None = None

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """The names that its expressions read."""
        read = [*self.whens.values(), self.expression, self.condition]
        return frozenset().union(*(expression.names for expression in read if expression))


AnyNode: TypeAlias = ActionNode | BlockNode
KindOfNode = TypeVar("KindOfNode", ActionNode, BlockNode, AnyNode)


class Nodes(dict[str, KindOfNode]):
    """Nodes by the paths of a run, in which items and turns have numbers, or by those of the definition."""

    def __missing__(self, path: str) -> KindOfNode:
        place = strip_numbers(path)
        if place == path:
            raise KeyError(path)
        return self[place]


class CompiledPipeline:
    """What decisions look at: the nodes of a pipeline version, and its outputs."""

    def __init__(self, resolved: ResolvedPipeline, version: str, nodes: dict[str, AnyNode]) -> None:
        self.id = resolved.id
        self.version = version
        self.nodes: Nodes[AnyNode] = Nodes(nodes)
        self.actions = Nodes({path: node for path, node in nodes.items() if isinstance(node, ActionNode)})
        self.blocks = Nodes({path: node for path, node in nodes.items() if isinstance(node, BlockNode)})
        self.outputs = Template.parse(resolved.outputs) if resolved.outputs is not None else None
        self.firsts: dict[Part, str | None] = {
            "main": resolved.steps[0].id if resolved.steps else None,
            "cleanup": resolved.on_failure[0].id if resolved.on_failure else None,
        }

    @cached_property
    def places(self) -> dict[str, AnyNode]:
        """The steps by their ids."""
        return {node.step.id: node for node in self.nodes.values() if not node.is_inner}
