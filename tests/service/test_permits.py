"""Waiting for a permit and a connection is no attempt: nothing times out, nothing is sent, and others are served."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.servers import OK, Server, Visit, serve
from tests.service.gates import begin, copy_after_crash, kinds
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

MOST = 112
"""What one pipeline may have under way at one origin."""


@dataclass
class Slow:
    """A healthy service that answers requests below /slow once it is released, and all others at once."""

    server: Server
    released: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)
    at_once: int = 0

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def paths(self) -> Counter[str]:
        return Counter(each.line.split()[1] for each in self.server.requests)

    async def behave(self, visit: Visit) -> None:
        while True:
            received = await visit.request()
            self.at_once += 1
            async with self.moved:
                self.moved.notify_all()
            if " /slow" in received.line:
                await self.released.wait()
            self.at_once -= 1
            await visit.send(OK)

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(60), self.moved:
            await self.moved.wait_for(lambda: self.at_once >= count)


@asynccontextmanager
async def slow_service() -> AsyncIterator[Slow]:
    async def behave(visit: Visit) -> None:
        await slow.behave(visit)

    async with serve(behave) as server:
        slow = Slow(server)
        yield slow


def make_get_pipeline(url: str, **more: str) -> str:
    """A pipeline of one GET with default settings."""
    extra = "".join(f", {name}: {value}" for name, value in more.items())
    return f"inputs: {{n: {{default: 0}}}}\nsteps: [{{id: get, use: http.get, with: {{url: '{url}'}}{extra}}}]\n"


async def begin_many(service: Running, pipeline: str, count: int, **body: Any) -> list[str]:
    answer = await service.client.post(f"/api/pipelines/{pipeline}/runs/batch", json={"runs": [body] * count})
    return [each["run"]["id"] for each in answer.json()["answers"]]


async def until_waiting(service: Running, run: str) -> str:
    """Return what a run waits for, once it waits for one of Waypost's own limits."""
    async with asyncio.timeout(60):
        while "waits for" not in str(reason := (await service.run(run))["why"]):
            await asyncio.sleep(0.01)
        return str(reason)


def attempts(found: dict[str, Any], step: str = "get") -> tuple[str, int]:
    return found["status"], found["steps"][step]["attempts"]


@pytest.mark.parametrize("on_crash", ["retry", "park"])
async def test_runs_waiting_for_a_connection_make_one_attempt_each_and_send_nothing_twice(
    tmp_path: Path, on_crash: str
) -> None:
    async with slow_service() as slow:
        pipelines = {"p": make_get_pipeline(f"{slow.url}/slow/{{{{ run.id }}}}", on_crash=on_crash)}
        async with running(tmp_path, pipelines) as service:
            runs = await begin_many(service, "p", 200)
            await slow.holds(MOST)
            last = runs[-1]
            assert await until_waiting(service, last) == f"get: waits for a connection to {slow.url}"
            assert (await service.run(last))["steps"]["get"]["tries"] == []
            assert "attempt_started" not in await kinds(service, last)
            assert len(slow.server.requests) == MOST, "of one pipeline; the other connections are for others"
            metrics = (await service.client.get("/metrics")).text
            assert f"waypost_attempts_waiting {200 - MOST}.0" in metrics
            slow.released.set()
            for run in runs:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)
            assert slow.paths == {f"/slow/{run}": 1 for run in runs}
            assert slow.server.connections <= MOST


