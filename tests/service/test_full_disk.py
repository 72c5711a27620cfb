"""A full disk: no accepted run is lost, no effect is repeated, and the service recovers by itself."""

import asyncio
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from durable.values import INLINE_LIMIT
from tests.journal.disk import clear_disk, fill_disk
from tests.service.running import outside, running

pytestmark = pytest.mark.anyio

PIPELINE = """
inputs:
  text: {type: string, default: ""}
steps:
  - {id: s1, use: http.post, with: {url: "URL/s1", json: {n: 1}}}
  - {id: s2, use: http.post, with: {url: "URL/s2", json: {n: 2}}}
"""
LARGE = "x" * (INLINE_LIMIT + 1)


async def test_a_full_disk_loses_no_accepted_run_and_repeats_no_effect(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs_until = released = asyncio.Event()
        world.answers = [lambda: JSONResponse({"text": LARGE})]
        async with running(tmp_path, {"p": PIPELINE.replace("URL", world.url)}) as service:
            run = (await service.start("p")).json()["id"]
            await asyncio.wait_for(world.arrived.wait(), 60)
            await fill_disk(service.service.journal)
            released.set()  # the effect has happened; there is no room for its checkpoint
            await asyncio.sleep(1.2)
            refused = await service.start("p", {"text": LARGE})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert (await service.client.get("/ready")).status_code == 503
            assert (await service.client.get("/health")).status_code == 200
            assert [request["path"] for request in world.requests] == ["/s1"], "no effect starts on a full disk"
            await clear_disk(service.service.journal)
            assert (await service.wait_for_end(run))["status"] == "completed"
            assert (await service.client.get("/ready")).status_code == 200
            assert (await service.start("p", {"text": LARGE})).status_code == 202
    assert [request["path"] for request in world.requests][:2] == ["/s1", "/s2"]
