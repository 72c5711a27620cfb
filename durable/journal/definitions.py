"""Definitions: each version of a pipeline, stored completely, because a run keeps the version that it started with."""

from collections import Counter

from sqlalchemy import Connection, select, tuple_

from durable.history.words import RunStatus
from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import definitions, runs
from durable.reports import PipelineVersion, VersionRuns

COUNTED = 1_000
"""The runs of a version that are counted by status, the newest ones. Counting so many takes about a millisecond."""


class DefinitionWrites:
    """Writes definitions, for units."""

    def __init__(self, sql: SQL) -> None:
        self._add_sql = sql.compile(sql.insert(definitions).on_conflict_do_nothing())

    def add(self, cursor: Cursor, version: str, pipeline: str, data: bytes, at: int) -> None:
        """Store a version, unless it is already stored."""
        cursor.execute(self._add_sql, {"version": version, "pipeline": pipeline, "data": data, "created_at": at})


def load_definition(connection: Connection, version: str) -> bytes | None:
    data = connection.scalar(select(definitions.c.data).where(definitions.c.version == version))
    return None if data is None else bytes(data)


def list_versions(
    connection: Connection, pipeline: str, after: PipelineVersion | None, limit: int
) -> list[PipelineVersion]:
    """Return the stored versions of a pipeline, newest first, that were stored before the version `after`."""
    known = definitions.c
    query = select(known.version, known.created_at).where(known.pipeline == pipeline)
    if after is not None:
        query = query.where(tuple_(known.created_at, known.version) < (after.created_at, after.version))
    query = query.order_by(known.created_at.desc(), known.version.desc()).limit(limit)
    return [PipelineVersion(row.version, row.created_at) for row in connection.execute(query)]


def find_versions(connection: Connection, pipeline: str, beginning: str, limit: int) -> list[PipelineVersion]:
    """Return the versions of a pipeline whose hashes begin so."""
    known = definitions.c
    query = select(known.version, known.created_at).where(
        known.pipeline == pipeline, known.version.startswith(beginning, autoescape=True)
    )
    rows = connection.execute(query.order_by(known.version).limit(limit))
    return [PipelineVersion(row.version, row.created_at) for row in rows]


def count_version_runs(connection: Connection, version: str) -> VersionRuns:
    """Count the newest runs of a version by their status."""
    newest = select(runs.c.status).where(runs.c.version == version).order_by(runs.c.id.desc()).limit(COUNTED + 1)
    statuses: list[RunStatus] = [row.status for row in connection.execute(newest)]
    return VersionRuns(dict(Counter(statuses[:COUNTED])), has_more=len(statuses) > COUNTED)
