"""Deliveries over the API: what arrived on webhooks, and what became of it."""

from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from durable.journal.journal import Journal
from durable.links import hide_links
from durable.units import DeliveryOutcome
from triggers import runs
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters
from triggers.api.value_types import DeliveryId, Limit, Time


class ManyDeliveries(Parameters):
    trigger: str | None = Field(None, description="Only deliveries on this webhook, named `pipeline/trigger`")
    outcome: DeliveryOutcome | None = Field(None, description="Only deliveries with this outcome")
    after: DeliveryId | None = Field(None, description="Go on after this delivery: the `after` of the page before")
    limit: Limit = Field(50, description="How many at most")


class Delivery(BaseModel):
    """One request on a webhook."""

    id: str
    trigger: str
    method: str
    path: str
    at: Time
    outcome: DeliveryOutcome
    reason: str | None
    event: str | None = Field(description="The event that it brought; that of a duplicate is the first one's")
    size: int = Field(description="Bytes of its body")


class Deliveries(BaseModel):
    """A page of deliveries, the newest first."""

    deliveries: list[Delivery]
    after: str | None = Field(description="What to ask the next page with; null if this is the last")


class DeliveryOperations:
    """Answers what is asked of deliveries."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/deliveries", self.list_deliveries, "read", ManyDeliveries, Nothing, {200: Deliveries})
        ]

    async def list_deliveries(self, asked: ApiRequest[ManyDeliveries, Nothing]) -> Response:
        """List deliveries, the newest first."""
        wanted = asked.parameters
        found = await self._journal.list_deliveries(
            trigger=wanted.trigger, outcome=wanted.outcome, after=wanted.after, limit=wanted.limit
        )
        after = found[-1].id if len(found) == wanted.limit else None
        told = [runs.describe_delivery(each) for each in found]
        return JSONResponse({"deliveries": told if asked.may_answer else hide_links(told), "after": after})
