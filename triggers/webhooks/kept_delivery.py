"""A delivery that was kept, as the request that it was: to be shown, and to be taken in again.

RequestNotKept       the journal does not have the whole request; the message says why, and names the setting
"""

import msgspec

from durable.units import Delivery
from durable.values import JSON
from triggers.not_found import RequestNotKept
from triggers.webhooks.delivery import PendingDelivery
from triggers.webhooks.kept_request import RequestHead, restore_credential, restore_request
from triggers.webhooks.request import WebhookRequest
from triggers.webhooks.route import PREFIX, read_path
from triggers.webhooks.trigger import WebhookTrigger


class KeptDelivery(msgspec.Struct, frozen=True):
    """A delivery and its whole request. `head` has the hashes of the credentials that the request lacks."""

    row: Delivery
    head: RequestHead
    request: WebhookRequest

    @classmethod
    def of(cls, delivery: Delivery) -> "KeptDelivery":
        """Restore the request of a delivery; raises `RequestNotKept`."""
        head = read_head(delivery)
        if head is None or delivery.body is None:
            raise RequestNotKept(explain_absence(delivery))
        return cls(delivery, head, restore_request(delivery.method, head, delivery.body))

    def renew(self, hook: WebhookTrigger) -> PendingDelivery:
        """The delivery as if a webhook received it."""
        sent = self.request
        request = WebhookRequest(sent.method, sent.path, sent.query_string, sent.headers, sent.body, hook.charset)
        path = read_path(self.head.path)
        match = None if path is None else hook.pattern.fullmatch(path.removeprefix(PREFIX))
        parameters = match.groupdict() if match else self.head.parameters
        return PendingDelivery(self.row.id, hook, parameters, request, self.row.at)

    def restore_token(self, hook: WebhookTrigger, secrets: list[str], key: bytes) -> WebhookRequest:
        """The request with the token that was sent, if it is one of these secrets."""
        return restore_credential(self.request, self.head, hook.verifier.scheme, secrets, key)


def rebuild_document(delivery: Delivery, hook: WebhookTrigger) -> dict[str, JSON]:
    """The `trigger` document of a delivery, as a webhook makes it today: the id, type and time are those of its
    receipt. The request is not verified again. Raises `RequestNotKept` and `BadRequest`."""
    pending = KeptDelivery.of(delivery).renew(hook)
    return pending.build_document(hook.verifier.read_identity(pending.request))


def read_head(delivery: Delivery) -> RequestHead | None:
    """The head of a delivery's request; None if it is not kept, or damaged."""
    try:
        return RequestHead.decode(delivery.head) if delivery.kept and delivery.head else None
    except (msgspec.MsgspecError, TypeError):
        return None


def explain_absence(delivery: Delivery) -> str:
    """Why the whole request of a delivery is not there, and which setting decides that."""
    what = f"the request of delivery {delivery.id}"
    if not delivery.kept:
        setting = "max_rejected_bytes" if delivery.outcome == "rejected" else "max_deliveries_bytes"
        return f"{what} is not kept: the setting `{setting}` limits what is kept, and the oldest are dropped first"
    head = read_head(delivery)
    if head is None:
        return f"{what} is damaged"
    if delivery.outcome == "rejected" and any(
        each.name == "content-type" and (each.value or "").lower().startswith("multipart/") for each in head.headers
    ):
        return f"the body of delivery {delivery.id} is not kept: files are kept only for verified requests"
    size = f"its request ({delivery.size:,} bytes) exceeds the setting `max_delivery_bytes`"
    return f"the body of delivery {delivery.id} is not kept: {size}"
