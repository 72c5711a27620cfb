"""A bare loop: the work of W3 without Waypost. Its speed is the reference for the percentages of other benches.

    python -m tests.bench.bare DATABASE [--sink PORT] [--client minimal|waypost|none] [--commit-ms 0]

It accepts the same POST on uvicorn with httptools, makes the same three calls, and commits four times as well, through
one writer thread with group commit to SQLite in WAL with synchronous=FULL: rows of the same kind and size, without the
indexes that lists need. It does not verify, render, replay histories or log, and cannot recover.
It writes its port, and then the id of every run that has ended.
"""

import argparse
import asyncio
import itertools
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import msgspec
import uvicorn
import uvloop

from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from durable.action import Context
from tests.bench.minimal import MinimalClient
from tests.bench.sink import Reports
from triggers.http.server import listen

TABLES = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16000;
CREATE TABLE events (id TEXT PRIMARY KEY, source TEXT, key TEXT, type TEXT, time INTEGER, data BLOB);
CREATE TABLE deliveries (id TEXT PRIMARY KEY, trigger TEXT, path TEXT, method TEXT, at INTEGER, outcome TEXT,
    headers BLOB, body_hash TEXT, size INTEGER, event TEXT, kept INTEGER, body BLOB);
CREATE TABLE runs (id TEXT PRIMARY KEY, pipeline TEXT, version TEXT, event TEXT, status TEXT, node TEXT, epoch INTEGER,
    sequence INTEGER, created_at INTEGER, due_at INTEGER, finished_at INTEGER) WITHOUT ROWID;
CREATE TABLE entries (run TEXT, sequence INTEGER, entries BLOB, PRIMARY KEY (run, sequence));
CREATE INDEX runs_unfinished ON runs (id) WHERE finished_at IS NULL;
"""
ADD_EVENT = "INSERT INTO events VALUES (?, 'p/hook', ?, 'x', ?, ?)"
ADD_DELIVERY = "INSERT INTO deliveries VALUES (?, 'p/hook', '/p', 'POST', ?, 'accepted', ?, ?, ?, ?, ?, ?)"
ADD_RUN = "INSERT INTO runs VALUES (?, 'p', ?, ?, 'running', 'node', 1, 2, ?, ?, NULL)"
ADD_ENTRIES = "INSERT INTO entries VALUES (?, ?, ?)"
ADVANCE = "UPDATE runs SET sequence = ?, due_at = ?, finished_at = ? WHERE id = ? AND epoch = 1"

Rows = Sequence[tuple[str, tuple[object, ...]]]
Call = Callable[[str, int, int], Awaitable[object]]
encode = msgspec.json.encode


class Writer:
    """Group commit: rows that arrive during a flush go into the next commit."""

    def __init__(self, database: Path, pause: float) -> None:
        self.commits = 0
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Rows, asyncio.Future[None]]] = SimpleQueue()
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._connection.executescript(TABLES)
        Thread(target=self._run, daemon=True).start()

    def commit(self, rows: Rows) -> asyncio.Future[None]:
        committed = self._loop.create_future()
        self._queue.put((rows, committed))
        return committed

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            self._connection.execute("BEGIN IMMEDIATE")
            for rows, _ in batch:
                for sql, values in rows:
                    self._connection.execute(sql, values)
            time.sleep(self._pause)
            self._connection.execute("COMMIT")
            self.commits += 1
            self._loop.call_soon_threadsafe(_answer, [committed for _, committed in batch])


class Bare:
    """The ASGI application."""

    def __init__(self, writer: Writer, call: Call, reports: Reports) -> None:
        self._writer = writer
        self._call = call
        self._reports = reports
        self._numbers = itertools.count(10**12)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            await _respond(send, 200, b"waypost_commits_total %d\n" % self._writer.commits)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        run = f"run_{next(self._numbers):026d}"
        number = await self._accept(run, body, scope["headers"])
        await _respond(send, 202, encode({"event": "evt_1", "runs": [run]}))
        task = asyncio.create_task(self._go_on(run, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, run: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> int:
        now, inputs = int(time.time() * 1000), msgspec.json.decode(body)
        number: int = inputs["number"]
        kept = encode({name.decode(): value.decode() for name, value in headers})
        entries = [{"type": "started", "at": now, "inputs": inputs}, _make_step_scheduled("s1", number, now)]
        event, delivery = f"evt{run[3:]}", f"dlv{run[3:]}"
        await self._writer.commit(
            [
                (ADD_EVENT, (event, delivery, now, body)),
                (ADD_DELIVERY, (delivery, now, kept, "h" * 64, len(body), event, len(kept) + len(body), body)),
                (ADD_RUN, (run, "v" * 64, event, now, now)),
                (ADD_ENTRIES, (run, 1, encode(entries))),
            ]
        )
        return number

    async def _go_on(self, run: str, number: int) -> None:
        for step in (1, 2, 3):
            await self._call(run, step, number)
            now = int(time.time() * 1000)
            output = {"status": 200, "headers": {"content-type": "application/json"}, "body": {"ok": True}}
            done = {"type": "completed", "at": now, "path": f"s{step}", "started_at": now, "output": output}
            follows = _make_step_scheduled(f"s{step + 1}", number, now) if step < 3 else {"type": "finished", "at": now}
            await self._writer.commit(
                [
                    (ADD_ENTRIES, (run, 2 * step + 1, encode([done, follows]))),
                    (ADVANCE, (2 * step + 2, now, now if step == 3 else None, run)),
                ]
            )
        self._reports.add(run.encode())


def _answer(waiting: list["asyncio.Future[None]"]) -> None:
    for committed in waiting:
        if not committed.done():
            committed.set_result(None)


def _make_step_scheduled(path: str, number: int, now: int) -> dict[str, object]:
    return {"type": "scheduled", "at": now, "path": path, "input": {"json": {"number": number}, "url": "http://sink/"}}


async def _respond(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def call_of(client: str, sink: int) -> Call:
    """The function with which a step makes its call."""
    log = logging.LoggerAdapter(logging.getLogger("waypost.run"), {})
    ours, minimal = HttpClient(egress=Egress.parse("127.0.0.0/8")), MinimalClient(sink)

    async def by_minimal(run: str, step: int, number: int) -> None:
        await minimal.post(f"/s{step}", encode({"number": number}), f"{run}:s{step}")

    async def by_ours(run: str, step: int, number: int) -> None:
        context = Context(run, f"s{step}", 1, f"{run}:s{step}", log)
        await ours.send(context, "POST", f"http://127.0.0.1:{sink}/s{step}", json={"number": number})

    async def not_at_all(run: str, step: int, number: int) -> None:
        """A no-op."""

    return {"minimal": by_minimal, "waypost": by_ours, "none": not_at_all}[client]


async def serve(database: Path, client: str, sink: int, pause: float) -> None:
    listener, reports = listen("127.0.0.1", 0), Reports()
    app = Bare(Writer(database, pause), call_of(client, sink), reports)
    config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
    reports.add(b"port %d" % listener.getsockname()[1])
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("--client", choices=["minimal", "waypost", "none"], default="none")
    parser.add_argument("--sink", type=int, default=0)
    parser.add_argument("--commit-ms", type=float, default=0)
    given = parser.parse_args()
    uvloop.run(serve(given.database, given.client, given.sink, given.commit_ms / 1000))
