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

Scope: TypeAlias = Literal["read", "start", "admin"]
"""What a key may do, each including those before it: read; start, cancel and answer runs; everything."""

MissedPolicy: TypeAlias = Literal["skip", "latest", "all"]
OverlapPolicy: TypeAlias = Literal["allow", "skip", "queue"]
PipelineStatus: TypeAlias = Literal["serving", "serving the version before", "disabled"]

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601, in UTC."""

PageCursor: TypeAlias = Annotated[
    str | None, Meta(description="What to ask the next page with; null if this is the last")
]

COMPONENTS = "#/components/schemas"
"""Where OpenAPI has the schemas of documents. msgspec itself knows no union of two structs."""

Redacted = TypeVar("Redacted", bound=Struct)


# -- runs -------------------------------------------------------------------------------------------------------


class FailureDocument(Struct, frozen=True):
    """Why a step or a run failed; each part may be null."""

    error_class: Annotated[ErrorClass | None, Meta(description="What kind of error, as a retry policy names it")] = (
        msgspec.field(name="class")
    )
    code: Annotated[str | None, Meta(description="A word by which programs can tell it from others")]
    message: str | None
    step: Annotated[str | None, Meta(description="The path of the step")]
    attempt: int | None
    details: Any

    @classmethod
    def of(cls, failure: Failure | None) -> Self | None:
        if failure is None:
            return None
        return cls(
            error_class=failure.error_class,
            code=failure.code,
            message=failure.message,
            step=failure.step,
            attempt=failure.attempt,
            details=failure.details.load(),
        )


class AttemptDocument(Struct, frozen=True):
    """What became of an attempt that has ended."""

    attempt: int
    started_at: Time | None
    ended_at: Time | None
    ending: Annotated[
        Ending | Literal["completed", "lost"],
        Meta(description="How sure it is what became of it; `lost` with the process"),
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
    due_at: Annotated[Time | None, Meta(description="When its next attempt is due, or its wait ends by itself")]
    decision_needed: Annotated[bool, Meta(description="Whether it waits for a person to resolve it")]
    tries: list[AttemptDocument]


class WaitDocument(Struct, frozen=True):
    """One thing that a run waits for."""

    step: str
    name: Annotated[str | None, Meta(description="Its name in a `wait.any`")]
    kind: AwaitKind
    due_at: Annotated[Time | None, Meta(description="When the wait ends by itself")]
    title: Annotated[str | None, Meta(description="What is asked")]
    to: Annotated[list[str], Meta(description="Who is asked")]
    fields: Annotated[dict[str, Any] | None, Meta(description="What a person fills in: JSON Schemas by name")]
    type: Annotated[str | None, Meta(description="Of an event: its type")]
    match: Annotated[str | None, Meta(description="Of an event: its subject")]
    link: Annotated[
        str | None,
        Meta(description="Where it is answered by whoever has this address; null for a key that may not answer"),
    ]


class PendingDocument(Struct, frozen=True):
    """One thing that a run waits for and that does not come by itself. A `decision` is on a step, to be resolved; a run
    to `resume` is paused as a whole."""

    run: str
    pipeline: str
    reason: Annotated[str | None, Meta(description="Why it is paused")]
    step: str | None
    name: Annotated[str | None, Meta(description="Its name in a `wait.any`")]
    kind: AwaitKind | Literal["decision", "resume"]
    due_at: Annotated[Time | None, Meta(description="When the wait ends by itself")]
    title: Annotated[str | None, Meta(description="What is asked")]
    to: Annotated[list[str], Meta(description="Who is asked")]
    fields: Annotated[dict[str, Any] | None, Meta(description="What a person fills in: JSON Schemas by name")]
    type: Annotated[str | None, Meta(description="Of an event: its type")]
    match: Annotated[str | None, Meta(description="Of an event: its subject")]
    link: Annotated[
        str | None,
        Meta(description="Where it is answered by whoever has this address; null for a key that may not answer"),
    ]

    @classmethod
    def make_decision(
        cls, run: str, pipeline: str, reason: str | None, step: str | None = None, due_at: str | None = None
    ) -> Self:
        """What a person must decide: on a step, or that the run goes on."""
        return cls(
            run=run,
            pipeline=pipeline,
            reason=reason,
            step=step,
            name=None,
            kind="decision" if step else "resume",
            due_at=due_at,
            title=None,
            to=[],
            fields=None,
            type=None,
            match=None,
            link=None,
        )


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
    status: Annotated[RunStatus | None, Meta(description="Null of a run that has not begun, or was cleared away")]


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
    reason: Annotated[str | None, Meta(description="Why it is queued or paused, or why it ended as it did")]
    trigger: str | None
    event: Annotated[str, Meta(description="The id of the event that started it")]
    tags: list[str]
    created_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, run: Run) -> "RunLineDocument":
        return RunLineDocument(
            id=run.id,
            pipeline=run.pipeline,
            status=run.status,
            reason=run.reason,
            trigger=run.trigger,
            event=run.event,
            tags=list(run.tags),
            created_at=format_time(run.created_at),
            finished_at=format_time(run.finished_at),
        )


class RunDocument(RunLineDocument, frozen=True):
    """A run, whole."""

    version: Annotated[str, Meta(description="The version of the pipeline: the hash of its meaning")]
    inputs: Any
    outputs: Any
    answer: Annotated[
        Any, Meta(description="What a step answered the sender of the run's event: status, headers and body")
    ]
    error: FailureDocument | None
    cleanup_error: Annotated[FailureDocument | None, Meta(description="Why `on_failure` failed itself")]
    due_at: Annotated[Time | None, Meta(description="When something must happen to it, even if nothing arrives")]
    not_before: Annotated[Time | None, Meta(description="When it may begin")]
    expires_at: Annotated[Time | None, Meta(description="When it ends if it has not begun")]
    priority: int
    parent: Annotated[CallingStepDocument | None, Meta(description="The step that called it")]
    children: Annotated[list[CalledRunDocument], Meta(description="The runs that it called")]
    waits: Annotated[list[WaitDocument], Meta(description="What it waits for now")]
    undo: Annotated[list[UndoDocument], Meta(description="The steps with an effect that an undo takes back")]
    steps: Annotated[dict[str, StepDocument], Meta(description="The steps that were reached, by path")]


class RunsDocument(Struct, frozen=True):
    """A page of runs, the newest first."""

    runs: list[RunLineDocument]
    after: PageCursor


class EntryDocument(TypedDict):
    """An entry of a history; the other keys depend on its type."""

    sequence: Annotated[int, Meta(description="Its number, from 1")]
    at: Time
    type: str


class HistoryDocument(Struct, frozen=True):
    """A page of a run's history."""

    entries: list[EntryDocument]
    after: Annotated[int | None, Meta(description="What to ask the next page with; null if this is the last")]


