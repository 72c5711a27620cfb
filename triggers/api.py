"""The API: start, read and cancel runs. Errors are RFC 9457 problem details."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar, get_args

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from durable.clock import new_id
from durable.definition import Definition, InputsRefused
from durable.history import RunStatus
from durable.journal import Claim, DeliveryOutcome, Event, Journal, JournalError
from durable.runner import Overloaded, Runner
from durable.start import Start
from durable.values import JSON
from triggers import runs
from triggers.body import Bounds, Unreadable, parse, read_body
from triggers.folder import Folder
from triggers.schedules import Schedules
from triggers.timetable import told

Word = TypeVar("Word", bound=str)
Handler = Callable[[Request], Awaitable[Response]]
CLAIM_FOR = 7 * 24 * 3_600_000
"""Milliseconds for which an Idempotency-Key stays taken."""

PAGE_LIMIT = 1_000
REASON_LIMIT = 1_000
KEY_LIMIT = 255
"""Characters of a cancel's reason and of an Idempotency-Key."""


class Problem(Exception):
    """An answer that is an error: `status` of HTTP, `detail` what and what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers

    def response(self) -> Response:
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
        }
        return JSONResponse(body, self.status, self.headers, media_type="application/problem+json")


class Api:
    """Answers every request below `/api`, for those who have the key."""

    def __init__(
        self,
        runner: Runner,
        journal: Journal,
        folder: Folder,
        schedules: Schedules,
        now: Callable[[], int],
        bounds: Bounds,
        key: str,
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._folder = folder
        self._schedules = schedules
        self._now = now
        self._key = key.encode()
        self._bounds = bounds

    def app(self) -> Starlette:
        """Everything below `/api`."""
        return Starlette(routes=self._routes(), exception_handlers={HTTPException: _problem})

    def _routes(self) -> list[Route]:
        return [
            Route("/runs", self._guarded(self.list_runs), methods=["GET"]),
            Route("/runs/{run}", self._guarded(self.get_run), methods=["GET"]),
            Route("/runs/{run}/history", self._guarded(self.get_history), methods=["GET"]),
            Route("/runs/{run}/cancel", self._guarded(self.cancel_run), methods=["POST"]),
            Route("/pipelines", self._guarded(self.list_pipelines), methods=["GET"]),
            Route("/pipelines/{pipeline}/runs", self._guarded(self.start_run), methods=["POST"]),
            Route("/schedules", self._guarded(self.list_schedules), methods=["GET"]),
            Route("/deliveries", self._guarded(self.list_deliveries), methods=["GET"]),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                self._authorise(request)
                return await handler(request)
            except Problem as problem:
                return problem.response()
            except Unreadable as refused:
                return Problem(refused.status, str(refused)).response()
            except runs.RunMissing as missing:
                return Problem(404, f"{missing}; GET /api/runs lists them").response()
            except Overloaded as overloaded:
                return Problem(503, str(overloaded), {"Retry-After": str(overloaded.retry_after)}).response()
            except JournalError as error:
                return Problem(503, str(error), {"Retry-After": "5"}).response()

        return guarded

    def _authorise(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._key):
            raise Problem(
                401,
                "send the API key as `Authorization: Bearer KEY`; it stands in WAYPOST_API_KEY or in the file api.key"
                " of the data folder",
                {"WWW-Authenticate": "Bearer"},
            )

    async def list_runs(self, request: Request) -> Response:
        """`?pipeline=&status=&trigger=&after=&limit=`, newest first; `after` is the last id of the page before."""
        query = request.query_params
        limit = _limit(query.get("limit"))
        found = await self._journal.runs(
            pipeline=query.get("pipeline"),
            status=_one_of(get_args(RunStatus), "status", query.get("status")),
            trigger=query.get("trigger"),
            after=query.get("after"),
            limit=limit,
        )
        after = found[-1].id if len(found) == limit else None
        return JSONResponse({"runs": [runs.row(run) for run in found], "after": after})

    async def get_run(self, request: Request) -> Response:
        """One run with its inputs, outputs, error and steps."""
        return JSONResponse(await runs.tell(self._journal, request.path_params["run"]))

    async def get_history(self, request: Request) -> Response:
        """The run's history, entry by entry."""
        return JSONResponse({"entries": await runs.history(self._journal, request.path_params["run"])})

    async def cancel_run(self, request: Request) -> Response:
        """Ask for the run's end; answers once the request is durable."""
        run = request.path_params["run"]
        given = await self._body(request)
        reason = given.get("reason")
        if reason is not None and not (isinstance(reason, str) and len(reason) <= REASON_LIMIT):
            raise Problem(422, f"`reason` is text of at most {REASON_LIMIT} characters")
        if not await self._runner.cancel(run, reason):
            found = await runs.find(self._journal, run)
            raise Problem(409, f"run {run} has ended already: it is {found.status}")
        found = await runs.find(self._journal, run)
        return JSONResponse({"id": run, "status": found.status}, 202)

    async def list_pipelines(self, request: Request) -> Response:
        """Every pipeline file: what it serves, or what is wrong with it."""
        return JSONResponse({"pipelines": self._folder.described()})

    async def start_run(self, request: Request) -> Response:
        """`{"inputs": {…}}`, with an optional `Idempotency-Key`: the same key with the same inputs is the same run."""
        definition = self._definition(request.path_params["pipeline"])
        given = await self._body(request)
        inputs = given.get("inputs", {})
        if not isinstance(inputs, dict):
            raise Problem(422, "`inputs` is a mapping of the pipeline's inputs by name")
        if unknown := sorted(set(given) - {"inputs"}):
            raise Problem(422, f'unknown: {", ".join(unknown)}; the body is {{"inputs": {{…}}}}')
        try:
            accepted = definition.accept(inputs)
        except InputsRefused as refused:
            raise Problem(422, str(refused)) from None
        key = request.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= KEY_LIMIT:
            raise Problem(422, f"`Idempotency-Key` has 1 to {KEY_LIMIT} characters")
        return await self._start(definition, accepted, key)

    async def _start(self, definition: Definition, inputs: dict[str, JSON], key: str | None) -> Response:
        at = self._now()
        name = definition.spec.id
        event = Event(id=new_id("evt", at), source=f"api/{name}", key=key or new_id("key", at), type=None, time=at)
        arrival: JSON = {"id": event.key, "type": None, "time": at}
        claims = [Claim(f"api/{name}", key, at + CLAIM_FOR, _fingerprint(inputs))] if key else []
        admitted = await self._runner.admit(event, [Start(definition, "api", inputs, arrival)], claims=claims)
        if admitted.is_conflict:
            raise Problem(422, "this Idempotency-Key was used with other inputs; use a new key for another run")
        run = admitted.runs[0]
        found = await runs.find(self._journal, run)
        body = {"id": run, "status": found.status, "duplicate": admitted.is_duplicate}
        return JSONResponse(body, 200 if admitted.is_duplicate else 202)

    async def list_schedules(self, request: Request) -> Response:
        """Every schedule: when it fired, when it will, and what did not come."""
        found = told(self._folder.schedules, self._schedules.served(), self._now())
        return JSONResponse({"schedules": found})

    async def list_deliveries(self, request: Request) -> Response:
        """`?trigger=&outcome=&after=&limit=`, newest first."""
        query = request.query_params
        limit = _limit(query.get("limit"))
        found = await self._journal.deliveries(
            trigger=query.get("trigger"),
            outcome=_one_of(get_args(DeliveryOutcome), "outcome", query.get("outcome")),
            after=query.get("after"),
            limit=limit,
        )
        return JSONResponse({"deliveries": [runs.delivery(delivery) for delivery in found]})

    def _definition(self, pipeline: str) -> Definition:
        definition = self._folder.definition(pipeline)
        if definition is None:
            raise Problem(404, f"there is no pipeline {pipeline!r} that can run; GET /api/pipelines lists them")
        return definition

    async def _body(self, request: Request) -> dict[str, JSON]:
        data = await read_body(request, self._bounds)
        given = parse(data, "application/json") if data else {}
        if not isinstance(given, dict):
            raise Problem(422, "the body is a JSON object")
        return given


async def _problem(request: Request, error: Exception) -> Response:
    """What the router refuses, as problem details."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return Problem(status, f"{request.method} {request.url.path} is not part of the API", headers).response()


def _limit(text: str | None) -> int:
    if text is None:
        return 50
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_LIMIT):
        raise Problem(422, f"`limit` is a number from 1 to {PAGE_LIMIT}")
    return int(text)


def _one_of(known: Sequence[Word], name: str, word: str | None) -> Word | None:
    if word is None:
        return None
    for each in known:
        if each == word:
            return each
    raise Problem(422, f"`{name}` is one of {', '.join(known)}")


def _fingerprint(inputs: dict[str, JSON]) -> str:
    return hashlib.sha256(msgspec.json.encode(inputs, order="deterministic")).hexdigest()
