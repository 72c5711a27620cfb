"""Limits of a connection: does the service that is called get more requests than it should?

    python -m tests.bench.limits [--runs 1000] [--rate 50/s] [--hold 3] [--seconds 60]

The service that is called counts. Three rounds, each with a service of its own: runs at a connection with a rate,
beside a run of another pipeline each half second; a 429 with `Retry-After` among runs that start all the time; and a
service that answers 500 for some time.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from durable.limit import Rate
from tests.connectors.servers import OK, Visit, serve
from tests.service.running import Running, running

PIPELINES = {
    "p": "steps: [{id: get, use: http.get, connection: gh, with: {url: /p}}]\n",
    "once": "steps: [{id: get, use: http.get, connection: gh, with: {url: /p}, retry: {max_attempts: 1}}]\n",
    "other": "steps: [{id: get, use: http.get, connection: other, with: {url: /other}}]\n",
}


class Target:
    """The service that steps call, in a process of its own. It answers the request with the number `refused` with a 429
    and `retry_after`, and all of the first `failing` seconds with a 500. `times` is when it got each request to /p."""

    def __init__(self, *, refused: int = 0, retry_after: int = 0, failing: int = 0) -> None:
        self.times: list[float] = []
        self._refused, self._retry_after, self._failing = refused, retry_after, failing

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve at a URL; at the end, `times` is set."""
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe()
        process = context.Process(target=_serve_target, args=(self, its))
        process.start()
        try:
            yield ours.recv()
            ours.send("stop")
            self.times = ours.recv()
        finally:
            process.join()

    async def serve(self, pipe: Connection) -> None:
        async with serve(self._behave) as server:
            pipe.send(server.url)
            await asyncio.to_thread(pipe.recv)
            pipe.send(self.times)

    async def _behave(self, visit: Visit) -> None:
        while True:
            received = await visit.request()
            if " /p " in received.line:
                self.times.append(time.monotonic())
                await visit.send(self._choose_answer())
            else:
                await visit.send(OK)

    def _choose_answer(self) -> bytes:
        if len(self.times) == self._refused:
            head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {self._retry_after}"
        elif self.times[-1] - self.times[0] < self._failing:
            head = "HTTP/1.1 500 Internal Server Error"
        else:
            return OK
        return f"{head}\r\nContent-Length: 0\r\n\r\n".encode()


def _serve_target(target: Target, pipe: Connection) -> None:
    asyncio.run(target.serve(pipe))


@contextlib.asynccontextmanager
async def start(target: Target, limit: str) -> AsyncIterator[Running]:
    """A service whose connection `gh` leads to the target, with this limit."""
    with tempfile.TemporaryDirectory() as folder, target.serving() as url, contextlib.redirect_stderr(StringIO()):
        (Path(folder) / "config").mkdir()
        (Path(folder) / "config" / "connections.yaml").write_text(
            f"gh: {{use: http, base_url: '{url}', limit: {limit}}}\nother: {{use: http, base_url: '{url}'}}\n"
        )
        async with running(Path(folder), PIPELINES) as service:
            yield service


async def begin_many(service: Running, pipeline: str, count: int) -> list[str]:
    answer = await service.client.post(f"/api/pipelines/{pipeline}/runs/batch", json={"runs": [{}] * count})
    return [each["run"]["id"] for each in answer.json()["answers"]]


async def find_ends(service: Running, runs: list[str]) -> list[dict[str, Any]]:
    return [await service.wait_for_end(run, within=600) for run in runs]


def count_attempts(found: list[dict[str, Any]]) -> int:
    return sum(run["steps"]["get"]["attempts"] for run in found)


async def time_run(service: Running) -> float:
    """Return the seconds that a run of another pipeline takes."""
    asked = time.monotonic()
    await find_ends(service, await begin_many(service, "other", 1))
    return time.monotonic() - asked


async def measure_rate(count: int, rate: str) -> None:
    """Runs at a connection with a rate, and a run of another pipeline each half second."""
    target = Target()
    async with start(target, f"{{rate: {rate}}}") as service:
        alone = [await time_run(service) for _ in range(20)]
        delays = []
        began = time.monotonic()
        ends = asyncio.create_task(find_ends(service, await begin_many(service, "p", count)))
        while not ends.done():
            delays.append(await time_run(service))
            await asyncio.sleep(0.5)
        found = await ends
    period = Rate.parse(rate).period / 1000
    most = max(bisect_left(target.times, at + period) - index for index, at in enumerate(target.times))
    print(f"{count} runs at {rate}: {len(target.times)} requests in {target.times[-1] - began:.1f} s")
    print(f"  at most {most} in any {period:g} s; attempts {count_attempts(found)}, statuses {_count(found)}")
    print(f"  a run of another pipeline meanwhile: median {statistics.median(delays) * 1000:.0f} ms, ", end="")
    print(f"most {max(delays) * 1000:.0f} ms ({len(delays)} runs); alone: {statistics.median(alone) * 1000:.0f} ms")


async def measure_hold(seconds: int) -> None:
    """The 20th request gets a 429; the others begin one after another, up to 100 a second."""
    target = Target(refused=20, retry_after=seconds)
    async with start(target, "{}") as service:
        runs = []
        for _ in range(200):
            runs += await begin_many(service, "p", 1)
            await asyncio.sleep(0.01)
        found = await find_ends(service, runs)
    at = target.times[19]
    meanwhile = [each - at for each in target.times[20:] if each < at + seconds]
    print(f"a 429 with Retry-After: {seconds}, among 200 runs: {len(meanwhile)} requests in the {seconds} s after it")
    print(f"  attempts {count_attempts(found)}, statuses {_count(found)}")


async def measure_breaker(seconds: int) -> None:
    """A service that answers 500 for some time; 20 runs at once begin each half second, without retries."""
    began = time.monotonic()
    target = Target(failing=seconds)
    async with start(target, "{at_once: 1}") as service:
        runs = []
        while time.monotonic() - began < seconds + 5:
            runs += await begin_many(service, "once", 20)
            await asyncio.sleep(0.5)
        found = await find_ends(service, runs)
    failing = [at - target.times[0] for at in target.times if at - target.times[0] < seconds]
    print(f"a service that fails for {seconds} s: {len(failing)} requests meanwhile: 10 that opened the circuit, and")
    print(f"  {len(failing) - 10} probes, at {', '.join(f'{each:.0f} s' for each in failing[10:])}")
    print(f"  attempts {count_attempts(found)} of {len(runs)} runs, statuses {_count(found)}")


def _count(found: list[dict[str, Any]]) -> dict[str, int]:
    statuses = [run["status"] for run in found]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


async def measure(count: int, rate: str, hold: int, seconds: int) -> None:
    await measure_rate(count, rate)
    await measure_hold(hold)
    await measure_breaker(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rate", default="50/s")
    parser.add_argument("--hold", type=int, default=3, help="the seconds of Retry-After")
    parser.add_argument("--seconds", type=int, default=60, help="how long the service fails")
    given = parser.parse_args()
    asyncio.run(measure(given.runs, given.rate, given.hold, given.seconds))
