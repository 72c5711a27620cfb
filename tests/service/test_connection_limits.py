"""Limits of connections in a whole service: waiting for one is no attempt, and the service that is called counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.servers import OK, Visit, serve
from tests.service.gates import begin, copy_after_crash, kinds
from tests.service.running import Running, running
from tests.service.test_permits import attempts, begin_many

pytestmark = pytest.mark.anyio

REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: %d\r\nContent-Length: 0\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
MOVED = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Called:
    """The service that steps call: when it got each request, and what it answers."""

    url: str = ""
    times: list[float] = field(default_factory=list)
    answer: Callable[[str], bytes] = lambda line: OK
    released: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most: int = 0

    async def behave(self, visit: Visit) -> None:
        while True:
            line = (await visit.request()).line
            self.times.append(asyncio.get_running_loop().time())
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await self.released.wait()
            self.at_once -= 1
            await visit.send(self.answer(line))

    async def until_called(self, times: int) -> None:
        async with asyncio.timeout(60):
            while len(self.times) < times:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def calling(
    place: Path, limit: str, more: str = "", *, pipelines: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[tuple[Running, Called]]:
    """A service with pipeline `p`, whose step calls over connection `gh`, and `q`, whose step calls without one."""
    called = Called()
    called.released.set()
    async with serve(called.behave) as server:
        called.url = server.url
        write_limit(place, called, limit)
        texts = {
            "p": f"steps: [{{id: get, use: http.get, connection: gh, with: {{url: /p}}{more}}}]\n",
            "q": "steps: [{id: get, use: transform.set, with: {values: {a: 1}}}]\n",
            **(pipelines or {}),
        }
        async with running(place, texts, **settings) as service:
            yield service, called


def write_limit(place: Path, called: Called, limit: str) -> None:
    (place / "config").mkdir(exist_ok=True)
    (place / "config" / "connections.yaml").write_text(f"gh: {{use: http, base_url: '{called.url}', limit: {limit}}}\n")


async def until_why(service: Running, run: str, words: str) -> str:
    """Return the reason for a run's status once it contains these words."""
    async with asyncio.timeout(60):
        while words not in str(why := (await service.run(run))["why"]):
            await asyncio.sleep(0.01)
        return str(why)


def find_most(times: list[float], seconds: float) -> int:
    """The highest number of requests in any window of this length."""
    return max(sum(start <= each < start + seconds for each in times) for start in times)


async def test_many_runs_share_the_rate_of_a_connection_and_delay_no_others(tmp_path: Path) -> None:
    async with calling(tmp_path, "{rate: 30/s}", max_attempts_in_flight=1) as (service, called):
        runs = await begin_many(service, "p", 60)
        why = await until_why(service, runs[-1], "get: waits for its turn at http (gh): 30 requests a second, ")
        assert why.endswith(" before it")
        assert "attempt_started" not in await kinds(service, runs[-1])
        assert 'waypost_connection_waiting{connection="gh"}' in (await service.client.get("/metrics")).text
        assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
        assert len(called.times) < 60, "the other pipeline did not wait for them"
        for run in runs:
            assert attempts(await service.wait_for_end(run)) == ("completed", 1)
    assert len(called.times) == 60
    assert find_most(called.times, 0.9) <= 30  # less than a second, because a busy machine delays what was sent


async def test_attempts_at_once_are_limited_and_a_waiting_run_ends_at_once_when_it_is_to(tmp_path: Path) -> None:
    late = "timeout: 1s\nsteps: [{id: get, use: http.get, connection: gh, with: {url: /p}, on_crash: park}]\n"
    async with calling(tmp_path, "{at_once: 2}", pipelines={"late": late}) as (service, called):
        called.released.clear()
        runs = await begin_many(service, "p", 5)
        await called.until_called(2)
        assert await until_why(service, runs[2], "2 at once") == "get: waits for its turn at http (gh): 2 at once"
        run = await begin(service, "late")
        await until_why(service, run, "2 at once, 1 before it")
        found = await service.wait_for_end(run)
        assert (found["status"], found["error"]["class"], found["steps"]["get"]["tries"]) == ("failed", "timeout", [])
        assert "attempt_started" not in await kinds(service, run)
        await service.client.post(f"/api/runs/{runs[4]}/cancel")
        assert (await service.wait_for_end(runs[4]))["status"] == "cancelled"
        report = service.service.runner.report_gate("gh")
        assert report
        assert (report.state, report.in_flight, report.waiting, report.limit) == ("ready", 2, 2, ("2 at once",))
        called.released.set()
        for each in runs[:4]:
            assert attempts(await service.wait_for_end(each)) == ("completed", 1)
    assert (len(called.times), called.most) == (4, 2)


async def test_attempts_start_at_the_rate_even_if_none_of_those_before_them_has_ended(tmp_path: Path) -> None:
    async with calling(tmp_path, "{rate: 20/s}") as (service, called):
        called.released.clear()
        runs = await begin_many(service, "p", 6)
        await called.until_called(6)
        assert called.at_once == 6
        called.released.set()
        for run in runs:
            assert attempts(await service.wait_for_end(run)) == ("completed", 1)


