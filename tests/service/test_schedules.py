"""Schedules of a whole service: they fire by the real clock, follow changes of their files, and are listed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

EVERY_SECOND = """
triggers:
  - {id: tick, use: schedule, with: {cron: "* * * * * *", missed: skip}, inputs: {at: "{{ trigger.id }}", n: 1}}
inputs: {at: {type: string}, n: {type: integer}}
steps:
  - {id: a, use: transform.set, with: {values: {at: "{{ inputs.at }}"}}}
outputs: {at: "{{ steps.a.output.at }}"}
"""
NEVER_NOW = EVERY_SECOND.replace("* * * * * *", "0 0 29 2 *")


async def _runs(service: Running, count: int) -> list[dict[str, Any]]:
    """The first `count` runs, once they have ended."""
    async with asyncio.timeout(60):
        while True:
            found: list[dict[str, Any]] = (await service.client.get("/api/runs")).json()["runs"][::-1]
            if len(found) >= count and all(run["finished_at"] for run in found[:count]):
                return found[:count]
            await asyncio.sleep(0.05)


async def _schedule(service: Running) -> dict[str, Any]:
    (found,) = (await service.client.get("/api/schedules")).json()["schedules"]
    return dict(found)


async def test_a_schedule_fires_each_second_and_is_listed(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": EVERY_SECOND}) as service:
        runs = await _runs(service, 3)
        fired = [datetime.fromisoformat((await service.run(run["id"]))["outputs"]["at"]) for run in runs]
        assert [later - fired[0] for later in fired] == [timedelta(seconds=number) for number in range(3)]
        late = [datetime.fromisoformat(run["created_at"]) - fire for run, fire in zip(runs, fired, strict=True)]
        assert all(timedelta() <= each < timedelta(seconds=0.5) for each in late), late
        document = await _schedule(service)
        assert document["id"] == "p/tick"
        assert document["cron"] == "* * * * * *"
        assert document["timezone"] == "UTC"
        assert document["missed"] == 0
        assert document["last"]["outcome"] == "started"
        assert (await service.run(document["last"]["run"]))["trigger"] == "tick"
        assert len(document["next"]) == 3
        (described,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert described["schedules"] == ["cron * * * * * * in UTC"]
        metrics = (await service.client.get("/metrics")).text
        assert 'waypost_schedule_fires_total{outcome="started",schedule="p/tick"}' in metrics


async def test_a_restart_starts_no_fire_twice(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": EVERY_SECOND}) as service:
        await _runs(service, 1)
    async with running(tmp_path, {}) as service:
        runs = await _runs(service, 3)
        fired = [(await service.run(run["id"]))["inputs"]["at"] for run in runs]
        assert len(set(fired)) == len(fired)


async def test_a_reload_adds_changes_and_removes_a_schedule(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": NEVER_NOW}) as service:
        file = tmp_path / "config" / "pipelines" / "p.yaml"
        assert (await _schedule(service))["last"] is None
        file.write_text(EVERY_SECOND)
        await _runs(service, 1)
        file.write_text(EVERY_SECOND.replace("* * * * * *", "0 0 31 2 *"))
        async with asyncio.timeout(60):
            while not (ready := (await service.client.get("/ready")).json())["invalid"]:
                await asyncio.sleep(0.05)
        assert ready["invalid"] == ["p.yaml"]
        assert (await _schedule(service))["cron"] == "* * * * * *"  # the last valid version stays in service
        file.unlink()
        async with asyncio.timeout(60):
            while (await service.client.get("/api/schedules")).json()["schedules"]:
                await asyncio.sleep(0.05)
            while await service.service.journal.list_schedules():
                await asyncio.sleep(0.05)


async def test_a_distant_fire_causes_no_work_until_then(tmp_path: Path) -> None:
    many = "\n".join(f'  - {{id: t{n}, use: schedule, with: {{cron: "0 0 29 2 *"}}}}' for n in range(50))
    text = f"triggers:\n{many}\nsteps:\n  - {{id: a, use: log.write, with: {{message: x}}}}\n"
    async with running(tmp_path, {"p": text}) as service:
        await service.service.schedules.settle()
        earliest = service.service.schedules.earliest
        assert earliest
        assert datetime.fromtimestamp(earliest / 1_000, UTC).strftime("%d %B") == "29 February"
