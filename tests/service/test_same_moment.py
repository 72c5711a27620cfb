"""Simultaneous answers, events and timeouts of a wait: one ends it, and only that one is reported as accepted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable.units import Admission, DedupeKey, Event
from tests.service.gates import Gates, begin, rows, until_entry
from tests.service.running import Running
from tests.service.waiting import link

pytestmark = pytest.mark.anyio

MANY = 40
ANY = """
inputs: {n: {type: integer}}
steps:
  - id: wait
    use: wait.any
    with:
      waits:
        shop: {use: wait.webhook}
        boss: {use: wait.approval, with: {to: boss, title: Really}}
        paid: {use: wait.event, with: {type: paid, match: "{{ inputs.n }}"}}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.wait.output }}"}
"""
SHORT = ANY.replace("timeout: 1h", "timeout: 1500ms")
CALLS = """
steps:
  - {id: tell, use: flow.emit, with: {type: told}}
  - {id: call, use: flow.call, with: {pipeline: called}}
  - {id: answer, use: wait.webhook, timeout: 1h, on_timeout: fail}
  - {id: work, use: gate.pass, with: {what: a}}
"""
CALLED = "steps: [{id: work, use: gate.pass, with: {what: b}}]"
LOOKS_BACK = """
steps:
  - id: both
    try:
      - id: at_once
        parallel:
          listens: [{id: early, use: wait.event, with: {type: paid}, timeout: 1h, on_timeout: fail}]
          fails: [{id: shut, use: gate.pass, with: {what: a}, retry: {max_attempts: 1}}]
    catch:
      - steps:
          - {id: late, use: wait.event, with: {type: paid, look_back: 1h}, timeout: 1h, on_timeout: fail}
