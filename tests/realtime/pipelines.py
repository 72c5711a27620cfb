"""Pipelines whose runs wait in the middle, and what tests of streams do with them."""

import asyncio
from typing import Any

from tests.realtime.streaming import Received
from tests.service.running import Running
from triggers.realtime.streams import HEARTBEAT_SECONDS

ASK = """
inputs: {name: {type: string, default: Ada}}
steps:
  - {id: hold, use: transform.set, with: {values: {kept: "{{ inputs.name }}"}}}
  - {id: ask, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}
  - {id: ship, use: transform.set, with: {values: {done: true}}}
outputs: {shipped: "{{ steps.ship.output.done }}"}
"""
QUICK = "steps:\n  - {id: only, use: transform.set, with: {values: {}}}\n"

ASKING = ("ask", "other")
"""The ids under which tests serve `ASK`."""

CANARY = "canary-41"
"""An input of every run, which statuses do not show."""


async def start_run(service: Running, pipeline: str = "ask", **body: Any) -> str:
    """Start a run, and return its id; if the pipeline asks for something, once it waits."""
    asks = pipeline in ASKING
    inputs = {"name": CANARY} if asks else {}
    answer = await service.client.post(f"/api/pipelines/{pipeline}/runs", json={"inputs": inputs, **body})
    run: str = answer.json()["id"]
    if asks:
        await _wait_until_it_waits(service, run)
    return run


async def answer_run(service: Running, run: str) -> None:
    """Let a run go on to its end, once it waits."""
    await _wait_until_it_waits(service, run)
    answer = await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "data": {}})
    assert answer.is_success, answer.text


async def _wait_until_it_waits(service: Running, run: str) -> None:
    async with asyncio.timeout(30):
        while (await service.ask(f"/runs/{run}"))["status"] != "waiting":
            await asyncio.sleep(0.01)


async def read_entries(service: Running, run: str) -> list[dict[str, Any]]:
    """Return the history of a run, without the sentences about its entries, which are for people."""
    entries: list[dict[str, Any]] = (await service.ask(f"/runs/{run}/history"))["entries"]
    return [{name: value for name, value in entry.items() if name != "text"} for entry in entries]


def list_entries(events: list[Received]) -> list[Any]:
    """Return the entries among the events of a run's stream."""
    return [event.data for event in events if event.id is not None]


async def make_token(service: Running, **body: Any) -> str:
    """Make a token for streams."""
    answer = await service.client.post("/api/tokens", json=body)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


async def wait_for_streams(service: Running, count: int) -> None:
    """Return when so many streams are open; a client that has left is noticed before the next heartbeat."""
    async with asyncio.timeout(HEARTBEAT_SECONDS - 1):
        while service.service.realtime.streams.open != count:
            await asyncio.sleep(0.01)
