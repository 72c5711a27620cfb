"""Events that runs send: each counts once, whatever happens to the process, the waits and the subscribers."""

import asyncio
from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, kinds, rows, truncate_history, until_entry, until_status
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

EMITS = """
steps:
  - {id: tell, use: flow.emit, with: {type: told, subject: "7", data: {n: 1}}}
outputs: {told: "{{ steps.tell.output }}"}
"""
EMITS_AND_WORKS = EMITS.replace("outputs", "  - {id: after, use: gate.pass, with: {what: after}}\noutputs")
LISTENS = """
triggers: [{id: told, use: event, with: {type: told}, inputs: {n: "{{ trigger.body.n }}"}}]
inputs: {n: {type: integer}}
steps: [{id: note, use: gate.pass, with: {what: note, value: "{{ inputs.n }}"}}]
"""
WAITS = """
steps:
  - {id: first, use: wait.event, with: {type: told, match: "7"}, timeout: 1h, on_timeout: fail}
outputs: {said: "{{ steps.first.output.data }}"}
"""
BOTH = """
steps:
  - id: both
    parallel:
      left: [{id: one, use: wait.event, with: {type: told}, timeout: 1h, on_timeout: fail}]
      right: [{id: two, use: wait.event, with: {type: told}, timeout: 1h, on_timeout: fail}]
outputs: {ids: ["{{ steps.one.output.id }}", "{{ steps.two.output.id }}"]}
"""
TWICE = """
steps:
  - {id: one, use: wait.event, with: {type: told, look_back: 1h}, timeout: 1h, on_timeout: fail}
  - {id: two, use: wait.event, with: {type: told, look_back: 1h}, timeout: 1h, on_timeout: fail}
"""
ITSELF = """
inputs: {data: {type: string}}
steps:
  - id: both
    parallel:
      say: [{id: tell, use: flow.emit, with: {type: mine, subject: "{{ run.id }}", data: "{{ inputs.data }}"}}]
      hear: [{id: hear, use: wait.event, with: {type: mine, match: "{{ run.id }}"}, timeout: 10s, on_timeout: fail}]
outputs: {size: "{{ steps.hear.output.data | length }}"}
"""


async def _send_event(service: Running, key: str, **event: object) -> None:
    answer = await service.client.post("/api/events", json=event, headers={"Idempotency-Key": key})
    assert answer.status_code in (200, 202), answer.text


@pytest.mark.parametrize("listeners", [{}, {"hears": LISTENS}], ids=["nobody listens", "a pipeline listens"])
async def test_an_event_is_sent_once_even_if_the_process_dies_before_the_checkpoint(
    tmp_path: Path, listeners: dict[str, str]
) -> None:
    gates = Gates()
    gates.close("after")
    pipelines = {"emits": EMITS_AND_WORKS, **listeners}
    async with gates.serving(tmp_path, pipelines) as service:
        run = await begin(service, "emits")
        await gates.wait_until_reached("after")
        document = (await service.run(run))["steps"]["tell"]["output"]
        for each in document["runs"]:
            await service.wait_for_end(each)
        place = copy_after_crash(tmp_path)
        gates.open("after")
    truncate_history(place, run, "step_completed")
    async with gates.serving(place, pipelines) as service:
        again = await service.wait_for_end(run)
        assert again["outputs"] == {"told": document}, "it is the same event, and they are the same runs"
    assert rows(place, "select count(*) from events where type = 'told'") == [(1,)]
    assert gates.passed.count("note") == len(listeners)


async def test_a_repeated_event_that_started_nothing_counts_once(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"both": BOTH}) as service:
        run = await begin(service, "both")
        await until_status(service, run, "waiting")
        await _send_event(service, "k1", type="told")
        await _send_event(service, "k1", type="told")
        await until_entry(service, run, "signal_received")
        assert (await kinds(service, run)).count("signal_received") == 1
        await _send_event(service, "k2", type="told")
        ids = (await service.wait_for_end(run))["outputs"]["ids"]
    assert sorted(ids) == ["k1", "k2"], "two waits of a run need two events"


