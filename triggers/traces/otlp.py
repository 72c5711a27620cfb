"""Sends spans by OTLP over HTTP. Needs the extra `otel`; imported only if traces are exported.

The exporter of the OpenTelemetry SDK encodes and sends. It reads the `OTEL_EXPORTER_OTLP_*` variables itself
(certificates, compression, timeout …).
"""

import logging
import os
from collections.abc import Mapping, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.re import parse_env_headers

from durable import __version__
from triggers.traces.exporter import Delivered
from triggers.traces.span import Span, SpanPlace

REFUSALS = frozenset({400, 413, 415, 422})
"""Statuses that the same spans would get again. Others may be mistakes of the receiver's settings, or pass."""

PATH = "/v1/traces"

_NANOSECONDS = 1_000_000
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "consumer": SpanKind.CONSUMER}
_SCOPE = InstrumentationScope("waypost", __version__)


class OtlpSender:
    """Sends spans to one receiver."""

    def __init__(
        self, endpoint: str | None, headers: str | None, service_name: str | None, timeout: float | None
    ) -> None:
        """`endpoint` is the base URL; without it, the variables name the receiver. `headers` are written as in
        `OTEL_EXPORTER_OTLP_HEADERS`."""
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # the caller logs what matters
        session = requests.Session()
        session.trust_env = False  # as for steps, no proxy is taken from the environment
        session.hooks["response"].append(self._note_status)
        self._status: int | None = None
        self._exporter = OTLPSpanExporter(
            endpoint=None if endpoint is None else f"{endpoint.removesuffix(PATH)}{PATH}",
            timeout=timeout,
            headers=None if headers is None else parse_env_headers(headers, liberal=True),
            session=session,
        )
        self.endpoint = endpoint or _find_endpoint(os.environ)
        self._resource = _make_resource(service_name, os.environ)

    def send(self, spans: Sequence[Span]) -> tuple[Delivered, str]:
        self._status = None
        result = self._exporter.export([self._encode(span) for span in spans])
        if result is SpanExportResult.SUCCESS:
            return "sent", ""
        if self._status is None:
            return "failed", "no answer"
        return "refused" if self._status in REFUSALS else "failed", f"it answers {self._status}"

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _note_status(self, response: requests.Response, *_: object, **__: object) -> None:
        self._status = response.status_code

    def _encode(self, span: Span) -> ReadableSpan:
        parent = SpanPlace(span.place.trace, span.parent) if span.parent else None
        return ReadableSpan(
            name=span.name,
            context=_make_context(span.place),
            parent=_make_context(parent) if parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(each.name, each.attributes, each.at * _NANOSECONDS) for each in span.events],
            links=[Link(_make_context(each)) for each in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start * _NANOSECONDS,
            end_time=span.end * _NANOSECONDS,
            instrumentation_scope=_SCOPE,
        )


def _make_context(place: SpanPlace) -> SpanContext:
    return SpanContext(int(place.trace, 16), int(place.span, 16), False, TraceFlags(TraceFlags.SAMPLED))


def _find_endpoint(environment: Mapping[str, str]) -> str:
    """Return the address that the variables name, for messages."""
    names = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    return next((found for name in names if (found := environment.get(name))), "http://localhost:4318")


def _make_resource(service_name: str | None, environment: Mapping[str, str]) -> Resource:
    """Return what identifies this service. The variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` apply where
    the settings say nothing."""
    own = {SERVICE_VERSION: __version__}
    is_named = "OTEL_SERVICE_NAME" in environment or SERVICE_NAME in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if service_name or not is_named:
        own[SERVICE_NAME] = service_name or "waypost"
    return Resource.create(own)
