"""Forks over the API: from the start with other inputs, or from a step with the checkpoints before it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from tests.service.gates import kinds
from tests.service.running import ENVIRONMENT, Outside, Running, outside, running

pytestmark = pytest.mark.anyio

SECRET = {**ENVIRONMENT, "WAYPOST_SECRET_TOKEN": "canary-token-1"}


def _orders(world: Outside, extra: str = "") -> str:
    """Reserve with an undo, charge with a secret, then tell; each is a call outside."""
    call = "{{id: {0}, use: http.post, with: {{url: '{1}/{0}', json: {2}{3}}}, retry: {{max_attempts: 1}}{4}}}".format
    auth = ", headers: {Authorization: 'Bearer {{ secrets.TOKEN }}'}"
    undo = f", undo: {{use: http.delete, with: {{url: '{world.url}/undo'}}}}"
    return f"""
inputs: {{n: {{type: integer}}}}
steps:
  - {call("reserve", world.url, "{n: '{{ inputs.n }}'}", "", undo)}
  - {call("charge", world.url, "{n: '{{ inputs.n }}', held: '{{ steps.reserve.output.body.n }}'}", auth, "")}
  - {call("tell", world.url, "{charged: '{{ steps.charge.output.body.n }}'}", "", "")}
outputs: {{told: '{{{{ steps.tell.output }}}}'}}
{extra}
"""


EACH = """
inputs: {{items: {{type: array}}}}
steps:
  - id: all
    foreach: inputs.items
    max_parallel: 2
    on_item_error: collect
    steps:
      - {{id: send, use: http.post, with: {{url: '{url}/{{{{ item }}}}', json: {{item: '{{{{ item }}}}'}}}},
         retry: {{max_attempts: 1}}}}
