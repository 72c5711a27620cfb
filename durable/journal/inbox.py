"""Inboxes: messages to runs. Any process may post a message; the run's owner adds it to the history."""

from sqlalchemy import Connection, Row, bindparam, delete, func, select

from durable.journal.dialect import SQL, Cursor
from durable.journal.errors import RunUnreadable
from durable.journal.feed import Feed
from durable.journal.payloads import DECODING_ERRORS, Payloads, PayloadWrites, decode_value, encode_value
from durable.journal.runs import RunWrites
from durable.journal.tables import inbox
from durable.units import Message
from durable.values import Value

_MESSAGES = select(inbox).order_by(inbox.c.id)
_MESSAGES_OF_RUN = _MESSAGES.where(inbox.c.run == bindparam("run"))


class InboxWrites:
    """Reads and writes inboxes, for units."""

    def __init__(self, sql: SQL, runs: RunWrites, payloads: PayloadWrites, feed: Feed) -> None:
        self._feed = feed
        self._runs = runs
        self._payloads = payloads
        of_run = inbox.c.run == bindparam("of")
        self.add_sql = sql.compile(sql.insert(inbox), columns=["run", "kind", "data", "at"])
        self._list_sql = sql.compile(
            select(inbox.c.id, inbox.c.data).where(of_run, inbox.c.kind == bindparam("of_kind")).order_by(inbox.c.id)
        )
        self._take_sql = sql.compile(delete(inbox).where(inbox.c.id == bindparam("message"), of_run))
        self._empty_sql = sql.compile(delete(inbox).where(of_run))

    def is_open(self, cursor: Cursor, run: str) -> bool:
        """Whether the run takes messages: it exists and has not ended."""
        return self._runs.is_unfinished(cursor, run)

    def post(self, cursor: Cursor, run: str, kind: str, data: Value, at: int) -> bool:
        """Post a message; False if the run does not exist or has ended."""
        if not self._runs.is_unfinished(cursor, run):
            return False
        large: Payloads = {}
        message = {"run": run, "kind": kind, "data": encode_value(data, large), "at": at}
        if large:
            self._payloads.add(cursor, run, large)
        cursor.execute(self.add_sql, message)
        self._feed.note("runs", run)
        return True

    def list_kind(self, cursor: Cursor, run: str, kind: str) -> list[tuple[int, bytes]]:
        """Return the ids and the data of a run's messages of one kind, in the order in which they were posted."""
        cursor.execute(self._list_sql, {"of": run, "of_kind": kind})
        return cursor.fetchall()

    def take(self, cursor: Cursor, run: str, message: int) -> None:
        cursor.execute(self._take_sql, {"message": message, "of": run})

    def empty(self, cursor: Cursor, run: str) -> None:
        cursor.execute(self._empty_sql, {"of": run})


# -- reads


def list_messages(connection: Connection, run: str | None = None) -> list[Message]:
    """Return the messages in the inbox of a run, or of all runs, in the order in which they were posted; raises
    `RunUnreadable`."""
    found = connection.execute(_MESSAGES) if run is None else connection.execute(_MESSAGES_OF_RUN, {"run": run})
    return [_decode_row(row) for row in found]


def list_message_kinds(connection: Connection, run: str) -> list[str]:
    """The kinds of the messages in a run's inbox."""
    return list(connection.scalars(select(inbox.c.kind).where(inbox.c.run == run).order_by(inbox.c.id)))


def list_runs_with_messages(connection: Connection, limit: int) -> list[str]:
    """Return runs with messages in their inboxes; those with the oldest message come first."""
    query = select(inbox.c.run).group_by(inbox.c.run).order_by(func.min(inbox.c.id)).limit(limit)
    return list(connection.scalars(query))


def _decode_row(row: Row[tuple[object, ...]]) -> Message:
    try:
        return Message(**{**row._mapping, "data": decode_value(row.data)})
    except DECODING_ERRORS as error:
        what = f"message {row.id} (`{row.kind}`) in its inbox is damaged ({error})"
        raise RunUnreadable(row.run, what) from error
