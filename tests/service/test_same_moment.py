"""What comes to a wait in the same moment: one thing ends it, and only who brought that is told that it was taken."""

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
    """A run that waits for one of several things, and the roads on which they come."""

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
        """By what the run says of what came on it."""
        return {
            "link": lambda: self.by_link("shop", {"from": "link"}),
            "approval": lambda: self.by_link("boss", {"approved": True}),
            "api": self.by_api,
            "event": self.by_event,
        }


def _said(output: Any) -> str:
    """The road on which came what a run goes on with."""
    match output["name"]:
        case "boss":
            return "approval"
        case "paid":
            return "event"
    return str(output["output"]["body"]["from"])


async def _asked(service: Running, count: int = MANY) -> list[Asked]:
    runs = [Asked(service, await begin(service, "p", n=number), number) for number in range(count)]
    return [await asked.learn(service) for asked in runs]


async def test_who_is_told_that_an_answer_was_taken_is_the_one_whose_answer_counts(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        asked = await _asked(service)
        sent = [(each, name, road) for each in asked for name, road in each.roads().items()]
        turned = sorted(sent, key=lambda one: (hash(one[1]) + one[0].number) % 4)
        replies = await asyncio.gather(*(road() for _, _, road in turned))
        told: dict[str, list[str]] = {each.run: [] for each in asked}
        for (each, name, _), reply in zip(turned, replies, strict=True):
            if name == "event":
                assert reply.status_code == 202, "an event is taken in, whoever waits for it"
            elif reply.status_code == 202:
                told[each.run].append(name)
            else:
                assert reply.status_code in (409, 410), reply.text
        for each in asked:
            said = _said((await service.ended(each.run))["outputs"]["said"])
            assert told[each.run] == ([] if said == "event" else [said])
    assert rows(tmp_path, "select * from claims") == rows(tmp_path, "select * from listeners") == []


async def test_an_answer_that_comes_after_an_event_was_committed_is_told_so(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        [asked] = await _asked(service, 1)
        journal, runner = service.service.journal, service.service.runner
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000), "0")
        told = journal.admit(Admission(event))
        outcome = await runner.answer(asked.run, "wait", "shop", {})
        assert (await told).notified == (asked.run,)
        assert outcome == "answered"
        assert (await service.ended(asked.run))["outputs"]["said"]["name"] == "paid"


async def test_an_event_that_comes_after_an_answer_was_committed_is_left_for_others(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": ANY}) as service:
        [asked] = await _asked(service, 1)
        answered = asyncio.create_task(service.service.runner.answer(asked.run, "wait", "shop", {"n": 1}))
        await asyncio.sleep(0)
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000), "0")
        assert (await service.service.journal.admit(Admission(event))).notified == ()
        assert await answered == "posted"
        assert (await service.ended(asked.run))["outputs"]["said"]["name"] == "shop"


async def test_what_comes_as_the_time_is_over_counts_or_is_told_that_it_does_not(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": SHORT}) as service:
        runs = [await begin(service, "p", n=number) for number in range(MANY)]
        runner = service.service.runner

        async def answered(number: int, run: str) -> str:
            due = runner.runs.runs[run].state.steps["wait"].due or 0
            await asyncio.sleep((due - 10 + number % 20) / 1000 - time.time())
            event = {"type": "paid", "subject": str(number)}
            outcome, _ = await asyncio.gather(
                runner.answer(run, "wait", "shop", {"body": {"from": "link"}}),
                service.client.post("/api/events", json=event),
            )
            return outcome

        outcomes = await asyncio.gather(*(answered(number, run) for number, run in enumerate(runs)))
        for run, outcome in zip(runs, outcomes, strict=True):
            found = await service.ended(run)
            name = found["outputs"]["said"]["name"] if found["status"] == "completed" else "nothing"
            assert (name == "shop") == (outcome == "posted")


async def test_what_a_run_did_once_is_forgotten_with_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    async with gates.serving(tmp_path, {"p": CALLS, "called": CALLED}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        assert await service.service.runner.answer(run, "answer", "", 1) == "posted"
        await gates.reached("a")
        assert await service.service.runner.answer(run, "answer", "", 2) == "answered"
        assert len(rows(tmp_path, "select * from claims")) == 3
        gates.open("a")
        assert (await service.ended(run))["status"] == "completed"
        assert await service.service.runner.answer(run, "answer", "", 3) == "ended"
        at = int(time.time() * 1000)
        claim = DedupeKey.of_step("flow", run, "tell", at)
        late = Admission(Event("evt_2", "test", "2", "told", at), dedupe_keys=[claim], keeps_keys=True)
        assert (await service.service.journal.admit(late)).is_duplicate, "nothing begins any more for a run that ended"
    assert rows(tmp_path, "select * from claims") == []
    assert rows(tmp_path, "select count(*) from events where type = 'told'") == [(1,)]


async def test_an_event_that_was_heard_by_a_wait_which_was_just_over_is_looked_back_at(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("a")
    gates.failures["a"] = 1
    async with gates.serving(tmp_path, {"p": LOOKS_BACK}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        await gates.reached("a")
        event = Event("evt_1", "test", "1", "paid", int(time.time() * 1000))
        # Nobody delivers it before the other branch has failed: it was heard by a wait that ends without it.
        assert (await service.service.journal.admit(Admission(event))).notified == (run,)
        gates.open("a")
        found = await service.ended(run)
        assert found["steps"]["both.at_once.early"]["status"] == "cancelled"
        assert found["steps"]["both.late"]["output"]["id"] == "1"
