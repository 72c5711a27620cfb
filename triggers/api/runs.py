"""Runs over the API: lists, one run, its history, and asking for its end."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse, Response

from durable.action import Ending, ErrorClass
from durable.engine import Engine
from durable.history.state import UndoStatus
from durable.history.words import AwaitKind, RunStatus, StepStatus
from durable.ids import first_id
from durable.journal.journal import Journal
from triggers import runs
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters
from triggers.api.problem import ApiError
from triggers.api.value_types import PAGE_LIMIT, Count, Limit, Moment, RunId, Tag, Time
from triggers.export import export_run

# -- what is asked ----------------------------------------------------------------------------------------------


class OneRun(Parameters):
    run: str = Field(description="The run's id")


class ManyRuns(Parameters):
    pipeline: str | None = Field(None, description="Only runs of this pipeline")
    status: RunStatus | None = Field(None, description="Only runs with this status")
    tag: Tag | None = Field(None, description="Only runs with this tag")
    trigger: str | None = Field(None, description="Only runs that this trigger started; `api` is the API")
    since: Moment | None = Field(None, alias="from", description="Only runs that were started then or later")
    until: Moment | None = Field(None, alias="to", description="Only runs that were started before")
    after: RunId | None = Field(None, description="Go on after this run: the `after` of the page before")
    limit: Limit = Field(50, description="How many at most")


class OneHistory(OneRun):
    after: Count = Field(0, description="Go on after the entry of this number")
    limit: Limit = Field(PAGE_LIMIT, description="How many at most")


class Cancel(Body):
    """Why a run is to end."""

    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        None, description="Why, for those who read the run"
    )


# -- what is answered -------------------------------------------------------------------------------------------


class Failure(BaseModel):
    """Why a step or a run failed; each part may be null."""

    error_class: ErrorClass | None = Field(alias="class", description="What kind of error, as a retry policy names it")
    code: str | None = Field(description="A word by which programs can tell it from others")
    message: str | None
    step: str | None = Field(description="The path of the step")
    attempt: int | None
    details: Any


class Attempt(BaseModel):
    """What became of an attempt that has ended."""

    attempt: int
    started_at: Time | None
    ended_at: Time
    ending: Ending | Literal["completed", "lost"] = Field(
        description="How sure it is what became of it; `lost` with the process"
    )
    error: Failure | None


class Step(BaseModel):
    """A step that was reached. Secrets stand in its input as references."""

    status: StepStatus
    input: Any
    output: Any
    error: Failure | None
    attempts: int
    scheduled_at: Time | None
    finished_at: Time | None
    due_at: Time | None = Field(description="When its next attempt is due, or its wait ends by itself")
    decision_needed: bool = Field(description="Whether it waits for a person to resolve it")
    tries: list[Attempt]


class Wanted(BaseModel):
    """What is waited for, and how it is put to those who are asked."""

    name: str | None = Field(description="Its name in a `wait.any`")
    due_at: Time | None = Field(description="When the wait ends by itself")
    title: str | None = Field(description="What is asked")
    to: list[str] = Field(description="Who is asked")
    fields: dict[str, Any] | None = Field(description="What a person fills in: JSON Schemas by name")
    type: str | None = Field(description="Of an event: its type")
    match: str | None = Field(description="Of an event: its subject")
    link: str | None = Field(
        description="Where it is answered by whoever has this address; null for a key that may not answer"
    )


class Wait(Wanted):
    """One thing that a run waits for."""

    step: str
    kind: AwaitKind


class CallingStep(BaseModel):
    """The step that called a run."""

    run: str
    step: str


class CalledRun(BaseModel):
    """A run that a step called."""

    step: str
    run: str
    status: RunStatus | None = Field(description="Null of a run that has not begun, or was cleared away")


class Undo(BaseModel):
    """A step whose effect can be taken back (`registered`), is about to be, was (`done`), or could not be."""

    step: str
    status: UndoStatus
    error: Failure | None


class RunLine(BaseModel):
    """A run in a list."""

    id: str
    pipeline: str
    status: RunStatus
    reason: str | None = Field(description="Why it is queued or paused, or why it ended as it did")
    trigger: str | None
    event: str = Field(description="The id of the event that started it")
    tags: list[str]
    created_at: Time
    finished_at: Time | None


class Run(RunLine):
    """A run, whole."""

    version: str = Field(description="The version of the pipeline: the hash of its meaning")
    inputs: Any
    outputs: Any
    error: Failure | None
    answer: Any = Field(description="What a step answered the sender of the run's event: status, headers and body")
    cleanup_error: Failure | None = Field(description="Why `on_failure` failed itself")
    due_at: Time | None = Field(description="When something must happen to it, even if nothing arrives")
    not_before: Time | None = Field(description="When it may begin")
    expires_at: Time | None = Field(description="When it ends if it has not begun")
    priority: int
    parent: CallingStep | None = Field(description="The step that called it")
    children: list[CalledRun] = Field(description="The runs that it called")
    waits: list[Wait] = Field(description="What it waits for now")
    undo: list[Undo] = Field(description="The steps with an effect that an undo takes back")
    steps: dict[str, Step] = Field(description="The steps that were reached, by path")


class Entry(BaseModel):
    """An entry of a history; the other keys depend on its type."""

    model_config = ConfigDict(extra="allow")

    sequence: int = Field(description="Its number, from 1")
    at: Time
    type: str


class Runs(BaseModel):
    """A page of runs, the newest first."""

    runs: list[RunLine]
    after: str | None = Field(description="What to ask the next page with; null if this is the last")


class History(BaseModel):
    """A page of a run's history."""

    entries: list[Entry]
    after: int | None = Field(description="What to ask the next page with; null if this is the last")