async def test_two_waits_with_a_look_back_need_two_events(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"twice": TWICE}) as service:
        await _send_event(service, "before", type="told")
        run = await begin(service, "twice")
        await until_entry(service, run, "wait_started", 2)
        found = await service.run(run)
        assert found["steps"]["one"]["output"]["id"] == "before"
        assert found["steps"]["two"]["status"] == "waiting"
        await _send_event(service, "after", type="told")
        assert (await service.wait_for_end(run))["steps"]["two"]["output"]["id"] == "after"
    assert rows(tmp_path, "select * from listeners union all select run, event, '', '', '' from heard") == []


async def test_an_event_answers_every_waiting_run_and_starts_every_subscribed_pipeline(tmp_path: Path) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"waits": WAITS, "emits": EMITS, "hears": LISTENS}) as service:
        waiting = [await begin(service, "waits") for _ in range(3)]
        for run in waiting:
            await until_status(service, run, "waiting")
        output = (await service.wait_for_end(await begin(service, "emits")))["outputs"]["told"]
        for run in waiting:
            assert (await service.wait_for_end(run))["outputs"] == {"said": {"n": 1}}
        [started] = output["runs"]
        assert (await service.wait_for_end(started))["inputs"] == {"n": 1}
    assert gates.given == [1]


async def test_a_run_receives_its_own_event_in_either_order_of_emit_and_wait(tmp_path: Path) -> None:
    swapped = ITSELF.replace("say:", "zzz:")
    async with Gates().serving(tmp_path, {"speaks": ITSELF, "listens": swapped}) as service:
        for pipeline in ("speaks", "listens"):
            for run in [await begin(service, pipeline, data="x" * 40_000) for _ in range(10)]:
                assert (await service.wait_for_end(run))["outputs"] == {"size": 40_000}


async def test_event_loops_end_at_a_limit(tmp_path: Path) -> None:
    ping = """
triggers: [{id: heard, use: event, with: {type: ping}}]
steps: [{id: again, use: flow.emit, with: {type: ping}}]
"""
    async with running(tmp_path, {"ping": ping}) as service:
        await service.client.post("/api/events", json={"type": "ping"})
        async with asyncio.timeout(60):
            while True:
                runs = (await service.client.get("/api/runs?status=failed")).json()["runs"]
                if runs:
                    break
                await asyncio.sleep(0.02)
        assert "deep" in (await service.run(runs[0]["id"]))["error"]["message"]
        assert len((await service.client.get("/api/runs")).json()["runs"]) == 17


async def test_a_match_that_evaluates_to_null_fails_the_wait(tmp_path: Path) -> None:
    waits = """
inputs: {order: {type: [string, "null"]}}
steps:
  - {id: paid, use: wait.event, with: {type: paid, match: "{{ inputs.order }}"}, timeout: 1h, on_timeout: fail}
"""
    async with running(tmp_path, {"waits": waits}) as service:
        run = (await service.start("waits", {"order": None})).json()["id"]
        ended = await service.wait_for_end(run)
        assert (ended["status"], ended["error"]["class"]) == ("failed", "invalid")
        assert "null" in ended["error"]["message"]


async def test_a_wait_that_ends_as_it_begins_takes_no_event_from_another(tmp_path: Path) -> None:
    waits = """
steps:
  - id: both
    try:
      - id: at_once
        parallel:
          listens: [{id: early, use: wait.event, with: {type: paid}, timeout: 1h, on_timeout: fail}]
          fails: [{id: bad, use: flow.fail, with: {message: no}}]
    catch:
      - steps: [{id: late, use: wait.event, with: {type: paid}, timeout: 1h, on_timeout: fail}]
"""
    async with running(tmp_path, {"waits": waits}) as service:
        run = (await service.start("waits")).json()["id"]
        await service.client.post("/api/events", json={"type": "paid", "data": 7})
        ended = await service.wait_for_end(run)
        assert ended["status"] == "completed"
        assert ended["steps"]["both.late"]["output"]["data"] == 7
