"""Finds where a failed run continues when it is retried: at the steps that failed or were cancelled and whose failure
nothing handled.

Inside a sequence, that is the first step that is neither completed nor skipped. Each kind of block says which of its
branches continue.
"""

from collections.abc import Iterator

from durable.blocks.endings import end_sequence
from durable.effects import EnterStep, FollowUp
from durable.history.entries import StepReopened, StepsVoided
from durable.history.state import State
from durable.path import join_path, number_frame, strip_numbers
from durable.steps.node import CompiledPipeline


def find_stop(pipeline: CompiledPipeline, state: State, frame: str, first: str | None) -> str | None:
    """Return the path of the step at which a sequence stopped; None if all of its steps are done."""
    while first is not None:
        path = join_path(frame, first)
        step = state.steps.get(path)
        if step is None or step.status not in ("completed", "skipped"):
            return path
        first = pipeline.nodes[path].follower
    return None


def find_branch_stop(
    pipeline: CompiledPipeline, state: State, block: str, branch: str, index: int | None = None
) -> str | None:
    """Return the path of the step at which a branch of a block stopped; None if all of its steps are done."""
    return find_stop(pipeline, state, number_frame(block, index), pipeline.nodes[block].firsts.get(branch))


def resume_sequence(pipeline: CompiledPipeline, state: State, frame: str, first: str, at: int) -> list[FollowUp]:
    """Continue a sequence where it stopped; if all of its steps are done, end it."""
    path = find_stop(pipeline, state, frame, first)
    if path is None:
        last = join_path(frame, first)
        while (follower := pipeline.nodes[last].follower) is not None:
            last = join_path(frame, follower)
        return end_sequence(pipeline, state, last, at, "completed")
    step = state.steps.get(path)
    if step is None or step.scheduled_at is None:  # its condition or its input could not be evaluated
        return [EnterStep(at, path)]
    return [StepReopened(at=at, path=path)]


def void_steps(pipeline: CompiledPipeline, state: State, frame: str, first: str | None, at: int) -> list[FollowUp]:
    """Void the steps of a cleanup that were reached."""
    paths: list[str] = []
    _add_reached(paths, pipeline, state, frame, strip_numbers(frame), first)
    return [StepsVoided(at=at, paths=tuple(paths))] if paths else []


def _add_reached(
    paths: list[str], pipeline: CompiledPipeline, state: State, frame: str, place: str, first: str | None
) -> None:
    """Add the steps of a sequence that were reached, and those inside them. `place` is the frame without indexes, as a
    cleanup may have reached thousands of items."""
    while first is not None and (path := join_path(frame, first)) in state.steps:
        node = pipeline.nodes[join_path(place, first)]
        paths.append(path)
        for inner in node.firsts.values():
            for each in _list_frames(state, path, is_loop=node.is_loop):
                _add_reached(paths, pipeline, state, each, node.path, inner)
        first = node.follower


def _list_frames(state: State, path: str, *, is_loop: bool) -> Iterator[str]:
    if is_loop:
        count = state.blocks[path].begun if path in state.blocks else 0
        yield from (number_frame(path, index) for index in range(count))
    else:
        yield path
