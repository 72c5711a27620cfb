"""Short ids: rows found by the beginning or the end of their id, and the newest row of a kind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, null, select

from durable.journal.tables import bulks, definitions, deliveries, events, runs
from durable.units import IdKind

_LAST = "{"
"""Sorts after every character of an id."""


class IdMatch(NamedTuple):
    """A row whose id matches: what it is `about`, its status, and when it was made, in ms."""

    id: str
    about: str
    status: str | None
    at: int


class _Source(NamedTuple):
    prefix: str
    id: ColumnElement[str]
    about: ColumnElement[str]
    status: ColumnElement[str] | None
    at: ColumnElement[int]


_SOURCES: dict[IdKind, _Source] = {
    "run": _Source("run_", runs.c.id, runs.c.pipeline, runs.c.status, runs.c.created_at),
    "event": _Source("evt_", events.c.id, func.coalesce(events.c.type, events.c.source), None, events.c.time),
    "delivery": _Source("dlv_", deliveries.c.id, deliveries.c.trigger, deliveries.c.outcome, deliveries.c.at),
    "version": _Source("", definitions.c.version, definitions.c.pipeline, None, definitions.c.created_at),
    "bulk": _Source("blk_", bulks.c.id, bulks.c.action, bulks.c.status, bulks.c.created_at),
}


def find_ids(connection: Connection, kind: IdKind, text: str, limit: int) -> list[IdMatch]:
    """Return rows whose id begins with the text, with or without the kind's prefix, or ends with it: at most `limit`,
    newest first."""
    id = _SOURCES[kind].id
    found = set(connection.scalars(_select_beginning(kind, text).limit(limit)))
    # Without an order, the smallest index that has the ids is scanned, and not the rows.
    found.update(connection.scalars(select(id).where(func.substr(id, -len(text)) == text).limit(limit)))
    return _load_matches(connection, kind, sorted(found, reverse=True)[:limit])


def find_ids_by_beginning(connection: Connection, kind: IdKind, text: str, limit: int) -> list[IdMatch]:
    """Return rows whose id begins with the text, with or without the kind's prefix, newest first."""
    return _load_matches(connection, kind, list(connection.scalars(_select_beginning(kind, text).limit(limit))))


def _select_beginning(kind: IdKind, text: str) -> Select[Any]:
    prefix, id = _SOURCES[kind].prefix, _SOURCES[kind].id
    start = text if text.startswith(prefix) else prefix + text
    return select(id).where(id >= start, id < start + _LAST).order_by(id.desc())


def find_newest(connection: Connection, kind: IdKind, pipeline: str | None) -> str | None:
    """Return the id of the newest row; with `pipeline`, of the newest run of that pipeline."""
    source = _SOURCES[kind]
    query = select(source.id)
    if pipeline is not None:
        query = query.where(source.about == pipeline)
    return connection.scalar(query.order_by((source.at if kind == "version" else source.id).desc()).limit(1))


def _load_matches(connection: Connection, kind: IdKind, ids: Sequence[str]) -> list[IdMatch]:
    source = _SOURCES[kind]
    status = null() if source.status is None else source.status
    query = select(source.id, source.about, status, source.at).where(source.id.in_(ids)).order_by(source.id.desc())
    return [IdMatch(*row) for row in connection.execute(query)]
