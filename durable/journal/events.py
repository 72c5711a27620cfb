"""Events, each written in the commit that accepts it."""

from typing import TypedDict, Unpack

from sqlalchemy import Connection, select

from durable.journal.dialect import SQL, Params
from durable.journal.errors import RunUnreadable
from durable.journal.payloads import DECODING_ERRORS, Payloads, decode_value, encode_value
from durable.journal.tables import events
from durable.units import Event


class EventWrites:
    """Writes events, for units."""

    def __init__(self, sql: SQL) -> None:
        self.add_sql = sql.compile(sql.insert(events))


def encode_event(event: Event, large: Payloads) -> Params:
    """Encode an event as a row."""
    return {
        "id": event.id,
        "source": event.source,
        "key": event.key,
        "type": event.type,
        "time": event.time,
        "subject": event.subject,
        "data": encode_value(event.data, large),
    }


def find_event(connection: Connection, id: str) -> Event | None:
    """Return an event; raises `RunUnreadable` if its data are damaged."""
    row = connection.execute(select(events).where(events.c.id == id)).first()
    try:
        return Event(**{**row._mapping, "data": decode_value(row.data)}) if row else None
    except DECODING_ERRORS as error:
        raise RunUnreadable("", f"the event {id} is damaged ({error})") from error


class EventFilter(TypedDict, total=False):
    """Selects events to list: those with ids of at least `since` and less than `before` and `after`, at most
    `limit`."""

    type: str | None
    source: str | None
    subject: str | None
    since: str | None
    before: str | None
    after: str | None
    limit: int


def list_events(connection: Connection, **wanted: Unpack[EventFilter]) -> list[Event]:
    """Return events, newest first, without their data. Only the type is indexed; the others filter what it selects."""
    id, values = events.c.id, dict(wanted)
    query = select(*(column for column in events.c if column.name != "data"))
    for column in (events.c.type, events.c.source, events.c.subject):
        if (value := values.get(column.name)) is not None:
            query = query.where(column == value)
    if (since := wanted.get("since")) is not None:
        query = query.where(id >= since)
    for bound in (wanted.get("before"), wanted.get("after")):
        if bound is not None:
            query = query.where(id < bound)
    rows = connection.execute(query.order_by(id.desc()).limit(wanted.get("limit", 50)))
    return [Event(**row._mapping) for row in rows]


def find_event_key(connection: Connection, id: str) -> str | None:
    """Return the id that the event's source gave it."""
    return connection.scalar(select(events.c.key).where(events.c.id == id))
