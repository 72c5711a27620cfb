"""Nodes: the compiled steps of a pipeline, each with its position in the tree. Decisions operate on nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypeVar

from durable.expressions.expression import Expression
from durable.expressions.template import Template
from durable.path import strip_numbers
from durable.steps.resolved import ActionStep, Part, ResolvedPipeline, ResolvedStep

Names: TypeAlias = Mapping[str, Callable[[], object]]
"""Names that an expression can read, each with a function that returns its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A compiled step.

    `path`: its path in the definition, without indexes of items or turns.
    `follower`: the id of the next step in the same sequence.
    `around`: the blocks that contain it, outermost first, as (path, branch).
    `firsts`: the id of the first step of each of its own branches.
    `catching`: the branches in which `error` is the failure of this block.
    `is_inner`: it is not a step of the file, but the undo or the repetition of one.
    `is_loop`: its items or turns are numbered.
    `is_cleanup`: it is a step of `on_failure` or of a `finally`, or inside one.
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
    is_cleanup: bool = False

    @property
    def branch(self) -> str:
        """The branch that directly contains it; empty at the top level."""
        return self.around[-1][1] if self.around else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionNode(Node):
    """A step that uses an action.

    `links`: the names of the waits in it that have links; empty if the step itself has the link; None if there is none.
    `listens`: it waits for an event.
    `counts_once`: it starts or waits for something that needs a dedupe key.
    `starts_durably`: an attempt may not be repeated without asking, so that its start is committed before its effect.
    """

    step: ActionStep
    input: Template
    keep: Template | None = None
    undo: Template | None = None
    timeout_value: Template | None = None
    connection: Template | None = None
    links: tuple[str, ...] | None = None
    listens: bool = False
    counts_once: bool = False
    starts_durably: bool = False

    @property
    def names(self) -> frozenset[tuple[str, ...]]:
        """The names that its expressions read."""
        read = [self.condition, self.input, self.keep, self.undo, self.timeout_value, self.connection]
        return frozenset().union(*(each.names for each in read if each))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNode(Node):
    """A block.

    `whens`: the conditions of its branches, in order; None always holds.
    `expression`: an expression that the block itself evaluates.
    `view`: makes the output that expressions read.
    `names_inside`: makes the names that only the steps of an item or a turn can read.
    """

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
    """A mapping from paths to nodes. Lookups accept the paths of a run, with indexes, and those of the definition."""

    def __missing__(self, path: str) -> KindOfNode:
        place = strip_numbers(path)
        if place == path:
            raise KeyError(path)
        return self[place]


class CompiledPipeline:
    """A compiled pipeline version: the nodes that decisions operate on, and its outputs."""

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