async def test_other_pipelines_start_at_once_while_one_fills_every_queue(tmp_path: Path) -> None:
    async with slow_service() as slow, slow_service() as other, slow_service() as third:
        urls = ", ".join(f"'{each.url}/slow'" for each in (slow, other, third))
        pipelines = {
            "floods": f"inputs: {{urls: {{default: [{urls}]}}}}\nsteps:\n  - id: each\n    foreach: inputs.urls\n"
            "    as: url\n    max_parallel: 3\n"
            "    steps: [{id: get, use: http.get, with: {url: '{{ url }}'}}]\n",
            "same": make_get_pipeline(f"{slow.url}/quick"),
            "other": make_get_pipeline(f"{third.url}/quick"),
            "none": "steps: [{id: get, use: transform.set, with: {values: {a: 1}}}]",
        }
        async with running(tmp_path, pipelines) as service:
            flood = await begin_many(service, "floods", 200)
            async with asyncio.timeout(60):
                while slow.at_once + other.at_once + third.at_once < 224:
                    await asyncio.sleep(0.01)
            for pipeline in ("same", "other", "none"):
                for run in [await begin(service, pipeline) for _ in range(30)]:
                    assert attempts(await service.wait_for_end(run)) == ("completed", 1)
            answer = await service.client.get("/health")
            assert answer.status_code == 200
            for each in (slow, other, third):
                each.released.set()
            for run in flood:
                assert (await service.wait_for_end(run, within=60))["status"] == "completed"


async def test_many_pipelines_that_call_one_service_leave_room_for_others(tmp_path: Path) -> None:
    async with slow_service() as slow, slow_service() as quick:
        hang = {f"hangs{number}": make_get_pipeline(f"{slow.url}/slow") for number in range(12)}
        async with running(tmp_path, {**hang, "q": make_get_pipeline(f"{quick.url}/quick")}) as service:
            for pipeline in hang:
                await begin_many(service, pipeline, 50)
            await slow.holds(100)
            for _ in range(5):
                assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
            slow.released.set()


ONE: dict[str, Any] = {"max_attempts_in_flight": 1}


async def test_a_run_that_waits_for_a_permit_is_cancelled_without_an_attempt(tmp_path: Path) -> None:
    async with slow_service() as slow:
        async with running(tmp_path, {"p": make_get_pipeline(f"{slow.url}/slow", on_crash="park")}, **ONE) as service:
            first, second, third = await begin_many(service, "p", 3)
            await until_waiting(service, second)
            await service.client.post(f"/api/runs/{second}/cancel")
            assert (await service.wait_for_end(second))["status"] == "cancelled"
            assert "attempt_started" not in await kinds(service, second)
            slow.released.set()
            assert (
                attempts(await service.wait_for_end(first))
                == attempts(await service.wait_for_end(third))
                == ("completed", 1)
            )
        assert len(slow.server.requests) == 2


async def test_a_run_that_waits_for_a_permit_ends_at_its_own_deadline(tmp_path: Path) -> None:
    async with slow_service() as slow:
        late = "timeout: 1s\n" + make_get_pipeline(f"{slow.url}/slow", on_crash="park")
        async with running(tmp_path, {"p": make_get_pipeline(f"{slow.url}/slow"), "late": late}, **ONE) as service:
            first = await begin(service, "p")
            await slow.holds(1)
            run = await begin(service, "late")
            found = await service.wait_for_end(run)
            assert (found["status"], found["error"]["class"], found["steps"]["get"]["tries"]) == (
                "failed",
                "timeout",
                [],
            )
            slow.released.set()
            assert attempts(await service.wait_for_end(first)) == ("completed", 1)
        assert len(slow.server.requests) == 1


@pytest.mark.parametrize("is_killed", [False, True])
async def test_runs_waiting_when_the_service_stops_continue_with_their_first_attempt(
    tmp_path: Path, is_killed: bool
) -> None:
    async with slow_service() as slow:
        pipelines = {"p": make_get_pipeline(f"{slow.url}/slow", on_crash="park")}
        async with running(tmp_path, pipelines, drain_timeout="0s", **ONE) as service:
            first, *waiting = await begin_many(service, "p", 20)
            await slow.holds(1)
            await until_waiting(service, waiting[-1])
            place = copy_after_crash(tmp_path) if is_killed else tmp_path
        slow.released.set()
        async with running(place, pipelines) as service:
            for run in waiting:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)
                assert (await kinds(service, run)).count("attempt_started") == 1
            assert (await service.wait_for_end(first))["status"] == "paused", "only what was sent is uncertain"
    assert len(slow.server.requests) == 20