async def test_after_a_429_the_other_steps_of_the_connection_wait_as_long_as_the_service_asks(tmp_path: Path) -> None:
    async with calling(tmp_path, "{}", max_attempts_in_flight=1) as (service, called):
        called.answer = lambda line: REFUSED % 2 if len(called.times) == 1 else OK
        first = await begin(service, "p")
        await called.until_called(1)
        async with asyncio.timeout(60):
            while not (report := service.service.runner.report_gate("gh")) or report.state != "held_back":
                await asyncio.sleep(0.01)
        assert "because the service answered 429" in str(report.reason)
        others = await begin_many(service, "p", 20)
        await until_why(service, others[0], "get: waits for its turn at http (gh): it is held back until ")
        assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
        metrics = (await service.client.get("/metrics")).text
        assert 'waypost_connection_held_back{connection="gh",reason="held_back"} 1.0' in metrics
        for run in others:
            assert attempts(await service.wait_for_end(run)) == ("completed", 1)
        assert attempts(await service.wait_for_end(first)) == ("completed", 2)
    assert called.times[1] - called.times[0] >= 2
    assert len(called.times) == 22


async def test_a_failing_service_gets_no_more_requests_until_its_breaker_closes(tmp_path: Path) -> None:
    once = ", on_crash: park, retry: {max_attempts: 1}"
    async with calling(tmp_path, "{at_once: 1}", once) as (service, called):
        called.answer = lambda line: BROKEN
        runs = await begin_many(service, "p", 15)
        for run in runs[:10]:
            assert (await service.wait_for_end(run))["status"] == "failed"
        await until_why(service, runs[-1], "its turn at http (gh): the service is failing: circuit open since ")
        assert len(called.times) == 10
        assert "attempt_started" not in await kinds(service, runs[-1])
        called.answer = lambda line: OK
        write_limit(tmp_path, called, "{at_once: 1, breaker: off}")
        for run in runs[10:]:
            assert attempts(await service.wait_for_end(run)) == ("completed", 1)


@pytest.mark.parametrize("is_killed", [False, True])
async def test_runs_that_wait_for_a_connection_when_the_service_stops_continue_with_their_first_attempt(
    tmp_path: Path, is_killed: bool
) -> None:
    async with calling(tmp_path, "{rate: 1/h}", ", on_crash: park", drain_timeout="0s") as (service, called):
        first, *waiting = await begin_many(service, "p", 5)
        await service.wait_for_end(first)
        await until_why(service, waiting[-1], "1 request an hour")
        place = copy_after_crash(tmp_path) if is_killed else tmp_path
    pipelines = {"p": (tmp_path / "config" / "pipelines" / "p.yaml").read_text()}
    async with serve(called.behave) as server:
        called.url = server.url
        write_limit(place, called, "{at_once: 5}")
        async with running(place, pipelines) as service:
            for run in waiting:
                assert attempts(await service.wait_for_end(run)) == ("completed", 1)
                assert (await kinds(service, run)).count("attempt_started") == 1
    assert len(called.times) == 5


async def test_a_changed_limit_applies_at_once_to_the_runs_that_wait(tmp_path: Path) -> None:
    async with calling(tmp_path, "{rate: 1/h}") as (service, called):
        runs = await begin_many(service, "p", 3)
        await until_why(service, runs[-1], "1 request an hour")
        write_limit(tmp_path, called, "{rate: none}")
        for run in runs:
            assert attempts(await service.wait_for_end(run)) == ("completed", 1)


async def test_a_further_request_of_an_attempt_waits_too_and_its_timeout_does_not_run(tmp_path: Path) -> None:
    async with calling(tmp_path, "{rate: 1/1500ms}", ", timeout: 1s") as (service, called):
        called.answer = lambda line: OK if "/there" in line else MOVED
        text = (tmp_path / "config" / "pipelines" / "p.yaml").read_text()
        (tmp_path / "config" / "pipelines" / "p.yaml").write_text(
            text.replace("url: /p", "url: /p, redirects: same_origin")
        )
        await service.service.reload.reload()
        assert attempts(await service.wait_for_end(await begin(service, "p"))) == ("completed", 1)
    assert called.times[1] - called.times[0] >= 1.4


async def test_a_wrong_limit_disables_only_its_connection_and_is_said_with_its_place(tmp_path: Path) -> None:
    async with calling(tmp_path, "{rate: fast}") as (service, _):
        connections = service.service.folder.connections
        assert connections
        problems = [str(each) for each in connections.problems]
        assert len(problems) == 1
        assert "connections.yaml:1:" in problems[0]
        assert "'fast' is not a rate; write a number and a period: 50/m, 10/s, 1000/h or 100/10s" in problems[0]
        assert attempts(await service.wait_for_end(await begin(service, "q"))) == ("completed", 1)
