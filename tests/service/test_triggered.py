"""Runs that are started as a trigger would start them, and reruns of what webhooks received."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HOOK = """
triggers:
  - id: order
    use: webhook
    with: {{path: "/orders/{{shop}}", verify: none}}
    when: trigger.body.total > 0
    inputs: {{total: "{{{{ trigger.body.{field} }}}}", shop: "{{{{ trigger.path.shop }}}}"}}
  - {{id: told, use: event, with: {{type: order.told}}, inputs: {{total: "{{{{ trigger.body }}}}", shop: told}}}}
inputs: {{total: {{type: integer}}, shop: {{type: string}}}}
steps: [{{id: note, use: transform.set, with: {{values: {{total: "{{{{ inputs.total }}}}"}}}}}}]
outputs: {{total: "{{{{ steps.note.output.total }}}}", shop: "{{{{ inputs.shop }}}}"}}
"""


async def _trigger(service: Running, pipeline: str = "p", **body: Any) -> httpx.Response:
    return await service.client.post(f"/api/pipelines/{pipeline}/trigger", json=body)


async def _end(service: Running, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    found = answer.json()
    return await service.wait_for_end(found["id"] if "id" in found else found["runs"][0])


async def test_a_run_is_started_with_an_event_as_its_trigger_would_start_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOK.format(field="total")}) as service:
        sent = await service.client.post("/hooks/orders/north", json={"total": 5, "other": 6})
        first = await _end(service, sent)
        again = await _end(service, await _trigger(service, event=first["event"]))
        told = await service.client.post("/api/events", json={"type": "order.told", "data": 8})
        (from_event,) = told.json()["runs"][:1]
        event = (await service.wait_for_end(from_event))["event"]
        by_type = await _end(service, await _trigger(service, event=event))
        none = await _trigger(service, event="evt_none")
        unknown = await _trigger(service, event=event, trigger="nobody")
        missing = await _trigger(service, "nothing", event=event)
        both = await _trigger(service)
    assert (again["outputs"], again["event"]) == ({"total": 5, "shop": "north"}, first["event"])
    assert (again["trigger"], by_type["trigger"], by_type["outputs"]["total"]) == ("order", "told", 8)
    assert [each.status_code for each in (none, unknown, missing, both)] == [409, 422, 404, 422]


async def test_a_run_is_started_with_a_document_in_the_place_of_an_event(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOK.format(field="total")}) as service:
        document = {"body": {"total": 3}, "path": {"shop": "south"}}
        ended = await _end(service, await _trigger(service, document=document, trigger="order"))
        ambiguous = await _trigger(service, document=document)
        filtered = await _trigger(service, document={**document, "body": {"total": 0}}, trigger="order")
        unfit = await _trigger(service, document={"body": {"total": 1.5}, "path": {"shop": "x"}}, trigger="order")
    assert ended["outputs"] == {"total": 3, "shop": "south"}
    assert (ambiguous.status_code, filtered.status_code, unfit.status_code) == (422, 409, 422)
    assert "order, told" in ambiguous.json()["detail"]
    assert "`when` is false" in filtered.json()["detail"]


async def test_what_a_webhook_received_is_mapped_anew_by_a_rerun(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOK.format(field="total")}) as service:
        first = await _end(service, await service.client.post("/hooks/orders/north", json={"total": 5, "other": 6}))
        before = (await service.client.get("/api/pipelines")).json()
        text = HOOK.format(field="other").replace("note", "noted")
        (tmp_path / "config" / "pipelines" / "p.yaml").write_text(text)
        async with asyncio.timeout(60):
            while (await service.client.get("/api/pipelines")).json() == before:
                await asyncio.sleep(0.05)
        answer = await service.client.post(f"/api/runs/{first['id']}/rerun", json={})
        again = await _end(service, answer)
    assert answer.json()["inputs"] == "mapped"
    assert (first["outputs"]["total"], again["outputs"]) == (5, {"total": 6, "shop": "north"})
