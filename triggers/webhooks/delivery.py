"""A delivery in progress: one request on a webhook, from its arrival to its record in the journal."""

import hashlib
from collections.abc import Mapping

import msgspec

from durable.units import Delivery, DeliveryOutcome
from durable.values import JSON, Value
from triggers.trigger import build_trigger_document
from triggers.webhooks.request import WebhookRequest
from triggers.webhooks.route import read_parameters
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.verifier import Verified

PATH_LIMIT = 500
"""The characters of a request's path that the journal keeps."""


class PendingDelivery(msgspec.Struct, frozen=True):
    """A request, the webhook that it is for, and when it arrived (ms). `parameters` are the parts of the path that the
    route names, undecoded. `headers` exclude credentials; `withheld` has keyed hashes of those."""

    id: str
    hook: WebhookTrigger
    parameters: Mapping[str, str]
    request: WebhookRequest
    headers: dict[str, JSON]
    withheld: dict[str, JSON]
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
            headers=self.headers,
            body=body,
        )

    def make_record(self, outcome: DeliveryOutcome, reason: str | None = None) -> Delivery:
        """The delivery as the journal keeps it. A rejected one keeps no headers, since anybody may have sent them."""
        request = self.request
        is_known = outcome != "rejected"
        headers: dict[str, JSON] = {"headers": self.headers, "withheld": self.withheld} if is_known else {}
        return Delivery(
            id=self.id,
            trigger=self.hook.name,
            path=request.path[:PATH_LIMIT],
            method=request.method,
            at=self.at,
            outcome=outcome,
            reason=reason,
            headers=Value.from_json(msgspec.json.encode(headers)),  # Latin-1 is always JSON
            body_hash=hashlib.sha256(request.body).hexdigest(),
            size=len(request.body),
        )
