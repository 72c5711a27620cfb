"""Counts of runs for charts, and summaries of the runs that stand still. All are derived from the rows, by indexes that
have what is counted: fifty million runs are counted in a second."""

from collections.abc import Sequence
from typing import get_args

from sqlalchemy import ColumnElement, Connection, func, select

from durable.history.words import EndStatus, RunStatus
from durable.journal.runs import IS_HALTED, IS_UNFINISHED, decode_cause
from durable.journal.tables import deliveries, runs
from durable.reports import HaltedRun, RunCounts, RunSample

HALTED: tuple[RunStatus, ...] = ("queued", "waiting", "paused")

HAS_ENDED = runs.c.finished_at.is_not(None)


def count_runs(connection: Connection, since: str, before: str, pipeline: str | None = None) -> RunCounts:
    """Count the runs with ids from `since` to `before`, those of a pipeline or of all."""
    bounds: list[ColumnElement[bool]] = [runs.c.id >= since, runs.c.id < before]
    if pipeline is not None:
        bounds.append(runs.c.pipeline == pipeline)
    number = select(func.count()).select_from(runs).where(*bounds)
    ended = {
        status: connection.scalar(number.where(HAS_ENDED, runs.c.status == status)) or 0
        for status in get_args(EndStatus)
    }
    return RunCounts(**ended, unfinished=connection.scalar(number.where(IS_UNFINISHED)) or 0)


def count_unfinished_by_status(connection: Connection) -> dict[RunStatus, int]:
    """Count the unfinished runs by status. What goes on is what does not stand still: no row has to be read."""
    number = select(func.count()).select_from(runs)
    counts: dict[RunStatus, int] = {
        status: connection.scalar(number.where(IS_HALTED, runs.c.status == status)) or 0 for status in HALTED
    }
    counts["running"] = max(0, (connection.scalar(number.where(IS_UNFINISHED)) or 0) - sum(counts.values()))
    return counts


def list_halted(
    connection: Connection, status: RunStatus, limit: int, *, mention: str | None = None, looked_at: int = 0
) -> list[HaltedRun]:
    """Return the oldest runs that stand still with this status, and why; with `mention`, those whose cause has this
    word, among the oldest `looked_at`."""
    c = runs.c
    query = select(c.id, c.pipeline, c.status, c.reason, c.cause, c.created_at, c.error_key)
    query = query.where(IS_HALTED, c.status == status).order_by(c.id)
    if mention is not None:
        oldest = query.limit(looked_at).subquery()
        query = select(oldest).where(oldest.c.cause.contains(f'"{mention}"', autoescape=True)).order_by(oldest.c.id)
    return [
        HaltedRun(row.id, row.pipeline, row.status, row.reason, decode_cause(row.cause), row.created_at, row.error_key)
        for row in connection.execute(query.limit(limit))
    ]


def sample_completed(connection: Connection, since: str, limit: int) -> list[RunSample]:
    """Return the newest completed runs with ids of at least `since`."""
    c = runs.c
    query = select(c.id, c.status, c.created_at, c.finished_at)
    query = query.where(HAS_ENDED, c.status == "completed", c.id >= since).order_by(c.id.desc()).limit(limit)
    return [RunSample(*row, None) for row in connection.execute(query)]


def find_newest_failure(connection: Connection) -> int | None:
    """Return when the newest run that failed was created (ms)."""
    c = runs.c
    failed = select(c.created_at).where(HAS_ENDED, c.status == "failed")
    return connection.scalar(failed.order_by(c.id.desc()).limit(1))


def count_rejected(connection: Connection, since: str, limit: int) -> Sequence[tuple[str, int, int, int]]:
    """Count the newest `limit` rejected deliveries with ids of at least `since` by trigger: trigger, number, times of
    the oldest and the newest (ms)."""
    c = deliveries.c
    newest = select(c.trigger, c.at).where(c.outcome == "rejected", c.id >= since)
    some = newest.order_by(c.id.desc()).limit(limit).subquery()
    numbers = func.count(), func.min(some.c.at), func.max(some.c.at)
    return [tuple(row) for row in connection.execute(select(some.c.trigger, *numbers).group_by(some.c.trigger))]


def list_newest_pipelines(connection: Connection, limit: int) -> list[str]:
    """Return the pipelines of the newest `limit` runs, that of the newest run first."""
    newest = select(runs.c.pipeline).order_by(runs.c.id.desc()).limit(limit)
    return list(dict.fromkeys(connection.scalars(newest)))
