"""The cost of lists among many runs: `python -m tests.bench.lists [RUNS]` prints response times in milliseconds.

The runs (1,000,000) are written by SQL into a separate journal: 20 pipelines, 1 % failed (of 51 causes, one of which
has nine tenths), 5 % unfinished (most of them wait), 0.1 % with the tag `rare` and half of them with `usual`; every
thousandth repeats another. Each list is requested repeatedly from the service's application, without a socket.
"""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from durable.clock import new_id
from durable.journal.journal import Journal
from durable.journal.runs import encode_cause
from durable.journal.sqlite.files import FILE_NAME
from durable.units import Cause
from tests.service.running import ENVIRONMENT
from triggers.instance import Instance
from triggers.service import compose
from triggers.settings import Settings

RUNS = 1_000_000
NOW = 1_800_000_000_000
EVERY = 250
"""Milliseconds between two runs."""

ASKED = 200
CAUSE = encode_cause(Cause("failed", "charge", "server", "503", "http.post", "POST http://x answered 503", 3))
BATCH = 20_000
COLUMNS = (
    "id, pipeline, version, event, trigger, status, reason, node, epoch, sequence, recoveries, created_at, claimed_at,"
    " due_at, finished_at, source, cause, error_key"
)

GROUPS: dict[str, dict[str, str]] = {
    "errors": {},
    "errors of a pipeline": {"pipeline": "p17"},
    "errors of an hour": {"from": "2027-01-14T00:00:00Z", "to": "2027-01-14T01:00:00Z"},
    "errors of a pipeline, an hour": {"pipeline": "p17", "from": "2027-01-14T00:00:00Z", "to": "2027-01-14T01:00:00Z"},
}
IDS = {"the end of an id (none)": {"id": "zzzzzzzz"}, "latest": {"id": "latest", "pipeline": "p7"}}
OVERVIEWS: dict[str, dict[str, str]] = {
    f"the overview of a {period}": {"period": period} for period in ("hour", "day", "week")
}
PAGES: dict[str, dict[str, dict[str, str]]] = {
    "/": {"the page of an hour": {"period": "hour"}, "the page of a week": {"period": "week"}},
    "/runs": {"the page of runs": {}, "that of a status": {"status": "waiting"}},
    "/errors": {"the page of errors": {}},
}
QUERIES: dict[str, dict[str, str]] = {
    "the first page": {},
    "pipeline": {"pipeline": "p7"},
    "status=failed (1 %)": {"status": "failed"},
    "pipeline and status=failed": {"pipeline": "p17", "status": "failed"},
    "tag (0.1 %)": {"tag": "rare"},
    "tag and status=failed (none)": {"tag": "rare", "status": "failed"},
    "tag (50 %) and status=failed": {"tag": "usual", "status": "failed"},
    "trigger": {"trigger": "shop3"},
    "pipeline and trigger (none)": {"pipeline": "p7", "trigger": "nobody"},
    "status=running (0.05 %)": {"status": "running"},
    "status=waiting (4 %)": {"status": "waiting"},
    "status=queued (0.5 %)": {"status": "queued"},
    "status=paused (0.5 %)": {"status": "paused"},
    "status=paused and pipeline": {"status": "paused", "pipeline": "p17"},
    "status=paused and tag (none)": {"status": "paused", "tag": "rare"},
    "status=running and trigger": {"status": "running", "trigger": "shop3"},
    "trigger and tag (0.1 %)": {"trigger": "shop3", "tag": "rare"},
    "trigger and status=failed": {"trigger": "shop3", "status": "failed"},
    "pipeline, an hour long ago": {"pipeline": "p7", "from": "2027-01-14T00:00:00Z", "to": "2027-01-14T01:00:00Z"},
    "pipeline, trigger, tag and status": {"pipeline": "p17", "trigger": "shop3", "tag": "usual", "status": "failed"},
    "error (0.9 %)": {"error": "outage"},
    "error (20 runs)": {"error": "odd7"},
    "error and pipeline": {"error": "outage", "pipeline": "p17"},
    "error and pipeline (none)": {"error": "odd7", "pipeline": "p3"},
    "error and tag (50 %)": {"error": "outage", "tag": "usual"},
    "error, tag and trigger": {"error": "outage", "tag": "usual", "trigger": "shop3"},
    "version (all) and status=failed": {"version": "v" * 64, "status": "failed"},
    "source": {"source": "repeated"},
    "event (none)": {"event": "evt_0"},
    "an hour, long ago": {"from": "2027-01-14T00:00:00Z", "to": "2027-01-14T01:00:00Z"},
}


UNFINISHED = ["waiting"] * 79 + ["queued"] * 10 + ["paused"] * 10 + ["running"]
"""The statuses of a hundred unfinished runs."""

