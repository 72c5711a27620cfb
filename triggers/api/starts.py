"""Starting runs over the API, one or many. Each is an admission of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, get_args

import msgspec
from pydantic import Field, SkipValidation
from starlette.responses import Response

from durable.clock import new_id
from durable.definition import Definition, InputsRefused
from durable.durations import Milliseconds, parse_duration
from durable.engine import Engine, Start
from durable.history.words import EndStatus, RunStatus
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.units import Admitted, Event
from durable.wording import quote
from triggers.api.idempotency import IdempotencyHeader, IdempotencyKey, make_dedupe_key
from triggers.api.operation import Answer, ApiRequest, Body, Operation, Parameters, respond
from triggers.api.problem import ApiError, make_api_error
from triggers.api.request import read_body_of
from triggers.api.value_types import Moment, Tag, Traceparent, WaitDuration
from triggers.config.folder import Folder
from triggers.documents.starts import (
    BatchAnswerDocument,
    BatchAnswersDocument,
    EndedDocument,
    StartedDocument,
    suggest_retry,
)
from triggers.documents.streams import See, TokenScopeDocument
from triggers.problem_details import Mistake
from triggers.realtime.realtime import Realtime
from triggers.realtime.tokens import DEFAULT_LIFETIME, LIFETIME_LIMIT
from triggers.runs.run import encode_ended_run
from triggers.trigger import build_trigger_document

FARTHEST = parse_duration("3650d")
"""How far ahead (ms) a run can begin."""

BATCH_LIMIT = 1_000
"""The runs that one request can start."""

KEY_DESCRIPTION = "The same key with the same inputs is the same run, for seven days"

# -- what is asked ----------------------------------------------------------------------------------------------


class OnePipeline(Parameters):
    pipeline: str = Field(description="The pipeline's id")


class TracedPipeline(OnePipeline):
    traceparent: Traceparent = None


class StartParameters(TracedPipeline):
    idempotency_key: IdempotencyHeader = Field(None, description=KEY_DESCRIPTION)


class RunToken(Body):
    """A token to make for a run that is started."""

    lifetime: Milliseconds = Field(
        DEFAULT_LIFETIME, alias="for", gt=0, le=LIFETIME_LIMIT, description="How long it is valid, 24h at most"
    )
    see: See = Field("status", description="What it shows: see the streams")


class StartBody(Body):
    """A run to start."""

    inputs: dict[str, Any] = Field(default_factory=dict, description="The pipeline's inputs by name")
    delay: Milliseconds | None = Field(None, description="How long from now it begins")
    at: Moment | None = Field(None, description="When it begins, instead of `delay`")
    expires_in: Milliseconds | None = Field(
        None, description="A run that has not begun so long from now ends as cancelled, with the reason `expired`"
    )
    tags: list[Tag] = Field(default_factory=list, max_length=16, description="Words to find it by")
    priority: int = Field(0, ge=-100, le=100, description="Where attempts wait for a permit, the higher goes first")
    wait_for: WaitDuration | None = Field(
        None, description="Answer when it has ended, or after so long (60s at most) as without it"
    )
    token: RunToken | None = Field(None, description="Make a token that permits to follow the run")


class BatchItem(StartBody):
    """A run to start, among others."""

    idempotency_key: IdempotencyKey | None = Field(None, description=KEY_DESCRIPTION)


class Batch(Body):
    """Runs to start; each is taken or refused by itself."""

    runs: list[SkipValidation[BatchItem]] = Field(
        min_length=1, max_length=BATCH_LIMIT, description="Each is read by itself, and so is still plain JSON here"
    )


SKIPPED = "The pipeline's concurrency allows no more runs now, and skips what is above its limit"

StartAnswer: TypeAlias = tuple[int, StartedDocument | msgspec.Raw]
"""A status of HTTP, and the document of the run or, if it has ended, its encoded text."""

# -- what answers -----------------------------------------------------------------------------------------------


class StartOperations:
    """Starts runs of the pipelines that are served."""

    def __init__(
        self, engine: Engine, journal: Journal, folder: Folder, realtime: Realtime, now: Callable[[], int]
    ) -> None:
        self._realtime = realtime
        self._engine = engine
        self._journal = journal
        self._folder = folder
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        path, many = "/pipelines/{pipeline}/runs", "/pipelines/{pipeline}/runs/batch"
        started: dict[int, Answer] = {200: (StartedDocument, EndedDocument), 202: StartedDocument}
        return [
            Operation(
                *("POST", path, self.start_run, "start", StartParameters, StartBody, started),
                problems={409: SKIPPED},
                is_recorded=True,
            ),
            Operation(
                *("POST", many, self.start_runs, "start", TracedPipeline, Batch, {200: BatchAnswersDocument}),
                is_recorded=True,
            ),
        ]

    async def start_run(self, asked: ApiRequest[StartParameters, StartBody]) -> Response:
        """Start a run; answered once it is durable.

        202 with the id and the status of a new run; 200 if an earlier request with the same `Idempotency-Key` started
        it. With `wait_for` 200 and the whole run, if it ended in time.
        """
        definition = self._find_definition(asked.parameters.pipeline)
        given, parameters = asked.body, asked.parameters
        admitted = await self._admit(definition, given, parameters.idempotency_key, asked)
        [(status, body)] = await self._answer_all([(given, admitted)], asked.by.key)
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    async def start_runs(self, asked: ApiRequest[TracedPipeline, Batch]) -> Response:
        """Start up to 1,000 runs; answered once all of them are durable or refused.

        Each is an admission of its own: what is wrong with one does not touch the others.
        """
        definition = self._find_definition(asked.parameters.pipeline)
        outcomes = await asyncio.gather(*(self._take_item(definition, item, asked) for item in asked.body.runs))
        taken = [outcome for outcome in outcomes if not isinstance(outcome, ApiError)]
        answers = iter(await self._answer_all(taken, asked.by.key))
        return respond(BatchAnswersDocument([_build_batch_answer(outcome, answers) for outcome in outcomes]))

    async def _take_item(
        self, definition: Definition, item: object, asked: ApiRequest[TracedPipeline, Batch]
    ) -> "tuple[StartBody, Admitted] | ApiError":
        """Admit an item, or return why that fails."""
        try:
            given = read_body_of(BatchItem, item)
            return given, await self._admit(definition, given, given.idempotency_key, asked)
        except Exception as error:  # noqa: BLE001  # what is wrong with one item does not touch the others
            return make_api_error(error)

    async def _admit(
        self, definition: Definition, given: StartBody, key: str | None, asked: ApiRequest[Any, Any]
    ) -> Admitted:
        """Admit a run."""
        at, name = self._now(), definition.id
        start = _build_start(definition, given, at)
        event = Event(id=new_id("evt", at), source=f"api/{name}", key=key or new_id("key", at), type=None, time=at)
        document = build_trigger_document(event.key, event.source, event.time)
        start = replace(start, arrival=document, traceparent=asked.parameters.traceparent, by=asked.by.name)
        dedupe_key = make_dedupe_key(f"api/{name}", key, start.inputs, at)
        admitted = await self._engine.admit(event, [start], dedupe_keys=[dedupe_key] if dedupe_key else [])
        if admitted.is_conflict:
            raise ApiError(422, "this idempotency key was used with other inputs; use a new key for another run")
        if not admitted.runs:
            raise ApiError(409, "the concurrency limit of the pipeline is reached, and further runs are skipped")
        return admitted

    async def _answer_all(self, taken: Sequence[tuple[StartBody, Admitted]], key: str) -> list[StartAnswer]:
        """The answers for runs. Those that ask for it wait until the run has ended. `key` signs the tokens."""
        waits = [(admitted.runs[0], given.wait_for) for given, admitted in taken if given.wait_for]
        await asyncio.gather(*(self._engine.wait_for_end(run, wait / 1000) for run, wait in waits))
        statuses = await self._journal.find_statuses([admitted.runs[0] for _, admitted in taken])
        return [await self._answer(given, admitted, statuses.get(admitted.runs[0]), key) for given, admitted in taken]

    async def _answer(self, given: StartBody, admitted: Admitted, status: RunStatus | None, key: str) -> StartAnswer:
        run, is_duplicate = admitted.runs[0], admitted.is_duplicate
        if given.wait_for and status in get_args(EndStatus):
            with contextlib.suppress(JournalError):  # the run has begun, whether or not it can be read now
                return 200, msgspec.Raw(await encode_ended_run(self._journal, run, is_duplicate=is_duplicate))
        document = StartedDocument(run, status, is_duplicate, suggest_retry(admitted.failed))
        if wanted := given.token:
            token = self._realtime.make_token(key, TokenScopeDocument(runs=[run]), wanted.see, wanted.lifetime)
            document = msgspec.structs.replace(document, token=token)
        return 200 if is_duplicate else 202, document

    def _find_definition(self, pipeline: str) -> Definition:
        definition = self._folder.definition(pipeline)
        if definition is None:
            raise ApiError(404, f"there is no pipeline {quote(pipeline)} that can run; GET /api/pipelines lists them")
        return definition


def _build_start(definition: Definition, given: StartBody, at: int) -> Start:
    """The run to start; raises `ApiError` if the request is invalid."""
    if given.delay is not None and given.at is not None:
        raise ApiError.invalid([Mistake(name="at", detail="it excludes `delay`; leave one of them out")])
    begins = given.at if given.at is not None else at + (given.delay or 0)
    if begins > at + FARTHEST:
        raise ApiError.invalid([Mistake(name="at", detail="it is more than ten years away")])
    try:
        inputs = definition.accept(given.inputs)
    except InputsRefused as refused:
        raise ApiError(422, str(refused), mistakes=[_make_mistake(each) for each in refused.problems]) from None
    return Start(
        definition,
        "api",
        inputs,
        not_before=begins if begins > at else None,
        expires_at=None if given.expires_in is None else at + given.expires_in,
        tags=tuple(sorted(set(given.tags))),
        priority=given.priority,
        is_delayed=bool(given.delay),
    )


def _make_mistake(problem: str) -> Mistake:
    """A problem of the inputs, which begins with its place: `inputs.total: …`."""
    place, _, detail = problem.partition(": ")
    return Mistake(name=place, detail=detail)


def _build_batch_answer(outcome: object, answers: Iterator[StartAnswer]) -> BatchAnswerDocument:
    if isinstance(outcome, ApiError):
        return BatchAnswerDocument(outcome.status, problem=outcome.document())
    code, run = next(answers)
    return BatchAnswerDocument(code, run)
