"""Operations on events: send one to the pipelines that listen for it and the steps that wait for it, list and read."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeAlias

import msgspec
from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.clock import new_id
from durable.engine import Engine
from durable.ids import first_id
from durable.journal.events import list_events
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.links import hide_links
from durable.redactor import Redactor, run_slices
from durable.units import Event
from durable.values import JSON, Value, decode
from triggers.api.idempotency import IdempotencyHeader, make_dedupe_key
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.value_types import EventId, Limit, PastMoment, Traceparent
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.events import EventDocument, EventLineDocument, EventsDocument
from triggers.documents.fields import redact_document
from triggers.documents.starts import EmittedDocument, suggest_retry
from triggers.not_found import EventNotFound
from triggers.runs.rows import explain_nothing, list_run_lines
from triggers.webhooks.details import redact_delivery

SOURCE = "api"
"""The source of an event that names none."""

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class EmitParameters(Parameters):
    idempotency_key: IdempotencyHeader = Field(
        None, description="The same key of the same source is the same event, for seven days"
    )
    traceparent: Traceparent = None


class NewEvent(Body):
    """An event that happened."""

    type: Name = Field(description="What happened, as pipelines and waits name it")
    subject: Name | None = Field(None, description="What it happened to: the correlation key that a wait matches")
    source: Name = Field(SOURCE, description="Where it happened")
    data: Any = Field(None, description="What is known of it")


class ManyEvents(Parameters):
    type: str | None = Field(None, description="Only events of this type")
    source: str | None = Field(None, description="Only events of this source: a trigger, or a name")
    subject: str | None = Field(None, description="Only events with this subject")
    since: PastMoment | None = Field(None, alias="from", description="Only events received then or later")
    until: PastMoment | None = Field(None, alias="to", description="Only events received before")
    after: EventId | None = Field(None, description="Continue after this event: the `after` of the previous page")
    limit: Limit = Field(50, description="The maximum number")


class OneEvent(Parameters):
    event: str = Field(description="The event's id")


SHOWN_BYTES = 64 * 1024
"""The size of an event's data from which a document does not include them."""

RUNS_SHOWN = 50
DELIVERIES_SHOWN = 20


class EventOperations:
    """Takes events in, lists and reads them."""

    def __init__(self, engine: Engine, journal: Journal, redactor: Redactor, now: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._redactor = redactor
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        answers = {200: EmittedDocument, 202: EmittedDocument}
        return [
            Operation(
                *("POST", "/events", self.emit_event, "start", EmitParameters, NewEvent, answers), is_recorded=True
            ),
            Operation("GET", "/events", self.list_events, "read", ManyEvents, Nothing, {200: EventsDocument}),
            Operation("GET", "/events/{event}", self.get_event, "read", OneEvent, Nothing, {200: EventDocument}),
        ]

    async def list_events(self, asked: ApiRequest[ManyEvents, Nothing]) -> Response:
        """List events, the newest first."""
        wanted = asked.parameters
        found = await self._journal.read(
            list_events,
            type=wanted.type,
            source=wanted.source,
            subject=wanted.subject,
            since=first_id("evt", wanted.since) if wanted.since is not None else None,
            before=first_id("evt", wanted.until) if wanted.until is not None else None,
            after=wanted.after,
            limit=wanted.limit,
        )
        lines = [EventLineDocument.of(each) for each in found]
        document = EventsDocument(lines, found[-1].id if len(found) == wanted.limit else None)
        redact = partial(self._redact, may_answer=asked.may_answer)
        return respond(await asyncio.to_thread(redact_document, document, redact))

    async def get_event(self, asked: ApiRequest[OneEvent, Nothing]) -> Response:
        """Return one event: its data, the requests that brought it, and the runs that it started."""
        id, may_answer = asked.parameters.event, asked.may_answer
        event = await self._journal.find_event(id)
        if event is None:
            raise EventNotFound(id)
        started = await self._journal.list_runs(event=id, limit=RUNS_SHOWN)
        lines = await list_run_lines(
            self._journal, started, self._now(), may_answer=may_answer, explain=explain_nothing
        )
        brought = await self._journal.list_deliveries(event=id, limit=DELIVERIES_SHOWN)

        def describe(scan: Scan) -> EventDocument:
            text = bytes(scan.load_value(event.data).data)
            shown = decode(text) if len(text) <= SHOWN_BYTES else None
            redacted = run_slices(self._redactor.redact_in_slices(shown), scan.rest)
            line = redact_document(EventLineDocument.of(event), partial(self._redact, may_answer=may_answer))
            requests = (DeliveryDocument.of(each) for each in brought)
            return EventDocument(
                **msgspec.structs.asdict(line),
                data=redacted if may_answer else hide_links(redacted),
                size=len(text),
                runs=lines,
                deliveries=[redact_delivery(each, self._redactor, scan, may_answer=may_answer) for each in requests],
            )

        return respond(await self._journal.scan(describe))

    def _redact(self, document: JSON, *, may_answer: bool) -> JSON:
        """What senders have written, without secrets, and without links to waits for those who may not answer."""
        redacted = self._redactor.redact(document)
        return redacted if may_answer else hide_links(redacted)

    async def emit_event(self, asked: ApiRequest[EmitParameters, NewEvent]) -> Response:
        """Send an event; answered once it is durable, with the runs that it started.

        It starts a run of each pipeline that listens for its type, and answers the steps that wait for it. 200 if an
        earlier request with the same `Idempotency-Key` brought it.
        """
        at, given, key = self._now(), asked.body, asked.parameters.idempotency_key
        event = Event(
            id=new_id("evt", at),
            source=given.source,
            key=key or new_id("key", at),
            type=given.type,
            time=at,
            subject=given.subject,
            data=Value.of(given.data),
        )
        dedupe_key = make_dedupe_key(f"events/{given.source}", key, given.model_dump(), at)
        keys, span = [dedupe_key] if dedupe_key else [], asked.parameters.traceparent
        admitted = await self._engine.emit(event, dedupe_keys=keys, traceparent=span)
        if admitted.is_conflict:
            raise ApiError(422, "this idempotency key was used for another event; use a new key for this one")
        emitted = EmittedDocument(
            admitted.event, list(admitted.runs), admitted.is_duplicate, suggest_retry(admitted.failed)
        )
        return respond(emitted, 200 if admitted.is_duplicate else 202)
