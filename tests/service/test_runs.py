"""Runs over a real port: retries, timeouts, unknown endings, cancels, limits and restarts."""

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from durable.runner.attempt import Attempt
from tests.service.running import ENVIRONMENT, Outside, Running, outside, running

pytestmark = pytest.mark.anyio


def _answer(status: int, **headers: str) -> Callable[[], Response]:
    return lambda: JSONResponse({"status": status}, status, headers)


def _calls(world: Outside, extra: str = "", *, steps: int = 1) -> str:
    lines = "\n".join(
        f"""  - id: s{number}
    use: http.post
    with: {{url: "{world.url}/s{number}", json: {{n: {number}}}}}
    {extra}"""
        for number in range(1, steps + 1)
    )
    return f"defaults: {{retry: {{min_delay: 1ms, max_delay: 2ms}}}}\nsteps:\n{lines}\n"


async def _one(service: Running, pipeline: str = "p", **inputs: Any) -> dict[str, Any]:
    answer = await service.start(pipeline, inputs)
    assert answer.status_code == 202, answer.text
    return await service.wait_for_end(answer.json()["id"])


async def test_a_request_to_a_busy_service_is_retried_with_the_same_key_and_body(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [_answer(503), _answer(429, **{"retry-after": "0"})]
        async with running(tmp_path, {"p": _calls(world)}) as service:
            run = await _one(service)
    assert run["status"] == "completed"
    assert run["steps"]["s1"]["attempts"] == 3
    assert [attempt["error"]["class"] for attempt in run["steps"]["s1"]["tries"][:2]] == ["server", "rate_limit"]
    assert len({request["headers"]["idempotency-key"] for request in world.requests}) == 1
    assert all(request["body"] == {"n": 1} for request in world.requests)


async def test_a_client_error_is_not_retried_and_runs_on_failure(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [_answer(422)]
        told = """
on_failure:
  - {id: told, use: transform.set, with: {values: {at: "{{ error.step }}", code: "{{ error.code }}"}}}
"""
        async with running(tmp_path, {"p": _calls(world) + told}) as service:
            run = await _one(service)
    assert run["status"] == "failed"
    assert run["error"]["class"] == "client"
    assert run["error"]["step"] == "s1"
    assert run["steps"]["told"]["output"] == {"at": "s1", "code": "422"}
    assert len(world.requests) == 1


async def test_a_timeout_is_unknown_and_retried_unless_the_step_is_parked(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 2
        pipelines = {
            "p": _calls(world, "timeout: 100ms"),
            "parked": _calls(world, "timeout: 100ms\n    on_crash: park"),
        }
        async with running(tmp_path, pipelines) as service:
            retried = await _one(service)
            world.hangs = 1
            parked = await _one(service, "parked")
            assert parked["status"] == "paused"
            assert "uncertain" in parked["reason"]
            assert parked["steps"]["s1"]["status"] == "uncertain"
    assert retried["status"] == "completed"
    assert [each["ending"] for each in retried["steps"]["s1"]["tries"]] == ["unknown", "unknown", "completed"]
    assert len(world.requests) == 4


async def test_a_skipped_step_and_flow_stop_have_their_own_ends(tmp_path: Path) -> None:
    text = """
inputs: {stop: {type: boolean, default: false}}
steps:
  - {id: never, if: "inputs.stop == 5", use: log.write, with: {message: no}}
  - {id: halt, if: "inputs.stop", use: flow.stop, with: {status: cancelled, reason: as asked}}
  - {id: last, use: transform.set, with: {values: {was: "{{ steps.never.status }}"}}}
outputs: {was: "{{ steps.last.output.was }}"}
"""
    async with running(tmp_path, {"p": text}) as service:
        stopped = await _one(service, stop=True)
        went_on = await _one(service)
    assert (stopped["status"], stopped["reason"]) == ("cancelled", "as asked")
    assert "last" not in stopped["steps"]
    assert went_on["outputs"] == {"was": "skipped"}


async def test_reading_a_skipped_step_is_an_error_that_names_it(tmp_path: Path) -> None:
    text = """
steps:
  - {id: never, if: "1 == 2", use: transform.set, with: {values: {a: 1}}}
  - {id: reads, use: log.write, with: {message: "{{ steps.never.output.a }}"}}
"""
    async with running(tmp_path, {"p": text}) as service:
        run = await _one(service)
    assert run["status"] == "failed"
    assert "step 'never' was skipped" in run["error"]["message"]


async def test_a_cancel_ends_a_run_at_once(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"p": _calls(world)}) as service:
            run = (await service.start("p")).json()["id"]
            await asyncio.wait_for(world.arrived.wait(), 60)
            answer = await service.client.post(f"/api/runs/{run}/cancel", json={"reason": "enough"})
            assert answer.status_code == 202
            ended = await service.wait_for_end(run)
            assert (ended["status"], ended["reason"]) == ("cancelled", "enough")
            assert ended["steps"]["s1"]["status"] == "cancelled"
            again = await service.client.post(f"/api/runs/{run}/cancel")
            assert again.status_code == 409


async def test_a_paused_run_can_be_cancelled(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"p": _calls(world, "timeout: 50ms\n    on_crash: park")}) as service:
            run = await _one(service)
            assert run["status"] == "paused"
            await service.client.post(f"/api/runs/{run['id']}/cancel", json={"reason": "looked"})
            ended = await service.run(run["id"])
            assert ended["status"] == "cancelled"
            assert ended["steps"]["s1"]["status"] == "uncertain", "what is not known stays visible"


async def test_a_run_that_times_out_fails_and_performs_its_cleanup(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        text = (
            "timeout: 200ms\n"
            + _calls(world)
            + "\non_failure:\n  - {id: told, use: log.write, with: {message: late}}\n"
        )
        async with running(tmp_path, {"p": text}) as service:
            run = await _one(service)
    assert run["status"] == "failed"
    assert run["error"]["code"] == "run_timeout"
    assert run["steps"]["told"]["status"] == "completed"


async def test_keep_selects_the_checkpoint_and_its_failure_repeats_nothing(tmp_path: Path) -> None:
    async with outside() as world:
        pipelines = {
            "p": _calls(world, 'keep: {n: "{{ output.body.n }}"}'),
            "broken": _calls(world, 'keep: {n: "{{ output.body.nobody }}"}'),
        }
        async with running(tmp_path, pipelines) as service:
            kept = await _one(service)
            broken = await _one(service, "broken")
    assert kept["steps"]["s1"]["output"] == {"n": 1}
    assert broken["status"] == "failed"
    assert broken["error"]["class"] == "invalid"
    assert broken["steps"]["s1"]["output"]["body"] == {"n": 2}, "the raw output is kept"
    assert len(world.requests) == 2


async def test_large_values_are_passed_by_reference_and_read_back(tmp_path: Path) -> None:
    text = """
inputs: {text: {type: string}}
steps:
  - {id: large, use: transform.set, with: {values: {copy: "{{ inputs.text }}"}}}
  - {id: size, use: transform.set, with: {values: {length: "{{ steps.large.output.copy | length }}"}}}
outputs: {length: "{{ steps.size.output.length }}", same: "{{ steps.large.output.copy == inputs.text }}"}
"""
    async with running(tmp_path, {"p": text}) as service:
        run = await _one(service, text="ab" * 200_000)
    assert run["outputs"] == {"length": 400_000, "same": True}


async def test_an_idempotency_key_starts_one_run_and_rejects_other_inputs(tmp_path: Path) -> None:
    text = "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n"
    key = {"idempotency-key": "k1"}
    async with running(tmp_path, {"p": text}) as service:
        first = await service.start("p", {"a": 1, "b": 2}, **key)
        again = await service.start("p", {"b": 2, "a": 1}, **key)
        other = await service.start("p", {"a": 2}, **key)
    assert first.status_code == 202
    assert (again.status_code, again.json()["id"], again.json()["duplicate"]) == (200, first.json()["id"], True)
    assert other.status_code == 422
    assert other.headers["content-type"] == "application/problem+json"


async def test_runs_beyond_memory_are_accepted_and_wait_in_the_journal(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs_until = asyncio.Event()
        async with running(tmp_path, {"p": _calls(world)}, max_live_runs=2) as service:
            answers = [await service.start("p") for _ in range(5)]
            assert [answer.status_code for answer in answers] == [202] * 5
            runs = [answer.json()["id"] for answer in answers]
            assert list(service.service.runner.runs.by_id) == runs[:2]
            assert "it waits for its turn" in (await service.run(runs[2]))["why"]
            world.hangs_until.set()
            for run in runs:
                assert (await service.wait_for_end(run))["status"] == "completed"
    assert len(world.requests) == 5


async def test_concurrent_attempts_stay_within_the_limit(tmp_path: Path) -> None:
    async with outside() as world:
        world.delay = 0.05
        async with running(tmp_path, {"p": _calls(world)}, max_attempts_in_flight=3) as service:
            runs = [(await service.start("p")).json()["id"] for _ in range(12)]
            for run in runs:
                assert (await service.wait_for_end(run))["status"] == "completed"
    assert world.most_at_once == 3


async def test_a_run_in_a_long_wait_leaves_memory_and_resumes_when_due(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [_answer(503, **{"retry-after": "31"})]
        async with running(tmp_path, {"p": _calls(world)}) as service:
            run = (await service.start("p")).json()["id"]
            async with asyncio.timeout(60):
                while (await service.run(run))["status"] != "waiting":
                    await asyncio.sleep(0.01)
            assert not service.service.runner.runs.by_id
            later = int(time.time() * 1000) + 60_000
            async with asyncio.timeout(60):
                while await service.service.journal.list_due(later, 10) != [run]:
                    await asyncio.sleep(0.01)
            await service.client.post(f"/api/runs/{run}/cancel")
            assert (await service.run(run))["status"] == "cancelled"


async def test_a_run_keeps_its_definition_when_the_file_is_removed(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"p": _calls(world, steps=2)}, drain_timeout="0s") as service:
            run = (await service.start("p")).json()["id"]
            await asyncio.wait_for(world.arrived.wait(), 60)
        (tmp_path / "config" / "pipelines" / "p.yaml").unlink()
        world.hangs = 0
        async with running(tmp_path, {}) as service:
            ended = await service.wait_for_end(run)
    assert ended["status"] == "completed"
    assert list(ended["steps"]) == ["s1", "s2"]


async def test_an_attempt_that_ends_during_the_drain_is_not_repeated(tmp_path: Path) -> None:
    async with outside() as world:
        world.delay = 0.3
        async with running(tmp_path, {"p": _calls(world, steps=2)}) as service:
            run = (await service.start("p")).json()["id"]
            await asyncio.wait_for(world.arrived.wait(), 60)
        async with running(tmp_path, {}) as service:
            ended = await service.wait_for_end(run)
    assert ended["status"] == "completed"
    assert [request["path"] for request in world.requests] == ["/s1", "/s2"]


async def test_no_secret_is_in_any_file_of_the_data_folder(tmp_path: Path) -> None:
    async with outside() as world:
        text = f"""
steps:
  - id: echo
    use: http.post
    with:
      url: "{world.url}/echo"
      headers: {{x-token: "{{{{ secrets.HOOK }}}}"}}
      json: {{imitates: {{secret: HOOK}}}}
"""
        world.echo = True
        canary = "canary/+9-secret"
        async with running(tmp_path, {"p": text}, {**ENVIRONMENT, "WAYPOST_SECRET_HOOK": canary}) as service:
            run = await _one(service)
            shown = (await service.client.get(f"/api/runs/{run['id']}/history")).text
    assert run["status"] == "completed"
    assert world.requests[0]["headers"]["x-token"] == canary
    assert run["steps"]["echo"]["input"]["json"] == {"imitates": {"secret": "HOOK"}}
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert b"canary" not in files
    assert "canary" not in shown


async def test_attempts_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": _calls(world)}) as service:
        gc.collect()
        gc.disable()
        try:
            assert (await _one(service))["status"] == "completed"
            await asyncio.sleep(0)
            assert not [each for each in gc.get_objects() if isinstance(each, Attempt)]
        finally:
            gc.enable()
