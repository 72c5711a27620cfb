"""The effects of the first decision, which is part of the commit that accepts the event, are not lost."""

import asyncio
from pathlib import Path

import pytest

from tests.service.running import running
from tests.service.waiting import PIPELINES, start_waiting_run

pytestmark = pytest.mark.anyio

AT_ONCE = "steps:\n  - {id: halt, use: flow.stop, with: {}}\n"
PARENT = "steps:\n  - {id: child, use: flow.call, with: {pipeline: at_once}}\n"


async def test_a_run_that_begins_with_a_wait_for_an_event_receives_it(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await start_waiting_run(service, "any")
        event = {"type": "order.paid", "subject": "7", "data": 1}
        assert (await service.client.post("/api/events", json=event)).status_code == 202
        assert (await service.wait_for_end(run, within=20))["outputs"]["said"]["name"] == "paid"


async def test_a_called_run_that_ends_at_once_notifies_its_caller(tmp_path: Path) -> None:
    async with running(tmp_path, {"at_once": AT_ONCE, "parent": PARENT}) as service:
        run = (await service.start("parent")).json()["id"]
        assert (await service.wait_for_end(run, within=20))["status"] == "completed"


async def test_a_run_that_ends_at_once_frees_its_slot(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": f"concurrency: {{limit: 1}}\n{AT_ONCE}"}) as service:
        runs = [(await service.start("p")).json()["id"] for _ in range(3)]
        ended = await asyncio.gather(*(service.wait_for_end(run, within=20) for run in runs))
    assert [run["status"] for run in ended] == ["completed"] * 3
