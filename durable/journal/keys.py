"""API keys. The journal stores only a hash of each key."""

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, select, update

from durable.journal.dialect import SQL, Cursor
from durable.journal.sessions import SessionWrites
from durable.journal.tables import api_keys
from durable.units import ApiKey


class ApiKeyWrites:
    """Writes API keys, for units."""

    def __init__(self, sql: SQL, sessions: SessionWrites) -> None:
        self._sessions = sessions
        self._add_sql = sql.compile(sql.insert(api_keys))
        self._revoke_sql = sql.compile(
            update(api_keys)
            .where(api_keys.c.id == bindparam("key"), api_keys.c.revoked_at.is_(None))
            .values(revoked_at=bindparam("at"))
        )
        self._keep_use_sql = sql.compile(
            update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=bindparam("at"))
        )

    def add(self, cursor: Cursor, key: ApiKey) -> None:
        cursor.execute(self._add_sql, asdict(key))

    def revoke(self, cursor: Cursor, id: str, at: int) -> bool:
        """Revoke a key, and end its sessions; False if it does not exist or is already revoked."""
        cursor.execute(self._revoke_sql, {"key": id, "at": at})
        is_revoked = cursor.rowcount == 1
        self._sessions.end_of_key(cursor, id, at)
        return is_revoked

    def keep_use(self, cursor: Cursor, id: str, at: int) -> None:
        """Record the last use of a key."""
        cursor.execute(self._keep_use_sql, {"key": id, "at": at})


def list_keys(connection: Connection) -> list[ApiKey]:
    """Return all API keys, including revoked ones, oldest first."""
    return [ApiKey(**row._mapping) for row in connection.execute(select(api_keys).order_by(api_keys.c.id))]
