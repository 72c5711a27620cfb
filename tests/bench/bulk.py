"""A bulk beside new work: `python -m tests.bench.bulk [--runs 10000] [--rate 100] [--arrivals 50] [--seconds 30]`.

Runs fail at their second step, because the service that it calls refuses. Webhooks of another pipeline arrive at a
fixed rate, first alone and then while a bulk retries all failed runs; in the middle of it the service is killed with
SIGKILL and started again. The table shows the latencies of the webhooks (202) and of their runs (the call of their last
step), without those that arrived between the kill and a second after the new start. A ledger outside the service counts
the calls of each retried step by its idempotency key, and the histories the retries: each run has to be retried once.
"""

import argparse
import asyncio
import re
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvloop

from durable.journal.sqlite.files import FILE_NAME
from tests.bench.process import until
from tests.bench.rounds import page, table_of
from tests.bench.targets import Service

BATCH = 1_000
PATIENCE = 1_200.0
COLUMNS = ("new runs arrive", "counted", "202 p50 ms", "202 p99 ms", "202 worst ms", "end p50 ms", "end p99 ms")

PIPELINES = {
    "old": """
inputs: {{n: {{type: integer}}}}
defaults: {{retry: {{max_attempts: 1}}}}
steps:
  - {{id: first, use: http.post, with: {{url: "http://127.0.0.1:{port}/first", json: {{n: "{{{{ inputs.n }}}}"}}}}}}
  - {{id: second, use: http.post, with: {{url: "http://127.0.0.1:{port}/second", json: {{n: "{{{{ inputs.n }}}}"}}}}}}
""",
    "new": """
triggers:
  - {{id: hook, use: webhook, with: {{path: /new, verify: none}}, inputs: {{n: "{{{{ trigger.body.n }}}}"}}}}
inputs: {{n: {{type: integer}}}}
steps:
  - {{id: last, use: http.post, with: {{url: "http://127.0.0.1:{port}/new/{{{{ inputs.n }}}}", json: {{}}}}}}
""",
}

