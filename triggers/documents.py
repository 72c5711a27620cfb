"""The documents of the API: the types of its answers.

A document is made where its data is, encoded by the API, described in OpenAPI by its type, and decoded by the commands.
In OpenAPI a component has the class's name without `Document`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeAlias, TypedDict, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from durable.action import Ending, ErrorClass
from durable.history.state import UndoStatus
from durable.history.words import AwaitKind, Failure, RunStatus, StepStatus
from durable.units import ApiKey, Delivery, DeliveryOutcome, FireOutcome, Run
from durable.values import JSON
from triggers.problem_details import ProblemDetails


def note(text: str) -> Meta:
    """What OpenAPI says of a field."""
    return Meta(description=text)


Scope: TypeAlias = Literal["read", "start", "admin"]
"""What a key may do, each including those before it: read; start, cancel and answer runs; everything."""

MissedPolicy: TypeAlias = Literal["skip", "latest", "all"]
OverlapPolicy: TypeAlias = Literal["allow", "skip", "queue"]
PipelineStatus: TypeAlias = Literal["serving", "serving the version before", "disabled"]

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601, in UTC."""

PageCursor: TypeAlias = Annotated[str | None, note("What to ask the next page with; null if this is the last")]

COMPONENTS = "#/components/schemas"
"""Where OpenAPI has the schemas of documents. msgspec itself knows no union of two structs."""

Redacted = TypeVar("Redacted", bound=Struct)


# -- runs -------------------------------------------------------------------------------------------------------


class FailureDocument(Struct, frozen=True):
    """Why a step or a run failed; each part may be null."""

    error_class: Annotated[ErrorClass | None, note("What kind of error, as a retry policy names it")] = msgspec.field(
        name="class"
    )
    code: Annotated[str | None, note("A word by which programs can tell it from others")]
    message: str | None
    step: Annotated[str | None, note("The path of the step")]
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
        Ending | Literal["completed", "lost"], note("How sure it is what became of it; `lost` with the process")
    ]
    error: FailureDocument | None


class StepDocument(Struct, frozen=True):
    """A step that was reached. Secrets stand in its input as references."""

    status: StepStatus
    input: Any
    output: Any
    error: FailureDocument | None
    attempts: int
    scheduled_at: Time | None
    finished_at: Time | None
    due_at: Annotated[Time | None, note("When its next attempt is due, or its wait ends by itself")]
    decision_needed: Annotated[bool, note("Whether it waits for a person to resolve it")]
    tries: list[AttemptDocument]


WaitName: TypeAlias = Annotated[str | None, note("Its name in a `wait.any`")]
WaitEnd: TypeAlias = Annotated[Time | None, note("When the wait ends by itself")]
WaitTitle: TypeAlias = Annotated[str | None, note("What is asked")]
Asked: TypeAlias = Annotated[list[str], note("Who is asked")]
AskedFields: TypeAlias = Annotated[dict[str, Any] | None, note("What a person fills in: JSON Schemas by name")]
AwaitedType: TypeAlias = Annotated[str | None, note("Of an event: its type")]
AwaitedSubject: TypeAlias = Annotated[str | None, note("Of an event: its subject")]
WaitLink: TypeAlias = Annotated[
    str | None, note("The link that answers it, without a key; null for a key that may not answer")
]


class WaitDocument(Struct, frozen=True):
    """One thing that a run waits for."""

    step: str
    name: WaitName
    kind: AwaitKind
    due_at: WaitEnd
    title: WaitTitle
    to: Asked
    fields: AskedFields
    type: AwaitedType
    match: AwaitedSubject
    link: WaitLink


class PendingDocument(Struct, frozen=True):
    """One thing that a run waits for and that does not come by itself. A `decision` is on a step, to be resolved; a run
    to `resume` is paused as a whole."""

    run: str
    pipeline: str
    reason: Annotated[str | None, note("Why it is paused")]
    step: str | None
    name: WaitName
    kind: AwaitKind | Literal["decision", "resume"]
    due_at: WaitEnd
    title: WaitTitle
    to: Asked
    fields: AskedFields
    type: AwaitedType
    match: AwaitedSubject
    link: WaitLink

    @classmethod
    def make_decision(
        cls, run: str, pipeline: str, reason: str | None, step: str | None = None, due_at: str | None = None
    ) -> Self:
        """What a person must decide: on a step, or that the run goes on."""
        kind: Literal["decision", "resume"] = "decision" if step else "resume"
        return cls(run, pipeline, reason, step, None, kind, due_at, None, [], None, None, None, None)


