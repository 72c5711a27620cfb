"""The latency of other clients while clients without a key pipeline requests.

    python -m tests.bench.pipelined [CONNECTIONS [REQUESTS [PATH]]]

A separate process opens CONNECTIONS (100) connections and writes REQUESTS (100) times `GET PATH`
(`/api/openapi.json`) into each at once. Meanwhile `/health` is requested, over a new connection each time, and webhooks
start runs of an unrelated pipeline and respond with the run's result. Both are also measured before the
flood, for comparison.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import cast

from tests.bench.process import until
from tests.bench.targets import Service

PIPELINE = """
triggers: [{id: hook, use: webhook, with: {path: /other, verify: none, respond: result}}]
steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]
"""
CALM_SECONDS = 2.0
PAUSE = 0.01
"""Seconds between two measured requests of a kind."""

HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
RUN = b"POST /hooks/other HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


class _Stranger(asyncio.Protocol):
    """Writes all its requests at once, and counts the response statuses until the connection ends."""

    def __init__(self, requests: bytes, answers: Counter[str]) -> None:
        self._requests = requests
        self._answers = answers
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._requests)

    def data_received(self, data: bytes) -> None:
        # A status line split between two packets is not counted, which the totals show as missing.
        for part in data.split(b"HTTP/1.1 ")[1:]:
            self._answers[part[:3].decode()] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def _flood(port: int, connections: int, requests: int, path: str) -> tuple[float, Counter[str]]:
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\n"
    text = f"{head}\r\n".encode() * (requests - 1) + f"{head}connection: close\r\n\r\n".encode()
    answers: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: _Stranger(text, answers), "127.0.0.1", port) for _ in range(connections)
    ]
    await asyncio.gather(*(stranger.ended for _, stranger in pairs))
    return time.perf_counter() - began, answers


def flood(port: int, connections: int, requests: int, path: str) -> None:
    seconds, answers = asyncio.run(_flood(port, connections, requests, path))
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(answers.items()))
    print(f"  the flood was answered in {seconds:.1f} s ({shown})", flush=True)


async def _measure(port: int, request: bytes, is_over: Callable[[], bool]) -> list[float]:
    """Milliseconds until each response was complete."""
    taken = []
    while not is_over():
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        taken.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(PAUSE)
    return taken


async def _beside(port: int, is_over: Callable[[], bool]) -> None:
    health, run = await asyncio.gather(_measure(port, HEALTH, is_over), _measure(port, RUN, is_over))
    for name, taken in (("/health", health), ("another pipeline's run", run)):
        points = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else taken * 99
        line = f"p50 {points[49]:8.1f} ms   p99 {points[98]:8.1f} ms   max {max(taken):8.1f} ms   n {len(taken)}"
        print(f"  {name:24} {line}", flush=True)


async def bench(connections: int, requests: int, path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Service(Path(folder), lambda _: None, texts={"other": PIPELINE}) as service:
            print("calm", flush=True)
            until_then = time.perf_counter() + CALM_SECONDS
            await _beside(service.port, lambda: time.perf_counter() > until_then)
            print(f"beside {connections} connections that pipeline {requests} times GET {path}", flush=True)
            strangers = multiprocessing.Process(target=flood, args=(service.port, connections, requests, path))
            strangers.start()
            await _beside(service.port, lambda: not strangers.is_alive())
            await until(lambda: not strangers.is_alive())


def main() -> None:
    given = sys.argv[1:]
    connections, requests = (int(given[at]) if len(given) > at else 100 for at in (0, 1))
    asyncio.run(bench(connections, requests, given[2] if len(given) > 2 else "/api/openapi.json"))


if __name__ == "__main__":
    main()
