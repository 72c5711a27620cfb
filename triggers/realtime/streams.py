"""Streams: pass on what a source has whenever its topics change, until it ends, the token expires or the service stops.

A stream waits in two places: for a change, and until its client has taken the last events. It has no queue.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager

from durable import metrics
from durable.engine import Overloaded
from durable.journal.errors import JournalBusy
from durable.journal.feed import Feed, Watch
from triggers.documents.fields import format_time
from triggers.documents.streams import ExpiryDocument
from triggers.realtime.events import StreamEvent, make_event
from triggers.realtime.permit import StreamPermit
from triggers.realtime.sources import EventBatch, EventSource
from triggers.refusals import describe_error

HEARTBEAT_SECONDS = 15.0
"""How often a stream without events sends a comment, so that no proxy takes it for dead."""

EXPIRING_SECONDS = 60.0
"""How long before its token expires a stream says so."""

BUSY_SECONDS = 0.5
"""How long, at least, a stream waits until it reads again if too many reads wait."""


class Streams:
    """The streams that are open, at most `limit`. `is_active` tells whether a key is valid, given its id."""

    def __init__(self, feed: Feed, is_active: Callable[[str], bool], now: Callable[[], int], limit: int) -> None:
        self.open = 0
        metrics.STREAMS.set_function(lambda: self.open)
        self._is_active = is_active
        self._feed = feed
        self._now = now
        self._limit = limit
        self._watches: set[Watch] = set()
        self.is_closing = False

    def ensure_room(self) -> None:
        """Raise `Overloaded` if no further stream can be opened."""
        if self.is_closing:
            raise Overloaded("the service is stopping", retry_after=2)
        if self.open >= self._limit:
            raise Overloaded(f"{self.open} streams are open; the setting `max_streams` allows no more", retry_after=10)

    def close(self) -> None:
        """End all streams: the service stops. Clients connect again and go on after their last event."""
        self.is_closing = True
        for watch in self._watches:
            watch.signal.set()

    async def follow(self, source: EventSource, permit: StreamPermit) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Return what is new, again and again; nothing as a heartbeat."""
        with self._watch(source) as watch:
            is_warned = False
            while not self.is_closing:
                batch = await self._read(source)
                if batch.events:
                    yield batch.events
                if batch.is_over:
                    return
                if batch.is_partial:
                    continue
                changed: set[str] = set()
                while not changed and not self.is_closing:
                    left = self._count_seconds_left(permit)
                    if left <= 0 or not self._is_active(permit.key):
                        return
                    if left <= EXPIRING_SECONDS and not is_warned and permit.expires_at is not None:
                        is_warned = True
                        yield [make_event("expiring", ExpiryDocument(format_time(permit.expires_at) or ""))]
                    until = left if is_warned else left - EXPIRING_SECONDS
                    changed = await watch.wait(min(HEARTBEAT_SECONDS, until))
                    if not changed and not self.is_closing:
                        yield source.make_heartbeat()
                if source.pause and not self.is_closing:
                    await asyncio.sleep(source.pause)

    async def _read(self, source: EventSource) -> EventBatch:
        while True:
            try:
                return await source.read()
            except JournalBusy:
                await asyncio.sleep(BUSY_SECONDS * (1 + random.random()))
            except Exception as error:  # noqa: BLE001  # the client is told
                return EventBatch([make_event("problem", describe_error(error))], is_over=True)

    def _count_seconds_left(self, permit: StreamPermit) -> float:
        return float("inf") if permit.expires_at is None else (permit.expires_at - self._now()) / 1000

    @contextmanager
    def _watch(self, source: EventSource) -> Iterator[Watch]:
        self.open += 1
        try:
            with self._feed.watch(*source.topics) as watch:
                self._watches.add(watch)
                try:
                    yield watch
                finally:
                    self._watches.discard(watch)
        finally:
            self.open -= 1
