"""Pipelines that wait, and requests about waits to a service."""

import asyncio
import re
from typing import Any

import httpx

from tests.service.running import Running

APPROVAL = """
steps:
  - id: ask
    use: wait.approval
    with:
      to: [ops@example.com]
      title: "<b>Refund</b> & more"
      fields:
        amount: {type: number, minimum: 0, title: How much}
        count: {type: integer, default: 1}
        urgent: {type: boolean}
        colour: {enum: [red, green, 3]}
        note: {type: string, default: ""}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.ask.output }}"}
"""
CALLBACK = """
steps:
  - {id: hook, use: wait.webhook, with: {title: Tell us}, timeout: 1h, on_timeout: fail}
outputs: {said: "{{ steps.hook.output }}"}
"""
ANY = """
steps:
  - id: first
    use: wait.any
    with:
      waits:
        boss: {use: wait.approval, with: {to: boss, title: Really}}
        shop: {use: wait.webhook, with: {}}
        paid: {use: wait.event, with: {type: order.paid, match: "7"}}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.first.output }}"}
"""
EARLY = """
steps:
  - {id: link, use: transform.set, with: {values: {link: "{{ run.links.hook }}", other: "{{ run.links.ask }}"}}}
  - {id: pause, use: wait.event, with: {type: go.on}, timeout: 1h, on_timeout: fail}
  - {id: hook, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}
  - id: ask
    use: wait.approval
    with: {to: x, title: x, fields: "{{ steps.hook.output.body }}"}
    timeout: 1h
    on_timeout: fail
outputs: {said: "{{ steps.hook.output.body }}"}
"""
PIPELINES = {"approval": APPROVAL, "callback": CALLBACK, "any": ANY, "early": EARLY}

PROOF = re.compile("[0-9a-f]{64}")


async def start_waiting_run(service: Running, pipeline: str) -> str:
    """Start a run, and return its id once it waits."""
    run = str((await service.start(pipeline)).json()["id"])
    await until(service, run, "waiting")
    return run


async def until(service: Running, run: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = await service.run(run)
            if found["status"] == status:
                return found
            await asyncio.sleep(0.01)


async def wait_until_waiting_at(service: Running, run: str, step: str) -> None:
    """Return once the run waits at this step."""
    async with asyncio.timeout(60):
        while [wait["step"] for wait in (await service.run(run))["waits"]] != [step]:
            await asyncio.sleep(0.01)


async def link(service: Running, run: str, name: str | None = None) -> str:
    """The link of a wait of a run."""
    return next(str(wait["link"]) for wait in (await service.run(run))["waits"] if wait["name"] == name)


async def post_decision(service: Running, run: str, what: str, **fields: Any) -> httpx.Response:
    return await service.client.post(f"/api/runs/{run}/{what}", json=fields)