"""

Road = Callable[[], Awaitable[httpx.Response]]


class Asked:
    """A run that waits for one of several things, and the ways to send them."""

    def __init__(self, service: Running, run: str, number: int) -> None:
        self.client, self.run, self.number = service.client, run, number
        self.links: dict[str, str] = {}

    async def learn(self, service: Running) -> "Asked":
        await until_entry(service, self.run, "wait_started")
        for name in ("shop", "boss"):
            self.links[name] = await link(service, self.run, name)
        return self

    async def by_link(self, name: str, body: Any) -> httpx.Response:
        return await self.client.post(self.links[name], json=body)

    async def by_api(self) -> httpx.Response:
        said = {"step": "wait", "name": "shop", "data": {"from": "api"}}
        return await self.client.post(f"/api/runs/{self.run}/answer", json=said)

    async def by_event(self) -> httpx.Response:
        event = {"type": "paid", "subject": str(self.number), "data": {"from": "event"}}
        return await self.client.post("/api/events", json=event)

    def roads(self) -> dict[str, Road]:
        """The ways to answer, by the name under which the run outputs them."""
        return {
            "link": lambda: self.by_link("shop", {"from": "link"}),
            "approval": lambda: self.by_link("boss", {"approved": True}),
            "api": self.by_api,
            "event": self.by_event,
        }


def _find_source(output: Any) -> str:
    """The way by which the accepted answer came."""
    match output["name"]:
        case "boss":
            return "approval"
        case "paid":
            return "event"
    return str(output["output"]["body"]["from"])


async def _start_waiting_runs(service: Running, count: int = MANY) -> list[Asked]:
    runs = [Asked(service, await begin(service, "p", n=number), number) for number in range(count)]
    return [await asked.learn(service) for asked in runs]


async def test_only_the_answer_that_counts_is_reported_as_accepted(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        asked = await _start_waiting_runs(service)
        sent = [(each, name, road) for each in asked for name, road in each.roads().items()]
        turned = sorted(sent, key=lambda one: (hash(one[1]) + one[0].number) % 4)
        replies = await asyncio.gather(*(road() for _, _, road in turned))
        told: dict[str, list[str]] = {each.run: [] for each in asked}
        for (each, name, _), reply in zip(turned, replies, strict=True):
            if name == "event":
                assert reply.status_code == 202, "an event is accepted whether or not a run waits for it"
            elif reply.status_code == 202:
                told[each.run].append(name)
            else:
                assert reply.status_code in (409, 410), reply.text
        for each in asked:
            output = _find_source((await service.wait_for_end(each.run))["outputs"]["said"])
            assert told[each.run] == ([] if output == "event" else [output])
    assert rows(tmp_path, "select * from claims") == rows(tmp_path, "select * from listeners") == []


async def test_an_answer_after_a_committed_event_is_reported_as_late(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        [asked] = await _start_waiting_runs(service, 1)
        journal, runner = service.service.journal, service.service.runner
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000), "0")
        result = journal.admit(Admission(event))
        outcome = await runner.answer(asked.run, "wait", "shop", {})
        assert (await result).notified == (asked.run,)
        assert outcome == "answered"
        assert (await service.wait_for_end(asked.run))["outputs"]["said"]["name"] == "paid"


async def test_an_event_after_a_committed_answer_is_left_for_others(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        [asked] = await _start_waiting_runs(service, 1)
        answered = asyncio.create_task(service.service.runner.answer(asked.run, "wait", "shop", {"n": 1}))
        await asyncio.sleep(0)
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000), "0")
        assert (await service.service.journal.admit(Admission(event))).notified == ()
        assert await answered == "posted"
        assert (await service.wait_for_end(asked.run))["outputs"]["said"]["name"] == "shop"


async def test_an_answer_at_the_deadline_is_either_accepted_or_reported_as_late(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": SHORT}) as service:
        runs = [await begin(service, "p", n=number) for number in range(MANY)]
        runner = service.service.runner

        async def answered(number: int, run: str) -> str:
            due = runner.runs.by_id[run].state.steps["wait"].due or 0
            await asyncio.sleep((due - 10 + number % 20) / 1000 - time.time())
            event = {"type": "paid", "subject": str(number)}
            outcome, _ = await asyncio.gather(
                runner.answer(run, "wait", "shop", {"body": {"from": "link"}}),
                service.client.post("/api/events", json=event),
            )
            return outcome

        outcomes = await asyncio.gather(*(answered(number, run) for number, run in enumerate(runs)))
        for run, outcome in zip(runs, outcomes, strict=True):
            found = await service.wait_for_end(run)
            name = found["outputs"]["said"]["name"] if found["status"] == "completed" else "nothing"
            assert (name == "shop") == (outcome == "posted")


async def test_the_dedupe_keys_of_a_run_are_deleted_with_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": CALLS, "called": CALLED}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        assert await service.service.runner.answer(run, "answer", "", 1) == "posted"
        await gates.wait_until_reached("a")
        assert await service.service.runner.answer(run, "answer", "", 2) == "answered"
        assert len(rows(tmp_path, "select * from claims")) == 3
        gates.open("a")
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert await service.service.runner.answer(run, "answer", "", 3) == "ended"
        at = int(time.time() * 1000)
        claim = DedupeKey.of_step("flow", run, "tell", at)
        late = Admission(Event("evt_2", "test", "2", "told", at), dedupe_keys=[claim], keeps_keys=True)
        assert (await service.service.journal.admit(late)).is_duplicate, "nothing starts for an ended run"
    assert rows(tmp_path, "select * from claims") == []
    assert rows(tmp_path, "select count(*) from events where type = 'told'") == [(1,)]


async def test_an_event_matched_by_a_wait_that_just_ended_is_found_by_a_look_back(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    gates.failures["a"] = 1
    async with gates.serving(tmp_path, {"p": LOOKS_BACK}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        await gates.wait_until_reached("a")
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000))
        # It is not delivered before the other branch has failed: the wait that it matched ends without it.
        assert (await service.service.journal.admit(Admission(event))).notified == (run,)
        gates.open("a")
        found = await service.wait_for_end(run)
        assert found["steps"]["both.at_once.early"]["status"] == "cancelled"
        assert found["steps"]["both.late"]["output"]["id"] == "1"
