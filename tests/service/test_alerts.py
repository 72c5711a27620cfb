"""Alerts: pipelines that start when something needs a person; one outage is one alert."""

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from durable.durations import parse_duration
from tests.service.running import Running, outside, running
from tests.service.test_clock import Clock

pytestmark = pytest.mark.anyio

FAILS = """
inputs: {of: {type: string, default: eu}}
steps: [{id: hold, use: flow.fail, with: {message: "no stock", code: "{{ inputs.of }}"}}]
"""
ALERT = """
triggers:
  - id: failed
    use: waypost.run_failed
    with: {every: 1h, resolved: true}
    inputs: {about: "{{ trigger.body }}"}
inputs: {about: {type: object}}
steps: [{id: tell, use: log.write, with: {message: "{{ inputs.about.text }}"}}]
"""
HOUR = parse_duration("1h")


async def _fail(service: Running, times: int, of: str = "eu") -> None:
    runs = [(await service.start("stock", {"of": of})).json()["id"] for _ in range(times)]
    for run in runs:
        await service.wait_for_end(run)


async def _list_alerts(service: Running, pipeline: str = "alert") -> list[dict[str, Any]]:
    """What was told so far, the oldest first."""
    await service.service.alerts.check()
    runs = (await service.ask(f"/runs?pipeline={pipeline}"))["runs"]
    return [(await service.wait_for_end(run["id"]))["inputs"]["about"] for run in reversed(runs)]


async def test_an_outage_is_one_alert_and_one_follow_up_also_across_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    pipelines = {"stock": FAILS}
    async with running(tmp_path, pipelines, now=clock) as service:
        await _fail(service, 2)
    clock.offset += 1_000
    pipelines["alert"] = ALERT
    async with running(tmp_path, pipelines, now=clock) as service:
        assert await _list_alerts(service) == [], "what failed before somebody asked is old"
        await _fail(service, 3)
        [first] = await _list_alerts(service)
        assert first["text"] == "5 runs of stock failed"
        assert (first["state"], first["detail"], first["pipelines"]) == ("firing", "hold: no stock", ["stock"])
        assert first["url"] == f"{service.service.url}/errors/{first['error']}"
        assert (await service.client.get(first["url"])).status_code == 200
        await _fail(service, 4)
        assert len(await _list_alerts(service)) == 1, "it was told, and is told again after an hour"
    clock.offset += HOUR
    async with running(tmp_path, pipelines, now=clock) as service:
        _, second = await _list_alerts(service)
        assert (second["count"], second["total"]) == (4, 9)
        await _fail(service, 1, of="us")
        assert len(await _list_alerts(service)) == 3, "another error is another alert"
        clock.offset += 3 * HOUR
        assert [each["state"] for each in await _list_alerts(service)][3:] == ["resolved", "resolved"]
        await _fail(service, 1)
        assert [each["state"] for each in await _list_alerts(service)][5:] == ["firing"]


async def test_an_alert_that_fails_alerts_nobody(tmp_path: Path) -> None:
    fails = ALERT.replace("log.write", "flow.fail")
    async with running(tmp_path, {"stock": FAILS, "alert": fails}) as service:
        await _list_alerts(service)
        await _fail(service, 1)
        assert len(await _list_alerts(service)) == 1
        assert len(await _list_alerts(service)) == 1


async def test_filters_choose_what_a_pipeline_is_told(tmp_path: Path) -> None:
    of = "with: {classes: [server], pipelines: [stock]}\n    when: trigger.body.total > 1"
    told = ALERT.replace("with: {every: 1h, resolved: true}", of)
    async with outside() as world:
        world.answers = [lambda: Response(status_code=503)] * 3
        calls = f"steps: [{{id: get, use: http.get, with: {{url: '{world.url}/'}}, retry: {{max_attempts: 1}}}}]\n"
        async with running(tmp_path, {"stock": calls, "other": FAILS, "alert": told}) as service:
            await _list_alerts(service)
            await service.wait_for_end((await service.start("other")).json()["id"])
            await service.wait_for_end((await service.start("stock")).json()["id"])
            assert await _list_alerts(service) == []


async def test_silence_is_told_once_and_ends_with_the_next_request(tmp_path: Path) -> None:
    clock = Clock()
    hook = """
triggers: [{id: shop, use: webhook, with: {path: /orders, verify: none}}]
steps: [{id: say, use: log.write, with: {message: order}}]
"""
    silent = ALERT.replace("run_failed", "silence").replace("every: 1h", "webhook: intake/shop, for: 2h")
    async with running(tmp_path, {"intake": hook, "alert": silent}, now=clock) as service:
        assert await _list_alerts(service) == []
        clock.offset += 2 * HOUR
        [told] = await _list_alerts(service)
        assert told["text"] == "no request was accepted by intake/shop for 2h"
        clock.offset += HOUR // 2
        assert len(await _list_alerts(service)) == 1
        await service.client.post("/hooks/orders", json={})
        assert [each["state"] for each in await _list_alerts(service)] == ["firing", "resolved"]


async def test_a_broken_connection_and_a_missed_schedule_are_told(tmp_path: Path) -> None:
    clock = Clock()
    nightly = """
triggers: [{id: nightly, use: schedule, with: {every: 1h, missed: skip}}]
steps: [{id: say, use: log.write, with: {message: night}}]
"""
    broken = ALERT.replace("run_failed", "connection_broken")
    missed = ALERT.replace("run_failed", "schedule_missed")
    pipelines = {"nightly": nightly, "broken": broken, "missed": missed}
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "connections.yaml"
    file.write_text("crm: {use: http, base_url: 'http://127.0.0.1:1'}\n")
    async with running(tmp_path, pipelines, now=clock) as service:
        assert await _list_alerts(service, "broken") == []
    clock.offset += 3 * HOUR
    file.write_text("crm: {use: http}\n")
    async with running(tmp_path, pipelines, now=clock) as service:
        [told] = await _list_alerts(service, "broken")
        assert told["text"] == "the connection crm cannot be used"
        assert "connections.yaml has errors" in told["detail"]
        [told] = await _list_alerts(service, "missed")
        assert told["text"].startswith("the schedule nightly/nightly did not fire at ")


async def test_mistakes_in_alerts_are_errors_with_their_place(tmp_path: Path) -> None:
    cases = {
        "with: {every: 1s}": "'every' is too short; write at least 1m",
        "with: {pipeline: x}": "did you mean 'pipelines'",
        "with: {classes: [servr]}": "classes",
    }
    pipelines = {f"p{n}": ALERT.replace("with: {every: 1h, resolved: true}", case) for n, case in enumerate(cases)}
    pipelines["q"] = ALERT.replace("run_failed", "silence").replace("every: 1h", "for: 2h")
    async with running(tmp_path, pipelines) as service:
        found = {each["id"]: each["problems"] for each in (await service.ask("/pipelines"))["pipelines"]}
        for n, message in enumerate(cases.values()):
            assert message in found[f"p{n}"][0], found
        assert "silence is about one of 'webhook', 'event' and 'pipeline'" in found["q"][0]
