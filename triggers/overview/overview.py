"""How a service does: its runs in columns of time, what is unfinished, and how the newest runs of pipelines went."""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from durable import metrics
from durable.history.words import RunStatus
from durable.ids import first_id
from durable.journal.counts import (
    count_unfinished_by_status,
    find_newest_failure,
    list_newest_pipelines,
    sample_completed,
)
from durable.journal.reads import Reads
from durable.journal.runs import find_newest_start
from triggers.documents.fields import format_time
from triggers.documents.overview import ColumnDocument, OverviewDocument, Period, PipelineGlanceDocument
from triggers.overview.columns import DIVISIONS, RunColumns
from triggers.pipelines.statistics import find_percentile, read_statistics

TIMED = 500
"""The newest completed runs whose time is looked at."""

PIPELINES = 20
"""The pipelines that are shown."""

NEWEST_RUNS = 2_000
"""The newest runs by which pipelines are chosen."""

GLANCED = 100
"""The runs of a pipeline that are looked at, which takes less than a millisecond for each pipeline."""


class Glance(msgspec.Struct, frozen=True):
    """What an overview has from the journal besides its columns."""

    unfinished: dict[RunStatus, int]
    p95_run_ms: int | None
    newest_run: int | None
    newest_failure: int | None
    pipelines: list[PipelineGlanceDocument]


class Overviews:
    """Makes overviews. `pipelines` gives the names of the pipelines that are served."""

    def __init__(self, reads: Reads, pipelines: Callable[[], Sequence[str]], now: Callable[[], int]) -> None:
        self._reads = reads
        self._pipelines = pipelines
        self._columns = RunColumns(reads, now)
        self._now = now

    async def make(self, period: Period) -> OverviewDocument:
        """Make the overview of a period that ends now."""
        columns = await self._columns.count(period)
        since = next(iter(columns))
        glance = await self._reads.read(_glance, self._pipelines(), since, self._now())
        return OverviewDocument(
            period=period,
            since=format_time(since),
            column_ms=DIVISIONS[period].length,
            columns=[
                ColumnDocument(format_time(start), each.completed, each.failed, each.cancelled, each.unfinished)
                for start, each in columns.items()
            ],
            started=sum(each.completed + each.failed + each.cancelled + each.unfinished for each in columns.values()),
            completed=sum(each.completed for each in columns.values()),
            failed=sum(each.failed for each in columns.values()),
            cancelled=sum(each.cancelled for each in columns.values()),
            unfinished=glance.unfinished,
            attempts_in_flight=metrics.count_attempts_in_flight(),
            p95_accept_ms=metrics.estimate_acceptance(0.95),
            p95_run_ms=glance.p95_run_ms,
            newest_run=format_time(glance.newest_run),
            newest_failure=format_time(glance.newest_failure),
            pipelines=glance.pipelines,
        )


def _glance(connection: Connection, served: Sequence[str], since: int, now: int) -> Glance:
    timed = sample_completed(connection, first_id("run", since), TIMED)
    active = list_newest_pipelines(connection, NEWEST_RUNS)
    names = list(dict.fromkeys([*active, *served]))[:PIPELINES]
    return Glance(
        unfinished=count_unfinished_by_status(connection),
        p95_run_ms=find_percentile(sorted(run.finished_at - run.created_at for run in timed if run.finished_at), 0.95),
        newest_run=find_newest_start(connection),
        newest_failure=find_newest_failure(connection),
        pipelines=[_glance_at(connection, name, now) for name in names],
    )


def _glance_at(connection: Connection, pipeline: str, now: int) -> PipelineGlanceDocument:
    statistics = read_statistics(connection, pipeline, now, GLANCED)
    return PipelineGlanceDocument(pipeline, statistics.newest, statistics.success, statistics.p95_ms)