class Export(BaseModel):
    """A run's history to be replayed elsewhere; the key of its links is another one."""

    definition: Any = Field(description="The pipeline's version, resolved")
    run: str
    entries: list[dict[str, Any]] = Field(description="As they are stored, large values inside them")


class Cancelled(BaseModel):
    """The request for a run's end is durable."""

    id: str
    status: RunStatus


# -- what answers -----------------------------------------------------------------------------------------------


class RunOperations:
    """Answers what is asked of runs that there are."""

    def __init__(self, runner: Engine, journal: Journal) -> None:
        self._runner = runner
        self._journal = journal

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/runs", self.list_runs, "read", ManyRuns, Nothing, {200: Runs}),
            Operation("GET", "/runs/{run}", self.get_run, "read", OneRun, Nothing, {200: Run}),
            Operation("GET", "/runs/{run}/history", self.get_history, "read", OneHistory, Nothing, {200: History}),
            Operation("GET", "/runs/{run}/export", self.export_run, "read", OneRun, Nothing, {200: Export}),
            Operation(
                *("POST", "/runs/{run}/cancel", self.cancel_run, "start", OneRun, Cancel, {202: Cancelled}),
                problems={409: "The run has ended already"},
            ),
        ]

    async def list_runs(self, asked: ApiRequest[ManyRuns, Nothing]) -> Response:
        """List runs, the newest first."""
        wanted = asked.parameters
        found = await self._journal.list_runs(
            pipeline=wanted.pipeline,
            status=wanted.status,
            tag=wanted.tag,
            trigger=wanted.trigger,
            since=first_id("run", wanted.since) if wanted.since is not None else None,
            before=first_id("run", wanted.until) if wanted.until is not None else None,
            after=wanted.after,
            limit=wanted.limit,
        )
        after = found[-1].id if len(found) == wanted.limit else None
        told = await runs.describe_rows(self._journal, found, may_answer=asked.may_answer)
        return JSONResponse({"runs": told, "after": after})

    async def get_run(self, asked: ApiRequest[OneRun, Nothing]) -> Response:
        """Tell one run: its inputs, outputs, error and steps, and what it waits for."""
        run, may_answer = asked.parameters.run, asked.may_answer
        explain = self._runner.explain_wait
        text = await runs.encode_run(self._journal, run, may_answer=may_answer, explain_wait=explain)
        return Response(text, media_type="application/json")

    async def get_history(self, asked: ApiRequest[OneHistory, Nothing]) -> Response:
        """Tell a run's history, entry by entry."""
        wanted = asked.parameters
        page, after = await runs.encode_history(
            self._journal, wanted.run, wanted.after, wanted.limit, may_answer=asked.may_answer
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
        is_posted = await self._runner.cancel(run, asked.body.reason)
        found = await runs.find_run(self._journal, run)
        if not is_posted:
            raise ApiError(409, f"run {run} has ended already: it is {found.status}")
        return JSONResponse({"id": run, "status": found.status}, 202)
