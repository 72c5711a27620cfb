"""The operation that lists deliveries: the requests on webhooks with their outcomes."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.journal.journal import Journal
from durable.links import hide_links
from durable.units import DeliveryOutcome
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.value_types import DeliveryId, Limit
from triggers.documents.deliveries import DeliveriesDocument, DeliveryDocument
from triggers.documents.fields import redact_document


class ManyDeliveries(Parameters):
    trigger: str | None = Field(None, description="Only deliveries on this webhook, named `pipeline/trigger`")
    outcome: DeliveryOutcome | None = Field(None, description="Only deliveries with this outcome")
    after: DeliveryId | None = Field(None, description="Go on after this delivery: the `after` of the page before")
    limit: Limit = Field(50, description="How many at most")


class DeliveryOperations:
    """Lists deliveries."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                "GET", "/deliveries", self.list_deliveries, "read", ManyDeliveries, Nothing, {200: DeliveriesDocument}
            )
        ]

    async def list_deliveries(self, asked: ApiRequest[ManyDeliveries, Nothing]) -> Response:
        """List deliveries, the newest first."""
        wanted = asked.parameters
        found = await self._journal.list_deliveries(
            trigger=wanted.trigger, outcome=wanted.outcome, after=wanted.after, limit=wanted.limit
        )
        after = found[-1].id if len(found) == wanted.limit else None
        page = DeliveriesDocument([DeliveryDocument.of(each) for each in found], after)
        return respond(page if asked.may_answer else redact_document(page, hide_links))
