"""What a bulk does with one item: a table of the actions.

Each is done once, however often the process dies: an item is recorded as pending before its action and with its outcome
after it, and an action that is repeated in between changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from durable.bulks import Bulk, BulkAction, BulkItem
from durable.engine import Engine
from durable.journal.journal import Journal

Act: TypeAlias = Callable[[Bulk, str], Awaitable[BulkItem]]
"""Performs the action on an item. Raises `Overloaded` or a `JournalError` if it has to be tried again."""


class BulkActions:
    """The actions of bulks on one item."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self.table: Mapping[BulkAction, Act] = {"cancel": self._cancel}

    async def _cancel(self, bulk: Bulk, run: str) -> BulkItem:
        reason = explain_bulk(bulk)
        if await self._engine.cancel(run, reason):
            return BulkItem(run, "done", run)
        found = await self._journal.find_run(run)
        if found is None:
            return _refuse(run, "there is no such run any more")
        if found.status == "cancelled" and found.reason == reason:  # before the process died
            return BulkItem(run, "done", run)
        return _refuse(run, f"it has ended already: it is {found.status}")


def explain_bulk(bulk: Bulk) -> str:
    """Return the reason that runs and deliveries show for what a bulk did with them."""
    return f"bulk {bulk.id}: {bulk.reason}" if bulk.reason else f"bulk {bulk.id}"


def _refuse(item: str, reason: str) -> BulkItem:
    return BulkItem(item, "refused", None, reason)
