"""The bulks of a service: created, stopped and resumed by people, each worked off by a task.

A bulk selects its items in pages, oldest first, and records each page before it does anything: what is pending is
done, and what follows the cursor is selected. So a bulk goes on where it was after a restart.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from durable import metrics
from durable.bulks import Bulk, BulkAction, BulkFilter, BulkItem, BulkMatches, BulkStatus
from durable.clock import new_id
from durable.engine import Engine, Overloaded
from durable.journal.bulks import (
    find_bulk,
    list_bulk_items,
    list_next_matches,
    list_unfinished_bulks,
    measure_matches,
)
from durable.journal.errors import JournalBroken, JournalBusy, JournalClosed, JournalError, JournalFull
from durable.journal.journal import Journal
from triggers.bulks.actions import BulkActions
from triggers.bulks.filters import describe_filter
from triggers.bulks.pace import Pace
from triggers.not_found import BulkNotFound
from triggers.refusals import BulkRefused
from triggers.runs.lists import ServedNames, ensure_known, ensure_webhook

COUNT_LIMIT = 10_000
"""The most items that are counted when a bulk is previewed or created."""

PAGE = 100
"""Items that are selected in one commit: about a millisecond, for which other commits wait."""

MOST_BULKS = 10
"""The most unfinished bulks at a time; each has a pace of its own."""

RETRY_PAUSE = 1.0
"""Seconds after which a bulk tries again what the journal or the engine refused."""

CLOSE_TIMEOUT = 5.0
"""Seconds for which a service that stops waits for the items that are being worked on."""

log = logging.getLogger("waypost.bulk")


@dataclass(eq=False)
class BulkTask:
    """A bulk that is at work. `wake` is set when it has to stop, or the service does."""

    bulk: Bulk
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Bulks:
    """The bulks of one service."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        actions: BulkActions,
        names: Callable[[], ServedNames],
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self.actions = actions
        self._names = names
        self._now = now
        self._working: dict[str, BulkTask] = {}
        self._is_closing = False

    # -- what people ask ----------------------------------------------------------------------------------------

    async def preview(self, action: BulkAction, filter: BulkFilter) -> BulkMatches:
        """Find what a bulk with this complete filter would act on now. Raises `PipelineNotFound` and
        `TriggerNotFound`."""
        if action == "replay":
            await ensure_webhook(self._journal, self._names(), filter.trigger)
        else:
            await ensure_known(self._journal, self._names, filter.pipeline, filter.trigger)
        return await self._journal.read(measure_matches, action, filter, COUNT_LIMIT)

    async def create(
        self, action: BulkAction, filter: BulkFilter, *, by: str, reason: str | None, rate: int, expected: int | None
    ) -> Bulk:
        """Store a bulk with this complete filter and begin with it. Raises `BulkRefused` if nothing matches, if more
        than `expected` items match, or if too many bulks are unfinished."""
        found = await self.preview(action, filter)
        if not found.count:
            left_out = f"; {found.repeated} have been, and `again` includes them" if found.repeated else ""
            raise BulkRefused(f"there is nothing to {action}: no {describe_filter(action, filter)}{left_out}")
        if expected is not None and not (found.is_exact and found.count <= expected):
            count = found.count if found.is_exact else f"more than {found.count}"
            raise BulkRefused(f"{count} items match now, but {expected} were expected; preview the bulk again")
        self._ensure_room()
        at = self._now()
        bulk = Bulk(
            id=new_id("blk", at),
            action=action,
            filter=filter,
            by=by,
            reason=reason,
            rate=rate,
            status="running",
            total=found.count,
            is_exact=found.is_exact,
            created_at=at,
        )
        await asyncio.shield(self._journal.add_bulk(bulk))
        _log("created", bulk, by)
        self._begin(bulk)
        return bulk

    async def stop(self, id: str, by: str) -> Bulk:
        """Stop a bulk after the items in progress. Raises `BulkNotFound`, and `BulkRefused` if it is not
        running."""
        if not await self._change(id, "running", "stopping", None, by):
            bulk = await self.find(id)
            raise BulkRefused(f"the bulk {id} is not running: it is {bulk.status}")
        bulk = await self.find(id)
        _log("stop requested", bulk, by)
        if work := self._working.get(id):
            work.bulk = replace(work.bulk, status="stopping", stopped_by=by)
            work.wake.set()
        else:
            await self._end(bulk)
        return await self.find(id)

    async def resume(self, id: str, by: str, rate: int | None) -> Bulk:
        """Continue a stopped bulk, with another rate if one is given. Raises `BulkNotFound`, and `BulkRefused` if it is
        not stopped, or if too many bulks are unfinished."""
        self._ensure_room()
        if not await asyncio.shield(self._journal.resume_bulk(id, rate)):
            bulk = await self.find(id)
            raise BulkRefused(f"the bulk {id} is not stopped: it is {bulk.status}")
        bulk = await self.find(id)
        _log("resumed", bulk, by)
        self._begin(bulk)
        return bulk

    def _ensure_room(self) -> None:
        if len(self._working) >= MOST_BULKS:
            raise BulkRefused(f"{MOST_BULKS} bulks are unfinished; stop one, or wait until one has finished")

    async def find(self, id: str) -> Bulk:
        """Return a bulk; raises `BulkNotFound`."""
        bulk = await self._journal.read(find_bulk, id)
        if bulk is None:
            raise BulkNotFound(id)
        return bulk

    # -- the service --------------------------------------------------------------------------------------------

    async def continue_all(self) -> None:
        """Continue the bulks that were unfinished when the previous process ended."""
        for bulk in await self._journal.read(list_unfinished_bulks):
            if bulk.id not in self._working:
                self._begin(bulk)

    async def close(self) -> None:
        """Stop between two groups of items; the next start continues."""
        self._is_closing = True
        tasks = [work.task for work in self._working.values() if work.task]
        for work in self._working.values():
            work.wake.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
            for task in late:
                task.cancel()

    # -- the work -----------------------------------------------------------------------------------------------

    def _begin(self, bulk: Bulk) -> None:
        if self._is_closing:
            return
        work = BulkTask(bulk)
        if bulk.status == "stopping":
            work.wake.set()
        self._working[bulk.id] = work
        work.task = asyncio.create_task(self._work_logged(work))

    async def _work_logged(self, work: BulkTask) -> None:
        try:
            await self._work(work)
        except (JournalClosed, JournalBroken):
            pass  # the process ends
        except Exception:
            log.exception("the bulk failed; the next start continues it", extra={"bulk": work.bulk.id})
        finally:
            if self._working.get(work.bulk.id) is work:  # a bulk that was resumed meanwhile has another task
                del self._working[work.bulk.id]

    async def _work(self, work: BulkTask) -> None:
        """Work until the bulk has finished, is stopped, or the service stops."""
        pace = Pace(work.bulk.rate, self._engine)
        while not work.wake.is_set():
            try:
                pending = await self._take_pending(work)
                if not pending:
                    break
                await self._act(work, pending, pace)
            except (JournalClosed, JournalBroken):
                raise
            except JournalError as error:
                log.warning("the bulk tries again: %s", error, extra={"bulk": work.bulk.id})
                await asyncio.sleep(RETRY_PAUSE)
        if not self._is_closing:
            await self._end(work.bulk)

    async def _take_pending(self, work: BulkTask) -> Sequence[BulkItem]:
        """Return pending items; if there are none, select the next. There are none at the end."""
        bulk = work.bulk
        if pending := await self._journal.read(list_bulk_items, bulk.id, PAGE, outcome="pending"):
            return pending
        if items := await self._journal.read(list_next_matches, bulk, PAGE):
            await asyncio.shield(self._journal.add_bulk_items(bulk.id, items))
            work.bulk = replace(work.bulk, cursor=items[-1])
        return [BulkItem(item) for item in items]

    async def _act(self, work: BulkTask, pending: Sequence[BulkItem], pace: Pace) -> None:
        """Perform the action on the items, in groups, until the bulk has to stop."""
        for start in range(0, len(pending), pace.size):
            await pace.wait(work.wake)
            if work.wake.is_set():
                return
            group = pending[start : start + pace.size]
            outcomes = await asyncio.gather(*(self._act_on(work.bulk, each.item) for each in group))
            if known := [outcome for outcome in outcomes if outcome]:
                began = time.monotonic()
                await asyncio.shield(self._journal.keep_bulk_outcomes(work.bulk.id, known))
                pace.note_commit(time.monotonic() - began)
            for outcome in known:
                metrics.count_bulk_item(work.bulk.action, outcome.outcome)
            if len(known) < len(group):
                await asyncio.sleep(RETRY_PAUSE)

    async def _act_on(self, bulk: Bulk, item: str) -> BulkItem | None:
        """Perform the action on one item; None if it has to be tried again."""
        try:
            return await self.actions.table[bulk.action](bulk, item)
        except (Overloaded, JournalBusy, JournalFull):
            return None
        except JournalError:
            raise
        except Exception as error:
            log.exception("the bulk could not act on an item", extra={"bulk": bulk.id, "item": item})
            return BulkItem(item, "refused", None, f"Waypost itself failed: {type(error).__name__}: {error}")

    async def _end(self, bulk: Bulk) -> None:
        """Record that a bulk has finished, or was stopped."""
        if bulk.status == "stopping":
            await self._change(bulk.id, "stopping", "stopped", self._now(), bulk.stopped_by)
        elif not await self._change(bulk.id, "running", "finished", self._now(), None):
            await self._change(bulk.id, "stopping", "finished", self._now(), None)
        _log("ended", await self.find(bulk.id), bulk.by)

    async def _change(self, id: str, before: BulkStatus, status: BulkStatus, at: int | None, by: str | None) -> bool:
        return await asyncio.shield(self._journal.change_bulk_status(id, before, status, at, by))


def _log(what: str, bulk: Bulk, by: str) -> None:
    fields = {"bulk": bulk.id, "action": bulk.action, "by": by, "done": bulk.done, "refused": bulk.refused}
    log.info("bulk %s: %s", what, describe_filter(bulk.action, bulk.filter), extra=fields | {"status": bulk.status})
