"""Runs, their steps and their histories, as the API answers with them."""

from typing import Annotated, Any, Literal, NotRequired, Self, TypeAlias, TypedDict

import msgspec
from msgspec import Struct

from durable.action import Ending, ErrorClass
from durable.history.state import State, UndoStatus
from durable.history.words import Failure, Repetition, RunSource, RunStatus, StepStatus
from durable.units import Run
from triggers.documents.fields import PageCursor, Time, format_time, note
from triggers.documents.waits import WaitDocument


class ErrorDocument(Struct, frozen=True):
    """Why a run failed, in a list; each part may be null, and a long message is shortened."""

    error_class: Annotated[ErrorClass | None, note("What kind of error, as a retry policy names it")] = msgspec.field(
        name="class"
    )
    code: Annotated[str | None, note("A word that identifies it for programs")]
    message: str | None
    step: Annotated[str | None, note("The path of the step")]


class FailureDocument(ErrorDocument, frozen=True):
    """Why a step or a run failed; each part may be null."""

    attempt: int | None
    details: Any

    @classmethod
    def of(cls, failure: Failure | None) -> Self | None:
        if failure is None:
            return None
        head = failure.error_class, failure.code, failure.message, failure.step, failure.attempt
        return cls(*head, failure.details.load())


class AttemptDocument(Struct, frozen=True):
    """What became of an attempt that has ended."""

    attempt: int
    started_at: Time | None
    ended_at: Time | None
    ending: Annotated[
        Ending | Literal["completed", "lost"], note("How certain its outcome is; `lost`: the process ended first")
    ]
    error: FailureDocument | None


class CallingStepDocument(Struct, frozen=True):
    """The step that called a run."""

    run: str
    step: str


class CalledRunDocument(Struct, frozen=True):
    """A run that a step called."""

    step: str
    run: str
    status: Annotated[RunStatus | None, note("Null if the run has not started, or was removed")]


class SourceDocument(Struct, frozen=True):
    """What a run repeats, who asked for it, and why."""

    kind: Annotated[
        Repetition, note("`rerun`: a run, from the start; `fork`: a run, from a step; `replay`: a delivery")
    ]
    of: Annotated[str, note("The id of the run or the delivery")]
    step: Annotated[str | None, note("The step from which a fork continues; null if it is the start")]
    by: Annotated[str | None, note("The name of the API key")]
    reason: str | None

    @classmethod
    def of_run(cls, source: RunSource | None) -> Self | None:
        return cls(source.kind, source.of, source.step, source.by, source.reason) if source else None


class RetriedDocument(Struct, frozen=True):
    """The last retry of a run: who asked for it, and why; and how often the run was retried."""

    times: int
    at: Time | None
    by: Annotated[str | None, note("The name of the API key")]
    reason: str | None

    @classmethod
    def of_state(cls, state: State) -> Self | None:
        retried = state.retried
        return cls(state.retries, format_time(retried.at), retried.by, retried.reason) if retried else None


class RepeatDocument(Struct, frozen=True):
    """A run that repeats this one."""

    run: str
    kind: Annotated[Repetition | None, note("Null if its history cannot be read")]
    status: RunStatus


class UndoDocument(Struct, frozen=True):
    """A step whose effect can be taken back (`registered`), is about to be, was (`done`), or could not be."""

    step: str
    status: UndoStatus
    error: FailureDocument | None


class OmittedDocument(Struct, frozen=True):
    """A part that is too large for the document that it belongs to."""

    size: Annotated[int, note("Its length in bytes, as JSON")]
    url: Annotated[str, note("The path of the full value")]


Omitted: TypeAlias = Annotated[
    dict[str, OmittedDocument],
    note("The fields that are too large for this document, by name: each is null or empty, an error is shortened"),
]


class ItemsDocument(Struct, frozen=True):
    """The items of a `foreach`, or the turns of a `repeat`."""

    total: Annotated[int | None, note("How many there are; null for the turns of a `repeat`")]
    counts: Annotated[dict[StepStatus, int], note("How many have each status")]
    failed: Annotated[list[int], note("The numbers of the first that failed, from 0")]


class PagesDocument(Struct, frozen=True):
    """The pages of the output of a step that have arrived."""

    arrived: Annotated[int, note("How many; unless the step has completed, the page with this number, from 0, is next")]
    items: Annotated[int, note("How many items they have, without those of the last page")]


class StepDocument(Struct, frozen=True):
    """A step that was reached. Secrets stand in its input as references."""

    path: str
    use: Annotated[str | None, note("Its action, or the kind of block that it is; null if the definition is missing")]
    status: StepStatus
    input: Any
    output: Any
    error: FailureDocument | None
    attempts: int
    lost: Annotated[int, note("How many attempts were lost to a crash or a stop of the service")]
    scheduled_at: Time | None
    finished_at: Time | None
    due_at: Annotated[Time | None, note("When its next attempt is due, or its wait times out")]
    decision_needed: Annotated[bool, note("Whether it waits for a person to resolve it")]
    copied: Annotated[bool, note("Whether its checkpoint was copied from the run that this one forks")]
    tries: Annotated[list[AttemptDocument], note("Its last ended attempts, at most 20")]
    items: Annotated[ItemsDocument | None, note("Of a loop: its items")]
    pages: Annotated[PagesDocument | None, note("Of a step that gets its output in several pages")]
    connection: Annotated[str | None, note("The connection that an expression chose")]
    idempotency_key: Annotated[str, note("The key of its attempts: the same for all of them")]
    called: Annotated[CalledRunDocument | None, note("The run that it called")]
    undo: Annotated[UndoDocument | None, note("The state of its undo, if it has one")]
    omitted: Omitted


