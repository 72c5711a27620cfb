"""Events: the facts that arrived, each written in the commit that accepts it."""

from sqlalchemy import Connection, select

from durable.journal.dialect import SQL, Params
from durable.journal.errors import RunUnreadable
from durable.journal.payloads import DECODING_ERRORS, Payloads, decode_value, encode_value
from durable.journal.tables import events
from durable.units import Event


class EventWrites:
    """What units write of events."""

    def __init__(self, sql: SQL) -> None:
        self.add_sql = sql.compile(sql.insert(events))


def encode_event(event: Event, large: Payloads) -> Params:
    """An event's row."""
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
    """Raises `RunUnreadable` if its data are damaged."""
    row = connection.execute(select(events).where(events.c.id == id)).first()
    try:
        return Event(**{**row._mapping, "data": decode_value(row.data)}) if row else None
    except DECODING_ERRORS as error:
        raise RunUnreadable("", f"the event {id} is damaged ({error})") from error


def find_event_key(connection: Connection, id: str) -> str | None:
    """The id under which the event's source knows it."""
    return connection.scalar(select(events.c.key).where(events.c.id == id))