class PendingListDocument(Struct, frozen=True):
    """What runs wait for, the oldest run first."""

    waits: list[PendingDocument]
    after: PageCursor


class CallingStepDocument(Struct, frozen=True):
    """The step that called a run."""

    run: str
    step: str


class CalledRunDocument(Struct, frozen=True):
    """A run that a step called."""

    step: str
    run: str
    status: Annotated[RunStatus | None, note("Null of a run that has not begun, or was cleared away")]


class UndoDocument(Struct, frozen=True):
    """A step whose effect can be taken back (`registered`), is about to be, was (`done`), or could not be."""

    step: str
    status: UndoStatus
    error: FailureDocument | None


class RunLineDocument(Struct, frozen=True):
    """A run in a list."""

    id: str
    pipeline: str
    status: RunStatus
    reason: Annotated[str | None, note("Why it is queued or paused, or why it ended as it did")]
    trigger: str | None
    event: Annotated[str, note("The id of the event that started it")]
    tags: list[str]
    created_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, run: Run) -> "RunLineDocument":
        created_at, finished_at = format_time(run.created_at), format_time(run.finished_at)
        head = run.id, run.pipeline, run.status, run.reason, run.trigger, run.event
        return RunLineDocument(*head, list(run.tags), created_at, finished_at)


class RunDocument(RunLineDocument, frozen=True):
    """A run, whole."""

    version: Annotated[str, note("The version of the pipeline: the hash of its meaning")]
    inputs: Any
    outputs: Any
    answer: Annotated[Any, note("What a step answered the sender of the run's event: status, headers and body")]
    error: FailureDocument | None
    cleanup_error: Annotated[FailureDocument | None, note("Why `on_failure` failed itself")]
    due_at: Annotated[Time | None, note("When something must happen to it, even if nothing arrives")]
    not_before: Annotated[Time | None, note("When it may begin")]
    expires_at: Annotated[Time | None, note("When it ends if it has not begun")]
    priority: int
    parent: Annotated[CallingStepDocument | None, note("The step that called it")]
    children: Annotated[list[CalledRunDocument], note("The runs that it called")]
    waits: Annotated[list[WaitDocument], note("What it waits for now")]
    undo: Annotated[list[UndoDocument], note("The steps with an effect that an undo takes back")]
    steps: Annotated[dict[str, StepDocument], note("The steps that were reached, by path")]


class RunsDocument(Struct, frozen=True):
    """A page of runs, the newest first."""

    runs: list[RunLineDocument]
    after: PageCursor


class EntryDocument(TypedDict):
    """An entry of a history; the other keys depend on its type."""

    sequence: Annotated[int, note("Its number, from 1")]
    at: Time
    type: str


class HistoryDocument(Struct, frozen=True):
    """A page of a run's history."""

    entries: list[EntryDocument]
    after: Annotated[int | None, note("What to ask the next page with; null if this is the last")]


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
    """What was said to the run is durable."""


# -- what starts runs -------------------------------------------------------------------------------------------

IsDuplicate: TypeAlias = Annotated[bool, note("Whether an earlier request with the same key started it")]


class StartedDocument(Struct, frozen=True):
    """A run that is durable."""

    id: str
    status: Annotated[RunStatus | None, note("Null of a duplicate whose run was cleared away meanwhile")]
    duplicate: IsDuplicate


class EndedDocument(RunDocument, frozen=True):
    """A run that ended while the request waited for it."""

    duplicate: IsDuplicate


class EmittedDocument(Struct, frozen=True):
    """An event that is durable."""

    event: Annotated[str, note("Its id")]
    runs: Annotated[list[str], note("The runs that it started")]
    duplicate: Annotated[bool, note("Whether an earlier request with the same key brought it")]


# -- what a service serves --------------------------------------------------------------------------------------


class PipelineLineDocument(Struct, frozen=True):
    """A pipeline's file."""

    id: str
    file: str
    status: PipelineStatus
    version: Annotated[str | None, note("The hash of its meaning; null if nothing is served")]
    webhooks: Annotated[list[str], note("The paths of its webhooks")]
    schedules: Annotated[list[str], note("When its schedules fire")]
    events: Annotated[list[str], note("The types of the events that start it")]
    problems: Annotated[list[str], note("What is wrong with the file, each with its place")]


