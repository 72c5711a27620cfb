"""Waits in a whole service: waiting runs leave memory, return for their answers, and end once."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from durable.history.entries import SignalReceived, TimerFired
from tests.service.gates import Gates, begin, copy_after_crash, history, kinds, rows, until_entry, until_out_of_memory
from tests.service.running import Running
from tests.service.waiting import link

pytestmark = pytest.mark.anyio


def _wait(use: str, given: str, more: str = "timeout: 1h, on_timeout: fail") -> str:
    return f"""
inputs: {{moment: {{type: string, default: "2030-01-01T00:00:00Z"}}}}
steps:
  - {{id: wait, use: {use}, with: {given}{", " if more else ""}{more}}}
  - {{id: after, use: gate.pass, with: {{what: after}}}}
outputs: {{said: "{{{{ steps.wait.output }}}}"}}
"""


SHORT = _wait("wait.delay", "{for: 700ms}", "")
UNTIL = _wait("wait.until", '{time: "{{ inputs.moment }}"}', "")
WEBHOOK = _wait("wait.webhook", "{}")
APPROVAL = _wait("wait.approval", "{to: me, title: Really}")
EVENT = _wait("wait.event", '{type: paid, match: "7"}')
ANY = _wait(
    "wait.any",
    "{waits: {shop: {use: wait.webhook}, paid: {use: wait.event, with: {type: paid}},"
    " soon: {use: wait.delay, with: {for: 2s}}}}",
)
LATE = _wait("wait.webhook", "{}", "timeout: 700ms, on_timeout: fail")
VALUE = _wait("wait.webhook", "{}", "timeout: 300ms, on_timeout: {approved: false}")
STEPS = """
steps:
  - id: wait
    use: wait.webhook
    timeout: 300ms
    on_timeout: [{id: instead, use: gate.pass, with: {what: instead}}]
  - {id: after, use: gate.pass, with: {what: after}}
"""
IDLE = """
steps:
  - id: both
    parallel:
      delay: [{id: delay, use: wait.delay, with: {for: 25s}}]
      hook: [{id: hook, use: wait.webhook, timeout: 25s, on_timeout: fail}]
"""
EARLY = """
steps:
  - {id: before, use: gate.pass, with: {what: before, value: "{{ run.links.hook }}"}}
  - {id: hook, use: wait.webhook, timeout: 1h, on_timeout: fail}
outputs: {said: "{{ steps.hook.output.body }}"}
"""
MANY = """
inputs: {numbers: {type: array}}
steps:
  - id: each
    foreach: inputs.numbers
    as: n
    max_parallel: 20
    steps:
      - {id: one, use: wait.event, with: {type: paid, match: "{{ n }}"}, timeout: 1h, on_timeout: fail}
