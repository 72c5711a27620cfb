"""Requests to webhooks."""

from typing import Annotated, Any, Self

from msgspec import Struct

from durable.history.words import RunStatus
from durable.units import Delivery, DeliveryOutcome
from triggers.documents.fields import PageCursor, Time, format_time, note


class DeliveryDocument(Struct, frozen=True):
    """One request on a webhook."""

    id: str
    trigger: str
    method: str
    path: str
    at: Time | None
    outcome: DeliveryOutcome
    reason: str | None
    event: Annotated[str | None, note("Its event; for a duplicate, the event of the first delivery")]
    size: Annotated[int, note("The size of its body in bytes")]

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.id,
            trigger=delivery.trigger,
            method=delivery.method,
            path=delivery.path,
            at=format_time(delivery.at),
            outcome=delivery.outcome,
            reason=delivery.reason,
            event=delivery.event,
            size=delivery.size,
        )


class DeliveryHeaderDocument(Struct, frozen=True):
    """A header of a request. A credential has a hash instead of a value: equal ones have the same hash."""

    name: str
    value: str | None
    hash: str | None


class DeliveryRunDocument(Struct, frozen=True):
    """A run that a delivery started."""

    id: str
    pipeline: str
    status: RunStatus


class DeliveryDetailsDocument(DeliveryDocument, frozen=True):
    """One request on a webhook in full. Secrets in it are replaced by `***`."""

    query: str
    headers: Annotated[list[DeliveryHeaderDocument], note("In the order of the request")]
    body: Annotated[Any, note("Its JSON, or its text; null if it is a file, too large to be shown here, or not kept")]
    body_hash: Annotated[str | None, note("The SHA-256 of its bytes, in hex")]
    kept: Annotated[bool, note("Whether the whole request is kept, so that it can be replayed")]
    absence: Annotated[str | None, note("Why the request, or its body, is not kept")]
    runs: Annotated[list[DeliveryRunDocument], note("The runs of its event, twenty at most")]
    replays: Annotated[list[DeliveryRunDocument], note("The runs of its replays, the newest first, twenty at most")]


class DeliveriesDocument(Struct, frozen=True):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryDocument]
    after: PageCursor
