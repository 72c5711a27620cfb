"""A delivery in progress: one request on a webhook, from its arrival to its record in the journal."""

import hashlib
from collections.abc import Mapping

import msgspec

from durable.units import Delivery, DeliveryOutcome
from durable.values import JSON
from triggers.trigger import build_trigger_document
from triggers.webhooks.request import WebhookRequest, read_headers
from triggers.webhooks.request_keeper import RequestKeeper
from triggers.webhooks.route import read_parameters
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.verifier import Verified

PATH_LIMIT = 500
"""The characters of a request's path that lists show."""


class PendingDelivery(msgspec.Struct, frozen=True):
    """A request, the webhook that it is for, and when it arrived (ms). `parameters` are the parts of the path that the
    route names, undecoded."""

    id: str
    hook: WebhookTrigger
    parameters: Mapping[str, str]
    request: WebhookRequest
    at: int

    def build_document(self, verified: Verified) -> dict[str, JSON]:
        """The `trigger` document that expressions read; raises `BadRequest`."""
        request, hook = self.request, self.hook
        body, _ = request.read_body()
        return build_trigger_document(
            verified.key or self.id,
            hook.name,
            self.at,
            type=verified.type,
            method=request.method,
            path=dict(read_parameters(self.parameters, hook.charset)) if self.parameters else {},
            query=request.read_query(),
            headers=read_headers(request.headers, hook.credentials),
            body=body,
        )

    def make_record(self, keeper: RequestKeeper, outcome: DeliveryOutcome, reason: str | None = None) -> Delivery:
        """The delivery as the journal keeps it."""
        request = self.request
        head, body = keeper.keep(request, self.hook, self.parameters, outcome)
        return Delivery(
            id=self.id,
            trigger=self.hook.name,
            path=request.path[:PATH_LIMIT],
            method=request.method,
            at=self.at,
            outcome=outcome,
            reason=reason,
            body_hash=hashlib.sha256(request.body).hexdigest(),
            size=len(request.body),
            kept=len(head or b"") + len(body or b""),
            head=head,
            body=body,
        )
