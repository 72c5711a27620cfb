"""Pipelines that start each other in a loop end at a limit on the runs that one event may start."""

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, rows, truncate_history
from tests.service.running import Running

pytestmark = pytest.mark.anyio

PING = """
triggers: [{id: heard, use: event, with: {type: ping}}]
steps:
  - {id: one, use: flow.emit, with: {type: pong}}
  - {id: two, use: flow.emit, with: {type: pong}}
"""
PONG = PING.replace("ping", "PING").replace("pong", "ping").replace("PING", "pong")
CIRCLE = {"ping": PING, "pong": PONG}
LEVELS = """
triggers: [{id: heard, use: event, with: {type: next}, inputs: {level: "{{ trigger.body.level }}"}}]
inputs: {level: {type: integer}}
steps:
  - {id: work, use: gate.pass, with: {what: "level {{ inputs.level }}"}}
  - {id: one, use: flow.emit, with: {type: next, data: {level: "{{ inputs.level + 1 }}"}}}
  - {id: two, use: flow.emit, with: {type: next, data: {level: "{{ inputs.level + 1 }}"}}}
"""
CALLS_ITSELF = """
steps:
  - {id: one, use: flow.call, with: {pipeline: p, detach: true}}
  - {id: two, use: flow.call, with: {pipeline: p, detach: true}}
"""
LISTENS = (
    "{triggers: [{id: heard, use: event, with: {type: told}}], steps: [{id: note, use: gate.pass, with: {what: n}}]}"
)
MANY = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: "{{ inputs.items }}"
    as: n
    steps: [{id: tell, use: flow.emit, with: {type: told, data: "{{ n }}"}}]