class StepsDocument(Struct, frozen=True):
    """A page of the steps of a run."""

    steps: list[StepDocument]
    after: PageCursor


class RunLineDocument(Struct, frozen=True):
    """A run in a list."""

    id: str
    pipeline: str
    status: RunStatus
    reason: Annotated[str | None, note("Why it is queued or paused, or why it ended as it did")]
    why: Annotated[
        str | None, note("One sentence: why it failed, what it does or waits for, what is ahead of it in a queue")
    ]
    error: Annotated[ErrorDocument | None, note("The failure of a run that failed, or is paused by one")]
    error_key: Annotated[str | None, note("Equal for equal failures: `GET /api/errors` lists them")]
    trigger: str | None
    event: Annotated[str, note("The id of the event that started it")]
    tags: list[str]
    created_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, run: Run, why: str | None) -> "RunLineDocument":
        cause = run.cause if run.error_key else None
        return RunLineDocument(
            id=run.id,
            pipeline=run.pipeline,
            status=run.status,
            reason=run.reason,
            why=why,
            error=ErrorDocument(cause.error_class, cause.code, cause.message, cause.step) if cause else None,
            error_key=run.error_key,
            trigger=run.trigger,
            event=run.event,
            tags=list(run.tags),
            created_at=format_time(run.created_at),
            finished_at=format_time(run.finished_at),
        )


class RunDocument(RunLineDocument, frozen=True):
    """A run, in less than 100 KB however long it is: larger values are left out, and lists end."""

    version: Annotated[str, note("The version of the pipeline: the hash of its meaning")]
    inputs: Any
    outputs: Any
    answer: Annotated[Any, note("What a step answered the sender of the run's event: status, headers and body")]
    error: Annotated[FailureDocument | None, note("Why it failed")]
    cleanup_error: Annotated[FailureDocument | None, note("Why `on_failure` itself failed")]
    due_at: Annotated[Time | None, note("When the run is due next, if nothing arrives before")]
    not_before: Annotated[Time | None, note("It does not start before this time")]
    expires_at: Annotated[Time | None, note("When it is cancelled if it has not started")]
    priority: int
    trace: Annotated[str, note("The id of its trace (W3C Trace Context), which its requests name")]
    by: Annotated[str | None, note("Who started it over the API, as the name of the key")]
    source: Annotated[SourceDocument | None, note("What it repeats")]
    repeats: Annotated[list[RepeatDocument], note("The runs that repeat it, the newest first, twenty at most")]
    retried: Annotated[RetriedDocument | None, note("Its last retry")]
    parent: Annotated[CallingStepDocument | None, note("The step that called it")]
    children: Annotated[list[CalledRunDocument], note("The first runs that it called")]
    children_count: Annotated[int, note("How many runs it called; the steps with `only=calls` name all of them")]
    waits: Annotated[list[WaitDocument], note("The first things that it waits for now")]
    waits_count: Annotated[int, note("How many there are; GET /api/waits lists all of them")]
    undo: Annotated[list[UndoDocument], note("The first steps with an effect that an undo takes back")]
    undo_count: Annotated[int, note("How many there are; the steps with `only=undo` name all of them")]
    step_counts: Annotated[dict[StepStatus, int], note("How many of the steps that were reached have each status")]
    steps: Annotated[
        list[StepDocument], note("The most important steps: decisions, failures, waits; steps outside loops first")
    ]
    steps_after: Annotated[PageCursor, note("Send it as `after` to GET /api/runs/{run}/steps to get the next ones")]
    omitted: Omitted


class RunValueDocument(Struct, frozen=True):
    """A part of a run, whole."""

    value: Any


class RunsDocument(Struct, frozen=True):
    """A page of runs, the newest first."""

    runs: list[RunLineDocument]
    after: PageCursor
    looked_at: Annotated[
        int | None, note("With `q`: how many runs were looked at, 10,000 at most; `after` goes on with older ones")
    ] = None


class EntryDocument(TypedDict):
    """An entry of a history; the other keys depend on its type."""

    sequence: Annotated[int, note("Its number, from 1")]
    at: Time
    type: str
    text: NotRequired[Annotated[str, note("What it says, as a sentence for people")]]
    omitted: NotRequired[Annotated[list[str], note("The keys whose values were left out, because they are too large")]]


class HistoryDocument(Struct, frozen=True):
    """A page of a run's history."""

    entries: list[EntryDocument]
    after: Annotated[int | None, note("Send it as `after` to get the next page; null if this is the last one")]


class ExportDocument(Struct, frozen=True):
    """A run's history to be replayed elsewhere; the key of its links is another one."""

    definition: Annotated[Any, note("The pipeline's version, resolved")]
    run: str
    entries: Annotated[list[dict[str, Any]], note("As they are stored, large values inside them")]


class CancelledDocument(Struct, frozen=True):
    """The request for a run's end is durable."""

    id: str
    status: RunStatus


class TakenDocument(CancelledDocument, frozen=True):
    """The request for the run is durable."""
