"""Queues: what waits for slots of concurrency and for permits, and why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Running, outside, running

pytestmark = pytest.mark.anyio

ONE_BY_ONE = """
inputs: {customer: {type: string}}
concurrency: {limit: 1, key: "{{ inputs.customer }}"}
steps: [{id: ask, use: wait.approval, with: {title: Go on?, to: boss}, timeout: 1h, on_timeout: fail}]
"""


async def _start(service: Running, customer: str, **body: Any) -> str:
    sent = {"inputs": {"customer": customer}, **body}
    run: str = (await service.client.post("/api/pipelines/one/runs", json=sent)).json()["id"]
    return run


async def test_queues_show_who_works_who_waits_and_why(tmp_path: Path) -> None:
    async with running(tmp_path, {"one": ONE_BY_ONE}) as service:
        assert (await service.ask("/queues"))["queues"] == []
        first, second, _ = [await _start(service, "c:17<b>") for _ in range(3)]
        alone = await _start(service, "c-18")
        found = await service.ask("/queues")
        waiting, calm = found["queues"]
        assert (waiting["pipeline"], waiting["key"]) == ("one", "c:17<b>")
        assert (waiting["working"], waiting["limit"], waiting["waiting"]) == (1, 1, 2)
        assert (waiting["oldest"], waiting["behind"]) == (second, first)
        assert "limit of 1 is reached" in waiting["why"]
        assert (calm["key"], calm["waiting"], calm["behind"], calm["why"]) == ("c-18", 0, alone, None)
        assert [each["key"] for each in (await service.ask("/queues?limit=1"))["queues"]] == ["c:17<b>"]
        assert (await service.ask("/queues?pipeline=on"))["queues"] == []
        assert len((await service.ask("/queues?pipeline=one"))["queues"]) == 2
        page = (await service.client.get("/queues", headers={"Accept": "text/html"})).text
        assert f"/runs/{second}" in page
        assert "c:17&lt;b&gt;" in page


async def test_delayed_runs_are_counted_apart_from_queued_ones(tmp_path: Path) -> None:
    async with running(tmp_path, {"one": ONE_BY_ONE}) as service:
        await _start(service, "a")
        await _start(service, "a")
        for delay in ("2h", "1h"):
            await _start(service, "b", delay=delay)
        delayed = (await service.ask("/queues"))["delayed"]
        assert (delayed["count"], delayed["has_more"]) == (2, False)
        assert delayed["next_at"] is not None


async def test_attempts_are_counted_by_pipeline_and_origin(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        call = f'steps: [{{id: call, use: http.get, with: {{url: "{world.url}"}}}}]'
        async with running(tmp_path, {"calls": call}) as service:
            await service.start("calls")
            await asyncio.wait_for(world.arrived.wait(), 60)
            found = await service.ask("/queues")
            attempts = found["attempts"]
            assert (attempts["in_flight"], attempts["waiting"]) == (1, 0)
            assert [(each["name"], each["in_flight"]) for each in attempts["pipelines"]] == [("calls", 1)]
            [origin] = attempts["origins"]
            assert origin["in_flight"] == 1
            assert origin["limit"] > 1
            assert found["commits"]["a_second"] > 0
            assert found["commits"]["group"] >= 1
            page = (await service.client.get("/queues", headers={"Accept": "text/html"})).text
            assert "1 of " in page
