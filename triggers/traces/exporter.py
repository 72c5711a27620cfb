"""Exports the traces of runs in the background, from the journal.

A run's spans are sent when it has ended, and those of a long run as soon as they have ended themselves. How far a run
was sent is stored after the receiver has taken it: a crash loses nothing, and what is sent again has the same ids.
While the receiver is down, the runs wait in the journal.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

from durable import metrics
from durable.journal import trace_exports
from durable.journal.errors import JournalClosed, JournalError
from durable.journal.journal import Journal
from durable.journal.trace_exports import TraceExport
from triggers.traces.reader import TraceReader
from triggers.traces.span import Span

BATCH = 512
"""The spans of one request; a few more if a run ends several at once."""

RUNS = 100
"""The runs that are looked up at once."""

POLL_SECONDS = 1.0
"""How often ended runs are looked for."""

LONG = 60_000
"""A run that takes longer (ms) is exported before its end; it is looked at as often."""

SHORTEST_REST, LONGEST_REST = 1.0, 60.0
"""The seconds after which a receiver that takes nothing is tried again: after one failure, and after many."""

log = logging.getLogger("waypost.traces")

Delivered: TypeAlias = Literal["sent", "refused", "failed"]
"""`refused`: the receiver will never take these spans. `failed`: it may take them later."""


class SpanSender(Protocol):
    """Sends spans to a receiver. `endpoint` is its address."""

    endpoint: str

    def send(self, spans: Sequence[Span]) -> tuple[Delivered, str]:
        """Send spans from a thread; returns what became of them, and why."""
        ...

    def close(self) -> None:
        """Give up the request that is in progress, as far as that is possible."""
        ...


class TraceExporter:
    """Exports traces while `export` runs."""

    def __init__(self, journal: Journal, reader: TraceReader, sender: SpanSender, now: Callable[[], int]) -> None:
        self._journal = journal
        self._reader = reader
        self._sender = sender
        self._now = now
        self._rest = 0.0
        self._next_look = 0
        journal.begin_noting_ends()

    async def export(self) -> None:
        """Export until the task is cancelled."""
        try:
            while True:
                try:
                    if not await self._export_pending():
                        await asyncio.sleep(POLL_SECONDS)
                except JournalClosed:
                    return
                except JournalError as error:
                    log.warning("traces cannot be exported now: %s", error)
                    await asyncio.sleep(SHORTEST_REST)
        finally:
            self._sender.close()

    async def _export_pending(self) -> bool:
        """Export what there is now; whether there may be more."""
        count, oldest = await self._journal.read(trace_exports.find_backlog)
        metrics.TRACES_WAITING.set(count)
        metrics.TRACES_OLDEST.set((oldest or 0) / 1000)
        if now := self._is_time_to_look():
            await self._export_unfinished(now - LONG)
        if not count:
            return False
        await self._export(await self._journal.read(trace_exports.list_ended, RUNS))
        return True

    def _is_time_to_look(self) -> int:
        """Return the time if long runs are to be looked at, else 0."""
        now = self._now()
        if now < self._next_look <= now + LONG:  # otherwise the clock was set back
            return 0
        self._next_look = now + LONG
        return now

    async def _export_unfinished(self, before: int) -> None:
        after = ""
        while runs := await self._journal.read(trace_exports.list_unfinished, before, after, RUNS):
            await self._export(runs)
            after = runs[-1].run

    async def _export(self, exports: Sequence[TraceExport]) -> None:
        left = list(exports)
        while left:
            spans, done, left = await self._reader.read(left, BATCH)
            await self._deliver(spans, done)

    async def _send(self, spans: Sequence[Span]) -> tuple[Delivered, str]:
        """Send spans in a thread that does not keep the process from ending: a receiver may take long to answer."""
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[tuple[Delivered, str]] = loop.create_future()

        def send() -> None:
            try:
                result = self._sender.send(spans)
            except Exception as error:  # noqa: BLE001  # one batch does not stop the others
                result = "refused", repr(error)
            with contextlib.suppress(RuntimeError):  # the event loop has ended meanwhile
                loop.call_soon_threadsafe(_complete, sent, result)

        threading.Thread(target=send, name="traces", daemon=True).start()
        return await sent

    async def _deliver(self, spans: Sequence[Span], done: Sequence[TraceExport]) -> None:
        """Send spans until the receiver has taken or refused them, then store how far the runs were sent."""
        while spans:
            delivered, why = await self._send(spans)
            if delivered != "failed":
                break
            if not self._rest:
                log.warning("traces cannot be sent and wait in the journal: %s", why)
            self._rest = min(max(2 * self._rest, SHORTEST_REST), LONGEST_REST)
            await asyncio.sleep(self._rest)
        if spans:
            if delivered == "refused":
                log.error("%d spans are lost, since the receiver of traces refuses them: %s", len(spans), why)
            elif self._rest:
                log.info("traces are sent again")
            self._rest = 0.0
            metrics.count_trace_spans("refused" if delivered == "refused" else "sent", len(spans))
        if done:
            await asyncio.shield(self._journal.keep_trace_exports(done))


def _complete(sent: "asyncio.Future[tuple[Delivered, str]]", result: tuple[Delivered, str]) -> None:
    if not sent.done():  # the export was stopped meanwhile
        sent.set_result(result)