CAUSES: dict[str, list[str | None]] = {
    "waiting": [encode_cause(Cause("event", "hear", target="paid")), encode_cause(Cause("approval", "ask", to="ops@"))],
    "queued": [encode_cause(Cause("slot", target="customer 17"))],
    "paused": [
        encode_cause(Cause("uncertain", "charge", "timeout", None, "http.post", "no answer", 1)),
        encode_cause(Cause("stopped", message="5 recoveries without progress")),
    ],
    "running": [None],
}


def rows(runs: int) -> Iterator[tuple[object, ...]]:
    for number in range(runs):
        at = NOW - (runs - number) * EVERY
        status = "failed" if number % 100 == 17 else "completed"
        if number % 20 == 6:
            status = UNFINISHED[number // 20 % len(UNFINISHED)]
        id, pipeline, trigger = (
            new_id("run", at),
            f"p{(number // 20 if number % 20 == 6 else number) % 20}",
            f"shop{number % 7}",
        )
        has_failed, failure, has_ended = status == "failed", number // 100, status in ("failed", "completed")
        node, end = (None, at + 60) if has_ended else ("node", None)
        cause = CAUSE if has_failed else None if has_ended else CAUSES[status][number // 40 % len(CAUSES[status])]
        event = id.replace("run", "evt")
        fixed = ("v" * 64, event, trigger, status, None, node, 1, 9, 0, at, at, None, end)
        key = f"odd{failure // 10 % 50}" if failure % 10 == 0 else "outage"
        source = "repeated" if number % 1000 == 3 else None
        yield (id, pipeline, *fixed, source, cause, key if has_failed else None)


def fill(folder: Path, runs: int) -> None:
    connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    marks = ", ".join("?" * len(COLUMNS.split(", ")))
    batch: list[tuple[object, ...]] = []
    for number, row in enumerate(rows(runs), 1):
        batch.append(row)
        if len(batch) == BATCH or number == runs:
            connection.execute("BEGIN")
            connection.executemany(f"INSERT INTO runs ({COLUMNS}) VALUES ({marks})", batch)
            tagged = [("rare", run[0]) for run in batch[::1000]] + [("usual", run[0]) for run in batch[1::2]]
            connection.executemany("INSERT INTO run_tags (tag, run) VALUES (?, ?)", tagged)
            connection.execute("COMMIT")
            batch.clear()
    connection.close()


async def measure(client: httpx.AsyncClient, path: str, query: dict[str, str]) -> tuple[float, float, float, int]:
    """The first response time in milliseconds, the median and the 99th percentile, and the items in the response."""
    took: list[float] = []
    found = 0
    for _ in range(ASKED):
        began = time.perf_counter()
        answer = await client.get(path, params=query, headers={"Accept": "text/html"})
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 404:
            answer.raise_for_status()
        if answer.headers["content-type"] == "application/json":
            document: dict[str, Any] = answer.json()
            found = len(next((document[name] for name in ("runs", "errors", "lines") if name in document), ()))
    cuts = statistics.quantiles(took, n=100)
    return took[0], cuts[49], cuts[98], found


async def cursor_of(client: httpx.AsyncClient, page: int, query: dict[str, str]) -> dict[str, str]:
    """The query of a page, counted from 1."""
    asked = dict(query)
    for _ in range(page - 1):
        after = (await client.get("/api/runs", params=asked)).json()["after"]
        if after is None:
            break
        asked["after"] = after
    return asked


async def main(runs: int) -> None:
    table = Table(title=f"Lists among {runs:,} runs")
    for column in ("list", "items", "first ms", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "list" else "right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = await Journal.open(folder / "data", node="bench", on_fatal=print)
        await journal.close()
        began = time.perf_counter()
        fill(folder / "data", runs)
        size = (folder / "data" / FILE_NAME).stat().st_size / 1e6
        print(f"{runs:,} runs were written in {time.perf_counter() - began:.0f} s: {size:,.0f} MB")
        settings = Settings.load(folder, {}, {"api_key": "bench-bench-bench", "log_level": "warning"})
        instance = Instance(folder, folder / "data", ENVIRONMENT)
        async with compose(settings, instance, address=("127.0.0.1", 1), now=lambda: NOW) as service:
            headers = {"Authorization": "Bearer bench-bench-bench"}
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
                hundredth = {"the hundredth page": await cursor_of(client, 100, {})}
                hundredth["the hundredth page, status=failed"] = await cursor_of(client, 100, {"status": "failed"})
                lists = [("/api/runs", *each) for each in (QUERIES | hundredth).items()]
                lists += [("/api/errors", *each) for each in GROUPS.items()]
                lists += [("/api/find", *each) for each in IDS.items()]
                lists += [("/api/overview", *each) for each in OVERVIEWS.items()]
                lists += [("/api/attention", "what needs a person", {})]
                lists += [(path, *each) for path, pages in PAGES.items() for each in pages.items()]
                for path, said, query in lists:
                    *times, found = await measure(client, path, query)
                    table.add_row(said, str(found), *(f"{each:.1f}" for each in times))
    Console(width=100).print(table)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
