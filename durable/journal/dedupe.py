"""Dedupe claims: of several who ask for the same, the first counts and the others are told what it brought.

A claim of a step (its call, its event, what ends its wait) ends with the step's run, in the same commit, and after that
commit none is taken: who comes later finds that the run has ended.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import bindparam, delete, select

from durable.journal.cursor import Cursor, Params
from durable.journal.statements import Statements
from durable.journal.tables import claims
from durable.units import STEP_SCOPES, Admitted, DedupeKey

_encode = msgspec.json.Encoder().encode
_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode


class DedupeKeys:
    """What the units do to claims."""

    def __init__(self, statements: Statements) -> None:
        sql, taken = statements.compile, statements.insert(claims)
        is_it = (claims.c.scope == bindparam("scope"), claims.c.key == bindparam("key"))
        of_run = (claims.c.key > bindparam("first"), claims.c.key < bindparam("last"))
        self._find = sql(
            select(claims.c.fingerprint, claims.c.event, claims.c.runs).where(*is_it, claims.c.until > bindparam("now"))
        )
        renewed = {name: taken.excluded[name] for name in ("until", "fingerprint", "event", "runs")}
        self._take = sql(taken.on_conflict_do_update(index_elements=["scope", "key"], set_=renewed))
        self._forget = sql(delete(claims).where(claims.c.scope == bindparam("of_scope"), *of_run))
        self._find_unfinished = statements.find_unfinished

    def first(self, cursor: Cursor, wanted: Sequence[DedupeKey], now: int) -> Admitted | None:
        """What those brought who took these claims; nothing if they are free. Those of an ended run brought nothing."""
        first: Admitted | None = None
        is_conflict = False
        for claim in wanted:
            row = self._row(cursor, claim, now)
            if row is None and claim.of and self._has_ended(cursor, claim.of):
                row = (None, claim.of, b"[]")
            if row is None:
                continue
            fingerprint, event, runs = row
            is_conflict |= None not in (fingerprint, claim.fingerprint) and fingerprint != claim.fingerprint
            first = Admitted(
                first.event if first else event, first.runs if first else _read_ids(runs), True, is_conflict
            )
        return first

    def is_taken(self, cursor: Cursor, claim: DedupeKey, now: int) -> bool:
        return self._row(cursor, claim, now) is not None

    def take(self, cursor: Cursor, claim: DedupeKey, event: str, runs: Sequence[str] = ()) -> None:
        row: Params = {
            "scope": claim.scope,
            "key": claim.key,
            "until": claim.until,
            "fingerprint": claim.fingerprint,
            "event": event,
            "runs": _encode(runs),
        }
        cursor.execute(self._take, row)

    def forget(self, cursor: Cursor, run: str) -> None:
        """The run has ended, and with it the claims of its steps."""
        for scope in STEP_SCOPES:
            cursor.execute(self._forget, {"of_scope": scope, "first": f"{run}:", "last": f"{run};"})

    def _row(self, cursor: Cursor, claim: DedupeKey, now: int) -> tuple[str | None, str, bytes] | None:
        cursor.execute(self._find, {"scope": claim.scope, "key": claim.key, "now": now})
        found: tuple[str | None, str, bytes] | None = cursor.fetchone()
        return found

    def _has_ended(self, cursor: Cursor, run: str) -> bool:
        cursor.execute(self._find_unfinished, {"run": run})
        return cursor.fetchone() is None


def _read_ids(data: bytes) -> tuple[str, ...]:
    """The runs that the first brought; none if that cannot be read, for a duplicate that got an error would come again
    and again."""
    try:
        return _decode_ids(data)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        return ()
