"""Deliveries, events and schedules as pages: read, replayed, captured, sent."""

from pathlib import Path

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HOOK = """
triggers:
  - id: shop
    use: webhook
    with: {path: /orders, verify: none}
    when: trigger.body.total > 0
    inputs: {total: "{{ trigger.body.total }}"}
inputs: {total: {type: number}}
steps: [{id: say, use: log.write, with: {message: "{{ inputs.total }}"}}]
"""
LISTENS = """
triggers: [{id: paid, use: event, with: {type: order.paid}}]
steps: [{id: say, use: log.write, with: {message: paid}}]
"""
NIGHTLY = """
triggers: [{id: nightly, use: schedule, with: {cron: "0 2 * * *", timezone: Europe/Berlin}}]
steps: [{id: say, use: log.write, with: {message: "{{ trigger.type }}"}}]
"""
SCRIPT = "<script>alert(1)</script>"


async def _open(service: Running, path: str, status: int = 200) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
    assert answer.status_code == status, answer.text
    return answer.text


async def test_a_delivery_shows_its_request_as_text_and_is_replayed(tmp_path: Path) -> None:
    async with running(tmp_path, {"intake": HOOK}) as service:
        await service.client.post("/hooks/orders", json={"total": 3, "note": SCRIPT}, headers={"x-note": SCRIPT})
        await service.client.post(f"/hooks/orders?q={SCRIPT}", json={"total": 0, "note": SCRIPT})
        page = await _open(service, "/deliveries")
        assert "accepted" in page
        assert "filtered" in page
        assert SCRIPT not in page
        for each in (await service.ask("/deliveries"))["deliveries"]:
            shown = await _open(service, f"/deliveries/{each['id']}")
            assert SCRIPT not in shown
            assert "&lt;script&gt;" in shown
            assert "curl -X POST" in shown
            assert "00000000  7b 22 74" in await _open(service, f"/deliveries/{each['id']}?body=hex")
        accepted = (await service.ask("/deliveries?outcome=accepted"))["deliveries"][0]["id"]
        answer = await service.client.post(f"/deliveries/{accepted}/replay", data={"reason": "again", "to": ""})
        assert answer.status_code == 303
        run = answer.headers["location"].rpartition("/")[2]
        assert (await service.wait_for_end(run))["source"]["kind"] == "replay"
        assert "replay" in await _open(service, f"/deliveries/{accepted}")


async def test_a_capture_shows_what_arrives_after_it_has_begun(tmp_path: Path) -> None:
    async with running(tmp_path, {"intake": HOOK}) as service:
        await service.client.post("/hooks/orders", json={"total": 1, "note": "before"})
        answer = await service.client.get("/deliveries/capture?trigger=intake%2Fshop")
        page = answer.headers["location"]
        assert "Waiting for the next request" in await _open(service, page)
        await service.client.post("/hooks/orders", json={"total": 2, "note": "after"})
        shown = await _open(service, page)
        assert "after" in shown
        assert "before" not in shown


async def test_paths_that_no_webhook_serves_are_listed(tmp_path: Path) -> None:
    async with running(tmp_path, {"intake": HOOK}) as service:
        await service.client.post("/hooks/order", json={"total": 1})
        assert "/hooks/order" in await _open(service, "/deliveries/unknown")


async def test_an_event_is_sent_by_a_form_and_shows_its_runs(tmp_path: Path) -> None:
    async with running(tmp_path, {"paid": LISTENS}) as service:
        assert "No events yet" in await _open(service, "/events")
        bad = await service.client.post("/events/new", data={"type": "order.paid", "data": "{"})
        assert bad.status_code == 422
        assert "not JSON" in bad.text
        answer = await service.client.post("/events/new", data={"type": "order.paid", "subject": "4711", "data": "[1]"})
        page = await _open(service, answer.headers["location"])
        assert "it started 1 run" in page
        assert "4711" in page
        assert "order.paid" in await _open(service, "/events?type=order.paid&from=1h")
        assert "No event matches" in await _open(service, "/events?type=order.lost")
        assert "There is no event" in await _open(service, "/events/evt_nothing", 404)


async def test_a_schedule_is_run_by_hand_as_its_fire_would(tmp_path: Path) -> None:
    async with running(tmp_path, {"nightly": NIGHTLY}) as service:
        page = await _open(service, "/schedules")
        assert "has not fired yet" in page
        assert "Europe/Berlin" in page
        answer = await service.client.post("/schedules/nightly/nightly/run", data={"fire": "2026-11-30T01:00:00Z"})
        run = answer.headers["location"].rpartition("/")[2]
        ended = await service.wait_for_end(run)
        assert (ended["status"], ended["trigger"]) == ("completed", "nightly")
        assert run in await _open(service, "/schedules")
