"""Requests and responses about waits and events conform to the API's own document."""

from pathlib import Path

import pytest

from tests.service.deaths import begin_calls, calling_pipeline, die
from tests.service.running import outside, running
from tests.service.test_api_document import Conformance
from tests.service.waiting import PIPELINES, post_decision, start_waiting_run, until

pytestmark = pytest.mark.anyio

PARK = """
steps:
  - id: pay
    use: http.post
    with: {{url: "{url}/"}}
    timeout: 100ms
    on_crash: park
    undo: {{use: log.write, with: {{message: x}}}}
"""


async def test_requests_and_responses_about_waits_conform_to_the_api_document(tmp_path: Path) -> None:
    async with outside() as world:
        [suspect] = await begin_calls(tmp_path, world, 1)
        await die(tmp_path, [suspect], 3)
        pipelines = {**PIPELINES, "p": calling_pipeline(world), "park": PARK.format(url=world.url)}
        async with running(tmp_path, pipelines, recovery_limit=2) as service:
            conformance = Conformance((await service.client.get("/api/openapi.json")).json())
            service.client.event_hooks = {"response": [conformance.check]}
            world.hangs = 1
            parked = (await service.start("park")).json()["id"]
            await until(service, parked, "paused")
            await until(service, suspect, "paused")
            runs = [await start_waiting_run(service, pipeline) for pipeline in PIPELINES]
            ask = service.client.request
            await ask("GET", "/api/waits")
            await ask("GET", f"/api/waits?run={suspect}")
            await ask("GET", "/api/waits?limit=1")
            for run in (*runs, parked, suspect):
                for path in ("", "/history", "/export"):
                    await ask("GET", f"/api/runs/{run}{path}")
                await post_decision(service, run, "answer", step="hook", approved=True)
                await post_decision(service, run, "answer", step="hook", data=1)
                await post_decision(service, run, "resolve", step="pay", verdict="completed", output=1)
                await ask("POST", f"/api/runs/{run}/resume")
            for _ in range(2):
                await ask("POST", "/api/events", json={"type": "x"}, headers={"idempotency-key": "k"})
            await ask("POST", "/api/events", json={"type": ""})
            ended = await service.wait_for_end(parked)
            resumed = await service.wait_for_end(suspect)
    assert (ended["status"], resumed["status"]) == ("completed", "completed")
    assert [undo["status"] for undo in ended["undo"]] == ["registered"]
    seen = {(path.removeprefix("/api"), status) for _, path, status in conformance.seen}
    assert seen >= {
        ("/waits", 200),
        ("/runs/{run}/export", 200),
        ("/runs/{run}/answer", 202),
        ("/runs/{run}/answer", 409),
        ("/runs/{run}/answer", 422),
        ("/runs/{run}/resolve", 202),
        ("/runs/{run}/resume", 202),
        ("/runs/{run}/resume", 409),
        ("/events", 200),
        ("/events", 202),
        ("/events", 422),
    }
