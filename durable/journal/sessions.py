"""Sessions of people. The journal stores only a hash of the token in each cookie."""

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, delete, or_, select, update

from durable.journal.dialect import SQL, Cursor
from durable.journal.tables import sessions
from durable.sessions import Session


class SessionWrites:
    """Writes sessions, for units."""

    def __init__(self, sql: SQL) -> None:
        is_open = sessions.c.ended_at.is_(None)
        self._add_sql = sql.compile(sql.insert(sessions))
        self._keep_seen_sql = sql.compile(
            update(sessions).where(sessions.c.id == bindparam("session"), is_open).values(seen_at=bindparam("at"))
        )
        self._end_sql = sql.compile(
            update(sessions).where(sessions.c.id == bindparam("session"), is_open).values(ended_at=bindparam("at"))
        )
        self._end_of_key_sql = sql.compile(
            update(sessions).where(sessions.c.key == bindparam("of"), is_open).values(ended_at=bindparam("at"))
        )
        self._remove_sql = sql.compile(
            delete(sessions).where(
                or_(sessions.c.ended_at < bindparam("before"), sessions.c.expires_at < bindparam("before"))
            )
        )

    def add(self, cursor: Cursor, session: Session, before: int) -> None:
        """Store a session, and remove those that ended or expired before a time."""
        cursor.execute(self._remove_sql, {"before": before})
        cursor.execute(self._add_sql, asdict(session))

    def keep_seen(self, cursor: Cursor, id: str, at: int) -> None:
        """Record a person's last request."""
        cursor.execute(self._keep_seen_sql, {"session": id, "at": at})

    def end(self, cursor: Cursor, id: str, at: int) -> None:
        """End a session, unless it has ended."""
        cursor.execute(self._end_sql, {"session": id, "at": at})

    def end_of_key(self, cursor: Cursor, key: str, at: int) -> None:
        """End all sessions of a key."""
        cursor.execute(self._end_of_key_sql, {"of": key, "at": at})


def list_open_sessions(connection: Connection) -> list[Session]:
    """Return the sessions that have not ended, oldest first; they may have expired."""
    wanted = select(sessions).where(sessions.c.ended_at.is_(None)).order_by(sessions.c.id)
    return [Session(**row._mapping) for row in connection.execute(wanted)]
