"""Failures: the runs that failed, or are paused by a failure, in groups with the same error key.

A million runs may have failed for three reasons: each read skips from one key to the next in an index, and counts no
more than it shows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from durable.journal.runs import load_runs, select_distinct
from durable.journal.tables import runs
from durable.reports import FailureGroup
from durable.units import Run

COUNT_LIMIT = 1_000
"""How many runs of a group are counted."""

PIPELINES_LIMIT = 10
"""How many pipelines of a group are named."""

_LAST = "{"
"""Sorts after every character of a key."""

_HAS_FAILED = runs.c.error_key.is_not(None)


class FailureFilter(TypedDict, total=False):
    """Selects the runs that are grouped, by pipeline and by ids from `since` to `before`; and the groups, at most
    `limit` whose newest run is older than `after`."""

    pipeline: str | None
    since: str | None
    before: str | None
    after: str | None
    limit: int


def list_failures(connection: Connection, **wanted: Unpack[FailureFilter]) -> list[FailureGroup]:
    """Return groups of failed runs, that with the newest run first."""
    bounds: list[ColumnElement[bool]] = [_HAS_FAILED]
    if (pipeline := wanted.get("pipeline")) is not None:
        bounds.append(runs.c.pipeline == pipeline)
    keys = select_distinct(runs.c.error_key, bounds)
    if (since := wanted.get("since")) is not None:
        bounds.append(runs.c.id >= since)
    if (before := wanted.get("before")) is not None:
        bounds.append(runs.c.id < before)
    newest = select(func.max(runs.c.id)).where(*bounds, runs.c.error_key == keys.c.name).scalar_subquery()
    groups = select(keys.c.name, newest.label("newest")).where(keys.c.name.is_not(None)).subquery()
    query = select(groups).where(groups.c.newest.is_not(None))
    if (after := wanted.get("after")) is not None:
        query = query.where(groups.c.newest < after)
    rows = connection.execute(query.order_by(groups.c.newest.desc()).limit(wanted.get("limit", 50)))
    newest_runs = {row.name: row.newest for row in rows}
    found = {run.id: run for run in load_runs(connection, list(newest_runs.values()))}
    details = _select_details(bounds)
    return [
        _make_group(connection, key, found[newest], details) for key, newest in newest_runs.items() if newest in found
    ]


def list_error_keys(connection: Connection, beginning: str, limit: int) -> list[str]:
    """Return error keys that begin so: the key that is equal first."""
    key = runs.c.error_key
    query = select(key).where(key >= beginning, key < beginning + _LAST).distinct().order_by(key).limit(limit)
    return list(connection.scalars(query))


class _Details(NamedTuple):
    """The queries for one group, whose key is the parameter `key`. They are built once for all groups of a page."""

    number: Select[Any]
    first_at: Select[Any]
    pipelines: Select[Any]


def _select_details(bounds: Sequence[ColumnElement[bool]]) -> _Details:
    of_group = [*bounds, runs.c.error_key == bindparam("key")]
    counted = select(runs.c.id).where(*of_group).limit(COUNT_LIMIT + 1).subquery()
    names = select_distinct(runs.c.pipeline, [_HAS_FAILED])
    is_in_group = select(runs.c.id).where(*of_group, runs.c.pipeline == names.c.name).exists()
    return _Details(
        select(func.count()).select_from(counted),
        select(runs.c.created_at).where(*of_group).order_by(runs.c.id).limit(1),
        select(names.c.name).where(names.c.name.is_not(None), is_in_group).limit(PIPELINES_LIMIT),
    )


def _make_group(connection: Connection, key: str, newest: Run, details: _Details) -> FailureGroup:
    of_group = {"key": key}
    count = connection.scalar(details.number, of_group) or 0
    first_at = connection.scalar(details.first_at, of_group)
    pipelines = tuple(connection.scalars(details.pipelines, of_group))
    return FailureGroup(
        key, min(count, COUNT_LIMIT), count > COUNT_LIMIT, newest, first_at or newest.created_at, pipelines
    )
