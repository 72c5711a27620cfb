"""Operations on bulks: preview one, create it, read it and its items, stop it and resume it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints
from starlette.responses import Response

from durable.bulks import BulkAction, BulkFilter, BulkOutcome
from durable.history.words import RunStatus
from durable.journal.bulks import list_bulk_items, list_bulks
from durable.journal.journal import Journal
from durable.links import hide_links
from durable.units import DeliveryOutcome
from triggers.api.operation import ApiRequest, Body, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.api.value_types import BulkId, ItemId, Limit, PastMoment, Reason, Tag
from triggers.bulks.bulks import Bulks
from triggers.bulks.filters import InvalidFilter, complete_filter, describe_bulk, describe_filter
from triggers.documents.bulks import (
    BulkDocument,
    BulkItemDocument,
    BulkItemsDocument,
    BulkPreviewDocument,
    BulksDocument,
)
from triggers.documents.fields import Redacted, redact_document
from triggers.problem_details import Mistake
from triggers.runs.lists import find_error_key

RATE = 50
FASTEST = 1_000
"""Items a second: by default, and at most."""

MOST_IDS = 1_000
"""The most ids that a filter names."""

Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]

# -- what is asked ----------------------------------------------------------------------------------------------


class FilterBody(Body):
    """Selects runs (cancel, retry, rerun) or deliveries (replay): those that meet every condition."""

    pipeline: Word | None = Field(None, description="Only runs of this pipeline")
    status: RunStatus | None = Field(
        None, description="Only runs with this status; by default, cancel: unfinished ones, retry and rerun: `failed`"
    )
    tag: Tag | None = Field(None, description="Only runs with this tag")
    trigger: Word | None = Field(None, description="Only runs that this trigger started, or deliveries to this webhook")
    error: Word | None = Field(None, description="Only runs with this failure: its key")
    version: Word | None = Field(None, description="Only runs of this version")
    outcome: DeliveryOutcome | None = Field(None, description="Only deliveries with this outcome")
    since: PastMoment | None = Field(
        None, alias="from", description="Only items that started or arrived at this time or later; null: no lower bound"
    )
    until: PastMoment | None = Field(
        None, alias="to", description="Only items that started or arrived before this time; null: now"
    )
    again: bool = Field(
        False,
        description="Rerun also runs that were rerun or forked already, replay also deliveries that were replayed",
    )
    ids: list[ItemId] | None = Field(None, max_length=MOST_IDS, min_length=1, description="Only these")


class BulkPreviewBody(Body):
    """An action and what it is for."""

    action: BulkAction = Field(description="What to do with each run or delivery")
    filter: FilterBody = Field(default_factory=FilterBody, description="Which runs or deliveries")


class BulkBody(BulkPreviewBody):
    """A bulk to create."""

    reason: Reason | None = Field(None, description="The reason, shown with each run")
    rate: int = Field(RATE, ge=1, le=FASTEST, description="The maximum number of items per second")
    expected: int | None = Field(
        None, ge=0, description="The `count` of the preview: refused (409) if more items than that match now"
    )


class BulkResumption(Body):
    """How a stopped bulk continues."""

    rate: int | None = Field(
        None, ge=1, le=FASTEST, description="The maximum number of items per second; null: as before"
    )


class OneBulk(Parameters):
    bulk: str = Field(description="The bulk's id")


class ManyBulks(Parameters):
    after: BulkId | None = Field(None, description="Continue after this bulk: the `after` of the previous page")
    limit: Limit = Field(50, description="The maximum number")


class ManyBulkItems(OneBulk):
    outcome: BulkOutcome | None = Field(None, description="Only items with this outcome")
    after: ItemId | None = Field(None, description="Continue after this item: the `after` of the previous page")
    limit: Limit = Field(100, description="The maximum number")


# -- what answers -----------------------------------------------------------------------------------------------


class BulkOperations:
    """Previews, creates, reads and steers bulks."""

    def __init__(self, bulks: Bulks, journal: Journal, now: Callable[[], int]) -> None:
        self._bulks = bulks
        self._journal = journal
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        missing = {404: "There is no such bulk"}
        one = {200: BulkDocument}
        unknown = {404: "The filter names something that does not exist"}
        return [
            Operation(
                "POST",
                "/bulks/preview",
                self.preview_bulk,
                "read",
                Parameters,
                BulkPreviewBody,
                {200: BulkPreviewDocument},
                problems=unknown,
                is_recorded=True,
            ),
            Operation(
                *("POST", "/bulks", self.create_bulk, "start", Parameters, BulkBody, {202: BulkDocument}),
                problems=unknown
                | {409: "Nothing matches, more matches than `expected`, or too many bulks are unfinished"},
            ),
            Operation("GET", "/bulks", self.list_bulks, "read", ManyBulks, Nothing, {200: BulksDocument}),
            Operation("GET", "/bulks/{bulk}", self.get_bulk, "read", OneBulk, Nothing, one, problems=missing),
            Operation(
                "GET",
                "/bulks/{bulk}/items",
                self.list_bulk_items,
                "read",
                ManyBulkItems,
                Nothing,
                {200: BulkItemsDocument},
                problems=missing,
            ),
            Operation(
                *("POST", "/bulks/{bulk}/stop", self.stop_bulk, "start", OneBulk, Nothing, {202: BulkDocument}),
                problems=missing | {409: "The bulk is not running"},
            ),
            Operation(
                *(
                    "POST",
                    "/bulks/{bulk}/resume",
                    self.resume_bulk,
                    "start",
                    OneBulk,
                    BulkResumption,
                    {202: BulkDocument},
                ),
                problems=missing | {409: "The bulk is not stopped, or too many bulks are unfinished"},
            ),
        ]

    async def preview_bulk(self, asked: ApiRequest[Parameters, BulkPreviewBody]) -> Response:
        """Return what a bulk would act on now: the number of items, the oldest and the newest. This changes nothing.

        Create the bulk with the `to` and, if `exact`, the `count` of the preview as `expected`, so that it acts on
        nothing else."""
        action = asked.body.action
        filter = await self._make_filter(asked.body)
        found = await self._bulks.preview(action, filter)
        return respond(BulkPreviewDocument.of(action, filter, describe_filter(action, filter), found))

    async def create_bulk(self, asked: ApiRequest[Parameters, BulkBody]) -> Response:
        """Cancel, retry or rerun all runs that match a filter, or replay all deliveries, oldest first; answered once
        the bulk is durable. It acts on nothing that started or arrived at `to` or later, and on no run that ended after
        the bulk was created."""
        body = asked.body
        bulk = await self._bulks.create(
            body.action,
            await self._make_filter(body),
            by=asked.by.name,
            reason=body.reason,
            rate=body.rate,
            expected=body.expected,
        )
        return respond(describe_bulk(bulk), 202)

    async def list_bulks(self, asked: ApiRequest[ManyBulks, Nothing]) -> Response:
        """List bulks, the newest first."""
        wanted = asked.parameters
        found = await self._journal.read(list_bulks, wanted.limit, wanted.after)
        after = found[-1].id if len(found) == wanted.limit else None
        return await _show(BulksDocument([describe_bulk(bulk) for bulk in found], after), asked)

    async def get_bulk(self, asked: ApiRequest[OneBulk, Nothing]) -> Response:
        """Return one bulk with its progress."""
        return await _show(describe_bulk(await self._bulks.find(asked.parameters.bulk)), asked)

    async def list_bulk_items(self, asked: ApiRequest[ManyBulkItems, Nothing]) -> Response:
        """List the items that a bulk has selected so far, with their outcomes, oldest first."""
        wanted = asked.parameters
        bulk = await self._bulks.find(wanted.bulk)
        found = await self._journal.read(list_bulk_items, bulk.id, wanted.limit, wanted.after, wanted.outcome)
        after = found[-1].item if len(found) == wanted.limit else None
        return await _show(BulkItemsDocument([BulkItemDocument.of(each) for each in found], after), asked)

    async def stop_bulk(self, asked: ApiRequest[OneBulk, Nothing]) -> Response:
        """Stop a bulk after the items in progress; answered once that is durable."""
        return respond(describe_bulk(await self._bulks.stop(asked.parameters.bulk, asked.by.name)), 202)

    async def resume_bulk(self, asked: ApiRequest[OneBulk, BulkResumption]) -> Response:
        """Continue a stopped bulk; answered once that is durable."""
        bulk = await self._bulks.resume(asked.parameters.bulk, asked.by.name, asked.body.rate)
        return respond(describe_bulk(bulk), 202)

    async def _make_filter(self, body: BulkPreviewBody) -> BulkFilter:
        """Return the complete filter; its upper bound in time is now if none was given. Raises `ApiError`."""
        given = body.filter
        filter = BulkFilter(
            until=self._now() if given.until is None else min(given.until, self._now()),
            since=given.since,
            pipeline=given.pipeline,
            status=given.status,
            tag=given.tag,
            trigger=given.trigger,
            error=await find_error_key(self._journal, given.error),
            version=given.version,
            outcome=given.outcome,
            ids=tuple(given.ids) if given.ids is not None else None,
            again=given.again,
        )
        try:
            return complete_filter(body.action, filter)
        except InvalidFilter as invalid:
            raise ApiError.invalid([Mistake(name=f"filter.{invalid.name}", detail=str(invalid))]) from None


async def _show(document: Redacted, asked: ApiRequest[Any, Any]) -> Response:
    """Answer with a document; a reader who may not answer waits gets no link that a reason repeats."""
    # In a thread: a page may hold a thousand reasons, some of which repeat what a sender wrote.
    return respond(document if asked.may_answer else await asyncio.to_thread(redact_document, document, hide_links))
