"""Statistics of a pipeline, from a sample: its newest runs of seven days, as many as can be read in a few ms."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from sqlalchemy import Connection

from durable.durations import parse_duration
from durable.history.words import EndStatus
from durable.ids import first_id
from durable.journal.samples import sample_runs
from durable.path import strip_numbers
from durable.reports import RunSample
from triggers.documents.fields import format_time
from triggers.documents.pipelines import FailingStepDocument, PipelineStatisticsDocument, SampledRunDocument

DAYS = 7
PERIOD = parse_duration(f"{DAYS}d")
"""The time, in ms, of which runs are sampled."""

SAMPLE = 500
"""The runs of a sample: reading so many takes about 2 ms."""

SAMPLE_OF_EACH = 100
"""The runs that are sampled of each of several pipelines."""

SHOWN = 20
"""The runs that are listed one by one."""

FAILING_SHOWN = 3


def read_statistics(connection: Connection, pipeline: str, now: int, limit: int = SAMPLE) -> PipelineStatisticsDocument:
    """The statistics of a pipeline at a time (ms), from a sample of so many runs."""
    sample = sample_runs(connection, pipeline, limit, since=first_id("run", now - PERIOD))
    newest = sample[:SHOWN] if sample else sample_runs(connection, pipeline, SHOWN)
    return make_statistics(sample, newest, is_partial=len(sample) == limit)


def read_all_statistics(
    connection: Connection, pipelines: Iterable[str], now: int
) -> dict[str, PipelineStatisticsDocument]:
    """The statistics of several pipelines, by their ids."""
    return {pipeline: read_statistics(connection, pipeline, now, SAMPLE_OF_EACH) for pipeline in pipelines}


def make_statistics(
    sample: Sequence[RunSample], newest: Sequence[RunSample], *, is_partial: bool
) -> PipelineStatisticsDocument:
    """The statistics of a sample; `newest` are the runs that are listed."""
    counts = Counter(run.status for run in sample)
    ended = counts["completed"] + counts["failed"]
    times = sorted(run.finished_at - run.created_at for run in sample if run.finished_at and run.status == "completed")
    failing = Counter(step for run in sample if run.status == "failed" and (step := _find_step(run)))
    return PipelineStatisticsDocument(
        newest=[_make_line(run) for run in newest],
        days=DAYS,
        sampled=len(sample),
        is_partial=is_partial,
        completed=counts["completed"],
        failed=counts["failed"],
        unfinished=sum(number for status, number in counts.items() if status not in get_args(EndStatus)),
        success=counts["completed"] / ended if ended else None,
        median_ms=find_percentile(times, 0.5),
        p95_ms=find_percentile(times, 0.95),
        failing=[FailingStepDocument(step, number) for step, number in failing.most_common(FAILING_SHOWN)],
    )


def find_percentile(ordered: Sequence[int], share: float) -> int | None:
    """The value in an ordered list below which this share of it is; None if the list is empty."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _find_step(run: RunSample) -> str | None:
    """The step that failed, without the numbers of items."""
    return strip_numbers(run.cause.step) if run.cause and run.cause.step else None


def _make_line(run: RunSample) -> SampledRunDocument:
    return SampledRunDocument(run.id, run.status, format_time(run.created_at), format_time(run.finished_at))