"""


async def _fork(service: Running, run: str, *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await service.client.post(f"/api/runs/{run}/fork", json=body, headers=headers)


async def _run(service: Running, pipeline: str = "p", **inputs: Any) -> dict[str, Any]:
    return await service.wait_for_end((await service.start(pipeline, inputs)).json()["id"])


async def _end(service: Running, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return await service.wait_for_end(answer.json()["id"])


async def _change(service: Running, tmp_path: Path, text: str) -> None:
    before = (await service.client.get("/api/pipelines")).json()
    (tmp_path / "config" / "pipelines" / "p.yaml").write_text(text)
    async with asyncio.timeout(60):
        while (await service.client.get("/api/pipelines")).json() == before:
            await asyncio.sleep(0.05)


def _refuse() -> Response:
    return Response(status_code=400)


def _paths(world: Outside) -> list[str]:
    return [request["path"] for request in world.requests]


async def test_a_fork_goes_on_from_a_step_and_repeats_nothing_before_it(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _orders(world)}, SECRET) as service:
        world.answers += [lambda: JSONResponse({"n": 7}), _refuse]
        failed = await _run(service, n=1)
        assert (failed["status"], failed["error"]["step"]) == ("failed", "charge")
        answer = await _fork(service, failed["id"], step="charge", reason="mended")
        forked = await _end(service, answer)
        first = await service.run(failed["id"])
        history = await kinds(service, forked["id"])
        outline = await service.ask(f"/runs/{forked['id']}/outline")
        started = (await service.ask(f"/runs/{forked['id']}/history"))["entries"][0]
    assert outline["started_at"] == forked["created_at"]
    assert started["source"] == {
        "kind": "fork",
        "of": failed["id"],
        "step": "charge",
        "by": "admin",
        "reason": "mended",
    }
    assert (answer.json()["copied"], answer.json()["again"], answer.json()["inputs"]) == (1, [], "recorded")
    assert forked["status"] == "completed"
    assert _paths(world) == ["/reserve", "/charge", "/charge", "/tell"]
    assert world.requests[2]["body"] == world.requests[1]["body"] == {"n": 1, "held": 7}
    assert world.requests[2]["headers"]["authorization"] == "Bearer canary-token-1"
    keys = [request["headers"]["idempotency-key"] for request in world.requests]
    assert len(set(keys)) == 4
    assert (forked["source"]["kind"], forked["source"]["of"], forked["source"]["step"]) == (
        "fork",
        failed["id"],
        "charge",
    )
    assert first["repeats"] == [{"run": forked["id"], "kind": "fork", "status": "completed"}]
    assert forked["created_at"] > failed["finished_at"]
    assert forked["steps"]["reserve"]["scheduled_at"] == failed["steps"]["reserve"]["scheduled_at"]
    assert history.count("run_forked") == 1
    assert [path for path, step in forked["steps"].items() if step["copied"]] == ["reserve"]


async def test_the_step_gets_an_edited_input_in_which_secrets_stay_references(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _orders(world)}, SECRET) as service:
        world.answers += [lambda: JSONResponse({"n": 7}), _refuse]
        failed = await _run(service, n=1)
        shown = failed["steps"]["charge"]["input"]
        assert shown["headers"] == {"Authorization": "Bearer {{ secrets.TOKEN }}"}
        changed = await _end(service, await _fork(service, failed["id"], step="charge", set={"json": {"n": 2}}))
        whole = await _end(service, await _fork(service, failed["id"], step="charge", input={**shown, "json": 3}))
        other = {"headers": {"X": "{{ secrets.OTHER }}"}}
        refused = [
            await _fork(service, failed["id"], step="charge", set=other),
            await _fork(service, failed["id"], step="charge", set={"json": "is canary-token-1"}),
            await _fork(service, failed["id"], step="charge", set={"json": 1, "nobody": 2}),
        ]
        history = (await service.client.get(f"/api/runs/{whole['id']}/history")).text
    assert (changed["status"], whole["status"]) == ("completed", "completed")
    sent = [request for request in world.requests if request["path"] == "/charge"][1:]
    assert [request["body"] for request in sent] == [{"n": 2}, 3]
    assert [request["headers"]["authorization"] for request in sent] == ["Bearer canary-token-1"] * 2
    assert [answer.status_code for answer in refused] == [422] * 3
    assert "a fork cannot add one" in refused[0].json()["detail"]
    assert "value of a secret" in refused[1].json()["detail"]
    assert "nobody" in refused[2].json()["detail"]
    assert "canary-token-1" not in history
    assert whole["steps"]["charge"]["input"] == {**shown, "json": 3}


async def test_a_fork_from_the_start_takes_other_inputs(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _orders(world)}, SECRET) as service:
        first = await _run(service, n=1)
        whole = await _fork(service, first["id"], inputs={"n": 5})
        ended = await _end(service, whole)
        changed = await _end(service, await _fork(service, first["id"], set={"n": 6}))
        same = await _end(service, await _fork(service, first["id"]))
        unfit = await _fork(service, first["id"], inputs={"n": "x"})
    assert [run["inputs"]["n"] for run in (ended, changed, same)] == [5, 6, 1]
    assert (ended["source"]["kind"], ended["source"]["step"], whole.json()["inputs"]) == ("fork", None, "given")
    assert unfit.status_code == 422
    assert "inputs.n" in unfit.json()["detail"]


async def test_a_fork_on_the_newest_version_uses_its_steps_and_is_refused_where_they_differ(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _orders(world)}, SECRET) as service:
        world.answers += [lambda: JSONResponse({"n": 7}), _refuse]
        failed = await _run(service, n=1)
        await _change(service, tmp_path, _orders(world).replace("charged:", "paid:"))
        newest = await _end(service, await _fork(service, failed["id"], step="charge", newest=True))
        old = await _end(service, await _fork(service, failed["id"], step="charge"))
        step = "  - {id: check, use: http.get, with: {url: 'http://127.0.0.1'}}\n  - {id: charge"
        await _change(service, tmp_path, _orders(world).replace("  - {id: charge", step))
        inserted = await _end(service, await _fork(service, failed["id"], step="check", newest=True))
        refused = await _fork(service, failed["id"], step="charge", newest=True)
        await _change(
            service, tmp_path, _orders(world).replace("id: reserve", "id: hold").replace("s.reserve", "s.hold")
        )
        renamed = await _fork(service, failed["id"], step="charge", newest=True)
    assert newest["version"] != old["version"] == failed["version"]
    told = [request["body"] for request in world.requests if request["path"] == "/tell"]
    assert [list(body) for body in told] == [["paid"], ["charged"]]
    assert inserted["steps"]["reserve"]["status"] == "completed"
    assert (refused.status_code, renamed.status_code) == (409, 409)
    assert "fork from check" in refused.json()["detail"]
    assert "was at reserve; it reaches hold instead" in renamed.json()["detail"]


async def test_a_fork_from_an_item_copies_the_items_beside_it(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": EACH.format(url=world.url)}) as service:
        world.answers += [lambda: JSONResponse({}), _refuse, *[lambda: JSONResponse({})] * 4]
        first = await _run(service, items=["a", "b", "c", "d", "e", "f"])
        assert first["status"] == "completed"
        (failed,) = [path for path, step in first["steps"].items() if step["status"] == "failed"]
        before = len(world.requests)
        answer = await _fork(service, first["id"], step=failed, set={"json": {"item": "B"}})
        ended = await _end(service, answer)
    assert (answer.json()["copied"], answer.json()["again"]) == (5, [])
    assert [request["body"] for request in world.requests[before:]] == [{"item": "B"}]
    assert {step["status"] for step in ended["steps"].values()} == {"completed"}


async def test_a_fork_is_refused_where_it_would_be_unsound(tmp_path: Path) -> None:
    undoes = "on_failure: [{id: back, use: flow.undo}]"
    async with outside() as world, running(tmp_path, {"p": _orders(world, undoes)}, SECRET) as service:
        world.answers += [lambda: JSONResponse({"n": 7}), _refuse]
        failed = await _run(service, n=1)
        assert _paths(world) == ["/reserve", "/charge", "/undo"]
        answers = {step: await _fork(service, failed["id"], step=step) for step in ("charge", "tell", "chrge", "back")}
        mixed = await _fork(service, failed["id"], step="reserve", inputs={"n": 2})
        from_undone = await _end(service, await _fork(service, failed["id"], step="reserve"))
    details = {step: (answer.status_code, answer.json()["detail"]) for step, answer in answers.items()}
    assert details["charge"][0] == details["tell"][0] == details["chrge"][0] == details["back"][0] == 409
    assert "the effect of reserve was undone" in details["charge"][1]
    assert "did not reach the step tell" in details["tell"][1]
    assert "'charge'" in details["chrge"][1]
    assert "cleanup step" in details["back"][1]
    assert mixed.status_code == 422
    assert from_undone["status"] == "completed"


async def test_the_undo_of_a_copied_step_is_not_inherited(tmp_path: Path) -> None:
    undoes = "on_failure: [{id: back, use: flow.undo}]"
    async with outside() as world, running(tmp_path, {"p": _orders(world)}, SECRET) as service:
        world.answers += [lambda: JSONResponse({"n": 7}), _refuse]
        failed = await _run(service, n=1)
        await _change(service, tmp_path, _orders(world, undoes))
        world.answers.append(_refuse)
        forked = await _end(service, await _fork(service, failed["id"], step="charge", newest=True))
    assert forked["status"] == "failed"
    assert forked["steps"]["back"]["output"] == {"undone": [], "not_undone": []}
    assert _paths(world) == ["/reserve", "/charge", "/charge"]


async def test_a_fork_waits_for_its_slot_like_any_run_and_survives_a_restart(tmp_path: Path) -> None:
    limited = "concurrency: {limit: 1}\nsteps:\n  - {id: first, use: transform.set, with: {values: {n: 1}}}\n"
    limited += "  - {id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}\n"
    limited += "outputs: {n: '{{ steps.first.output.n }}', said: '{{ steps.ask.output.body }}'}\n"

    async def answer(service: Running, run: str, data: object) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while (await _post(service, run, data)).status_code != 202:
                await asyncio.sleep(0.02)
        return await service.wait_for_end(run)

    async def _post(service: Running, run: str, data: object) -> httpx.Response:
        return await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "data": data})

    async with running(tmp_path, {"p": limited}) as service:
        done = await answer(service, (await service.start("p")).json()["id"], 1)
        held = (await service.start("p")).json()["id"]
        forked = await _fork(service, done["id"], step="ask", key="once")
        assert (forked.status_code, forked.json()["status"]) == (202, "queued")
        again = await _fork(service, done["id"], step="ask", key="once")
        other = await _fork(service, done["id"], step="first", key="once")
    assert (again.status_code, again.json()["id"], other.status_code) == (200, forked.json()["id"], 422)
    async with running(tmp_path, {"p": limited}) as service:
        assert (await service.run(forked.json()["id"]))["status"] == "queued"
        await answer(service, held, 2)
        ended = await answer(service, forked.json()["id"], 3)
        cancelled = await _fork(service, done["id"], step="ask")
        assert (await service.client.post(f"/api/runs/{cancelled.json()['id']}/cancel", json={})).status_code == 202
        assert (await service.wait_for_end(cancelled.json()["id"]))["status"] == "cancelled"
    assert (ended["status"], ended["outputs"]) == ("completed", {"n": 1, "said": 3})


async def test_a_fork_copies_the_end_of_a_called_run_and_shows_the_run_that_did_the_work(tmp_path: Path) -> None:
    caller = """
steps:
  - {id: call, use: flow.call, with: {pipeline: child}}
  - {id: note, use: transform.set, with: {values: {n: '{{ steps.call.output.n }}'}}}
outputs: {n: '{{ steps.note.output.n }}'}
"""
    child = "steps: [{id: a, use: transform.set, with: {values: {n: 4}}}]\noutputs: {n: '{{ steps.a.output.n }}'}\n"
    async with running(tmp_path, {"p": caller, "child": child}) as service:
        first = await _run(service)
        forked = await _end(service, await _fork(service, first["id"], step="note"))
        again = await _end(service, await _fork(service, first["id"], step="call"))
        (of_first,), (of_fork,), (of_again,) = (run["children"] for run in (first, forked, again))
    assert (forked["outputs"], again["outputs"]) == ({"n": 4}, {"n": 4})
    assert of_fork["run"] == of_first["run"] != of_again["run"]
