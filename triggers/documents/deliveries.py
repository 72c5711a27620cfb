"""Requests to webhooks."""

from typing import Annotated, Self

from msgspec import Struct

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
    event: Annotated[str | None, note("The event that it brought; that of a duplicate is the first one's")]
    size: Annotated[int, note("Bytes of its body")]

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


class DeliveriesDocument(Struct, frozen=True):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryDocument]
    after: PageCursor
