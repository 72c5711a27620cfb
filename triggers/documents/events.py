"""Events that were received."""

from typing import Annotated, Any, Self

from msgspec import Struct

from durable.units import Event
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.fields import PageCursor, Time, format_time, note
from triggers.documents.runs import RunLineDocument


class EventLineDocument(Struct, frozen=True):
    """An event in a list, with the attributes of CloudEvents. `key` is its `id` there, which its source chose."""

    id: str
    source: Annotated[str, note("The trigger that received it, or the source that was named with it")]
    key: Annotated[str, note("What distinguishes it from other events of its source")]
    type: Annotated[str | None, note("What happened, for events that were emitted; null for any other")]
    subject: str | None
    time: Time | None

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(event.id, event.source, event.key, event.type, event.subject, format_time(event.time))


class EventsDocument(Struct, frozen=True):
    """A page of events, the newest first."""

    events: list[EventLineDocument]
    after: PageCursor


class EventDocument(Struct, frozen=True):
    """One event: what it says, how it came, and the runs that it started. Secrets in it are replaced by `***`."""

    id: str
    source: str
    key: str
    type: str | None
    subject: str | None
    time: Time | None
    data: Annotated[Any, note("Null if it is too large to be shown here")]
    size: Annotated[int, note("The length of its data in bytes, as JSON")]
    runs: Annotated[list[RunLineDocument], note("The runs that it started, the newest first, fifty at most")]
    deliveries: Annotated[
        list[DeliveryDocument], note("The requests that brought it, duplicates included, twenty at most")
    ]
