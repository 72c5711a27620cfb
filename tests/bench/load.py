"""A closed loop: a fixed number of webhooks in flight; a slot is free again when its run reaches a given point.

A slot is freed from outside by a key: the webhook's number (written by the sink when the last step calls), or
the run's id from the 202 (logged by the service when the run has ended).
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Literal, cast

from tests.bench.process import PATIENCE
from tests.bench.webhooks import Webhooks

RUN, RUN_END = b'"runs":["', b'"'

Key = Literal["number", "run"]


@dataclass
class Latencies:
    """Seconds from sending a webhook to its 202, and to the point that frees its slot."""

    accepted: list[float] = field(default_factory=list)
    finished: list[float] = field(default_factory=list)


class Load:
    """Drives several loops, one after the other; `freed` takes the keys for the current one."""

    def __init__(self) -> None:
        self._slots: dict[bytes, _Slot] = {}
        self._early: set[bytes] = set()
        self.latencies = Latencies()
        self.webhooks = Webhooks("/")
        self.key: Key = "number"
        self.sent = 0
        self.limit: int | None = None
        self._end = 0.0
        self._ready: asyncio.Future[None] | None = None
        self._working = 0

    async def run(
        self,
        port: int,
        webhooks: Webhooks,
        in_flight: int,
        *,
        key: Key,
        latencies: Latencies,
        seconds: float = 3600.0,
        limit: int | None = None,
    ) -> tuple[int, float]:
        """Send for `seconds` or up to `limit` webhooks; returns their number, and the seconds until the last was freed.

        Raises TimeoutError if some never were, and ConnectionError or RuntimeError for any response but 202.
        """
        self.webhooks, self.key, self.latencies = webhooks, key, latencies
        self.sent, self.limit, self._working = 0, limit, in_flight
        self._early.clear()
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        slots = [(await loop.create_connection(lambda: _Slot(self), "127.0.0.1", port))[1] for _ in range(in_flight)]
        began = time.perf_counter()
        self._end = began + seconds
        for slot in slots:
            slot.send()
        async with asyncio.timeout(seconds + PATIENCE):
            await self._ready
        took = time.perf_counter() - began
        for slot in slots:
            slot.transport.close()
        return self.sent, took

    def freed(self, key: bytes) -> None:
        """Free the slot of the run with this key."""
        if slot := self._slots.pop(key, None):
            slot.finish()
        elif self.key == "run":
            self._early.add(key)  # the 202 that names it has not been read yet

    def fail(self, error: Exception) -> None:
        if self._ready and not self._ready.done():
            self._ready.set_exception(error)

    # -- of slots

    def more(self) -> bool:
        return (self.limit is None or self.sent < self.limit) and time.perf_counter() < self._end

    def expect(self, key: bytes, slot: "_Slot") -> None:
        if key in self._early:
            self._early.remove(key)
            slot.finish()
        else:
            self._slots[key] = slot

    def rest(self) -> None:
        self._working -= 1
        if not self._working and self._ready and not self._ready.done():
            self._ready.set_result(None)


class _Slot(asyncio.Protocol):
    """One connection with one webhook at a time."""

    transport: asyncio.WriteTransport

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._began = 0.0
        self._open = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def send(self) -> None:
        load = self._load
        if not load.more():
            load.rest()
            return
        number, request = load.webhooks.next()
        load.sent += 1
        self._open = 2
        if load.key == "number":
            load.expect(number, self)
        self._began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"}"):
            return
        answer, self._received = self._received, b""
        if not answer.startswith(b"HTTP/1.1 202"):
            self._load.fail(RuntimeError(answer.decode(errors="replace")[:500]))
            return
        self._load.latencies.accepted.append(time.perf_counter() - self._began)
        if self._load.key == "run":
            at = answer.index(RUN) + len(RUN)
            self._load.expect(answer[at : answer.index(RUN_END, at)], self)
        self._close()

    def finish(self) -> None:
        self._load.latencies.finished.append(time.perf_counter() - self._began)
        self._close()

    def _close(self) -> None:
        """Send the next webhook once this one was answered and its slot was freed."""
        self._open -= 1
        if not self._open:
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._load.fail(exc or ConnectionError("the connection was closed"))
