"""Bulks: one action on many runs or deliveries."""

from typing import Annotated

import msgspec
from msgspec import Struct

from durable.bulks import Bulk, BulkAction, BulkFilter, BulkItem, BulkMatches, BulkOutcome, BulkStatus
from durable.history.words import RunStatus
from durable.ids import parse_time
from durable.units import DeliveryOutcome
from triggers.documents.fields import PageCursor, Time, format_time, note


class BulkFilterDocument(Struct, frozen=True):
    """What a bulk selects: the items that meet every condition that is not null."""

    since: Annotated[Time | None, note("Null: from the beginning")] = msgspec.field(name="from")
    until: Annotated[Time, note("Items from before this time; it does not change")] = msgspec.field(name="to")
    pipeline: str | None
    status: Annotated[RunStatus | None, note("Null: every unfinished run")]
    tag: str | None
    trigger: str | None
    error: str | None
    version: str | None
    outcome: Annotated[DeliveryOutcome | None, note("The outcome of a delivery")]
    ids: list[str] | None
    again: Annotated[bool, note("Also runs that were rerun or forked already, deliveries that were replayed")]

    @classmethod
    def of(cls, filter: BulkFilter) -> "BulkFilterDocument":
        return cls(
            since=format_time(filter.since),
            until=format_time(filter.until) or "",
            pipeline=filter.pipeline,
            status=filter.status,
            tag=filter.tag,
            trigger=filter.trigger,
            error=filter.error,
            version=filter.version,
            outcome=filter.outcome,
            ids=list(filter.ids) if filter.ids is not None else None,
            again=filter.again,
        )


class MatchDocument(Struct, frozen=True):
    """A run or a delivery that a bulk would act on."""

    id: str
    at: Annotated[Time | None, note("When the run started, or the delivery arrived")]


class BulkPreviewDocument(Struct, frozen=True):
    """What a bulk would act on now."""

    action: BulkAction
    filter: BulkFilterDocument
    words: Annotated[str, note("The filter in words")]
    count: Annotated[int, note("How many items match, counted up to 10,000")]
    exact: Annotated[bool, note("False if more than `count` items match")]
    oldest: MatchDocument | None
    newest: MatchDocument | None
    repeated: Annotated[
        int, note("How many more would match with `again`, counted up to 10,000: they were rerun, forked or replayed")
    ]

    @classmethod
    def of(cls, action: BulkAction, filter: BulkFilter, words: str, found: BulkMatches) -> "BulkPreviewDocument":
        oldest, newest = (
            MatchDocument(id, format_time(parse_time(id))) if id is not None else None
            for id in (found.oldest, found.newest)
        )
        wanted = BulkFilterDocument.of(filter)
        return cls(action, wanted, words, found.count, found.is_exact, oldest, newest, found.repeated)


class BulkDocument(Struct, frozen=True):
    """A bulk and its progress."""

    id: str
    action: BulkAction
    status: BulkStatus
    filter: BulkFilterDocument
    words: Annotated[str, note("The filter in words")]
    total: Annotated[int, note("How many items matched when it was created, counted up to 10,000")]
    exact: Annotated[bool, note("False if more than `total` items matched")]
    done: int
    refused: Annotated[int, note("Items for which the action was refused; each has the reason")]
    rate: Annotated[int, note("The maximum number of items per second")]
    by: Annotated[str, note("The name of the API key that created it")]
    reason: str | None
    created_at: Time | None
    finished_at: Annotated[Time | None, note("When it finished or was stopped")]
    stopped_by: str | None

    @classmethod
    def of(cls, bulk: Bulk, words: str) -> "BulkDocument":
        return cls(
            id=bulk.id,
            action=bulk.action,
            status=bulk.status,
            filter=BulkFilterDocument.of(bulk.filter),
            words=words,
            total=bulk.total,
            exact=bulk.is_exact,
            done=bulk.done,
            refused=bulk.refused,
            rate=bulk.rate,
            by=bulk.by,
            reason=bulk.reason,
            created_at=format_time(bulk.created_at),
            finished_at=format_time(bulk.finished_at),
            stopped_by=bulk.stopped_by,
        )


class BulksDocument(Struct, frozen=True):
    """A page of bulks, the newest first."""

    bulks: list[BulkDocument]
    after: PageCursor


class BulkItemDocument(Struct, frozen=True):
    """What became of an item of a bulk."""

    item: Annotated[str, note("The id of the run or the delivery")]
    outcome: BulkOutcome
    run: Annotated[str | None, note("The run that the action acted on, or started")]
    status: Annotated[RunStatus | None, note("The status of that run now")]
    reason: Annotated[str | None, note("Why the action was refused")]

    @classmethod
    def of(cls, item: BulkItem) -> "BulkItemDocument":
        return cls(item.item, item.outcome, item.run, item.status, item.reason)


class BulkItemsDocument(Struct, frozen=True):
    """A page of a bulk's items, the oldest first."""

    items: list[BulkItemDocument]
    after: PageCursor
