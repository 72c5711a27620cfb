"""Counts of runs for charts, and summaries of the runs that stand still. All are derived from the rows, by indexes that
have what they need: three million runs are counted in a second."""

from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

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


def count_by_status(connection: Connection, limit: int) -> dict[RunStatus, int]:
    """Count the unfinished runs by status: of those that stand still up to `limit` of each status, and of those that go
    on as many as there are among the newest unfinished runs, of which twice as many are looked at."""
    counts: dict[RunStatus, int] = {}
    for status in HALTED:
        counts[status] = limit if has_more_halted(connection, status, limit) else _count_halted(connection, status, "")
    first: str = connection.scalar(_skip(IS_UNFINISHED, 2 * limit, runs.c.id.desc())) or ""
    number = select(func.count()).select_from(runs).where(IS_UNFINISHED, runs.c.id > first)
    # What goes on is what does not stand still: no row has to be read, as both indexes have what is counted.
    halted = sum(_count_halted(connection, status, first) for status in HALTED)
    counts["running"] = max(0, (connection.scalar(number) or 0) - halted)
    return counts


def has_more_halted(connection: Connection, status: RunStatus, number: int) -> bool:
    """Whether more runs than this number stand still with a status."""
    is_halted = and_(IS_HALTED, runs.c.status == status)
    return connection.scalar(_skip(is_halted, number, runs.c.id)) is not None


def _skip(condition: ColumnElement[bool], number: int, order: ColumnElement[Any]) -> Select[Any]:
    """Return the query of the run after this number of runs. Skipping costs a quarter of counting a subquery."""
    return select(runs.c.id).where(condition).order_by(order).limit(1).offset(number)


def _count_halted(connection: Connection, status: RunStatus, after: str) -> int:
    number = select(func.count()).select_from(runs)
    return connection.scalar(number.where(IS_HALTED, runs.c.status == status, runs.c.id > after)) or 0


def list_halted(connection: Connection, status: RunStatus, limit: int, mention: str | None = None) -> list[HaltedRun]:
    """Return the oldest `limit` runs that stand still with this status, and why; with `mention`, those of them whose
    cause has this word."""
    c = runs.c
    query = select(c.id, c.pipeline, c.status, c.reason, c.cause, c.created_at, c.error_key)
    query = query.where(IS_HALTED, c.status == status).order_by(c.id).limit(limit)
    if mention is not None:
        oldest = query.subquery()
        query = select(oldest).where(oldest.c.cause.contains(f'"{mention}"', autoescape=True)).order_by(oldest.c.id)
    return [
        HaltedRun(row.id, row.pipeline, row.status, row.reason, decode_cause(row.cause), row.created_at, row.error_key)
        for row in connection.execute(query)
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