class PipelineDocument(PipelineLineDocument, frozen=True):
    """A pipeline's file, and what a run of it is given."""

    inputs: Annotated[dict[str, Any] | None, note("The JSON Schema of each input; null if anything is taken")]


class PipelinesDocument(Struct, frozen=True):
    """Every pipeline's file."""

    pipelines: list[PipelineLineDocument]


class PolicyDocument(Struct, frozen=True):
    """What becomes of fires that were missed, that meet a run, and over which time they are spread."""

    missed: MissedPolicy
    overlap: OverlapPolicy
    window: str | None


class FireDocument(Struct, frozen=True):
    """A fire that was dealt with."""

    fire: Time
    outcome: FireOutcome | None
    reason: str | None
    run: Annotated[str | None, note("The run that was started last")]


class ScheduleDocument(Struct, frozen=True):
    """A schedule that is served."""

    id: str
    pipeline: str
    trigger: str
    cron: str | None
    every: str | None
    at: str | None
    timezone: str
    policy: PolicyDocument
    last: FireDocument | None
    next: Annotated[list[Time], note("The next fires")]
    due: Annotated[Time | None, note("When the next one starts its run, by its place in the window")]
    overdue: Annotated[Time | None, note("The first fire that should have come by now and did not")]
    waiting: Annotated[int, note("Fires that wait for the run before them")]
    skipped: int
    missed: int
    missed_at: Time | None


class ScheduleListDocument(Struct, frozen=True):
    """Every schedule that is served, by name."""

    schedules: list[ScheduleDocument]


# -- deliveries and keys ----------------------------------------------------------------------------------------


class DeliveryDocument(Struct, frozen=True):
    """One request on a webhook."""

    id: str
    trigger: str
    method: str
    path: str
    at: Time | None
    outcome: DeliveryOutcome
    reason: str | None
    event: Annotated[str | None, note("The event that it brought; that of a duplicate is the first one's")]
    size: Annotated[int, note("Bytes of its body")]

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.id,
            trigger=delivery.trigger,
            method=delivery.method,
            path=delivery.path,
            at=format_time(delivery.at),
            outcome=delivery.outcome,
            reason=delivery.reason,
            event=delivery.event,
            size=delivery.size,
        )


class DeliveriesDocument(Struct, frozen=True):
    """A page of deliveries, the newest first."""

    deliveries: list[DeliveryDocument]
    after: PageCursor


class KeyDocument(Struct, frozen=True):
    """A key, without what its holder presents."""

    id: str
    name: str
    scope: Scope
    created_at: Time | None
    revoked_at: Time | None

    @classmethod
    def of(cls, found: ApiKey, **more: Any) -> Self:
        return cls(
            id=found.id,
            name=found.name,
            scope=cast(Scope, found.scope),
            created_at=format_time(found.created_at),
            revoked_at=format_time(found.revoked_at),
            **more,
        )


class MadeKeyDocument(KeyDocument, frozen=True):
    """A key that was just made."""

    key: Annotated[str, note("What its holder presents; it is shown here and never again")]


class KeyListDocument(Struct, frozen=True):
    """Every key that was ever made, the oldest first; the admin key of the service is none of them."""

    keys: list[KeyDocument]


# -- batches ----------------------------------------------------------------------------------------------------


class BatchAnswerDocument(Struct, frozen=True, omit_defaults=True):
    """What became of one item: a run, or a problem."""

    code: Annotated[int, note("The status with which a request for this run alone is answered")]
    run: Annotated[
        Any, Meta(extra_json_schema={"anyOf": [{"$ref": f"{COMPONENTS}/{name}"} for name in ("Started", "Ended")]})
    ] = None
    problem: ProblemDetails | None = None


class BatchAnswersDocument(Struct, frozen=True):
    """One answer for every item, in the order of the items."""

    answers: list[BatchAnswerDocument]


# -- making them ------------------------------------------------------------------------------------------------


def format_time(at: int | None) -> str | None:
    """Milliseconds as ISO 8601 in UTC; None for a time that no calendar has, as a damaged row may hold."""
    if at is None:
        return None
    try:
        found = datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redact_document(document: Redacted, redact: Callable[[JSON], JSON]) -> Redacted:
    """A document of the same type, made of its JSON after `redact`."""
    return msgspec.convert(redact(msgspec.to_builtins(document)), type(document))
