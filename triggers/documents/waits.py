"""What runs wait for."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from msgspec import Struct

from durable.history.words import AwaitKind
from triggers.documents.fields import PageCursor, Time, note

WaitName: TypeAlias = Annotated[str | None, note("Its name in a `wait.any`")]

WaitEnd: TypeAlias = Annotated[Time | None, note("When the wait times out")]

WaitTitle: TypeAlias = Annotated[str | None, note("What is asked")]

Asked: TypeAlias = Annotated[list[str], note("Who is asked")]

AskedFields: TypeAlias = Annotated[dict[str, Any] | None, note("What a person fills in: JSON Schemas by name")]

AwaitedType: TypeAlias = Annotated[str | None, note("Of an event: its type")]

AwaitedSubject: TypeAlias = Annotated[str | None, note("Of an event: its subject")]

PendingKind: TypeAlias = Literal["approval", "webhook", "event", "decision", "resume"]

WaitLink: TypeAlias = Annotated[
    str | None, note("The link that answers it, without a key; null for a key that may not answer")
]


WaitBegin: TypeAlias = Annotated[Time | None, note("When its step was reached")]


class WaitDocument(Struct, frozen=True):
    """One thing that a run waits for."""

    step: str
    name: WaitName
    kind: AwaitKind
    since: WaitBegin
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
    kind: PendingKind
    since: WaitBegin
    due_at: WaitEnd
    title: WaitTitle
    to: Asked
    fields: AskedFields
    type: AwaitedType
    match: AwaitedSubject
    link: WaitLink

    @classmethod
    def make_decision(
        cls,
        run: str,
        pipeline: str,
        reason: str | None,
        step: str | None = None,
        since: str | None = None,
        due_at: str | None = None,
    ) -> Self:
        """What a person must decide: on a step, or that the run goes on."""
        kind: Literal["decision", "resume"] = "decision" if step else "resume"
        return cls(run, pipeline, reason, step, None, kind, since, due_at, None, [], None, None, None, None)


class PendingListDocument(Struct, frozen=True):
    """What runs wait for, the oldest run first."""

    waits: list[PendingDocument]
    after: PageCursor