"""


def _sooner() -> str:
    return (datetime.now(UTC) + timedelta(milliseconds=800)).isoformat()


async def _emit(service: Running, subject: str | None = None, data: Any = None) -> None:
    answer = await service.client.post("/api/events", json={"type": "paid", "subject": subject, "data": data})
    assert answer.status_code == 202, answer.text


async def _answer(service: Running, run: str) -> None:
    """Answer the wait of a run in the way that its kind requires."""
    wait = (await service.run(run))["waits"][0]
    if wait["kind"] == "event":
        await _emit(service, "7", "x" * 50_000)
    else:
        body = {"approved": True} if wait["kind"] == "approval" else {"big": "x" * 50_000}
        answer = await service.client.post(wait["link"][wait["link"].index("/waits/") :], json=body)
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("text", [WEBHOOK, APPROVAL, EVENT, ANY], ids=["webhook", "approval", "event", "any"])
async def test_a_waiting_run_leaves_memory_and_returns_for_its_answer(
    tmp_path: Path, text: str, is_restarted: bool
) -> None:
    gates, place = Gates(), tmp_path
    if text == ANY:
        text = ANY.replace("2s", "1h")
    async with gates.serving(place, {"p": text}) as service:
        run = await begin(service, "p")
        await until_out_of_memory(service, run)
        assert (await service.run(run))["status"] == "waiting"
        if is_restarted:
            place = copy_after_crash(tmp_path)
        else:
            await _answer(service, run)
            found = await service.wait_for_end(run)
    if is_restarted:
        async with gates.serving(place, {"p": text}) as service:
            found = await service.run(run)
            assert found["status"] == "waiting"
            await _answer(service, run)
            found = await service.wait_for_end(run)
    assert found["status"] == "completed"
    assert gates.passed == ["after"]
    assert rows(place, "select * from listeners") == rows(place, "select * from heard") == []
    assert rows(place, "select * from inbox") == []


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("text", [SHORT, UNTIL, VALUE], ids=["delay", "until", "timeout"])
async def test_a_wait_until_a_time_ends_at_that_time(tmp_path: Path, text: str, is_restarted: bool) -> None:
    gates, place = Gates(), tmp_path
    async with gates.serving(place, {"p": text}) as service:
        began = time.time()
        run = await begin(service, "p", moment=_sooner())
        if is_restarted:
            await until_entry(service, run, "wait_started")
            place = copy_after_crash(tmp_path)
        else:
            found = await service.wait_for_end(run)
            assert time.time() - began >= 0.29
    if is_restarted:
        async with gates.serving(place, {"p": text}) as service:
            found = await service.wait_for_end(run)
    assert found["status"] == "completed"
    assert gates.passed == ["after"]
    if text == VALUE:
        assert found["outputs"] == {"said": {"approved": False}}


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_on_timeout_steps_are_performed_after_a_timeout(tmp_path: Path, is_restarted: bool) -> None:
    gates, place = Gates(), tmp_path
    gates.close("instead")
    async with gates.serving(place, {"p": STEPS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("instead")
        if is_restarted:
            place = copy_after_crash(tmp_path)
        else:
            gates.open("instead")
            assert (await service.wait_for_end(run))["status"] == "completed"
    if is_restarted:
        gates.open("instead")
        async with gates.serving(place, {"p": STEPS}) as service:
            assert (await service.wait_for_end(run))["status"] == "completed"
    assert gates.passed == ["instead", "after"]


async def test_an_answer_before_its_wait_is_kept_for_it(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("before")
    async with gates.serving(tmp_path, {"p": EARLY}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("before")
        found = await service.run(run)
        address = found["steps"]["before"]["input"]["value"]
        big = {"text": "x" * 50_000}
        assert (await service.client.post(address, json=big)).status_code == 202
        assert (await service.client.post(address, json=big)).status_code == 409
        place = copy_after_crash(tmp_path)
    gates.open("before")
    async with gates.serving(place, {"p": EARLY}) as service:
        assert (await service.wait_for_end(run))["outputs"] == {"said": big}


async def test_one_of_several_simultaneous_answers_counts_and_the_others_are_rejected(tmp_path: Path) -> None:
    text = ANY.replace(
        "paid: {use: wait.event, with: {type: paid}}", "boss: {use: wait.approval, with: {to: me, title: x}}"
    )
    async with Gates().serving(tmp_path, {"p": text.replace("2s", "1h")}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        shop, boss = await link(service, run, "shop"), await link(service, run, "boss")
        sent = [(shop, {"n": 1}), (boss, {"approved": True}), (shop, {"n": 2})]
        answers = await asyncio.gather(*(service.client.post(address, json=body) for address, body in sent))
        assert sorted(answer.status_code for answer in answers) in ([202, 409, 409], [202, 409, 410], [202, 410, 410])
        taken = next(address for (address, _), answer in zip(sent, answers, strict=True) if answer.status_code == 202)
        name = "shop" if taken == shop else "boss"
        assert (await service.wait_for_end(run))["outputs"]["said"]["name"] == name


async def test_an_accepted_answer_counts_even_if_the_wait_times_out_at_that_moment(tmp_path: Path) -> None:
    """A sender that is told that its answer was accepted can rely on it."""
    async with Gates().serving(tmp_path, {"p": LATE}) as service:
        runner = service.service.runner

        async def answered(number: int) -> tuple[str, str]:
            run = await begin(service, "p")
            due = runner.runs.by_id[run].state.steps["wait"].due or 0
            await asyncio.sleep((due - 12 + number) / 1000 - time.time())
            return run, await runner.answer(run, "wait", "", {})

        answers = await asyncio.gather(*(answered(number) for number in range(20)))
        for run, outcome in answers:
            found = await service.wait_for_end(run)
            expected = {"posted": "completed", "answered": "failed", "ended": "failed"}
            assert found["status"] == expected[outcome]


async def test_a_timer_after_a_committed_answer_has_no_effect(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": LATE}) as service:
        run = await begin(service, "p")
        await until_entry(service, run, "wait_started")
        runner = service.service.runner
        live = runner.runs.by_id[run]
        due = live.state.steps["wait"].due or 0
        while service.service.journal.waiting or time.time() * 1000 < due - 3:
            await asyncio.sleep(0)
        answers = asyncio.create_task(runner.answer(run, "wait", "", {"n": 1}))
        while time.time() * 1000 < due + 1:
            pass  # the deadline passes before the answer is delivered, with nothing in between
        assert await answers == "posted"
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_each_of_many_waits_of_one_run_gets_its_event(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": MANY}) as service:
        run = await begin(service, "p", numbers=list(range(20)))
        await until_entry(service, run, "wait_started", 20)
        await asyncio.gather(*(_emit(service, str(number), number) for number in range(20)))
        assert (await service.wait_for_end(run))["status"] == "completed"
        facts = [entry for entry in await history(service, run) if isinstance(entry, SignalReceived | TimerFired)]
    assert len(facts) == 20
    assert rows(tmp_path, "select * from listeners") == rows(tmp_path, "select * from heard") == []


async def test_a_cancelled_wait_receives_no_event(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": EVENT}) as service:
        run = await begin(service, "p")
        await until_out_of_memory(service, run)
        await service.service.runner.cancel(run)
        assert (await service.wait_for_end(run))["status"] == "cancelled"
        await _emit(service, "7")
        assert "signal_received" not in await kinds(service, run)
    assert rows(tmp_path, "select * from listeners") == rows(tmp_path, "select * from inbox") == []


async def test_a_thousand_waiting_runs_in_memory_use_no_task(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"idle": IDLE}) as service:
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            batch: dict[str, Any] = {"runs": [{}] * 100}
            assert (await service.client.post("/api/pipelines/idle/runs/batch", json=batch)).status_code == 200
        live = service.service.runner.runs.by_id
        assert len(live) == 1_000
        assert {each.state.status for each in live.values()} == {"waiting"}
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) > tasks + 5:  # requests and the sweep come and go
                await asyncio.sleep(0.01)
        assert not any(each.busy or each.is_at_work for each in live.values())
        assert sum(len(each.works) for each in live.values()) == 2_000
