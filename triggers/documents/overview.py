"""How the service does, and what needs a person."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Struct

from durable.history.words import RunStatus
from triggers.documents.fields import Time, note
from triggers.documents.pipelines import SampledRunDocument

Period: TypeAlias = Literal["hour", "day", "week"]

AttentionKind: TypeAlias = Literal[
    "journal",
    "failure",
    "uncertain",
    "exhausted",
    "paused",
    "approval",
    "file",
    "connection",
    "schedule",
    "rejected",
]


class ColumnDocument(Struct, frozen=True):
    """The runs that started in a stretch of time, by what has become of them."""

    start: Time | None
    completed: int
    failed: int
    cancelled: int
    unfinished: int


class PipelineGlanceDocument(Struct, frozen=True):
    """How the newest runs of a pipeline went: the hundred last ones of seven days."""

    id: str
    newest: Annotated[list[SampledRunDocument], note("Its newest runs, twenty at most")]
    success: Annotated[float | None, note("The share of completed runs, of those that completed or failed")]
    p95_ms: Annotated[int | None, note("95 of 100 completed runs took less")]


class OverviewDocument(Struct, frozen=True):
    """How the service does. Columns that lie back are counted again after a twentieth of their age."""

    period: Period
    since: Annotated[Time | None, note("The start of the first column")]
    column_ms: Annotated[int, note("The length of a column")]
    columns: Annotated[list[ColumnDocument], note("The oldest first; the last one is not over")]
    started: Annotated[int, note("The runs that started in the period")]
    completed: int
    failed: int
    cancelled: int
    unfinished: Annotated[
        dict[RunStatus, int],
        note("The unfinished runs now"),
    ]
    attempts_in_flight: int
    p95_accept_ms: Annotated[
        float | None,
        note("95 of 100 deliveries were accepted in less, since the service started; null before the first"),
    ]
    p95_run_ms: Annotated[int | None, note("95 of the newest 500 completed runs of the period took less")]
    newest_run: Annotated[Time | None, note("When the newest run started; null if there has been none")]
    newest_failure: Annotated[Time | None, note("When the newest run that failed started")]
    pipelines: Annotated[list[PipelineGlanceDocument], note("Those with the newest runs first, twenty at most")]


class AttentionLineDocument(Struct, frozen=True):
    """A group of things that need a person, in a sentence."""

    kind: AttentionKind
    about: Annotated[str | None, note("The pipeline, webhook, schedule or connection, if it is one")]
    text: Annotated[str, note("What it is, in a sentence")]
    detail: Annotated[str | None, note("More of it: a message, or what to do")]
    count: Annotated[int, note("How many things the group has")]
    has_more: Annotated[bool, note("Whether there are more than were counted")]
    oldest: Time | None
    newest: Time | None
    page: Annotated[str, note("The page of the dashboard that shows it")]
    error: Annotated[str | None, note("The error key of failed runs")] = None
    run: Annotated[str | None, note("The run, or the newest of them")] = None


class AttentionDocument(Struct, frozen=True):
    """What needs a person, in groups: one outage is one line."""

    since: Annotated[Time | None, note("Failures and refused deliveries since then; the rest is what is so now")]
    lines: list[AttentionLineDocument]
    is_partial: Annotated[
        bool, note("Whether only the oldest 500 paused and 3,000 waiting runs were looked at, because there are more")
    ]