"""


async def _wait_until_idle(place: Path) -> None:
    """Return once every run has ended."""
    async with asyncio.timeout(60):
        while rows(place, "select count(*) from runs where finished_at is null") != [(0,)]:
            await asyncio.sleep(0.02)


async def _send(service: Running, type: str, **data: Any) -> tuple[str, list[str]]:
    answer = await service.client.post("/api/events", json={"type": type, "data": data})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["event"]), list(answer.json()["runs"])


def _count_descendants(place: Path) -> Counter[str]:
    """The number of runs that descend from each event; their numbers have no gap."""
    found = rows(
        place, "select origin, count(*), max(nth), count(distinct nth) from runs where origin is not null group by 1"
    )
    assert all(count == last == different for _, count, last, different in found), found
    return Counter({origin: count for origin, count, _, _ in found})


async def _list_refusals(service: Running) -> list[dict[str, Any]]:
    """The errors of the runs that failed."""
    found = (await service.client.get("/api/runs", params={"status": "failed", "limit": "200"})).json()["runs"]
    return [(await service.run(run["id"]))["error"] for run in found]


@pytest.mark.parametrize(
    "more",
    [
        "",
        "\nconcurrency: {limit: 3}",
        "\ndefaults: {retry: {max_attempts: 5, min_delay: 1ms, errors: [invalid]}}",
        "\non_failure: [{id: again, use: flow.emit, with: {type: ping}}]",
    ],
    ids=["plain", "queued", "retried", "on_failure"],
)
async def test_two_pipelines_that_send_events_to_each_other_stop_at_the_bound(
    tmp_path: Path, more: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipelines = {name: text + more for name, text in CIRCLE.items()}
    async with Gates().serving(tmp_path, pipelines, max_runs_per_event=50) as service:
        with caplog.at_level(logging.WARNING, "waypost.run"):
            event, [first] = await _send(service, "ping")
            await _wait_until_idle(tmp_path)
        assert _count_descendants(tmp_path) == {event: 50}
        errors = await _list_refusals(service)
        assert errors, "the runs that were refused failed"
        assert {(each["class"], each["code"], each["attempt"]) for each in errors} == {
            ("invalid", "too_many_runs", None)
        }
        assert {each["step"] for each in errors} <= {"one", "two"}
        message = errors[0]["message"]
        assert message.startswith(
            f"the event {event} has started 50 of the 50 runs that max_runs_per_event allows, so p"
        )
        assert {"ping starts no run of pong" in message, "pong starts no run of ping" in message} == {True, False}
        assert message.endswith("; if they start each other in a loop, break it, otherwise raise the setting")
        assert first in [run for (run,) in rows(tmp_path, "select id from runs where origin is null")]
    warnings = [
        record for record in caplog.records if "max_runs_per_event" in record.message and record.levelname == "WARNING"
    ]
    assert len(warnings) == 1, "once for an event, not for each step"
    assert rows(tmp_path, "select count(*) from entries where instr(entries, 'retry_scheduled')") == [(0,)]


@pytest.mark.parametrize(
    ("pipelines", "bound"),
    [
        ({"p": CALLS_ITSELF}, 50),
        ({"p": "steps: [{id: c, use: flow.call, with: {pipeline: p}}]"}, 9),
        (
            {
                "p": "steps: [{id: tell, use: flow.emit, with: {type: told}}]",
                "q": "triggers: [{id: heard, use: event, with: {type: told}}]" + CALLS_ITSELF,
            },
            41,
        ),
    ],
    ids=["detached calls", "calls", "calls and events"],
)
async def test_calls_count_like_events(tmp_path: Path, pipelines: dict[str, str], bound: int) -> None:
    async with Gates().serving(tmp_path, pipelines, max_runs_per_event=bound) as service:
        first = await begin(service, "p")
        event = (await service.run(first))["event"]
        await _wait_until_idle(tmp_path)
        assert _count_descendants(tmp_path) == {event: bound}
        assert {each["code"] for each in await _list_refusals(service)} == {"too_many_runs"}


async def test_an_event_that_starts_two_pipelines_starts_both_or_none(tmp_path: Path) -> None:
    both = PING.replace("pong", "ping")
    async with Gates().serving(tmp_path, {"a": both, "b": both}, max_runs_per_event=51) as service:
        event, first = await _send(service, "ping")
        assert len(first) == 2, "events from outside are not counted"
        await _wait_until_idle(tmp_path)
        assert _count_descendants(tmp_path) == {event: 50}
        messages = {each["message"].partition(";")[0] for each in await _list_refusals(service)}
    assert messages <= {
        f"the event {event} has started 50 of the 51 runs that max_runs_per_event allows, so {name} starts no run of "
        "a and b"
        for name in "ab"
    }


async def test_each_event_has_its_own_bound(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, CIRCLE, max_runs_per_event=20) as service:
        events = [(await _send(service, type))[0] for type in ("ping", "pong", "ping")]
        await _wait_until_idle(tmp_path)
    assert _count_descendants(tmp_path) == dict.fromkeys(events, 20)


async def test_the_bound_is_exact_even_if_the_process_dies_in_the_middle(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("level 3")
    async with gates.serving(tmp_path, {"p": LEVELS}, max_runs_per_event=50) as service:
        event, _ = await _send(service, "next", level=0)
        await gates.wait_until_reached("level 3", 8)
        place = copy_after_crash(tmp_path)
    assert _count_descendants(place) == {event: 14}
    gates.open("level 3")
    async with gates.serving(place, {"p": LEVELS}, max_runs_per_event=50):
        await _wait_until_idle(place)
    assert _count_descendants(place) == {event: 50}


async def test_runs_waiting_in_the_journal_count(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, CIRCLE, max_runs_per_event=50, max_live_runs=2) as service:
        event, _ = await _send(service, "ping")
        await _wait_until_idle(tmp_path)
    assert _count_descendants(tmp_path) == {event: 50}


@pytest.mark.parametrize(("count", "status"), [(20, "completed"), (21, "failed")])
async def test_a_foreach_may_send_as_many_events_as_the_bound_allows(tmp_path: Path, count: int, status: str) -> None:
    gates = Gates()
    async with gates.serving(tmp_path, {"many": MANY, "hears": LISTENS}, max_runs_per_event=20) as service:
        found = await service.wait_for_end(await begin(service, "many", items=list(range(count))))
        await _wait_until_idle(tmp_path)
    assert found["status"] == status
    assert gates.passed.count("n") == 20


async def test_events_that_start_nothing_are_not_counted(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"many": MANY}, max_runs_per_event=1) as service:
        assert (await service.wait_for_end(await begin(service, "many", items=list(range(5)))))["status"] == "completed"


async def test_an_event_sent_before_a_crash_is_not_refused_at_the_bound(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("after")
    after = ", {id: after, use: gate.pass, with: {what: after}}]"
    tells = {"p": "steps: [{id: tell, use: flow.emit, with: {type: told}}" + after, "hears": LISTENS}
    async with gates.serving(tmp_path, tells, max_runs_per_event=1) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("after")
        [document] = (await service.run(run))["steps"]["tell"]["output"]["runs"]
        await service.wait_for_end(document)
        place = copy_after_crash(tmp_path)
    gates.open("after")
    truncate_history(place, run, "step_completed")
    async with gates.serving(place, tells, max_runs_per_event=1) as service:
        found = await service.wait_for_end(run)
        assert found["status"] == "completed"
        assert found["steps"]["tell"]["output"]["runs"] == [document]
    assert gates.passed.count("n") == 1


async def test_a_pipeline_can_catch_the_refusal(tmp_path: Path) -> None:
    text = """
steps:
  - id: guarded
    try: [{id: one, use: flow.emit, with: {type: told}}, {id: two, use: flow.emit, with: {type: told}}]
    catch: [{steps: [{id: note, use: log.write, with: {message: "{{ error.code }} at {{ error.step }}"}}]}]
"""
    async with Gates().serving(tmp_path, {"p": text, "hears": LISTENS}, max_runs_per_event=1) as service:
        found = await service.wait_for_end(await begin(service, "p"))
    assert found["status"] == "completed"
    assert found["steps"]["guarded.two"]["error"]["code"] == "too_many_runs"
    assert rows(tmp_path, "select count(*) from events where type = 'told'") == [(1,)], (
        "nothing of the second run is stored"
    )
