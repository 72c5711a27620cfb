"""The outline of a run, as the API answers with it: what happened when, in a bounded number of rows."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Struct

from durable.history.words import RunStatus, StepStatus
from durable.journal.timeline import PartKind
from triggers.documents.fields import PageCursor, Time, note
from triggers.documents.runs import CalledRunDocument, ErrorDocument, ItemsDocument

RowsOnly: TypeAlias = Literal["all", "failed", "unfinished"]

Offset: TypeAlias = Annotated[int, note("Milliseconds since the start of the run")]


class RowPartDocument(Struct, frozen=True):
    """A part of the time of a step.

    `queued`: before the first attempt; `attempt`, `failed`, `lost`: an attempt, by how it ended; `running`: the attempt
    that is performed now; `backoff`: between two attempts; `waiting`: for an answer, an event, a time, a called run or
    a person; `earlier`: the attempts before the last 20.
    """

    kind: PartKind
    at: Offset
    length: Annotated[int, note("Milliseconds")]


class DensityDocument(Struct, frozen=True):
    """The steps in equal pieces of the axis: one number for each piece."""

    working: Annotated[list[int], note("How many steps were in an attempt")]
    waiting: Annotated[list[int], note("How many steps waited for an answer, an event, a time, a run or a person")]
    queued: Annotated[list[int], note("How many steps were before or between attempts")]
    failed: Annotated[list[int], note("How many attempts failed there")]


class RowDocument(Struct, frozen=True):
    """A step, or a step that was not reached (`pending`), in the outline."""

    path: str
    use: Annotated[str | None, note("Its action, or the kind of block that it is; null if the definition is missing")]
    status: StepStatus
    depth: Annotated[int, note("In how many blocks of this list it is")]
    at: Annotated[Offset | None, note("When it began; null if it did not, or began in the run that this one forks")]
    length: Annotated[int, note("How long it took, or has taken so far, in milliseconds")]
    parts: Annotated[list[RowPartDocument], note("Its time, oldest first; empty for a block")]
    density: Annotated[DensityDocument | None, note("Of a loop: the steps inside it, in 40 pieces of the axis")]
    items: Annotated[ItemsDocument | None, note("Of a loop: its items; `under` lists their steps")]
    parallel: Annotated[int | None, note("Of a `foreach`: how many items are performed at once")]
    attempts: int
    max_attempts: Annotated[int | None, note("How many attempts it has at most; null where it is not known")]
    due_at: Annotated[Time | None, note("When its next attempt is due, or its wait times out")]
    decision_needed: bool
    copied: Annotated[bool, note("Whether its checkpoint was copied from the run that this one forks")]
    error: Annotated[ErrorDocument | None, note("With a message of 200 characters at most")]
    called: Annotated[CalledRunDocument | None, note("The run that it called")]


class AxisPieceDocument(Struct, frozen=True):
    """A piece of the axis: `length` ms from `at` are drawn from `x` to `x + width`; the whole axis is 1,000 wide."""

    at: Offset
    length: int
    x: int
    width: int
    idle: Annotated[bool, note("Whether it is a time without work, which is shortened")]


class RowCountsDocument(Struct, frozen=True):
    """How many steps the run has reached, and how many of them the other lists have."""

    all: int
    failed: int
    unfinished: int


class TookDocument(Struct, frozen=True):
    """What a run took, in ms: `total` is the sum of the others. A time in which one step works and another one waits
    counts as work."""

    total: int
    working: int
    waiting: int
    queued: Annotated[int, note("Before its first step")]


class OutlineDocument(Struct, frozen=True):
    """A run over time: a row for each step outside of loops, with a loop as one row, or the rows of one loop."""

    run: str
    status: RunStatus
    started_at: Time | None
    sequence: Annotated[int, note("The number of the last entry of the history that is shown")]
    took: TookDocument
    axis: list[AxisPieceDocument]
    strip: Annotated[DensityDocument, note("All steps of the run, in 100 pieces of the axis")]
    only: Annotated[RowsOnly, note("Which rows are listed")]
    counts: RowCountsDocument
    total: Annotated[int, note("How many rows there are")]
    first: Annotated[int, note("The number of the first row of this page, from 1; 0 without rows")]
    rows: list[RowDocument]
    after: PageCursor
    unreadable: Annotated[str | None, note("Why the rest of the history cannot be read")]
