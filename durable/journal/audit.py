"""The audit log: one row for each action of a person or a program."""

from typing import Any, TypedDict, Unpack

from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, select, update

from durable.audit import AuditOutcome, AuditRecord, AuditVia
from durable.ids import first_id
from durable.journal.dialect import SQL, Cursor
from durable.journal.feed import Feed
from durable.journal.tables import audit_log

PREFIX = "aud"
"""The kind of the ids of rows."""


class AuditFilter(TypedDict, total=False):
    """Which rows: those that have these values, and are from these times (ms). `after`: the last row of the previous
    page."""

    by: str | None
    action: str | None
    target: str | None
    via: AuditVia | None
    outcome: AuditOutcome | None
    since: int | None
    until: int | None
    after: str | None


class AuditWrites:
    """Writes the audit log, for units."""

    def __init__(self, sql: SQL, feed: Feed) -> None:
        self._feed = feed
        self._add_sql = sql.compile(sql.insert(audit_log))
        self._end_sql = sql.compile(
            update(audit_log)
            .where(audit_log.c.id == bindparam("record"))
            .values(outcome=bindparam("result"), status=bindparam("code"), target=bindparam("of"))
        )

    def add(self, cursor: Cursor, record: AuditRecord) -> None:
        cursor.execute(self._add_sql, asdict(record))
        self._feed.note("audit", record.id)

    def end(self, cursor: Cursor, record: AuditRecord) -> None:
        """Record the result of an action."""
        row = {"record": record.id, "result": record.outcome, "code": record.status, "of": record.target}
        cursor.execute(self._end_sql, row)
        self._feed.note("audit", record.id)


def list_audit_records(connection: Connection, limit: int, **wanted: Unpack[AuditFilter]) -> list[AuditRecord]:
    """Return rows of the audit log, the newest first."""
    id = audit_log.c.id
    values: dict[str, Any] = dict(wanted)
    equal = (audit_log.c.by, audit_log.c.action, audit_log.c.target, audit_log.c.via, audit_log.c.outcome)
    query = select(audit_log).where(*(each == value for each in equal if (value := values.get(each.name)) is not None))
    if (since := wanted.get("since")) is not None:
        query = query.where(id >= first_id(PREFIX, since))
    if (until := wanted.get("until")) is not None:
        query = query.where(id < first_id(PREFIX, until))
    if (after := wanted.get("after")) is not None:
        query = query.where(id < after)
    return [AuditRecord(**row._mapping) for row in connection.execute(query.order_by(id.desc()).limit(limit))]
