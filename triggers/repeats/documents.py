"""The `trigger` document of an event that is in the journal, as a trigger makes it today."""

from durable.journal.deliveries import find_delivery_of
from durable.journal.journal import Journal
from durable.units import Event
from durable.values import JSON
from triggers.http.body import BadRequest
from triggers.not_found import RequestNotKept
from triggers.trigger import Trigger
from triggers.webhooks.kept_delivery import rebuild_document
from triggers.webhooks.trigger import WebhookTrigger


async def load_document(journal: Journal, trigger: Trigger, event: Event) -> JSON:
    """The document; None if what arrived was not kept, or is nothing that this trigger takes."""
    if not isinstance(trigger, WebhookTrigger):
        return trigger.rebuild_document(event)
    delivery = await journal.read(find_delivery_of, event.id)
    try:
        return rebuild_document(delivery, trigger) if delivery else None
    except (RequestNotKept, BadRequest):
        return None
