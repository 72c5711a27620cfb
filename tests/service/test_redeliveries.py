"""An event that is delivered again after its run failed: the answer says so, or the event runs again."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from tests.service.running import Outside, Running, outside, running
from tests.service.test_webhook import github

pytestmark = pytest.mark.anyio

HUB = """
triggers:
  - id: hub
    use: webhook
    with:
      path: /hub
      verify: {preset: github, secret: "{{ secrets.HOOK }}"}
      dedupe: {key: "{{ trigger.body.id }}", after_failure: rerun}
steps:
  - {id: call, use: http.post, with: {url: "URL/x", json: {}}, retry: {max_attempts: 1}}
"""
FAILS = """
triggers:
  - {id: happened, use: event, with: {type: thing.happened}}
steps:
  - {id: a, use: flow.fail, with: {message: as asked}}
"""


async def _push(service: Running, *, id: str = "1") -> httpx.Response:
    body = b'{"id": "same"}'
    return await service.client.post("/hooks/hub", content=body, headers=github(body, id=id, type="push"))


def _hub(world: Outside, *, after_failure: str) -> dict[str, str]:
    return {"hub": HUB.replace("URL", world.url).replace("after_failure: rerun", f"after_failure: {after_failure}")}


async def _fail(service: Running) -> dict[str, Any]:
    """The answer to a delivery whose run has failed."""
    first: dict[str, Any] = (await _push(service)).json()
    assert (await service.wait_for_end(first["runs"][0]))["status"] == "failed"
    return first


async def test_the_answer_to_a_duplicate_says_that_its_run_failed(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, _hub(world, after_failure="keep")) as service:
        world.answers = [lambda: Response(status_code=400)]
        first = await _fail(service)
        again = await _push(service)
        run = first["runs"][0]
        assert again.status_code == 200
        assert again.json() == first | {
            "duplicate": True,
            "failed": [run],
            "hint": f"{run} has failed: `waypost show {run}` says why and what to do, `waypost rerun {run}` "
            "starts a new run",
        }
        [record] = (await service.client.get("/api/deliveries?outcome=duplicate")).json()["deliveries"]
        assert record["reason"] == f"the run of the first delivery has failed: {run}"


async def test_an_event_runs_again_once_its_run_has_failed(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, _hub(world, after_failure="rerun")) as service:
        world.answers = [lambda: Response(status_code=400)]
        first = await _fail(service)
        again = await _push(service)
        assert again.status_code == 202
        assert again.json()["event"] == first["event"]
        run = await service.wait_for_end(again.json()["runs"][0])
        assert run["status"] == "completed"
        assert run["source"]["kind"] == "rerun"
        assert run["source"]["of"] == first["runs"][0]
        third = await _push(service)
        assert third.status_code == 200
        assert third.json() == {"event": first["event"], "runs": [run["id"]], "duplicate": True}


async def test_of_simultaneous_redeliveries_one_runs_again(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, _hub(world, after_failure="rerun")) as service:
        world.answers = [lambda: Response(status_code=400)]
        first = await _fail(service)
        answers = await asyncio.gather(*(_push(service, id=str(number)) for number in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
        assert len({answer.json()["runs"][0] for answer in answers} - {first["runs"][0]}) == 1
        listed = (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert len(listed) == 9
        assert [each["outcome"] for each in listed].count("accepted") == 2


async def test_a_duplicate_start_over_the_api_says_that_its_run_failed(tmp_path: Path) -> None:
    async with running(tmp_path, {"fails": FAILS}) as service:
        first = (await service.start("fails", None, **{"Idempotency-Key": "k"})).json()
        assert first["hint"] is None
        await service.wait_for_end(first["id"])
        again = (await service.start("fails", None, **{"Idempotency-Key": "k"})).json()
        assert f"waypost show {first['id']}" in again["hint"]
        headers = {"Idempotency-Key": "k"}
        event = {"type": "thing.happened"}
        sent = (await service.client.post("/api/events", json=event, headers=headers)).json()
        await service.wait_for_end(sent["runs"][0])
        twice = (await service.client.post("/api/events", json=event, headers=headers)).json()
        assert f"waypost rerun {sent['runs'][0]}" in twice["hint"]