async def test_a_run_that_expires_while_all_permits_are_taken_makes_no_attempt(tmp_path: Path) -> None:
    async with slow_service() as slow:
        async with running(tmp_path, {"p": make_get_pipeline(f"{slow.url}/slow")}, **ONE) as service:
            await begin(service, "p")
            await slow.holds(1)
            answer = await service.client.post("/api/pipelines/p/runs", json={"inputs": {}, "expires_in": "500ms"})
            found = await service.wait_for_end(answer.json()["id"])
            assert (found["status"], found["reason"], found["steps"]) == ("cancelled", "expired", {})
            slow.released.set()
        assert len(slow.server.requests) == 1


async def test_a_step_whose_input_is_unfit_fails_without_waiting_for_a_permit(tmp_path: Path) -> None:
    async with slow_service() as slow:
        pipelines = {"p": make_get_pipeline(f"{slow.url}/slow"), "bad": make_get_pipeline("{{ inputs.n }}")}
        async with running(tmp_path, pipelines, **ONE) as service:
            await begin(service, "p")
            await slow.holds(1)
            found = await service.wait_for_end(await begin(service, "bad", n=[1]))
            assert (found["status"], found["error"]["class"]) == ("failed", "invalid")
            slow.released.set()


async def test_a_foreach_on_a_slow_service_makes_one_attempt_per_item_and_leaves_room_for_others(
    tmp_path: Path,
) -> None:
    async with slow_service() as slow:
        each = (
            f"steps:\n  - id: each\n    foreach: range\n    as: n\n    max_parallel: 500\n"
            f"    steps: [{{id: get, use: http.get, with: {{url: '{slow.url}/slow/{{{{ n }}}}'}}}}]\n"
        ).replace("range", "inputs.numbers")
        pipelines = {
            "each": f"inputs: {{numbers: {{type: array}}}}\n{each}",
            "q": make_get_pipeline(f"{slow.url}/quick"),
        }
        async with running(tmp_path, pipelines) as service:
            run = await begin(service, "each", numbers=list(range(300)))
            await slow.holds(MOST)
            assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
            assert "more steps wait" in await until_waiting(service, run)
            slow.released.set()
            found = await service.wait_for_end(run)
            assert found["status"] == "completed"
            assert {step["attempts"] for path, step in found["steps"].items() if path.endswith(".get")} == {1}
        assert slow.paths == {"/quick": 1} | {f"/slow/{number}": 1 for number in range(300)}


# -- memory -----------------------------------------------------------------------------------------------------

HOOK = """
triggers: [{{id: hook, use: webhook, with: {{path: /{0}, verify: none}}}}]
steps: [{{id: get, use: http.get, with: {{url: '{1}'}}}}]
"""


async def deliver(service: Running, hook: str) -> str:
    answer = await service.client.post(f"/hooks/{hook}", json={})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["runs"][0])


@pytest.mark.parametrize("most", [1, 2, 5, 20])
async def test_other_pipelines_are_accepted_and_served_while_one_fills_the_memory(tmp_path: Path, most: int) -> None:
    async with slow_service() as slow:
        pipelines = {name: HOOK.format(name, f"{slow.url}/{name}") for name in ("slow", "quick", "third")}
        async with running(tmp_path, pipelines, max_live_runs=most) as service:
            flood = [await deliver(service, "slow") for _ in range(2 * most + 5)]
            await slow.holds(1)
            for _ in range(5):
                for name in ("quick", "third"):
                    assert attempts(await service.wait_for_end(await deliver(service, name))) == ("completed", 1)
            assert len(service.service.runner.runs.by_id) <= most + 2
            slow.released.set()
            for run in flood:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)
        assert slow.paths["/slow"] == len(flood)


async def test_runs_waiting_for_a_permit_leave_memory_and_return_in_order(tmp_path: Path) -> None:
    async with slow_service() as slow:
        pipelines = {"p": TWO_STEPS.format(slow.url)}
        async with running(tmp_path, pipelines, max_live_runs=30, max_attempts_in_flight=2) as service:
            runs = await begin_many(service, "p", 60)
            await slow.holds(2)
            live = service.service.runner.runs.by_id
            async with asyncio.timeout(60):
                while len(live) > 5:
                    await asyncio.sleep(0.01)
            assert "it waits for its turn" in (await service.run(runs[-1]))["why"]
            slow.released.set()
            for run in runs:
                assert attempts(await service.wait_for_end(run), "second") == ("completed", 1)
            order = [each.line.split("run=")[1].split()[0] for each in slow.server.requests if "/slow" in each.line]
            assert all(abs(order.index(run) - turn) < 15 for turn, run in enumerate(runs)), order
        assert len(slow.server.requests) == 120


