"""What the rest of the core knows of a kind of step: its forms, and the functions that decide for it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable.blocks.syntax import PLAIN, CoreSyntax, StepSyntax
from durable.declared import write_texts
from durable.effects import Consequences, Effect
from durable.history.entries import BlockStarted, BranchEnded, Entry
from durable.history.state import BlockState, State, StepState
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import Steps
from durable.values import JSON

Decision: TypeAlias = Callable[[CompiledPipeline, State, Any], Consequences]
"""What follows from an entry that was just folded into the state."""

Fold: TypeAlias = Callable[[State, Any], None]
"""How an entry changes the state, in place."""

NONE: Consequences = ((), ())


def list_no_branches(step: Any) -> Iterable[tuple[str, Steps]]:
    return ()


def compile_nothing(step: Any, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    raise TypeError(f"no step is of this kind: {step}")


def open_block(node: BlockNode, path: str, at: int, scope: Mapping[str, object]) -> BlockStarted:
    """The entry with which most blocks start."""
    return BlockStarted(at=at, path=path, kind=node.step.__struct_config__.tag)  # type: ignore[attr-defined]  # a struct


def fold_first_error(block: BlockState, entry: BranchEnded) -> None:
    """The first failure of a branch is that of the block; of a loop, each item's and turn's is kept beside it."""
    if entry.status == "failed":
        if block.error is None:
            block.error = entry.error
        if entry.index is not None and entry.error:
            block.failures[entry.index] = entry.error
    elif entry.status == "cancelled" and entry.index is not None:
        block.cancelled[entry.index] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A kind of step that has steps inside it, or the plain action. `kind` is its tag in stored definitions and
    histories, `syntax` how it is written (None if nobody writes it), `step` its resolved form.

    `list_branches` are the sequences in it, by label; `compile` makes its nodes of a step and the fields that all
    nodes have; `open` makes the entry with which it starts, and may raise `ExpressionError`. What begins then says
    `begin`, what follows the end of a branch `follow`, and what its timer means `fire`. `skip` says what becomes of the
    block when a branch does not begin because the block is to end and nothing in it is under way. `cleanup` is the
    branch that is performed even so. `fold_end` keeps the end of a branch in its state; `decisions` and `folds` are
    those of entries that only this kind writes.
    """

    kind: str
    syntax: StepSyntax | None = None
    step: Any = None
    list_branches: Callable[[Any], Iterable[tuple[str, Steps]]] = list_no_branches
    compile: Callable[[Any, Mapping[str, Any]], dict[str, AnyNode]] = compile_nothing
    open: Callable[[BlockNode, str, int, Mapping[str, object]], BlockStarted] = open_block
    begin: Decision | None = None
    follow: Decision | None = None
    fire: Decision | None = None
    skip: Decision | None = None
    cleanup: str | None = None
    is_loop: bool = False
    fold_end: Callable[[BlockState, BranchEnded], None] = fold_first_error
    decisions: Mapping[type[Entry], Decision] = field(default_factory=dict)
    folds: Mapping[type[Entry], Fold] = field(default_factory=dict)


def write_inputs(action: "CoreAction", given: JSON) -> JSON:
    """Rendered inputs, with numbers, true and false as texts where nothing else is taken."""
    return write_texts(action.input, given) if isinstance(given, dict) else given


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreAction:
    """An action that the core performs itself: it changes what happens next in the run and touches nothing outside the
    journal. `use` is its name in pipelines, `input` the model of its inputs, `syntax` how a step with it is written.

    `begin` decides when the step is reached and its inputs are valid, `complete` when it is done, `fire` when its timer
    is due. `owe` says what the engine is to be asked for again after a restart. `write` adapts rendered inputs to the
    model. `links` names the waits in a step's inputs that a link can answer: see `durable.steps.node.ActionNode`.
    """

    use: str
    input: type[BaseModel]
    syntax: CoreSyntax = PLAIN
    begin: Decision
    complete: Decision | None = None
    fire: Decision | None = None
    owe: Callable[[str, StepState], list[Effect]] | None = None
    write: Callable[["CoreAction", JSON], JSON] = write_inputs
    links: Callable[[Any], tuple[str, ...] | None] | None = None
    listens: bool = False
    counts_once: bool = False
    decisions: Mapping[type[Entry], Decision] = field(default_factory=dict)
    folds: Mapping[type[Entry], Fold] = field(default_factory=dict)
