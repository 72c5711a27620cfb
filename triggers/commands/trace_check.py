"""The check of `waypost doctor` whether the receiver of traces takes them."""

from collections.abc import Iterator

from triggers.commands.checks import Check
from triggers.instance import Instance
from triggers.reading.stored_secrets import load_secrets
from triggers.settings import Settings, SettingsError
from triggers.traces.destination import HEADERS, open_sender

TRACES = "traces"
TIMEOUT = 3.0
"""Seconds that the receiver has to answer."""


def check_receiver(settings: Settings, instance: Instance) -> Iterator[Check]:
    """Send no spans to the receiver of traces, if one is set."""
    try:
        sender = open_sender(settings, instance.environment, load_secrets(instance), timeout=TIMEOUT)
    except SettingsError as missing:
        yield Check(TRACES, "wrong", str(missing), "install it where the service starts, or remove the setting")
        return
    if sender is None:
        return
    delivered, why = sender.send([])
    sender.close()
    if delivered == "sent":
        yield Check(TRACES, "ok", f"{sender.endpoint} takes them")
        return
    cure = f"start it, or correct otel_endpoint and the secret {HEADERS}; until then, traces wait in the journal"
    yield Check(TRACES, "warning", f"{sender.endpoint}: {why}", cure)
