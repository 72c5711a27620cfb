"""Where traces are sent, by the settings and by the standard variables of OpenTelemetry."""

import logging
from collections.abc import Callable, Mapping
from typing import cast

from durable.action import Action
from durable.journal.journal import Journal
from durable.lazy import ExtraMissing, ensure_extra, load_module
from durable.secrets import Secrets
from triggers.instance import Instance
from triggers.settings import Settings, SettingsError
from triggers.traces.exporter import SpanSender, TraceExporter
from triggers.traces.reader import TraceReader

HEADERS = "OTEL_HEADERS"
"""The secret with the headers of requests to the receiver."""

EXTRA, LIBRARY = "otel", "opentelemetry.exporter.otlp.proto.http"

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"

log = logging.getLogger("waypost.traces")


def open_exporter(
    settings: Settings,
    instance: Instance,
    secrets: Secrets,
    journal: Journal,
    actions: Mapping[str, Action],
    now: Callable[[], int],
) -> TraceExporter | None:
    """Return what exports traces; None if they are not exported. Raises `SettingsError`."""
    sender = open_sender(settings, instance.environment, secrets)
    if sender is None:
        return None

    def is_immediate(use: str) -> bool:
        action = actions.get(use)
        return action is not None and action.is_immediate

    return TraceExporter(journal, TraceReader(journal, is_immediate), sender, now)


def open_sender(
    settings: Settings, environment: Mapping[str, str], secrets: Secrets, *, timeout: float | None = None
) -> SpanSender | None:
    """Return what sends spans; None if traces are not exported. `timeout`: in seconds, instead of the usual one.

    Raises `SettingsError` if the setting is used and the extra is not installed. The variables, which platforms set for
    all programs, are then ignored with a warning."""
    endpoint = settings.otel_endpoint
    if endpoint is None and not _names_receiver(environment):
        return None
    headers = secrets.get(HEADERS) if secrets.has(HEADERS) else None
    try:
        ensure_extra(LIBRARY, EXTRA)
    except ExtraMissing as missing:
        if endpoint is not None:
            raise SettingsError(f"otel_endpoint: {missing}") from None
        log.warning("traces are not exported, although OpenTelemetry's variables ask for it: %s", missing)
        return None
    module = load_module("triggers.traces.otlp", extra=EXTRA)
    return cast(SpanSender, module.OtlpSender(endpoint, headers, settings.otel_service_name, timeout))


def _names_receiver(environment: Mapping[str, str]) -> bool:
    """Whether the variables name a receiver that can be used."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in {"", "otlp"}:
        return False
    if not any(environment.get(name, "").strip() for name in _ENDPOINTS):
        return False
    protocol = next((found for name in _PROTOCOLS if (found := environment.get(name, "").strip())), _HTTP)
    if protocol != _HTTP:
        log.warning(
            "traces are not exported: OpenTelemetry's variables ask for %s, and only %s is known", protocol, _HTTP
        )
        return False
    return True