_HEAD = re.compile(rb"^POST /(first|second|new)(?:/(\d+))? ")
_KEY = re.compile(rb"\r\nidempotency-key: ([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass
class Ledger:
    """The service that steps call, outside the measured one. While `refuses`, each second step is refused."""

    port: int = 0
    refuses: bool = True
    refused: int = 0
    performed: dict[str, Counter[bytes]] = field(default_factory=lambda: {"first": Counter(), "second": Counter()})
    ended: dict[int, float] = field(default_factory=dict)

    def answer(self, head: bytes) -> bytes:
        found = _HEAD.match(head)
        assert found, head
        step, number = found[1].decode(), found[2]
        if number is not None:
            self.ended.setdefault(int(number), time.perf_counter())
        elif step == "second" and self.refuses:
            self.refused += 1
            return b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
        else:
            key = _KEY.search(head)
            self.performed[step][key[1] if key else b""] += 1
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if length := _LENGTH.search(head):
                    await reader.readexactly(int(length[1]))
                writer.write(self.answer(head))


@dataclass
class Arrivals:
    """New runs that arrive at a fixed rate, and the seconds until each was accepted; `lost` were refused or failed."""

    service: Service
    sent: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, float] = field(default_factory=dict)
    lost: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def send(self, client: httpx.AsyncClient, rate: float) -> None:
        """Send until cancelled."""
        due = time.perf_counter()
        while True:
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._send_one(client, len(self.sent)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_one(self, client: httpx.AsyncClient, number: int) -> None:
        self.sent[number] = began = time.perf_counter()
        try:
            answer = await client.post(f"http://127.0.0.1:{self.service.port}/hooks/new", json={"n": number})
        except httpx.TransportError:
            self.lost += 1
            return
        if answer.status_code == 202:
            self.accepted[number] = time.perf_counter() - began
        else:
            self.lost += 1

    async def settle(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)


@dataclass(frozen=True)
class Outcome:
    """What the bench found. `retries`: how many runs have so many `run_retried` entries; `repeated`: calls of a retried
    step with a key that was performed before; `missing`: accepted new runs whose last step never called."""

    alone: Sequence[str]
    beside: Sequence[str]
    seconds: float
    bulk: dict[str, Any]
    retries: Counter[int]
    performed: int
    repeated: int
    missing: int
    lost: int
    down: float


def ignore_line(line: bytes) -> None:
    """Ignore a line of output."""


def ask(service: Service) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {(service.data / 'api.key').read_text().strip()}"}
    return httpx.AsyncClient(headers=headers, trust_env=False, timeout=60, base_url=f"http://127.0.0.1:{service.port}")


async def fail_runs(service: Service, ledger: Ledger, runs: int) -> None:
    """Start runs of `old`, and return when all have failed."""
    async with ask(service) as client:
        for start in range(0, runs, BATCH):
            batch = [{"inputs": {"n": n}} for n in range(start, min(start + BATCH, runs))]
            (await client.post("/api/pipelines/old/runs/batch", json={"runs": batch})).raise_for_status()
    await until(lambda: service.ended >= runs, PATIENCE, pause=0.05)
    assert ledger.refused == runs


@asynccontextmanager
async def arriving(service: Service, rate: float) -> AsyncIterator[Arrivals]:
    """New runs that arrive for as long as the block lasts."""
    arrivals = Arrivals(service)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        sending = asyncio.create_task(arrivals.send(client, rate))
        try:
            yield arrivals
        finally:
            sending.cancel()
            await arrivals.settle()


async def wait_for_bulk(service: Service, bulk: str, done: int | None = None) -> dict[str, Any]:
    """Return the bulk when it has finished, or has done so many items."""
    async with ask(service) as client, asyncio.timeout(PATIENCE):
        while True:
            found: dict[str, Any] = (await client.get(f"/api/bulks/{bulk}")).json()
            if found["status"] == "finished" or (done is not None and found["done"] >= done):
                return found
            await asyncio.sleep(0.2)


def count_retries(data: Path) -> Counter[int]:
    """How many runs of `old` have so many retries in their histories."""
    query = """
        select r.id, sum((length(e.entries) - length(replace(cast(e.entries as text), '"run_retried"', '')))
        / length('"run_retried"')) from runs r join entries e on e.run = r.id where r.pipeline = 'old' group by r.id
    """
    with closing(sqlite3.connect(data / FILE_NAME)) as database:
        return Counter(int(count) for _, count in database.execute(query))


def describe(name: str, arrivals: Arrivals, ledger: Ledger, down: tuple[float, float] = (0.0, 0.0)) -> list[str]:
    """A row of the table, without what arrived while the service was `down`; `ledger` knows the ends by number."""
    counted = [n for n in arrivals.accepted if not down[0] <= arrivals.sent[n] <= down[1]]
    accepted = sorted(arrivals.accepted[n] * 1000 for n in counted)
    ends = sorted((ledger.ended[n] - arrivals.sent[n]) * 1000 for n in counted if n in ledger.ended)
    columns = [percentile(accepted, 50), percentile(accepted, 99), max(accepted, default=0.0)]
    columns += [percentile(ends, 50), percentile(ends, 99)]
    return [name, f"{len(counted):,}", *(f"{each:.1f}" for each in columns)]


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of sorted values."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


async def measure(folder: Path, runs: int, rate: int, arrivals_rate: float, seconds: float) -> Outcome:
    """Fail the runs, let new ones arrive alone, then beside the bulk, with a kill in its middle."""
    ledger = Ledger()
    server = await asyncio.start_server(ledger.serve, "127.0.0.1", 0)
    ledger.port = server.sockets[0].getsockname()[1]
    texts = {id: text.format(port=ledger.port) for id, text in PIPELINES.items()}
    async with server, Service(folder, ignore_line, texts=texts) as service:
        await fail_runs(service, ledger, runs)
        async with arriving(service, arrivals_rate) as before:
            await asyncio.sleep(seconds)
        await until(lambda: len(ledger.ended) >= len(before.accepted), PATIENCE, pause=0.05)
        alone = describe("alone", before, ledger)
        ledger.ended.clear()
        ledger.refuses = False
        async with arriving(service, arrivals_rate) as during:
            began = time.perf_counter()
            async with ask(service) as client:
                wanted = {"action": "retry", "filter": {"pipeline": "old"}, "rate": rate, "reason": "bench"}
                bulk = (await client.post("/api/bulks", json=wanted)).json()["id"]
            await wait_for_bulk(service, bulk, runs // 2)
            killed = time.perf_counter()
            service.kill()
            async with Service(folder, ignore_line) as again:
                during.service, ready = again, time.perf_counter()
                found = await wait_for_bulk(again, bulk)
                took = time.perf_counter() - began
                await until(lambda: len(ledger.performed["second"]) >= runs, PATIENCE, pause=0.05)
                await asyncio.sleep(1)  # new runs that were accepted last
                retries = count_retries(again.data)
        beside = describe(f"beside a bulk, {rate}/s", during, ledger, (killed - 1, ready + 1))
    second = ledger.performed["second"]
    missing = sum(number not in ledger.ended for number in during.accepted)
    repeated = sum(second.values()) - len(second)
    return Outcome(alone, beside, took, found, retries, len(second), repeated, missing, during.lost, ready - killed)


async def main(runs: int, rate: int, arrivals: float, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        found = await measure(Path(name), runs, rate, arrivals, seconds)
    table = table_of(
        f"{runs:,} failed runs retried in bulk, {arrivals:g} new runs a second, kill -9 in the middle", COLUMNS
    )
    table.add_row(*found.alone)
    table.add_row(*found.beside)
    out = page()
    out.print(table)
    counts = ", ".join(f"{number} times: {count:,}" for number, count in sorted(found.retries.items()))
    out.print(f"the bulk took {found.seconds:.1f} s: {found.bulk['done']:,} done, {found.bulk['refused']:,} refused")
    out.print(
        f"runs retried {counts}; keys performed: {found.performed:,}, calls repeated under their key: {found.repeated}"
    )
    out.print(
        f"new runs refused in {found.down:.1f} s without a service: {found.lost}; accepted and lost: {found.missing}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--arrivals", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    uvloop.run(main(given.runs, given.rate, given.arrivals, given.seconds))
