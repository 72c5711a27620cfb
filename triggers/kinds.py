"""The list of the kinds of triggers. A new kind is one more line here."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from durable.trigger_inputs import TriggerInputs
from triggers.alerts.trigger import ALERTS
from triggers.events import EVENT
from triggers.schedules.trigger import SCHEDULE
from triggers.trigger import Kind
from triggers.webhooks.trigger import make_webhook_kind


@cache  # a model is made for the address, which takes some milliseconds
def list_kinds(public_url: str | None = None) -> Mapping[str, Kind[Any]]:
    """The kinds by their names. `public_url` is where the world reaches the service: some senders sign it."""
    return {kind.name: kind for kind in (make_webhook_kind(public_url), SCHEDULE, EVENT, *ALERTS)}


def list_models(public_url: str | None = None) -> dict[str, type[TriggerInputs]]:
    """The models of what triggers are given, by the names of their kinds."""
    return {name: kind.model for name, kind in list_kinds(public_url).items()}
