"""Failures: runs that failed for the same reason are one line, and every line of a list says why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.service.running import Running, outside, running

pytestmark = pytest.mark.anyio

FAILS = """
inputs: {{to: {{type: string}}}}
steps:
  - {{id: call, use: http.get, with: {{url: "{url}/items/{{{{ inputs.to }}}}"}}, retry: {{max_attempts: 1}}}}
"""
REFUSES = 'steps: [{id: check, use: flow.fail, with: {message: "{{ run.id }} is too old", code: too_old}}]\n'
PARKS = "steps: [{{id: pay, use: http.post, with: {{url: '{url}/'}}, timeout: 50ms, on_crash: park}}]\n"


async def _fail(service: Running, pipeline: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    return await service.wait_for_end((await service.start(pipeline, inputs)).json()["id"])


async def _list_errors(service: Running, **query: str) -> list[dict[str, Any]]:
    answer = await service.client.get("/api/errors", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["errors"]
    return found


async def test_failures_are_grouped_by_cause_the_newest_first(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [lambda: Response(status_code=503)] * 3
        pipelines = {"p": FAILS.format(url=world.url), "q": FAILS.format(url=world.url), "r": REFUSES}
        async with running(tmp_path, pipelines) as service:
            assert await _list_errors(service) == []
            first = await _fail(service, "p", {"to": "17"})
            odd = await _fail(service, "r")
            second = await _fail(service, "p", {"to": "4711"})
            third = await _fail(service, "q", {"to": "8"})
            assert first["status"] == "failed", first
            found = await _list_errors(service)
            assert [(each["newest"], each["count"], each["pipelines"]) for each in found] == [
                (third["id"], 3, ["p", "q"]),
                (odd["id"], 1, ["r"]),
            ]
            outage, refusal = found
            assert outage["why"] == f"call: server: GET {world.url} answered 503"
            assert (outage["class"], outage["code"], outage["step"]) == ("server", "503", "call")
            assert (outage["first_seen"], outage["last_seen"]) == (first["created_at"], third["finished_at"])
            assert (outage["has_more"], outage["key"]) == (False, third["error_key"])
            assert (refusal["code"], refusal["message"]) == ("too_old", f"{odd['id']} is too old")
            of_p = await _list_errors(service, pipeline="p")
            assert [(each["newest"], each["count"], each["pipelines"]) for each in of_p] == [(second["id"], 2, ["p"])]
            later = await _list_errors(service, **{"from": odd["created_at"], "to": third["created_at"]})
            assert [(each["newest"], each["count"]) for each in later] == [(second["id"], 1), (odd["id"], 1)]
            page = (await service.client.get("/api/errors?limit=1")).json()
            assert await _list_errors(service, after=page["after"]) == [refusal]
            runs = (await service.client.get("/api/runs", params={"error": outage["key"]})).json()["runs"]
            assert [run["id"] for run in runs] == [third["id"], second["id"], first["id"]]
            assert runs[0]["why"] == outage["why"]
            assert runs[0]["error"]["message"] == outage["message"]


async def test_a_run_that_a_failure_paused_is_listed_until_somebody_decides(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"p": PARKS.format(url=world.url)}) as service:
            found = await _fail(service, "p")
            assert found["status"] == "paused"
            (group,) = await _list_errors(service)
            assert (group["newest"], group["class"], group["key"]) == (found["id"], "timeout", found["error_key"])
            assert f"`waypost resolve {found['id']} pay` decides" in group["why"]
            body = {"step": "pay", "verdict": "retry"}
            answer = await service.client.post(f"/api/runs/{found['id']}/resolve", json=body)
            assert answer.status_code == 202
            ended = await _until(service, found["id"], "completed")
            assert (ended["why"], ended["error_key"]) == (None, None)
            assert await _list_errors(service) == []


async def _until(service: Running, run: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := await service.run(run))["status"] != status:
            await asyncio.sleep(0.01)
        return found