TWO_STEPS = """
steps:
  - {{id: first, use: http.get, with: {{url: '{0}/slow', params: {{run: '{{{{ run.id }}}}'}}}}}}
  - {{id: second, use: http.get, with: {{url: '{0}/quick'}}}}
"""


async def test_a_run_waiting_in_the_journal_is_cancelled_and_ends_at_its_deadline(tmp_path: Path) -> None:
    async with slow_service() as slow:
        late = "timeout: 2s\n" + make_get_pipeline(f"{slow.url}/slow", on_crash="park")
        settings: dict[str, Any] = {"max_live_runs": 10, "max_attempts_in_flight": 2}
        async with running(tmp_path, {"p": make_get_pipeline(f"{slow.url}/slow"), "late": late}, **settings) as service:
            first = await begin(service, "p")
            await slow.holds(1)
            waiting = await begin_many(service, "p", 20)
            overdue = await begin_many(service, "late", 20)
            await service.client.post(f"/api/runs/{waiting[-1]}/cancel")
            assert (await service.wait_for_end(waiting[-1]))["status"] == "cancelled"
            for run in overdue[1:]:
                found = await service.wait_for_end(run)
                assert (found["status"], found["error"]["class"]) == ("failed", "timeout")
                assert "attempt_started" not in await kinds(service, run)
            slow.released.set()
            for run in [first, *waiting[:-1]]:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)


async def test_a_run_waiting_in_the_journal_is_cancelled_even_if_memory_is_full(tmp_path: Path) -> None:
    async with slow_service() as slow:
        async with running(tmp_path, {"p": make_get_pipeline(f"{slow.url}/slow")}, max_live_runs=2) as service:
            runs = await begin_many(service, "p", 10)
            await slow.holds(2)
            for run in runs[2:]:
                assert (await service.client.post(f"/api/runs/{run}/cancel")).status_code == 202
            for run in runs[2:]:
                assert (await service.wait_for_end(run))["status"] == "cancelled"
            slow.released.set()
            for run in runs[:2]:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)
        assert len(slow.server.requests) == 2


async def test_a_higher_priority_does_not_wait_behind_runs_in_the_journal(tmp_path: Path) -> None:
    async with slow_service() as slow:
        pipelines = {"p": make_get_pipeline(f"{slow.url}/slow/{{{{ inputs.n }}}}")}
        async with running(tmp_path, pipelines, max_live_runs=10, **ONE) as service:
            low = await begin_many(service, "p", 10, priority=-5, inputs={"n": -5})
            await slow.holds(1)
            usual = await begin_many(service, "p", 10, inputs={"n": 0})
            [high] = await begin_many(service, "p", 1, priority=5, inputs={"n": 5})
            slow.released.set()
            for run in (high, *usual, *low):
                await service.wait_for_end(run)
            order = [each.line.split()[1].rpartition("/")[2] for each in slow.server.requests]
            assert order[:3] == ["-5", "5", "0"]
            assert len(order) == 21


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_backlog_is_processed_fairly_by_pipeline_after_a_restart(tmp_path: Path, is_killed: bool) -> None:
    async with slow_service() as slow:
        pipelines = {"p": make_get_pipeline(f"{slow.url}/slow"), "q": make_get_pipeline(f"{slow.url}/quick")}
        async with running(tmp_path, pipelines, max_live_runs=10, drain_timeout="0s") as service:
            flood = await begin_many(service, "p", 60)
            await slow.holds(1)
            place = copy_after_crash(tmp_path) if is_killed else tmp_path
        async with running(place, pipelines, max_live_runs=10) as service:
            assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
            slow.released.set()
            for run in flood:
                assert (await service.wait_for_end(run))["status"] == "completed"
            assert not service.service.runner.runs.retries.runs
