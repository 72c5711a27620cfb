"""Runs that begin in time or not at all: they expire on time wherever they are queued, and block nothing."""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, kinds, rows, until_status
from tests.service.running import Running

pytestmark = pytest.mark.anyio

ONE = """
inputs: {who: {type: string, default: a}}
concurrency: {limit: 1}
steps: [{id: work, use: gate.pass, with: {what: "{{ inputs.who }}"}}]
"""
PLAIN = ONE.replace("concurrency: {limit: 1}\n", "")
EMITS_AND_WAITS = """
steps:
  - {id: tell, use: flow.emit, with: {type: told}}
  - {id: wait, use: wait.webhook, timeout: 20s, on_timeout: fail}
"""
BRANCHES = """
steps:
  - id: both
    parallel:
      left: [{id: tell, use: flow.emit, with: {type: told}}]
      right: [{id: wait, use: wait.webhook, timeout: 20s, on_timeout: fail}]
"""


async def _start(service: Running, pipeline: str = "p", **body: Any) -> str:
    answer = await service.client.post(f"/api/pipelines/{pipeline}/runs", json={"inputs": {}, **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _late_by(found: dict[str, Any]) -> float:
    """Seconds between the time of a run's expiry and its end."""
    ended, expired = (datetime.fromisoformat(found[name]) for name in ("finished_at", "expires_at"))
    return (ended - expired).total_seconds()


async def _until_queued_for_a_slot(service: Running, run: str) -> None:
    async with asyncio.timeout(60):
        while "slot" not in str((await until_status(service, run, "queued"))["reason"]):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_run_queued_behind_another_expires_on_time(tmp_path: Path, is_restarted: bool) -> None:
    gates, data = Gates(), tmp_path
    gates.close("a")
    async with gates.serving(data, {"p": ONE}) as service:
        first = await begin(service, "p")
        await gates.wait_until_reached("a")
        run = await _start(service, expires_in="1s")
        third = await _start(service, expires_in="1h")
        await _until_queued_for_a_slot(service, run)
        queued = await service.run(run)
        assert queued["due_at"] == queued["expires_at"], "the sweep brings it in then, if it is out of memory"
        if is_restarted:
            data = copy_after_crash(tmp_path)
        else:
            found = await service.wait_for_end(run)
            assert (await service.run(first))["status"] == "running"
            await _ensure_completion(gates, service, [first, third])
    if is_restarted:
        async with gates.serving(data, {"p": ONE}) as service:
            found = await service.wait_for_end(run)
            await _ensure_completion(gates, service, [first, third])
    assert (found["status"], found["reason"], found["steps"]) == ("cancelled", "expired", {})
    assert -0.01 <= _late_by(found) < 2
    assert gates.most["a"] == 1
    assert rows(data, "select * from slots") == []


async def _ensure_completion(gates: Gates, service: Running, runs: list[str]) -> None:
    gates.open("a")
    for run in runs:
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_a_run_that_got_its_slot_in_time_no_longer_expires(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a", "b")
    async with gates.serving(tmp_path, {"p": ONE}) as service:
        first = await begin(service, "p")
        await gates.wait_until_reached("a")
        run = await _start(service, inputs={"who": "b"}, expires_in="600ms")
        await _until_queued_for_a_slot(service, run)
        gates.open("a")
        assert (await service.wait_for_end(first))["status"] == "completed"
        await gates.wait_until_reached("b")
        expires_at = datetime.fromisoformat((await service.run(run))["expires_at"]).timestamp()
        await asyncio.sleep(max(0, expires_at - time.time()) + 0.1)
        gates.open("b")
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert (await kinds(service, run)).count("start_due") == 1


@pytest.mark.parametrize("text", [EMITS_AND_WAITS, BRANCHES], ids=["one after the other", "side by side"])
async def test_a_waiting_run_does_not_block_other_runs(tmp_path: Path, text: str) -> None:
    gates = Gates()
    pipelines = {"waits": text, "p": PLAIN}
    # A run with such a short wait stays in memory.
    async with gates.serving(tmp_path, pipelines, max_attempts_in_flight=1) as service:
        waiting = await _start(service, "waits", expires_in="1h")
        await until_status(service, waiting, "waiting")
        assert (await service.wait_for_end(await begin(service, "p")))["status"] == "completed"
