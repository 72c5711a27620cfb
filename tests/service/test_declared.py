"""Declarative actions in a whole service."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from connectors.declared.action import make_action
from connectors.declared.compiled import DeclaredAction, KeyRule, PageRules
from durable.action import Connector
from durable.schema_model import make_inputs_schema
from tests.service.running import Running, outside, running

pytestmark = pytest.mark.anyio

PIPELINE = """
steps:
  - {id: ready, use: wait.webhook, timeout: 1d, on_timeout: fail}
  - {id: order, use: shop.order, retry: {min_delay: 1ms}, with: {sku: A-1}}
outputs: {id: "{{ steps.order.output.id }}"}
"""


def make_shop(url: str, path: str, **more: Any) -> Connector:
    """A shop whose action has two inputs, of which older versions knew one."""
    order = DeclaredAction(
        method="POST",
        base_url=url,
        path=path,
        inputs=make_inputs_schema({"sku": {"type": "string"}, **more}),
        body={"sku": "{{ inputs.sku }}", "path": path},
        has_body=True,
        output={"id": "{{ answer.body.n }}"},
        idempotency=KeyRule(header="X-Key", max=32),
    )
    return Connector("shop", "A shop", [make_action("order", order)])


async def start_waiting(service: Running) -> str:
    run: str = (await service.start("buy")).json()["id"]
    async with asyncio.timeout(60):
        while (await service.ask(f"/runs/{run}"))["status"] != "waiting":
            await asyncio.sleep(0.01)
    return run


async def go_on(service: Running, run: str) -> dict[str, Any]:
    [wait] = (await service.run(run))["waits"]
    answered = await service.client.post(f"/waits/{wait['link'].partition('/waits/')[2]}")
    assert answered.is_success
    return await service.wait_for_end(run)


async def test_a_run_goes_on_with_the_stored_form_when_the_connector_changes(tmp_path: Path) -> None:
    async with outside() as world:
        async with running(tmp_path, {"buy": PIPELINE}, connectors=[make_shop(world.url, "/v1/orders")]) as service:
            old = await start_waiting(service)
        world.answers.append(lambda: JSONResponse({"message": "busy"}, 503))
        changed = make_shop(world.url, "/v2/orders", note={"type": "string", "default": ""})
        async with running(tmp_path, {"buy": PIPELINE}, connectors=[changed]) as service:
            ended = await go_on(service, old)
            new = await start_waiting(service)
            await go_on(service, new)
        assert (ended["status"], ended["outputs"]) == ("completed", {"id": 2})
        assert [request["path"] for request in world.requests] == ["/v1/orders", "/v1/orders", "/v2/orders"]
        first, second, third = (request["headers"]["x-key"] for request in world.requests)
        assert first == second != third
        assert len(first) == 32
        assert "idempotency-key" not in world.requests[0]["headers"]


async def test_a_page_that_fails_is_requested_again_and_no_other(tmp_path: Path) -> None:
    steps = "steps: [{id: all, use: shop.list, retry: {min_delay: 1ms}}]\noutputs: {items: '{{ steps.all.output }}'}\n"
    async with outside() as world:
        rules = PageRules("answer.body.items", next="answer.body.next")
        inputs = make_inputs_schema({})
        declared = DeclaredAction("GET", f"{world.url}/v1", "/items", inputs, page=rules, returns={"type": "array"})
        shop = Connector("shop", "A shop", [make_action("list", declared)])
        answers: list[tuple[int, Any]] = [
            (200, {"items": [1, 2], "next": f"{world.url}/v1/two"}),
            (503, {}),
            (200, {"items": [3], "next": "/v1/three"}),
            (200, {"items": [4], "next": None}),
        ]
        world.answers += [partial(JSONResponse, body, status) for status, body in answers]
        async with running(tmp_path, {"read": steps}, connectors=[shop]) as service:
            run = (await service.start("read")).json()["id"]
            ended = await service.wait_for_end(run)
        assert ended["outputs"] == {"items": [1, 2, 3, 4]}
        assert [request["path"] for request in world.requests] == ["/v1/items", "/v1/two", "/v1/two", "/v1/three"]
