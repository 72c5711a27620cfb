"""Starting runs over the API: delayed, expiring, tagged, by priority, waiting for the end, and in batches."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import Outside, Running, outside, running

pytestmark = pytest.mark.anyio

QUICK = "inputs: {n: {type: integer, default: 1}}\nsteps:\n  - {id: a, use: transform.set, with: {values: {}}}\n"


def _calls(world: Outside, extra: str = "") -> str:
    call = f'{{url: "{world.url}/{{{{ inputs.name }}}}", json: {{}}}}'
    return f"{extra}\nsteps:\n  - {{id: call, use: http.post, with: {call}}}\n"


async def _post(service: Running, pipeline: str = "p", **body: Any) -> httpx.Response:
    return await service.client.post(f"/api/pipelines/{pipeline}/runs", json=body)


async def _start(service: Running, pipeline: str = "p", **body: Any) -> str:
    answer = await _post(service, pipeline, **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# -- delays -----------------------------------------------------------------------------------------------------


async def test_a_delayed_run_is_queued_and_begins_when_it_is_due(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        answer = await _post(service, delay="300ms")
        assert answer.json()["status"] == "queued"
        queued = await service.run(answer.json()["id"])
        assert (queued["steps"], queued["due_at"]) == ({}, queued["not_before"])
        ended = await service.wait_for_end(queued["id"])
        assert ended["status"] == "completed"
        began = _moment(ended["steps"]["a"]["scheduled_at"])
        assert 0.3 <= round(began - _moment(ended["created_at"]), 3) < 2
        at = await service.wait_for_end(await _start(service, at=_in(0.2)))
        assert _moment(at["steps"]["a"]["scheduled_at"]) >= _moment(at["not_before"])
        past = await service.wait_for_end(await _start(service, at="2001-01-01T00:00:00+02:00"))
        assert past["not_before"] is None


async def test_a_run_in_the_far_future_uses_no_memory_survives_a_restart_and_can_be_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        run = await _start(service, delay="2h", tags=["later"], priority=7)
        assert not service.service.runner.runs.by_id
    async with running(tmp_path, {"p": QUICK}) as service:
        found = await service.run(run)
        assert (found["status"], found["tags"], found["priority"]) == ("queued", ["later"], 7)
        assert not service.service.runner.runs.by_id
        assert (await service.client.post(f"/api/runs/{run}/cancel", json={"reason": "enough"})).status_code == 202
        ended = await service.run(run)
    assert (ended["status"], ended["reason"], ended["steps"]) == ("cancelled", "enough", {})


async def test_a_run_that_came_due_during_downtime_begins_at_the_start(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        due = await _start(service, delay="400ms")
        late = await _start(service, delay="400ms", expires_in="450ms")
    await asyncio.sleep(0.6)
    async with running(tmp_path, {"p": QUICK}) as service:
        assert (await service.wait_for_end(due))["status"] == "completed"
        expired = await service.wait_for_end(late)
    assert (expired["status"], expired["reason"], expired["steps"]) == ("cancelled", "expired", {})


async def test_the_timeout_of_a_run_includes_its_time_in_the_queue(tmp_path: Path) -> None:
    cleanup = "on_failure:\n  - {id: told, use: log.write, with: {message: late}}\n"
    async with running(tmp_path, {"p": f"timeout: 300ms\n{QUICK}{cleanup}"}) as service:
        ended = await service.wait_for_end(await _start(service, delay="1h"))
    assert (ended["status"], ended["error"]["code"]) == ("failed", "run_timeout")
    assert list(ended["steps"]) == ["told"]


# -- slots ------------------------------------------------------------------------------------------------------


async def test_a_run_without_a_slot_in_time_expires_and_one_with_a_slot_begins(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs_until = gate = asyncio.Event()
        async with running(tmp_path, {"p": _calls(world)}, max_attempts_in_flight=1) as service:
            first = await _start(service, inputs={"name": "first"})
            await asyncio.wait_for(world.arrived.wait(), 60)
            patient = [await _start(service, inputs={"name": f"p{n}"}, expires_in="1m") for n in range(3)]
            answer = await _post(service, inputs={"name": "hasty"}, expires_in="200ms")
            assert answer.json()["status"] == "queued"
            expired = await service.wait_for_end(answer.json()["id"])
            assert (expired["status"], expired["reason"]) == ("cancelled", "expired")
            [listed] = (await service.client.get("/api/runs?status=cancelled")).json()["runs"]
            assert (listed["id"], listed["reason"]) == (expired["id"], "expired")
            gate.set()
            for run in (first, *patient):
                assert (await service.wait_for_end(run))["status"] == "completed"
    assert [request["path"] for request in world.requests] == ["/first", "/p0", "/p1", "/p2"]
    assert world.most_at_once == 1


async def test_a_slot_granted_to_an_expiring_run_is_released(tmp_path: Path) -> None:
    stops = "steps:\n  - {id: halt, use: flow.stop, with: {}}\n"
    async with (
        outside() as world,
        running(tmp_path, {"p": _calls(world), "s": stops}, max_attempts_in_flight=1) as service,
    ):
        for _ in range(3):
            run = await _start(service, "s", expires_in="1m")
            assert (await service.wait_for_end(run))["status"] == "completed"
        for _ in range(3):
            run = await _start(service, inputs={"name": "x"}, expires_in="1m")
            assert (await service.wait_for_end(run))["status"] == "completed"
        world.hangs = 1
        held = await _start(service, inputs={"name": "y"}, expires_in="1m")
        async with asyncio.timeout(60):
            while len(world.requests) < 4:
                await asyncio.sleep(0.01)
        await service.client.post(f"/api/runs/{held}/cancel")
        last = await _start(service, inputs={"name": "z"})
        assert (await service.wait_for_end(last))["status"] == "completed"


async def test_attempts_waiting_for_a_permit_start_by_priority(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs_until = gate = asyncio.Event()
        async with running(tmp_path, {"p": _calls(world)}, max_attempts_in_flight=1) as service:
            runs = [await _start(service, inputs={"name": "first"})]
            await asyncio.wait_for(world.arrived.wait(), 60)
            for name, priority in (("low", -5), ("usual", 0), ("later", 0), ("high", 100)):
                runs.append(await _start(service, inputs={"name": name}, priority=priority))
            gate.set()
            for run in runs:
                await service.wait_for_end(run)
    paths = [request["path"] for request in world.requests]
    assert paths == ["/first", "/high", "/usual", "/later", "/low"]


# -- waiting for the end ----------------------------------------------------------------------------------------


async def test_a_waiting_client_gets_the_whole_run_once_it_has_ended(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK + 'outputs: {n: "{{ inputs.n }}"}\n'}) as service:
        answer = await _post(service, inputs={"n": 5}, wait_for="10s", delay="100ms")
        assert answer.status_code == 200
        whole = answer.json()
        assert (whole["status"], whole["outputs"], whole["duplicate"]) == ("completed", {"n": 5}, False)
        assert whole == await service.ask(f"/runs/{whole['id']}") | {"duplicate": False}
        key = {"idempotency-key": "k"}
        url, body = "/api/pipelines/p/runs", {"wait_for": "10s"}
        first = (await service.client.post(url, json=body, headers=key)).json()
        again = (await service.client.post(url, json=body, headers=key)).json()
        assert (again["id"], again["status"], again["duplicate"]) == (first["id"], "completed", True)


async def test_a_waiting_client_gets_outputs_of_any_size_whole(tmp_path: Path) -> None:
    text = QUICK.replace("integer, default: 1", "string") + 'outputs: {n: "{{ inputs.n }}"}\n'
    async with running(tmp_path, {"p": text}) as service:
        outputs = {"n": "x" * 40_000}
        ended = (await _post(service, inputs=outputs, wait_for="10s")).json()
        assert ended["outputs"] == outputs
        assert ended["omitted"].keys() == {"inputs"}
        found = await service.ask(f"/runs/{ended['id']}")
        assert (found["outputs"], found["omitted"].keys()) == (None, {"inputs", "outputs"})
        url = found["omitted"]["outputs"]["url"]
        assert (await service.client.get(url)).json() == {"value": outputs}


async def test_a_client_is_not_sent_a_run_that_it_has(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        run = (await _post(service, wait_for="10s")).json()["id"]
        first = await service.client.get(f"/api/runs/{run}")
        again = await service.client.get(
            f"/api/runs/{run}", headers={"if-none-match": f'"x", W/{first.headers["etag"]}'}
        )
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        await service.client.post(f"/api/runs/{run}/rerun")
        repeated = await service.client.get(f"/api/runs/{run}", headers={"if-none-match": first.headers["etag"]})
        assert repeated.status_code == 200
        assert repeated.json()["repeats"]


async def test_a_client_whose_wait_is_too_short_gets_the_usual_response(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        answer = await _post(service, wait_for="100ms", delay="1h")
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        assert answer.json().keys() == {"id", "status", "duplicate", "hint"}


async def test_a_stopping_service_answers_waiting_clients_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        waiting = asyncio.create_task(_post(service, wait_for="60s", delay="1h"))
        async with asyncio.timeout(60):
            while not (await service.client.get("/api/runs")).json()["runs"]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        service.service.runner.begin_draining()
        async with asyncio.timeout(30):  # half of the time that it would wait
            assert (await waiting).status_code == 202


# -- rejected starts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"delai": "5m"}, "`delai`: there is no such name; did you mean 'delay'"),
        ({"input": {}}, "did you mean 'inputs'"),
        ({"delay": "5"}, "`delay`: '5' has no unit; write 5s"),
        ({"delay": 5}, "`delay`: should be text with a unit"),
        ({"delay": "99999d"}, "longer than ten years"),
        ({"at": "tomorrow"}, "`at`: should be a date and time such as"),
        ({"at": "2030-01-01T00:00:00"}, "`at`: has no zone"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "ten years"),
        ({"at": "2030-01-01T00:00:00Z", "delay": "1s"}, "excludes `delay`"),
        ({"tags": "x"}, "`tags`: must be a list"),
        ({"tags": [""]}, "`tags.0`"),
        ({"tags": ["x" * 65]}, "`tags.0`"),
        ({"tags": [str(n) for n in range(17)]}, "`tags`"),
        ({"priority": 101}, "`priority`: must be at most 100"),
        ({"priority": "1"}, "`priority`: must be a whole number"),
        ({"priority": True}, "`priority`"),
        ({"wait_for": "61s"}, "`wait_for`: should be 60s at most"),
        ({"inputs": []}, "`inputs`: must be a mapping"),
        ({"inputs": {"n": "x"}}, "inputs.n"),
        ({"inputs": {"m": 1}}, "inputs.m"),
        ({"idempotency_key": "x"}, "`idempotency_key`"),
        ([], "the body must be a JSON object, not a list; send {} where there is nothing to say"),
    ],
)
async def test_an_ill_typed_start_is_422_and_names_the_key(tmp_path: Path, body: object, expected: str) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        answer = await service.client.post("/api/pipelines/p/runs", json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert expected in answer.json()["detail"]
        assert (await service.client.get("/api/runs")).json()["runs"] == []


# -- batches -------------------------------------------------------------------------------------------------------


async def test_each_item_of_a_batch_is_admitted_separately(tmp_path: Path) -> None:
    items: list[Any] = [
        {"inputs": {"n": 1}, "idempotency_key": "one", "tags": ["b"]},
        {"inputs": {"n": "x"}},
        {"inputs": {"n": 1}, "idempotency_key": "one"},
        {"inputs": {"n": 2}, "idempotency_key": "one"},
        {"delai": "1s"},
        "no object",
        {"delay": "1h"},
        {"inputs": {"n": 3}, "wait_for": "10s"},
    ]
    async with running(tmp_path, {"p": QUICK}) as service:
        answer = await service.client.post("/api/pipelines/p/runs/batch", json={"runs": items})
        assert answer.status_code == 200
        answers = answer.json()["answers"]
        assert [each["code"] for each in answers] == [202, 422, 200, 422, 422, 422, 202, 200]
        assert answers[2]["run"]["id"] == answers[0]["run"]["id"]
        assert answers[2]["run"]["duplicate"]
        assert "inputs.n" in answers[1]["problem"]["detail"]
        assert "used with other inputs" in answers[3]["problem"]["detail"]
        assert "did you mean 'delay'" in answers[4]["problem"]["detail"]
        assert (answers[6]["run"]["status"], answers[7]["run"]["status"]) == ("queued", "completed")
        assert len((await service.client.get("/api/runs")).json()["runs"]) == 3


async def test_a_thousand_runs_can_be_started_at_once_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": QUICK}) as service:
        url = "/api/pipelines/p/runs/batch"
        answer = await service.client.post(url, json={"runs": [{"tags": [f"t{n % 10}"]} for n in range(1_000)]})
        ids = [each["run"]["id"] for each in answer.json()["answers"]]
        assert len(set(ids)) == 1_000
        assert ids == sorted(ids), "in the order of the items"
        async with asyncio.timeout(60):
            while len((await service.client.get("/api/runs?status=completed&limit=1000")).json()["runs"]) < 1_000:
                await asyncio.sleep(0.05)
        tagged = (await service.client.get("/api/runs?tag=t3&limit=1000")).json()["runs"]
        assert [run["id"] for run in tagged] == ids[3::10][::-1]
        for number in (0, 1_001):
            assert (await service.client.post(url, json={"runs": [{}] * number})).status_code == 422
        assert (await service.client.post("/api/pipelines/q/runs/batch", json={"runs": [{}]})).status_code == 404


async def test_a_batch_larger_than_memory_is_accepted_completely(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs_until = asyncio.Event()
        async with running(tmp_path, {"p": _calls(world)}, max_live_runs=2) as service:
            items = [{"inputs": {"name": "x"}}] * 30
            answer = await service.client.post("/api/pipelines/p/runs/batch", json={"runs": items})
            assert [each["code"] for each in answer.json()["answers"]] == [202] * 30
            assert len(service.service.runner.runs.by_id) == 2
            world.hangs_until.set()
            for each in answer.json()["answers"]:
                assert (await service.wait_for_end(each["run"]["id"]))["status"] == "completed"
    assert len(world.requests) == 30
