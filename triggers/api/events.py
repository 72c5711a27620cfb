"""The operation that takes an event for the pipelines that listen for it and the steps that wait for it."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.clock import new_id
from durable.engine import Engine
from durable.units import Event
from durable.values import Value
from triggers.api.idempotency import IdempotencyHeader, make_dedupe_key
from triggers.api.operation import ApiRequest, Body, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.value_types import Traceparent
from triggers.documents.starts import EmittedDocument, suggest_retry

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


class EventOperations:
    """Takes events in."""

    def __init__(self, engine: Engine, now: Callable[[], int]) -> None:
        self._engine = engine
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        answers = {200: EmittedDocument, 202: EmittedDocument}
        return [Operation("POST", "/events", self.emit_event, "start", EmitParameters, NewEvent, answers)]

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
