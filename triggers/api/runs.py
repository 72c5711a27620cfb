"""Operations on runs: list them, get one, its history or its export, cancel, retry."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.engine import Engine
from durable.history.words import RunStatus
from durable.journal.journal import Journal
from triggers.api.operation import HEADER, ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.value_types import PAGE_LIMIT, Count, Limit, PastMoment, Reason, RunId, Tag
from triggers.config.folder import Folder
from triggers.documents.errors import ErrorGroupsDocument
from triggers.documents.runs import (
    CancelledDocument,
    ExportDocument,
    HistoryDocument,
    RunDocument,
    RunsDocument,
    TakenDocument,
)
from triggers.runs.export import export_run
from triggers.runs.history import encode_history
from triggers.runs.lists import RunLists, RunOrder, RunQuery
from triggers.runs.rows import find_run
from triggers.runs.run import encode_run

UNKNOWN_NAME = "A filter names a pipeline or trigger that does not exist"

# -- what is asked ----------------------------------------------------------------------------------------------


class OneRun(Parameters):
    run: str = Field(description="The run's id")


class KnownRun(OneRun):
    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="The `ETag` of an earlier answer", json_schema_extra=HEADER
    )


class ManyRuns(Parameters):
    pipeline: str | None = Field(None, description="Only runs of this pipeline")
    status: RunStatus | None = Field(None, description="Only runs with this status")
    tag: Tag | None = Field(None, description="Only runs with this tag")
    trigger: str | None = Field(
        None, description="Only runs that this trigger started, as `TRIGGER` or `PIPELINE/TRIGGER`; `api` is the API"
    )
    event: str | None = Field(None, description="Only runs that this event started")
    error: str | None = Field(None, description="Only runs with this failure: the `key` of `GET /api/errors`")
    version: str | None = Field(None, description="Only runs of this version")
    source: str | None = Field(None, description="Only runs that repeat this run or this delivery")
    since: PastMoment | None = Field(None, alias="from", description="Only runs that started at this time or later")
    until: PastMoment | None = Field(None, alias="to", description="Only runs that started before this time")
    q: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="Only runs with this text in their inputs; 10,000 runs that match the rest are looked at"
    )
    after: RunId | None = Field(None, description="Continue after this run: the `after` of the previous page")
    order: RunOrder = Field("newest", description="Which runs come first; it decides what is after a run")
    limit: Limit = Field(50, description="The maximum number")


class ManyErrors(Parameters):
    pipeline: str | None = Field(None, description="Only failures of this pipeline")
    since: PastMoment | None = Field(None, alias="from", description="Only runs that started at this time or later")
    until: PastMoment | None = Field(None, alias="to", description="Only runs that started before this time")
    after: RunId | None = Field(None, description="Continue after this run: the `after` of the previous page")
    limit: Limit = Field(50, description="The maximum number")


class OneHistory(OneRun):
    after: Count = Field(0, description="Go on after the entry of this number")
    limit: Limit = Field(PAGE_LIMIT, description="The maximum number")
    part_limit: Count | None = Field(None, description="Leave out values with more bytes; default: leave out nothing")


class Cancel(Body):
    """Why a run is to end."""

    reason: Reason | None = Field(None, description="The reason, shown with the run")


class Retry(Body):
    """Why a run is retried."""

    reason: Reason | None = Field(None, description="The reason, shown with the run")


# -- what answers -----------------------------------------------------------------------------------------------


class RunOperations:
    """Reads, cancels and retries runs."""

    def __init__(
        self, engine: Engine, journal: Journal, folder: Folder, now: Callable[[], int], waits_url: str
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._lists = RunLists(journal, folder.list_names, now, engine.explain_progress)
        self._waits_url = waits_url

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                *("GET", "/runs", self.list_runs, "read", ManyRuns, Nothing, {200: RunsDocument}),
                problems={404: UNKNOWN_NAME},
            ),
            Operation(
                *("GET", "/errors", self.list_errors, "read", ManyErrors, Nothing, {200: ErrorGroupsDocument}),
                problems={404: UNKNOWN_NAME},
            ),
            Operation("GET", "/runs/{run}", self.get_run, "read", KnownRun, Nothing, {200: RunDocument, 304: None}),
            Operation(
                "GET", "/runs/{run}/history", self.get_history, "read", OneHistory, Nothing, {200: HistoryDocument}
            ),
            Operation("GET", "/runs/{run}/export", self.export_run, "read", OneRun, Nothing, {200: ExportDocument}),
            Operation(
                *("POST", "/runs/{run}/cancel", self.cancel_run, "start", OneRun, Cancel, {202: CancelledDocument}),
                problems={409: "The run has ended already"},
            ),
            Operation(
                *("POST", "/runs/{run}/retry", self.retry_run, "start", OneRun, Retry, {202: TakenDocument}),
                problems={409: "The run is neither failed nor paused, or would fail in the same way"},
            ),
        ]

    async def list_runs(self, asked: ApiRequest[ManyRuns, Nothing]) -> Response:
        """List runs, the newest first unless asked otherwise."""
        wanted = asked.parameters
        return respond(await self._lists.list_runs(RunQuery(**wanted.model_dump()), may_answer=asked.may_answer))

    async def list_errors(self, asked: ApiRequest[ManyErrors, Nothing]) -> Response:
        """List the kinds of failures, the one with the newest run first."""
        wanted = asked.parameters
        return respond(await self._lists.list_errors(RunQuery(**wanted.model_dump()), may_answer=asked.may_answer))

    async def get_run(self, asked: ApiRequest[KnownRun, Nothing]) -> Response:
        """Return one run: its inputs, outputs and error, what it waits for, and the most important steps.

        It has less than 100 KB however long the run is. `omitted` names what is too large for it and where that is,
        and `steps_after` is the cursor of the further steps. 304 if it is the same as an earlier answer.
        """
        wanted = asked.parameters
        text, tag = await encode_run(
            self._journal,
            wanted.run,
            may_answer=asked.may_answer,
            waits_url=self._waits_url,
            explain=self._engine.explain_progress,
            known=wanted.if_none_match,
        )
        headers = {"ETag": tag, "Cache-Control": "no-cache"} if tag else {"Cache-Control": "no-store"}
        return Response(text, 200 if text else 304, headers, media_type="application/json" if text else None)

    async def get_history(self, asked: ApiRequest[OneHistory, Nothing]) -> Response:
        """Return the entries of a run's history."""
        wanted = asked.parameters
        page, after = await encode_history(
            self._journal, wanted.run, wanted.after, wanted.limit, wanted.part_limit, may_answer=asked.may_answer
        )
        text = b'{"entries":%b,"after":%b}' % (page, msgspec.json.encode(after))
        return Response(text, media_type="application/json")

    async def export_run(self, asked: ApiRequest[OneRun, Nothing]) -> Response:
        """Export a run's history, to replay it elsewhere."""
        text = await export_run(self._journal, asked.parameters.run)
        return Response(text, media_type="application/json")

    async def cancel_run(self, asked: ApiRequest[OneRun, Cancel]) -> Response:
        """Ask for a run's end; answered once that is durable."""
        run = asked.parameters.run
        is_posted = await self._engine.cancel(run, asked.body.reason, asked.by.name)
        found = await find_run(self._journal, run)
        if not is_posted:
            raise ApiError(409, f"run {run} has ended already: it is {found.status}")
        return respond(CancelledDocument(run, found.status), 202)

    async def retry_run(self, asked: ApiRequest[OneRun, Retry]) -> Response:
        """Continue a failed run from where it failed, with the same keys; end the pause of a paused run. Answered
        once it is durable."""
        run = asked.parameters.run
        retried = await self._engine.retry(run, by=asked.by.name, reason=asked.body.reason)
        found = await find_run(self._journal, run)
        if retried.outcome == "refused":
            raise ApiError(409, str(retried.reason))
        return respond(TakenDocument(run, found.status), 202)
