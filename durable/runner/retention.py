"""Retention: removes old runs, events, deliveries, dedupe keys, definitions and rows of the audit log, while the
service runs.

A pass removes a few rows at a time and rests between two commits, so that the commits of runs do not wait for it. Then
it gives free space back to the file system.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, get_args

from durable import metrics
from durable.history.words import EndStatus
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.journal.retention import (
    COUNTED,
    PAGE,
    EndedRun,
    Removable,
    count_rows,
    find_last_beyond,
    find_oldest_start,
    list_audit_ids,
    list_bulks,
    list_deliveries,
    list_ended,
    list_events,
    list_keys,
    list_pipelines,
    list_unused_definitions,
)
from durable.retention import RetentionPolicies

log = logging.getLogger("waypost.retention")

LEAST_AGE = 60_000
"""Milliseconds for which every run is kept after its end: whoever waits for its result reads it then."""

UNUSED_AGE = 30 * 86_400_000
"""Milliseconds for which a pipeline version without runs is kept, and a bulk after its end."""

BATCH_ROWS = 50
BATCH_ENTRIES = 1_000
"""The maximum numbers of rows, and of entries of their runs, that are removed in one commit. A run with more entries is
removed alone. Measured: 2 ms for 50 runs of three steps, and a flush of 10 ms instead of 6; 100 runs take 14 ms. A run
of 10,000 steps takes 7 ms before the flush."""

REST = 4
"""A rest is this many times as long as the commit before it took, with its time in the queue: under load, retention
slows down by itself."""

PATIENCE = 30.0
"""Seconds after which a pass rests no longer than a commit took, because more becomes old than it removes."""

SLICE = 256
"""Pages that are given back in one commit, which takes the writer about 2 ms."""

RESERVE = 16 * 1024 * 1024
RESERVE_SHARE = 20
"""Free space that is kept for new rows: this many bytes, or this fraction of the file if it is more."""

FULL_PASS_EVERY = 3_600_000
"""Milliseconds between two passes that also read all events and dedupe keys."""

NOTE = "retention"
"""The name under which the journal keeps the last pass."""


class Retention:
    """Removes what is old. `delivery_age`, `event_age` and `audit_age` in ms; None keeps them for ever.
    `needs_version`: whether a definition must remain although no run has it."""

    def __init__(
        self,
        journal: Journal,
        policies: RetentionPolicies,
        *,
        delivery_age: int | None,
        event_age: int | None,
        audit_age: int | None,
        needs_version: Callable[[str], bool],
        now: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._policies = policies
        self._delivery_age = delivery_age
        self._event_age = event_age
        self._audit_age = audit_age
        self._needs_version = needs_version
        self._now = now
        self._next_full_pass = 0
        self._removed: Counter[Removable] = Counter()
        self._hurries_at = 0.0

    async def try_pass(self) -> None:
        """Make a pass. If the journal refuses, the next pass goes on where this one ended."""
        try:
            await self.make_pass()
        except JournalError as error:
            log.warning("old rows could not be removed; the next try is in a minute: %s", error)

    async def make_pass(self) -> Mapping[Removable, int]:
        """Remove everything that is old at the moment; returns how much that was, by noun. Raises `JournalError`."""
        self._removed.clear()
        self._hurries_at = perf_counter() + PATIENCE
        began = self._now()
        for pipeline in await self._journal.read(list_pipelines):
            await self._remove_runs(pipeline)
        if self._delivery_age is not None:
            await self._remove_deliveries(self._delivery_age)
        is_full = began >= self._next_full_pass
        if is_full:
            await self._remove_unused()
            self._next_full_pass = began + FULL_PASS_EVERY
        await self._shrink()
        await self._report(is_full=is_full)
        await self._measure(is_full=is_full)
        return dict(self._removed)

    async def _remove_runs(self, pipeline: str) -> None:
        policy, now = self._policies.find_policy(pipeline), self._now()
        for status in get_args(EndStatus):
            if (age := policy.find_age(status)) is not None:
                await self._remove_ended(pipeline, status, now - max(age, LEAST_AGE), None)
        if policy.max_runs is None:
            return
        if last := await self._journal.read(find_last_beyond, pipeline, policy.max_runs):
            for status in get_args(EndStatus):
                await self._remove_ended(pipeline, status, now - LEAST_AGE, last)

    async def _remove_ended(self, pipeline: str, status: EndStatus, before: int, last: str | None) -> None:
        after = ""
        while page := await self._journal.read(list_ended, pipeline, status, before, last, after):
            for batch in split_into_batches(page):
                await self._remove("runs", batch, before)
            after = page[-1].id  # some of the page may have been kept
            if len(page) < PAGE:
                return

    async def _remove_deliveries(self, age: int) -> None:
        before = self._now() - age
        while page := await self._journal.read(list_deliveries, before):
            await self._remove_all("deliveries", page, before)

    async def _remove_unused(self) -> None:
        """Remove events without runs, expired dedupe keys, ended bulks, old rows of the audit log, and definitions that
        nothing needs."""
        now = self._now()
        if self._event_age is not None:
            await self._remove_events(now - max(self._event_age, LEAST_AGE))
        await self._remove_keys(now)
        await self._remove_bulks(now - UNUSED_AGE)
        if self._audit_age is not None:
            await self._remove_audit_records(now - self._audit_age)
        unused = await self._journal.read(list_unused_definitions, now - UNUSED_AGE)
        for version in unused:
            if not self._needs_version(version):  # asked anew each time, because a file may have changed back
                await self._remove("definitions", [version], now)

    async def _remove_events(self, before: int) -> None:
        after = ""
        while page := await self._journal.read(list_events, before, after):
            await self._remove_all("events", [id for id, is_used in page if not is_used], before)
            after = page[-1][0]

    async def _remove_keys(self, now: int) -> None:
        after = ("", "")
        while page := await self._journal.read(list_keys, after):
            await self._remove_all("dedupe_keys", [(scope, key) for scope, key, until in page if until <= now], now)
            after = page[-1][:2]

    async def _remove_bulks(self, before: int) -> None:
        while page := await self._journal.read(list_bulks, before):
            for bulk in page:  # some of the items of a long one remain for the next round
                await self._remove("bulks", [bulk], before)

    async def _remove_audit_records(self, before: int) -> None:
        while page := await self._journal.read(list_audit_ids, before):
            await self._remove_all("audit", page, before)

    async def _remove_all(self, noun: Removable, rows: Sequence[Any], before: int) -> None:
        for start in range(0, len(rows), BATCH_ROWS):
            await self._remove(noun, rows[start : start + BATCH_ROWS], before)

    async def _remove(self, noun: Removable, rows: Sequence[Any], before: int) -> None:
        began = perf_counter()
        removed = await self._journal.remove(noun, rows, before)
        self._removed[noun] += removed
        metrics.count_removed(noun, removed)
        await self._rest(perf_counter() - began)

    async def _rest(self, took: float) -> None:
        await asyncio.sleep(took * (REST if perf_counter() < self._hurries_at else 1))

    async def _shrink(self) -> None:
        """Give free space back, except for a reserve: a file that shrinks and grows all the time costs more."""
        space = await self._journal.measure_space()
        surplus = (space.free - max(RESERVE, space.database // RESERVE_SHARE)) // space.page
        while surplus > 0:
            began = perf_counter()
            surplus -= await self._journal.shrink(min(SLICE, surplus)) or surplus
            await self._rest(perf_counter() - began)

    async def _report(self, *, is_full: bool) -> None:
        """Log and keep what was removed. A pass without any result is noted once an hour, to save commits."""
        removed = {noun: count for noun, count in self._removed.items() if count}
        if removed:
            log.info("removed %s", ", ".join(f"{noun}: {count}" for noun, count in removed.items()))
        if removed or is_full:
            await self._journal.keep_note(NOTE, json.dumps({"at": self._now(), "removed": removed}))

    async def _measure(self, *, is_full: bool) -> None:
        metrics.RETENTION_TIME.set(self._now() / 1000)
        metrics.OLDEST_RUN_TIME.set((await self._journal.read(find_oldest_start) or 0) / 1000)
        for noun in COUNTED if is_full else ():
            metrics.JOURNAL_ROWS.labels(noun).set(await self._journal.read(count_rows, noun))


def split_into_batches(page: Sequence[EndedRun]) -> Iterator[Sequence[str]]:
    """Split runs into batches of bounded size; at least one run each."""
    batch: list[str] = []
    entries = 0
    for run in page:
        if batch and (len(batch) == BATCH_ROWS or entries + run.entries > BATCH_ENTRIES):
            yield batch
            batch, entries = [], 0
        batch.append(run.id)
        entries += run.entries
    if batch:
        yield batch
