"""Reruns over the API: a new run of the same event, on the newest version of the pipeline."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from tests.service.running import Outside, Running, outside, running

pytestmark = pytest.mark.anyio

ORDERS = """
triggers: [{{id: paid, use: event, with: {{type: order.paid}}, inputs: {{number: "{{{{ trigger.body.{field} }}}}"}}}}]
inputs: {{number: {{type: integer}}}}
steps: [{{id: note, use: transform.set, with: {{values: {{number: "{{{{ inputs.number }}}}"}}}}}}]
outputs: {{number: "{{{{ steps.note.output.number }}}}"}}
"""
HELD = """
steps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]
"""
TYPED = "inputs: {{n: {{type: {kind}}}}}\nsteps: [{{id: a, use: transform.set, with: {{values: {{}}}}}}]\n"


def _calls(world: Outside) -> str:
    call = f'{{url: "{world.url}/x", json: "{{{{ inputs }}}}"}}'
    step = f"{{id: call, use: http.post, with: {call}, retry: {{max_attempts: 1}}}}"
    return f"inputs: {{n: {{type: integer}}}}\nsteps: [{step}]\n"


async def _rerun(service: Running, run: str, *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await service.client.post(f"/api/runs/{run}/rerun", json=body, headers=headers)


async def _end(service: Running, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return await service.wait_for_end(answer.json()["id"])


async def _emit(service: Running, data: object) -> dict[str, Any]:
    answer = await service.client.post("/api/events", json={"type": "order.paid", "data": data})
    (run,) = answer.json()["runs"]
    return await service.wait_for_end(run)


async def _change(service: Running, tmp_path: Path, text: str | None) -> None:
    """Write or remove the pipeline's file, and wait until the service has read it."""
    file = tmp_path / "config" / "pipelines" / "p.yaml"
    before = await _describe(service)
    file.write_text(text) if text is not None else file.unlink()
    async with asyncio.timeout(60):
        while await _describe(service) == before:
            await asyncio.sleep(0.05)


async def _describe(service: Running) -> object:
    return (await service.client.get("/api/pipelines")).json()["pipelines"]


async def test_a_rerun_is_a_new_run_of_the_same_event_with_its_own_keys(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _calls(world)}) as service:
        world.answers.append(lambda: Response(status_code=400))
        body = {"inputs": {"n": 3}, "tags": ["blue"], "priority": 4}
        started = await service.client.post("/api/pipelines/p/runs", json=body)
        failed = await _end(service, started)
        assert failed["status"] == "failed"
        answer = await _rerun(service, failed["id"], reason="it was down")
        assert (answer.json()["of"], answer.json()["inputs"]) == (failed["id"], "recorded")
        again = await _end(service, answer)
        first = await service.run(failed["id"])
        assert answer.json()["hint"] is None
        third = await _rerun(service, failed["id"])
        await _end(service, third)
        assert third.json()["hint"] == f"{failed['id']} was already rerun or forked as {again['id']}"
    assert (again["status"], again["event"], again["inputs"]) == ("completed", failed["event"], {"n": 3})
    assert (again["tags"], again["priority"], again["trigger"]) == (["blue"], 4, "api")
    assert again["created_at"] > failed["created_at"]
    assert again["source"] == {
        "kind": "rerun",
        "of": failed["id"],
        "step": None,
        "by": "admin",
        "reason": "it was down",
    }
    assert first["repeats"] == [{"run": again["id"], "kind": "rerun", "status": "completed"}]
    keys = [request["headers"]["idempotency-key"] for request in world.requests]
    assert len(set(keys)) == 3


async def test_a_rerun_maps_the_event_as_the_newest_version_does(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": ORDERS.format(field="id")}) as service:
        first = await _emit(service, {"id": 1, "number": 2})
        assert first["outputs"] == {"number": 1}
        await _change(service, tmp_path, ORDERS.format(field="number").replace("note", "noted"))
        answer = await _rerun(service, first["id"])
        again = await _end(service, answer)
    assert answer.json()["inputs"] == "mapped"
    assert again["version"] == answer.json()["version"] != first["version"]
    assert (again["outputs"], again["trigger"]) == ({"number": 2}, "paid")


async def test_a_run_whose_inputs_could_not_be_made_is_rerun_after_the_mending(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": ORDERS.format(field="id")}) as service:
        first = await _emit(service, {"number": 2})
        assert (first["status"], first["error"]["code"]) == ("failed", "inputs")
        refused = await _rerun(service, first["id"])
        await _change(service, tmp_path, ORDERS.format(field="number").replace("note", "noted"))
        again = await _end(service, await _rerun(service, first["id"]))
    assert refused.status_code == 422
    assert "id" in refused.json()["detail"]
    assert again["outputs"] == {"number": 2}


async def test_a_rerun_is_refused_while_the_run_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HELD}) as service:
        run = (await service.start("p")).json()["id"]
        answer = await _rerun(service, run)
    assert answer.status_code == 409
    assert f"waypost cancel {run}" in answer.json()["detail"]


async def test_a_rerun_is_refused_with_what_does_not_fit_the_newest_version(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": TYPED.format(kind="integer")}) as service:
        run = (await service.wait_for_end((await service.start("p", {"n": 1})).json()["id"]))["id"]
        await _change(service, tmp_path, TYPED.format(kind="string"))
        unfit = await _rerun(service, run)
        await _change(service, tmp_path, None)
        gone = await _rerun(service, run)
        missing = await _rerun(service, "run_none")
    assert unfit.status_code == 422
    assert "inputs.n" in unfit.json()["detail"]
    assert f"waypost fork {run} --inputs" in unfit.json()["detail"]
    assert gone.status_code == 409
    assert "no file defines it" in gone.json()["detail"]
    assert missing.status_code == 404


async def test_a_rerun_with_a_key_is_done_once_for_each_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": TYPED.format(kind="integer")}) as service:
        first, other = [(await service.start("p", {"n": n})).json()["id"] for n in (1, 2)]
        for run in (first, other):
            await service.wait_for_end(run)
        answers = [await _rerun(service, run, key="k") for run in (first, first, other)]
    assert [answer.status_code for answer in answers] == [202, 200, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"] != answers[2].json()["id"]
    assert answers[1].json()["duplicate"]


async def test_a_called_run_is_rerun_by_itself(tmp_path: Path) -> None:
    caller = "steps: [{id: call, use: flow.call, with: {pipeline: p, inputs: {n: 5}}, timeout: 1m}]\n"
    async with running(tmp_path, {"p": TYPED.format(kind="integer"), "caller": caller}) as service:
        called = await service.wait_for_end((await service.start("caller")).json()["id"])
        again = await _end(service, await _rerun(service, called["children"][0]["run"]))
    assert (again["inputs"], again["parent"], again["trigger"]) == ({"n": 5}, None, "call")


async def test_a_fire_of_a_schedule_is_mapped_anew(tmp_path: Path) -> None:
    schedule = 'triggers: [{id: tick, use: schedule, with: {every: 1s}, inputs: {n: "{{ trigger.id }}"}}]\n'
    async with running(tmp_path, {"p": schedule + TYPED.format(kind="string")}) as service:
        async with asyncio.timeout(60):
            while not (found := (await service.client.get("/api/runs")).json()["runs"]):
                await asyncio.sleep(0.05)
        first = await service.wait_for_end(found[0]["id"])
        answer = await _rerun(service, first["id"])
        again = await _end(service, answer)
    assert (answer.json()["inputs"], again["inputs"]) == ("mapped", first["inputs"])
