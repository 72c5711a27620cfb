"""What a bulk does with one item: a table of the actions.

Each is done once, however often the process dies: an item is recorded as pending before its action and with its outcome
after it. In between, the action takes a dedupe key of the bulk and the item in the commit of its effect, so that it
changes nothing if it is repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from weakref import WeakValueDictionary

from durable.bulks import Bulk, BulkAction, BulkItem
from durable.durations import parse_duration
from durable.engine import Engine
from durable.journal.dedupe import is_key_taken
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.journal.runs import find_newest_repeat
from durable.units import DedupeKey
from triggers.bulks.filters import describe_repetition
from triggers.not_found import DeliveryNotFound, RunNotFound
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.replays import Replays
from triggers.repeats.reruns import Reruns

KEY_LIFETIME = parse_duration("90d")
"""How long (ms) after its creation a bulk can go on without doing anything twice."""

Act: TypeAlias = Callable[[Bulk, str], Awaitable[BulkItem]]
"""Performs the action on an item. Raises `Overloaded` or a `JournalError` if it has to be tried again."""


class BulkActions:
    """The actions of bulks on one item."""

    def __init__(self, engine: Engine, journal: Journal, reruns: Reruns, replays: Replays) -> None:
        self._engine = engine
        self._journal = journal
        self._reruns = reruns
        self._replays = replays
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.table: Mapping[BulkAction, Act] = {
            "cancel": self._cancel,
            "retry": self._retry,
            "rerun": self._rerun,
            "replay": self._replay,
        }

    async def _cancel(self, bulk: Bulk, run: str) -> BulkItem:
        if await self._engine.cancel(run, explain_bulk(bulk), bulk.by, once=_make_key(bulk, run)):
            return BulkItem(run, "done", run)
        found = await self._journal.find_run(run)
        return _refuse(run, f"it has already ended: it is {found.status}" if found else "the run no longer exists")

    async def _retry(self, bulk: Bulk, run: str) -> BulkItem:
        by, reason = bulk.by, explain_bulk(bulk)
        outcome, refusal = await self._engine.retry(run, by=by, reason=reason, once=_make_key(bulk, run))
        return BulkItem(run, "done", run) if outcome == "retried" else _refuse(run, refusal or outcome)

    async def _rerun(self, bulk: Bulk, run: str) -> BulkItem:
        async with self._lock(run):
            try:
                await self._ensure_first(bulk, run)
                done = await self._reruns.rerun(run, by=bulk.by, reason=explain_bulk(bulk), key=_make_key(bulk, run))
            except (RepeatRefused, RunNotFound, RunUnreadable) as refused:
                return _refuse(run, str(refused))
        return BulkItem(run, "done", done.run)

    async def _replay(self, bulk: Bulk, delivery: str) -> BulkItem:
        key = _make_key(bulk, delivery)
        async with self._lock(delivery):
            try:
                await self._ensure_first(bulk, delivery)
                done = await self._replays.replay(delivery, by=bulk.by, reason=explain_bulk(bulk), key=key)
            except (RepeatRefused, DeliveryNotFound) as refused:
                return _refuse(delivery, str(refused))
        return BulkItem(delivery, "done", done.run)

    def _lock(self, item: str) -> asyncio.Lock:
        """Return the lock of an item: of two bulks that repeat it at the same time, the second finds the repeat."""
        return self._locks.setdefault(item, asyncio.Lock())

    async def _ensure_first(self, bulk: Bulk, item: str) -> None:
        """Raise `RepeatRefused` if the item was repeated after the bulk had selected it, and not by the bulk itself."""
        if bulk.filter.again or (earlier := await self._journal.read(find_newest_repeat, item)) is None:
            return
        if not await self._journal.read(is_key_taken, _make_key(bulk, item), bulk.created_at):
            raise RepeatRefused(f"it has been {describe_repetition(bulk.action)} already: {earlier}")


def explain_bulk(bulk: Bulk) -> str:
    """Return the reason that runs and deliveries show for what a bulk did with them."""
    return f"bulk {bulk.id}: {bulk.reason}" if bulk.reason else f"bulk {bulk.id}"


def _refuse(item: str, reason: str) -> BulkItem:
    return BulkItem(item, "refused", None, reason)


def _make_key(bulk: Bulk, item: str) -> DedupeKey:
    return DedupeKey(f"#bulk/{bulk.id}", item, bulk.created_at + KEY_LIFETIME)
