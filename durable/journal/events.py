"""Events, each written in the commit that accepts it."""

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


def find_event_key(connection: Connection, id: str) -> str | None:
    """Return the id that the event's source gave it."""
    return connection.scalar(select(events.c.key).where(events.c.id == id))
