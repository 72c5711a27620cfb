"""The ledger of effects: a separate process that stands in for the outside world and survives every kill.

    python -m tests.kill.ledger FILE [--refuse-every N] [--delay MS]

`POST /effects/{event}/{step}` appends a line to FILE, flushed to disk before the response. A known key is
marked as a repeat, and a ledger that honours keys would not perform it; the value of `tell` in the body is kept
for the simulated people. Every N-th effect is refused with 503 when it
first arrives, and each takes up to MS milliseconds, part before it happens and the rest before the response. On a
second port the ledger accepts commands to hold back responses: a service killed then never learns of its effect.

    POST /hold {"step", "after"}   hold back the response to the n-th effect from now (of that step, if one is named)
    GET /held                      responds once a response is held back
    POST /release                  release every response
    GET /settled                   responds with the last line's position once no effect can be in progress
"""

import argparse
import asyncio
import hashlib
import os
import random
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from tests.kill import lifeline

SETTLE = 0.02
"""Seconds after which a connection that the dead service had made must have been accepted here."""

Outcome: TypeAlias = Literal["performed", "repeated", "refused"]

DECLINED = "declined"
"""What the name of an effect begins with that is never granted."""


class Line(msgspec.Struct, frozen=True):
    """One request for an effect; `position` counts from 1, `at` is in milliseconds."""

    position: int
    at: int
    event: str
    step: str
    run: str
    key: str
    sha256: str
    outcome: Outcome
    tell: dict[str, Any] = {}

    @property
    def path(self) -> str:
        """The path of the step that sent it."""
        return self.key.partition(":")[2]


def read_lines(file: Path) -> list[Line]:
    """Read every line that was written."""
    return [msgspec.json.decode(line, type=Line) for line in file.read_bytes().splitlines()]


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer: TypeAlias = tuple[int, dict[str, Any]]
Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]


class Ledger:
    """Records effects, and holds back responses on command."""

    def __init__(self, file: Path, refuse_every: int, delay: int) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._refuse_every = refuse_every
        self._delay = delay / 1000
        self._chance = random.Random(0)
        self._position = 0
        self._met: set[tuple[str, str]] = set()
        self._applied: set[str] = set()
        self._holding: tuple[str | None, int] | None = None
        self._held = asyncio.Event()
        self._released = asyncio.Event()
        self._connections = 0
        self._unconnected = asyncio.Event()
        self._unconnected.set()

    async def effects(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._unconnected.clear()
        try:
            await _serve(reader, writer, self._effect)
        finally:
            self._connections -= 1
            if not self._connections:
                self._unconnected.set()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, self._order)

    async def _effect(self, request: Request) -> Answer:
        _, _, event, step = request.path.split("/")
        before, after = (self._chance.uniform(0, self._delay / 2) for _ in range(2))
        await asyncio.sleep(before)
        line = self._record(event, step, request)
        await self._hold_back(step)
        await asyncio.sleep(after)
        if line.outcome == "refused":
            return 503, {"reason": "not now"}
        if step.startswith(DECLINED):
            return 402, {"reason": "never", "receipt": line.position}
        return 200, {"receipt": line.position}

    def _record(self, event: str, step: str, request: Request) -> Line:
        key = request.headers.get("idempotency-key", "")
        self._position += 1
        line = Line(
            position=self._position,
            at=time.time_ns() // 1_000_000,
            event=event,
            step=step,
            run=key.partition(":")[0],
            key=key,
            sha256=hashlib.sha256(request.body).hexdigest(),
            outcome=self._outcome(event, step, key),
            tell=_read_tell(request.body),
        )
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fsync(self._file)
        return line

    def _outcome(self, event: str, step: str, key: str) -> Outcome:
        is_first, is_seen = (event, step) not in self._met, key in self._applied
        self._met.add((event, step))
        if is_first and self._refuse_every and zlib.crc32(f"{event}/{step}".encode()) % self._refuse_every == 0:
            return "refused"
        self._applied.add(key)
        return "repeated" if is_seen else "performed"

    async def _hold_back(self, step: str) -> None:
        if self._holding is None or self._holding[0] not in (None, step):
            return
        wanted, left = self._holding
        self._holding = (wanted, left - 1) if left > 1 else None
        if left == 1:
            self._held.set()
            await self._released.wait()

    async def _order(self, request: Request) -> Answer:
        match request.method, request.path:
            case "POST", "/hold":
                order = msgspec.json.decode(request.body)
                self._holding = order["step"], order["after"]
                self._held.clear()
                self._released.clear()
            case "GET", "/held":
                await self._held.wait()
            case "POST", "/release":
                self._holding = None
                self._released.set()
            case "GET", "/settled":
                # The sockets of a dead process close after the data that it had sent, so wait until all are closed.
                await asyncio.sleep(SETTLE)
                await self._unconnected.wait()
        return 200, {"position": self._position}


def _read_tell(body: bytes) -> dict[str, Any]:
    """The value of `tell` in an effect, which is addressed to the simulated people."""
    document = msgspec.json.decode(body) if body else None
    told = document.get("tell") if isinstance(document, dict) else None
    return told if isinstance(told, dict) else {}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler) -> None:
    """The part of HTTP/1.1 that two well-behaved clients need."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            status, document = await handle(await _request(reader))
            body = msgspec.json.encode(document)
            head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
    writer.close()


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *fields = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


async def _work(file: Path, refuse_every: int, delay: int) -> None:
    ledger = Ledger(file, refuse_every, delay)
    listen = partial(asyncio.start_server, host="127.0.0.1", port=0, backlog=1024)
    async with await listen(ledger.effects) as effects, await listen(ledger.control) as control:
        urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (effects, control)]
        sys.stdout.write(msgspec.json.encode(urls).decode() + "\n")
        sys.stdout.flush()
        await asyncio.gather(effects.serve_forever(), control.serve_forever())


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--refuse-every", type=int, default=0)
    arguments.add_argument("--delay", type=int, default=0)
    given = arguments.parse_args()
    lifeline.hold()
    asyncio.run(_work(given.file, given.refuse_every, given.delay))
