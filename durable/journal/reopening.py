"""Reopening: the unit that lets a failed run continue. Its row becomes unfinished, without an owner and due at once,
and its inbox gets the message that says so.

The run's epoch is incremented, so that the owner under which it ended can write no more.
"""

from sqlalchemy import ColumnElement, bindparam, literal_column, or_, update

from durable.journal.dedupe import DedupeKeys
from durable.journal.dialect import SQL, Cursor
from durable.journal.inbox import InboxWrites
from durable.journal.runs import RunWrites
from durable.journal.tables import runs
from durable.messages import RetryMessage, encode_message
from durable.units import CalledRetry, DedupeKey

_IS_RUN = runs.c.id == bindparam("run")
_HAS_FAILED = runs.c.status == literal_column("'failed'")
_WAS_CANCELLED = runs.c.status == literal_column("'cancelled'")


class ReopeningWrites:
    """Reopens runs, for units."""

    def __init__(self, sql: SQL, writes: RunWrites, inboxes: InboxWrites, keys: DedupeKeys) -> None:
        self._runs = writes
        self._inboxes = inboxes
        self._keys = keys

        def reopen(*conditions: ColumnElement[bool]) -> str:
            return sql.compile(
                update(runs)
                .where(_IS_RUN, runs.c.finished_at.is_not(None), *conditions)
                .values(
                    status=literal_column("'queued'"),
                    epoch=runs.c.epoch + literal_column("1"),
                    recoveries=literal_column("0"),
                    due_at=bindparam("now"),
                    **dict.fromkeys(("reason", "cause", "error_key", "node", "finished_at"), literal_column("NULL")),
                )
            )

        self._reopen_sql = reopen(_HAS_FAILED, runs.c.sequence == bindparam("after"))
        because = runs.c.reason == bindparam("because")
        self._reopen_called_sql = reopen(or_(_HAS_FAILED, _WAS_CANCELLED & because))

    def reopen(
        self, cursor: Cursor, run: str, after: int, message: RetryMessage, at: int, once: DedupeKey | None
    ) -> bool:
        """Reopen a failed run whose history ends with entry number `after`, and take the key `once`; False if there is
        none, since another request was first."""
        cursor.execute(self._reopen_sql, {"run": run, "after": after, "now": at})
        if cursor.rowcount != 1:
            return False
        if once is not None:
            self._keys.take(cursor, once, run)
        return self._inboxes.post(cursor, run, *encode_message(message), at)

    def reopen_called(self, cursor: Cursor, called: CalledRetry, at: int) -> bool:
        """Reopen a run that another has called, if it failed, or was cancelled because the calling step ended. If it
        never started, let it start. Returns whether it got a message."""
        if not called.is_detached:
            cursor.execute(self._reopen_called_sql, {"run": called.run, "because": called.cancelled_because, "now": at})
            if cursor.rowcount == 1:
                return self._inboxes.post(cursor, called.run, *encode_message(called.message), at)
        self._keys.free(cursor, called.dedupe_key)
        return False
