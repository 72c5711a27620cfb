"""What `waypost listen` shows: each arrival once, and the end of each run."""

import asyncio
import os
from pathlib import Path

import pytest

from durable import clock
from tests.service.running import Running, running
from triggers.commands.arrivals import Arrival, Arrivals
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.runs import RunLineDocument
from triggers.documents.unknown_paths import UnknownPathDocument
from triggers.reading.client import ServiceClient

pytestmark = pytest.mark.anyio

SHOP = """
id: shop
triggers:
  - {id: open, use: webhook, with: {path: /open, verify: none}, when: trigger.body.go}
  - {id: closed, use: webhook, with: {path: /closed, verify: {preset: github, secret: "{{ secrets.HOOK }}"}}}
steps:
  - id: ask
    if: trigger.body.asks is defined
    use: wait.approval
    with: {to: ops, title: Go on}
    timeout: 1h
    on_timeout: fail
"""
OTHER = """
id: other
triggers: [{id: hook, use: webhook, with: {path: /other, verify: none}}]
steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]
"""


def _describe(arrival: Arrival) -> str:
    match arrival:
        case DeliveryDocument():
            return f"{arrival.path} {arrival.outcome}"
        case UnknownPathDocument():
            return f"{arrival.path} unknown {arrival.count}"
        case RunLineDocument():
            return f"{arrival.pipeline} {arrival.status}"


async def _listen_for(arrivals: Arrivals, *wanted: str) -> list[str]:
    """What arrives until everything that is wanted has arrived; a run may be seen before its end or only after it."""
    seen: list[str] = []
    async with asyncio.timeout(30):
        while not set(wanted) <= set(seen):
            seen += [_describe(each) for each in await arrivals.ask(clock.now())]
            await asyncio.sleep(0.01)
    return [each for each in seen if not each.endswith((" running", " queued"))]


def _arrivals(service: Running, pipeline: str | None = None, trigger: str | None = None) -> Arrivals:
    return Arrivals(ServiceClient(service.client, service.service.url, os.getpid()), clock.now(), pipeline, trigger)


async def test_each_arrival_is_shown_once_and_nothing_from_before(tmp_path: Path) -> None:
    async with running(tmp_path, {"shop": SHOP, "other": OTHER}) as service:
        await service.client.post("/hooks/open", json={"go": True})
        await service.client.post("/hooks/opne", json={})
        await asyncio.sleep(0.01)  # ids of the next millisecond tell what came later
        arrivals, of_other = _arrivals(service), _arrivals(service, "other")
        of_trigger = _arrivals(service, "shop", "open")
        for each in (arrivals, of_other, of_trigger):
            await each.begin()
        for path, body in (
            ("open", {"go": True}),
            ("open", {"go": False}),
            ("closed", {}),
            ("other", {}),
            ("opne", {}),
        ):
            await service.client.post(f"/hooks/{path}", json=body)
        wanted = [
            "/hooks/open accepted",
            "/hooks/open filtered",
            "/hooks/closed rejected",
            "/hooks/other accepted",
            "/hooks/opne unknown 2",
            "shop completed",
            "other completed",
        ]
        assert sorted(await _listen_for(arrivals, *wanted)) == sorted(wanted)
        assert await arrivals.ask(clock.now()) == []
        own = await _listen_for(of_other, "/hooks/other accepted", "other completed")
        assert sorted(own) == ["/hooks/opne unknown 2", "/hooks/other accepted", "other completed"]
        of_open = await _listen_for(of_trigger, "/hooks/open accepted", "/hooks/open filtered", "shop completed")
        assert "/hooks/closed rejected" not in of_open


async def test_a_run_is_followed_to_its_end_behind_many_newer_ones(tmp_path: Path) -> None:
    async with running(tmp_path, {"shop": SHOP, "other": OTHER}) as service:
        arrivals = _arrivals(service)
        await arrivals.begin()
        answer = await service.client.post("/hooks/open", json={"go": True, "asks": 1})
        [run] = answer.json()["runs"]
        await _listen_for(arrivals, "shop waiting")
        for _ in range(30):
            await service.client.post("/hooks/other", json={})
        await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "approved": True})
        await service.wait_for_end(run)
        seen = await _listen_for(arrivals, "shop completed")
        assert seen.count("/hooks/other accepted") == 30
