"""Graphs: the steps of a version as they are nested; in the graph of a run, each with how often it was reached."""

from collections.abc import Callable, Iterable

import msgspec

from durable.blocks.foreach import ForeachStep
from durable.blocks.repeat import RepeatStep
from durable.definition import Definition
from durable.history.state import State
from durable.history.words import StepStatus
from durable.journal.folds import Fold
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.path import join_path, strip_numbers
from durable.steps.resolved import ResolvedStep, Steps
from triggers.documents.version_steps import (
    GraphBranchDocument,
    GraphStepDocument,
    PipelineGraphDocument,
    RunGraphDocument,
)
from triggers.runs.rows import find_run
from triggers.runs.version_steps import list_branches, load_version_steps, name_use

GRAPH_LIMIT = 500
"""The steps of a graph; a definition of 1 MB may have 10,000."""

_URGENCY: tuple[StepStatus, ...] = (
    *("failed", "uncertain", "running", "waiting", "cancelled", "completed", "skipped", "pending"),
)


async def encode_graph(reads: Reads, run: str) -> bytes:
    """Encode a `RunGraphDocument`; raises `RunNotFound`."""
    found = await find_run(reads, run)

    def encode(scan: Scan, fold: Fold) -> bytes:
        pipeline = load_version_steps(scan.load_definition(found.version)).pipeline
        builder = _GraphBuilder(_count_steps(fold.state, scan.rest))
        steps, on_failure = builder.list_steps(pipeline.steps, ""), builder.list_steps(pipeline.on_failure, "")
        return msgspec.json.encode(RunGraphDocument(run, steps, on_failure, builder.omitted))

    return await reads.scan_fold(found, encode)


def make_pipeline_graph(definition: Definition) -> PipelineGraphDocument:
    """The graph of a version, of which no step was reached."""
    pipeline, builder = definition.pipeline, _GraphBuilder({})
    steps, on_failure = builder.list_steps(pipeline.steps, ""), builder.list_steps(pipeline.on_failure, "")
    return PipelineGraphDocument(definition.id, definition.version, steps, on_failure, builder.omitted)


def _count_steps(state: State, rest: Callable[[], None]) -> dict[str, dict[StepStatus, int]]:
    """Count the steps of a run by their paths in the definition, and by status."""
    counts: dict[str, dict[StepStatus, int]] = {}
    for path, step in state.steps.items():
        of_step = counts.setdefault(strip_numbers(path), {})
        of_step[step.status] = of_step.get(step.status, 0) + 1
        rest()
    return counts


class _GraphBuilder:
    def __init__(self, counts: dict[str, dict[StepStatus, int]]) -> None:
        self._counts = counts
        self._room = GRAPH_LIMIT
        self.omitted = 0

    def list_steps(self, steps: Steps, frame: str) -> list[GraphStepDocument]:
        listed: list[GraphStepDocument] = []
        for step in steps:
            if self._room:
                self._room -= 1
                listed.append(self._make_step(step, join_path(frame, step.id)))
            else:
                self.omitted += 1
        return listed

    def _make_step(self, step: ResolvedStep, path: str) -> GraphStepDocument:
        counts = self._counts.get(path, {})
        branches = [
            GraphBranchDocument(
                label,
                when,
                any(join_path(path, each.id) in self._counts for each in steps),
                self.list_steps(steps, path),
            )
            for label, when, steps in list_branches(step)
        ]
        return GraphStepDocument(
            path, name_use(step), step.condition, _find_loop(step), _find_most_urgent(counts), counts, branches
        )


def _find_most_urgent(counts: Iterable[StepStatus]) -> StepStatus:
    return min(counts, key=_URGENCY.index, default="pending")


def _find_loop(step: ResolvedStep) -> str | None:
    """The expression that a loop evaluates."""
    match step:
        case ForeachStep():
            return step.items
        case RepeatStep():
            return step.until
    return None
