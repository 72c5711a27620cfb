"""Connectors of the operator's folder, written in YAML, in a whole service."""

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from tests.service.running import ENVIRONMENT, Outside, Running, outside, running

pytestmark = pytest.mark.anyio

SHOP = """
about: A shop
connection:
  fields: {url: {type: string}, token: {type: string, secret: true}}
  auth: [{bearer: "{{ connection.token }}"}]
http:
  base_url: "{{ connection.url }}"
  errors: {when: answer.body.ok is false, code: "{{ answer.body.error }}"}
actions:
  order:
    about: Order something
    post: /shops/{shop}/orders
    inputs: {shop: {type: string, default: main}, sku: {type: string}}
    output: {number: "{{ answer.body.n }}"}
    undo: {use: cancel, with: {shop: "{{ inputs.shop }}", number: "{{ output.number }}", why: "{{ inputs.sku }}"}}
  cancel:
    about: Cancel an order
    delete: /shops/{shop}/orders/{number}
    inputs: {shop: {type: string}, number: {type: integer}, why: {type: string}}
    json: {why: "{{ inputs.why }}"}
    errors: {ok: [gone]}
"""
CONNECTION = 'one: {use: shop, url: "URL", token: "{{ secrets.TOKEN }}"}\n'
SECRETS = {**ENVIRONMENT, "WAYPOST_SECRET_TOKEN": "canary-7f3a"}


def write_shop(tmp_path: Path, url: str) -> None:
    (tmp_path / "config" / "connectors").mkdir(parents=True)
    (tmp_path / "config" / "connectors" / "shop.yaml").write_text(SHOP)
    (tmp_path / "config" / "connections.yaml").write_text(CONNECTION.replace("URL", url))


async def run_once(service: Running, pipeline: str) -> dict[str, Any]:
    started = await service.start(pipeline)
    return await service.wait_for_end(started.json()["id"])


def list_calls(world: Outside) -> list[str]:
    return [f"{request['method']} {request['path']}" for request in world.requests]


async def test_a_step_is_undone_as_its_connector_declares_unless_it_says_otherwise(tmp_path: Path) -> None:
    pipeline = """
steps:
  - {id: tea, use: shop.order, connection: one, with: {sku: "T-{{ run.pipeline }}"}, keep: {bought: yes}}
  - {id: jam, use: shop.order, connection: one, with: {shop: side, sku: J}, undo: none}
  - {id: back, use: flow.undo}
"""
    async with outside() as world:
        write_shop(tmp_path, world.url)
        gone = lambda: JSONResponse({"ok": False, "error": "gone"}, 404)  # noqa: E731
        world.answers += [lambda: JSONResponse({"n": 7}), lambda: JSONResponse({"n": 8}), gone]
        async with running(tmp_path, {"buy": pipeline}, SECRETS) as service:
            ended = await run_once(service, "buy")
        assert ended["status"] == "completed"
        assert list_calls(world) == [
            "POST /shops/main/orders",
            "POST /shops/side/orders",
            "DELETE /shops/main/orders/7",
        ]
        assert [request["headers"]["authorization"] for request in world.requests] == ["Bearer canary-7f3a"] * 3
        assert world.requests[2]["body"] == {"why": "T-buy"}


async def test_a_change_of_an_action_applies_to_new_runs_of_pipelines_that_did_not_change(tmp_path: Path) -> None:
    pipeline = "steps: [{id: tea, use: shop.order, connection: one, with: {sku: T}}]\n"
    async with outside() as world:
        write_shop(tmp_path, world.url)
        world.answers += [lambda: JSONResponse({"n": 7}), lambda: JSONResponse({"n": 8})]
        async with running(tmp_path, {"buy": pipeline}, SECRETS) as service:
            first = await run_once(service, "buy")
            changed = SHOP.replace("post: /shops/{shop}/orders", "post: /v2/{shop}/orders")
            (tmp_path / "config" / "connectors" / "shop.yaml").write_text(changed)
            await service.service.reload.reload()
            second = await run_once(service, "buy")
        assert list_calls(world) == ["POST /shops/main/orders", "POST /v2/main/orders"]
        assert first["version"] != second["version"]


async def test_a_pipeline_without_flow_undo_records_no_undo(tmp_path: Path) -> None:
    async with outside() as world:
        write_shop(tmp_path, world.url)
        world.answers.append(lambda: JSONResponse({"n": 7}))
        pipeline = "steps: [{id: tea, use: shop.order, connection: one, with: {sku: T}}]\n"
        async with running(tmp_path, {"buy": pipeline}, SECRETS) as service:
            ended = await run_once(service, "buy")
            history = (await service.client.get(f"/api/runs/{ended['id']}/history")).text
        assert ended["status"] == "completed"
        assert '"has_undo":true' not in history
        assert "canary" not in history
