"""The steps of a pipeline version, as it is stored, by their paths."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import zip_longest

import msgspec

from durable.blocks.compiling import decode_steps
from durable.blocks.foreach import ForeachStep
from durable.blocks.kinds import BLOCKS
from durable.blocks.switch import SwitchStep
from durable.blocks.try_ import TryStep
from durable.journal.payloads import DECODING_ERRORS
from durable.path import join_path, make_again_path, make_undo_path, strip_numbers
from durable.steps.resolved import NO_STEPS, ActionStep, ResolvedPipeline, ResolvedStep, Steps

NO_PIPELINE = ResolvedPipeline(id="", steps=NO_STEPS)


@dataclass(frozen=True)
class VersionSteps:
    """A pipeline version; one without steps if it is missing or damaged."""

    pipeline: ResolvedPipeline

    @cached_property
    def _steps(self) -> dict[str, ResolvedStep]:
        return dict([*_walk(self.pipeline.steps, ""), *_walk(self.pipeline.on_failure, "")])

    @cached_property
    def main(self) -> tuple[str, ...]:
        """The ids of its first level, without those of `on_failure`."""
        return tuple(step.id for step in self.pipeline.steps)

    def find_step(self, path: str) -> ResolvedStep | None:
        """Return the step at a path of a run."""
        return self._steps.get(strip_numbers(path))

    def find_use(self, path: str) -> str | None:
        """Return the action of a step, or the kind of block that it is."""
        step = self.find_step(path)
        return name_use(step) if step is not None else None

    def is_paged(self, path: str) -> bool:
        """Whether a step gets its output in pages."""
        step = self.find_step(path)
        return isinstance(step, ActionStep) and step.is_paged

    def find_condition(self, path: str, label: str) -> str | None:
        """Return the condition under which a branch of a block is taken; None if it has none."""
        step = self.find_step(path)
        return next((when for each, when, _ in list_branches(step) if each == label), None) if step else None

    def find_parallel(self, path: str) -> int | None:
        """Return how many items of a `foreach` are performed at once; None for any other step."""
        step = self.find_step(path)
        return step.max_parallel if isinstance(step, ForeachStep) else None

    def find_attempts(self, path: str) -> int | None:
        """Return how many attempts a step has at most; None for a block."""
        step = self.find_step(path)
        return step.retry.max_attempts if isinstance(step, ActionStep) else None


@lru_cache(maxsize=64)
def load_version_steps(definition: bytes | None) -> VersionSteps:
    """Decode a version as it is stored."""
    try:
        return VersionSteps(msgspec.json.decode(definition or b"", type=ResolvedPipeline, dec_hook=decode_steps))
    except DECODING_ERRORS:
        return VersionSteps(NO_PIPELINE)


def name_use(step: ResolvedStep) -> str:
    """Return the action of a step, or the kind of block that it is."""
    return step.use if isinstance(step, ActionStep) else find_kind(step)


def find_kind(step: ResolvedStep) -> str:
    kind: str = step.__struct_config__.tag  # type: ignore[attr-defined]  # a struct
    return kind


def list_branches(step: ResolvedStep) -> Iterator[tuple[str, str | None, Steps]]:
    """Iterate over the branches of a block: the label of each, its condition if it has one, and its steps."""
    whens: list[str | None] = []
    match step:
        case SwitchStep():
            whens = [case.when for case in step.cases]
        case TryStep():
            whens = [None, *(handler.when for handler in step.catch)]
    branches = BLOCKS[find_kind(step)].list_branches(step)
    yield from ((label, when, steps) for (label, steps), when in zip_longest(branches, whens) if steps)


def _walk(steps: Steps, frame: str) -> Iterator[tuple[str, ResolvedStep]]:
    for step in steps:
        path = join_path(frame, step.id)
        yield path, step
        if isinstance(step, ActionStep) and step.undo:
            yield make_undo_path(path, 1), step.undo
            yield make_again_path(path, 1), step
        for _, _, inner in list_branches(step):
            yield from _walk(inner, path)
