"""Dedupe keys: the first of several equal requests wins; the others get its result.

A key of a step (of its call, its event, or the end of its wait) is removed in the commit in which the step's run
completes; that of any other run is kept with the run, which may be retried. A key cannot be taken on behalf of an ended
run: such a request counts as a duplicate.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from durable.journal.dialect import SQL, Cursor, Params
from durable.journal.payloads import DECODING_ERRORS
from durable.journal.runs import RunWrites, select_distinct
from durable.journal.tables import dedupe_keys
from durable.units import STEP_SCOPES, Admitted, DedupeKey

_encode = msgspec.json.Encoder().encode
_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode


class DedupeKeys:
    """Reads and writes dedupe keys, for units."""

    def __init__(self, sql: SQL, runs: RunWrites) -> None:
        self._runs = runs
        columns, new = dedupe_keys.c, sql.insert(dedupe_keys)
        is_key = (columns.scope == bindparam("scope"), columns.key == bindparam("key"))
        is_of_run = (columns.key > bindparam("first"), columns.key < bindparam("last"))
        self._find_sql = sql.compile(
            select(columns.fingerprint, columns.event, columns.runs).where(*is_key, columns.until > bindparam("now"))
        )
        renewed = {name: new.excluded[name] for name in ("until", "fingerprint", "event", "runs")}
        self._take_sql = sql.compile(new.on_conflict_do_update(index_elements=["scope", "key"], set_=renewed))
        self._free_sql = sql.compile(delete(dedupe_keys).where(*is_key, columns.runs == bindparam("nothing")))
        self._remove_sql = sql.compile(delete(dedupe_keys).where(*is_key))
        self._forget_sql = sql.compile(delete(dedupe_keys).where(columns.scope == bindparam("of_scope"), *is_of_run))

    def find_first(self, cursor: Cursor, keys: Sequence[DedupeKey], now: int) -> Admitted | None:
        """Return what the first request with one of these keys admitted; None if all are free. A key of an ended run
        counts as taken, without any runs."""
        first: Admitted | None = None
        is_conflict = False
        for key in keys:
            row = self._find(cursor, key, now)
            if row is None and key.of and not self._runs.is_unfinished(cursor, key.of):
                row = (None, key.of, b"[]")
            if row is None:
                continue
            fingerprint, event, runs = row
            is_conflict |= None not in (fingerprint, key.fingerprint) and fingerprint != key.fingerprint
            if first:
                first = Admitted(first.event, first.runs, True, is_conflict)
            else:
                first = Admitted(event, _decode_run_ids(runs), True, is_conflict)
        return first

    def is_taken(self, cursor: Cursor, key: DedupeKey, now: int) -> bool:
        return self._find(cursor, key, now) is not None

    def take(self, cursor: Cursor, key: DedupeKey, event: str, runs: Sequence[str] = ()) -> None:
        row: Params = {
            "scope": key.scope,
            "key": key.key,
            "until": key.until,
            "fingerprint": key.fingerprint,
            "event": event,
            "runs": _encode(runs),
        }
        cursor.execute(self._take_sql, row)

    def free(self, cursor: Cursor, key: DedupeKey) -> None:
        """Remove a key with which no run started."""
        cursor.execute(self._free_sql, {"scope": key.scope, "key": key.key, "nothing": _encode(())})

    def remove(self, cursor: Cursor, key: DedupeKey) -> None:
        """Remove a key, so that it can be taken again."""
        cursor.execute(self._remove_sql, {"scope": key.scope, "key": key.key})

    def forget_run(self, cursor: Cursor, run: str) -> None:
        """Remove the keys of the steps of a run that has ended."""
        for scope in STEP_SCOPES:
            cursor.execute(self._forget_sql, {"of_scope": scope, "first": f"{run}:", "last": f"{run};"})

    def _find(self, cursor: Cursor, key: DedupeKey, now: int) -> tuple[str | None, str, bytes] | None:
        cursor.execute(self._find_sql, {"scope": key.scope, "key": key.key, "now": now})
        found: tuple[str | None, str, bytes] | None = cursor.fetchone()
        return found


def is_key_taken(connection: Connection, key: DedupeKey, now: int) -> bool:
    """Whether the key is taken at that time (ms)."""
    columns = dedupe_keys.c
    query = select(columns.key).where(columns.scope == key.scope, columns.key == key.key, columns.until > now)
    return connection.execute(query).first() is not None


def _decode_run_ids(data: bytes) -> tuple[str, ...]:
    """Return the runs of the first request; none if they cannot be decoded, because a sender that got an error for a
    duplicate would retry for ever."""
    try:
        return _decode_ids(data)
    except DECODING_ERRORS:
        return ()


SCOPES_LIMIT = 1_000
"""The scopes in which a key is sought: each is one look-up in the primary key."""


def list_results_of_key(connection: Connection, key: str, limit: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return what requests with this key have brought, in whatever scope: the event and the runs of each."""
    scopes = select_distinct(dedupe_keys.c.scope, [])
    names = select(scopes.c.name).where(scopes.c.name.is_not(None)).limit(SCOPES_LIMIT).subquery()
    query = select(dedupe_keys.c.event, dedupe_keys.c.runs)
    query = query.join(names, dedupe_keys.c.scope == names.c.name).where(dedupe_keys.c.key == key).limit(limit)
    return [(row.event, _decode_run_ids(row.runs)) for row in connection.execute(query)]