class ExportDocument(Struct, frozen=True):
    """A run's history to be replayed elsewhere; the key of its links is another one."""

    definition: Annotated[Any, Meta(description="The pipeline's version, resolved")]
    run: str
    entries: Annotated[list[dict[str, Any]], Meta(description="As they are stored, large values inside them")]


class CancelledDocument(Struct, frozen=True):
    """The request for a run's end is durable."""

    id: str
    status: RunStatus


class TakenDocument(CancelledDocument, frozen=True):
    """What was said to the run is durable."""


# -- what starts runs -------------------------------------------------------------------------------------------

IsDuplicate: TypeAlias = Annotated[bool, Meta(description="Whether an earlier request with the same key started it")]


class StartedDocument(Struct, frozen=True):
    """A run that is durable."""

    id: str
    status: Annotated[RunStatus | None, Meta(description="Null of a duplicate whose run was cleared away meanwhile")]
    duplicate: IsDuplicate


class EndedDocument(RunDocument, frozen=True):
    """A run that ended while the request waited for it."""

    duplicate: IsDuplicate


class EmittedDocument(Struct, frozen=True):
    """An event that is durable."""

    event: Annotated[str, Meta(description="Its id")]
    runs: Annotated[list[str], Meta(description="The runs that it started")]
    duplicate: Annotated[bool, Meta(description="Whether an earlier request with the same key brought it")]


# -- what a service serves --------------------------------------------------------------------------------------


class PipelineLineDocument(Struct, frozen=True):
    """A pipeline's file."""

    id: str
    file: str
    status: PipelineStatus
    version: Annotated[str | None, Meta(description="The hash of its meaning; null if nothing is served")]
    webhooks: Annotated[list[str], Meta(description="The paths of its webhooks")]
    schedules: Annotated[list[str], Meta(description="When its schedules fire")]
    events: Annotated[list[str], Meta(description="The types of the events that start it")]
    problems: Annotated[list[str], Meta(description="What is wrong with the file, each with its place")]


class PipelineDocument(PipelineLineDocument, frozen=True):
    """A pipeline's file, and what a run of it is given."""

    inputs: Annotated[
        dict[str, Any] | None, Meta(description="The JSON Schema of each input; null if anything is taken")
    ]


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
    run: Annotated[str | None, Meta(description="The run that was started last")]


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
    next: Annotated[list[Time], Meta(description="The next fires")]
    due: Annotated[Time | None, Meta(description="When the next one starts its run, by its place in the window")]
    overdue: Annotated[Time | None, Meta(description="The first fire that should have come by now and did not")]
    waiting: Annotated[int, Meta(description="Fires that wait for the run before them")]
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
    event: Annotated[str | None, Meta(description="The event that it brought; that of a duplicate is the first one's")]
    size: Annotated[int, Meta(description="Bytes of its body")]

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

    key: Annotated[str, Meta(description="What its holder presents; it is shown here and never again")]


class KeyListDocument(Struct, frozen=True):
    """Every key that was ever made, the oldest first; the admin key of the service is none of them."""

    keys: list[KeyDocument]


# -- batches ----------------------------------------------------------------------------------------------------


class BatchAnswerDocument(Struct, frozen=True, omit_defaults=True):
    """What became of one item: a run, or a problem."""

    code: Annotated[int, Meta(description="The status with which a request for this run alone is answered")]
    run: Annotated[
        Any,
        Meta(extra_json_schema={"anyOf": [{"$ref": f"{COMPONENTS}/{name}"} for name in ("Started", "Ended")]}),
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
