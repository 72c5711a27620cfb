"""The interface of a kind of step to the rest of the core: its forms, and its decisions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel

from durable.blocks.endings import end_block
from durable.blocks.syntax import PLAIN, CoreSyntax, StepSyntax
from durable.declared import write_texts
from durable.effects import BeginBranch, Consequences, Effect
from durable.history.entries import BlockStarted, BranchEnded, BranchReopened, Entry, StepReopened
from durable.history.state import BlockState, State, StepState
from durable.steps.node import AnyNode, BlockNode, CompiledPipeline
from durable.steps.resolved import Steps
from durable.values import JSON

Decide: TypeAlias = Callable[[CompiledPipeline, State, Any], Consequences]
"""Decides what follows from an entry that was just applied to the state."""

Fold: TypeAlias = Callable[[State, Any], None]
"""Applies an entry to the state, in place."""

NONE: Consequences = ((), ())

Function = TypeVar("Function")


def merge_tables(*tables: Mapping[type[Any], Function]) -> dict[type[Any], Function]:
    """One table of the functions for each entry; raises `ValueError` if two have one for the same entry."""
    merged: dict[type[Any], Function] = {}
    for table in tables:
        if twice := merged.keys() & table.keys():
            raise ValueError(f"two functions for {', '.join(sorted(each.__name__ for each in twice))}")
        merged |= table
    return merged


def list_no_branches(step: Any) -> Iterable[tuple[str, Steps]]:
    return ()


def compile_block(step: Any, common: Mapping[str, Any]) -> dict[str, AnyNode]:
    """Compile a block that has no expressions of its own."""
    return {common["path"]: BlockNode(**common, step=step)}


def open_block(node: BlockNode, path: str, at: int, scope: Mapping[str, object]) -> BlockStarted:
    """Return the entry with which most blocks start."""
    return BlockStarted(at=at, path=path, kind=node.step.__struct_config__.tag)  # type: ignore[attr-defined]  # a struct


def end_now(pipeline: CompiledPipeline, state: State, subject: BranchEnded | BeginBranch) -> Consequences:
    """End the block: its only branch has ended, or does not start."""
    return [end_block(state.blocks[subject.path], subject.path, subject.at)], []


def reopen_branch(pipeline: CompiledPipeline, state: State, entry: StepReopened) -> Consequences:
    """Continue the block in the branch that started last."""
    return [BranchReopened(at=entry.at, path=entry.path, branch=state.blocks[entry.path].branch)], []


def fold_no_reopening(block: BlockState, entry: BranchReopened) -> None:
    """Change nothing."""


def fold_first_error(block: BlockState, entry: BranchEnded) -> None:
    """Keep the first failure of a branch as the block's error; in a loop, also keep the failure of each item or
    turn."""
    if entry.status == "failed":
        if block.error is None:
            block.error = entry.error
        if entry.index is not None and entry.error:
            block.failures[entry.index] = entry.error
    elif entry.status == "cancelled" and entry.index is not None:
        block.cancelled[entry.index] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A kind of step that contains steps, or the plain action.

    `kind`: its tag in stored definitions and histories.
    `syntax`: how it is written; None if a file cannot contain it.
    `step`: its resolved form.
    `list_branches`: returns the sequences in a step, by label.
    `compile`: returns its nodes, given the step and the fields common to all nodes.
    `open`: returns the entry with which it starts; raises `ExpressionError`.
    `begin`: decides when the block has started.
    `follow`: decides when a branch has ended.
    `fire`: decides when its timer is due.
    `reopen`: decides when the block, which failed or was cancelled, continues because the run is retried.
    `skip`: decides when a branch cannot start because the block is ending and none of its branches is running.
    `cleanup`: the branch that is performed even then.
    `fold_end`: records the end of a branch in the block's state.
    `fold_reopening`: records that a branch is reopened.
    `decisions`, `folds`: for the entries that only this kind writes.
    """

    kind: str
    syntax: StepSyntax | None = None
    step: Any = None
    list_branches: Callable[[Any], Iterable[tuple[str, Steps]]] = list_no_branches
    compile: Callable[[Any, Mapping[str, Any]], dict[str, AnyNode]] = compile_block
    open: Callable[[BlockNode, str, int, Mapping[str, object]], BlockStarted] = open_block
    begin: Decide | None = None
    follow: Decide = end_now
    skip: Decide = end_now
    fire: Decide | None = None
    reopen: Decide = reopen_branch
    cleanup: str | None = None
    is_loop: bool = False
    fold_end: Callable[[BlockState, BranchEnded], None] = fold_first_error
    fold_reopening: Callable[[BlockState, BranchReopened], None] = fold_no_reopening
    decisions: Mapping[type[Entry], Decide] = field(default_factory=dict)
    folds: Mapping[type[Entry], Fold] = field(default_factory=dict)


def write_inputs(action: "CoreAction", given: JSON) -> JSON:
    """Convert numbers and booleans in rendered inputs to text, where the model accepts only text."""
    return write_texts(action.input, given) if isinstance(given, dict) else given


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreAction:
    """An action that the core performs itself. It changes the course of the run and nothing outside the journal.

    `use`: its name in pipelines.
    `input`: the model of its inputs.
    `syntax`: how a step with it is written.
    `begin`: decides when the step is reached and its inputs are valid, and when it is reopened.
    `complete`: decides when the step has completed.
    `fire`: decides when its timer is due; only that of a step that wrote `WaitStarted` or `ChildCalled` before, since
        `durable.decide.current` ignores any other.
    `owe`: returns the effects to request again after a restart.
    `write`: adapts rendered inputs to the model.
    `is_reported`: the engine reports its checkpoint, except at the end of a called run.
    `links`, `listens`, `counts_once`: fields of the step's node, see `durable.steps.node.ActionNode`.
    """

    use: str
    input: type[BaseModel]
    syntax: CoreSyntax = PLAIN
    begin: Decide
    complete: Decide | None = None
    fire: Decide | None = None
    owe: Callable[[str, StepState], list[Effect]] | None = None
    write: Callable[["CoreAction", JSON], JSON] = write_inputs
    links: Callable[[Any], tuple[str, ...] | None] | None = None
    listens: bool = False
    counts_once: bool = False
    is_reported: bool = False
    decisions: Mapping[type[Entry], Decide] = field(default_factory=dict)
    folds: Mapping[type[Entry], Fold] = field(default_factory=dict)
