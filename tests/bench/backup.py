"""A backup under load, restored in another folder: `python -m tests.bench.backup [--seconds 20] [--rate 50]`.

Webhooks arrive all the time; each starts a run that waits for a while between two steps. In the middle a backup is
made. Then the service is killed, and another one starts on the restored copy: every run that was accepted before the
backup began has to be there, and has to end.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.bench.process import ROOT
from tests.bench.targets import Service

NAP = 10
PIPELINE = f"""
triggers: [{{id: hook, use: webhook, with: {{path: /naps, verify: none}}}}]
steps:
  - {{id: before, use: transform.set, with: {{values: {{text: "{{{{ trigger.body.text }}}}"}}}}}}
  - {{id: nap, use: wait.delay, with: {{for: {NAP}s}}}}
  - {{id: after, use: transform.set, with: {{values: {{n: 1}}}}}}
"""
TEXT = "x" * 2_000


class Load:
    """Webhooks at a steady rate, with the runs that they started and when (s) each was accepted after how many ms."""

    def __init__(self, port: int, rate: int) -> None:
        self._url = f"http://127.0.0.1:{port}/hooks/naps"
        self._rate = rate
        self.accepted: list[tuple[float, float, str]] = []

    async def send(self, seconds: float) -> None:
        began, tasks = time.perf_counter(), []
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for number in range(int(seconds * self._rate)):
                await asyncio.sleep(max(0, began + number / self._rate - time.perf_counter()))
                tasks.append(asyncio.create_task(self._post(client)))
            await asyncio.gather(*tasks)

    async def _post(self, client: httpx.AsyncClient) -> None:
        began = time.perf_counter()
        answer = await client.post(self._url, json={"text": TEXT})
        now = time.perf_counter()
        self.accepted.append((now, (now - began) * 1000, answer.json()["runs"][0]))

    def print_times(self, what: str, since: float, until: float) -> None:
        took = [ms for at, ms, _ in self.accepted if since <= at < until]
        if len(took) > 1:
            cuts = statistics.quantiles(took, n=100)
            print(f"  webhooks {what}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms ({len(took)})")


async def run_command(*arguments: str) -> str:
    """Run `waypost`; returns what it prints, and raises if it fails."""
    program = [sys.executable, "-c", "from triggers.cli import main; main()", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, program, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    return done.stdout


async def list_statuses(service: Service, key: str, runs: Sequence[str]) -> dict[str, str]:
    """The statuses of runs, without those that do not exist."""
    found: dict[str, str] = {}
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{service.port}", headers=headers, trust_env=False
    ) as client:
        after: dict[str, str] = {}
        while True:
            page = (await client.get("/api/runs", params={"limit": 100, **after})).json()["runs"]
            found |= {run["id"]: run["status"] for run in page}
            if len(page) < 100:
                return {run: found[run] for run in runs if run in found}
            after = {"after": page[-1]["id"]}


async def measure(seconds: float, rate: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, backup = Path(name), Path(name) / "waypost.backup"
        async with Service(folder / "one", ignore_line, texts={"naps": PIPELINE}) as service:
            load = Load(service.port, rate)
            sending = asyncio.create_task(load.send(seconds))
            await asyncio.sleep(seconds / 2)
            began = time.perf_counter()
            made = json.loads(await run_command("backup", str(backup), "--data", str(service.data), "--json"))
            ended = time.perf_counter()
            await sending
            service.kill()
        print(
            f"backup of {made['bytes'] / 1e6:.1f} MB with {made['runs']} runs in {ended - began:.1f} s (a new process)"
        )
        load.print_times("before the backup", 0, began)
        load.print_times("during the backup", began, ended)
        load.print_times("after the backup", ended, time.perf_counter())
        before = [run for at, _, run in load.accepted if at < began]
        await run_command("restore", str(backup), "--data", str(folder / "two" / "data"))
        async with Service(folder / "two", ignore_line, texts={"naps": PIPELINE}) as service:
            key = (service.data / "api.key").read_text().strip()
            statuses = await list_statuses(service, key, before)
            print(
                f"accepted before the backup: {len(before)}; not there after the restore: {len(before) - len(statuses)}"
            )
            began = time.perf_counter()
            while any(status != "completed" for status in statuses.values()):
                await asyncio.sleep(0.5)
                statuses = await list_statuses(service, key, before)
            print(f"all of them completed after {time.perf_counter() - began:.1f} s")


def ignore_line(line: bytes) -> None:
    """Ignore a line of output."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(measure(given.seconds, given.rate))
