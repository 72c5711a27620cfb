"""Replays: a delivery that was kept is taken in again, whatever became of it."""

import asyncio
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable.journal.deliveries import find_delivery_of
from durable.journal.sqlite.files import FILE_NAME
from tests.service.running import ENVIRONMENT, Running, running
from tests.service.test_webhook import github
from triggers.webhooks.presets import load_presets
from triggers.webhooks.signature import sign_request

pytestmark = pytest.mark.anyio

HUB = """
triggers:
  - id: hub
    use: webhook
    with: {path: "/hub/{repo}", verify: {preset: github, secret: "{{ secrets.HOOK }}"}}
    when: trigger.body.total > 5
    inputs: {all: "{{ trigger }}"}
inputs: {all: {type: object}}
steps:
  - {id: a, use: transform.set, with: {values: {total: "{{ inputs.all.body.total }}"}}}
outputs: {id: "{{ inputs.all.id }}", headers: "{{ inputs.all.headers | length }}"}
"""
OTHER = """
triggers:
  - {id: in, use: webhook, with: {path: /other, verify: none}, inputs: {total: "{{ trigger.body.total }}"}}
inputs: {total: {type: integer}}
steps:
  - {id: a, use: transform.set, with: {values: {}}}
outputs: {total: "{{ inputs.total }}"}
"""
LAB = """
triggers:
  - {id: in, use: webhook, with: {path: /lab, verify: {preset: gitlab, secret: "{{ secrets.HOOK }}"}}}
steps:
  - {id: a, use: transform.set, with: {values: {}}}
"""
STRIPE = """
triggers:
  - {id: in, use: webhook, with: {path: /stripe, verify: {preset: stripe, secret: "{{ secrets.HOOK }}"}}}
steps:
  - {id: a, use: transform.set, with: {values: {}}}
"""


async def _push(service: Running, total: int, *, id: str = "1", secret: str = "hook-secret-1") -> httpx.Response:
    body = b'{"total": %d}' % total
    headers = github(body, id=id, type="push", secret=secret)
    return await service.client.post("/hooks/hub/r", content=body, headers=headers)


async def _find_newest(service: Running) -> str:
    """The id of the newest delivery, once it is recorded."""
    assert await service.service.journal.is_writable()
    found = (await service.client.get("/api/deliveries?limit=1")).json()["deliveries"]
    return str(found[0]["id"])


async def _replay(service: Running, delivery: str, **how: Any) -> httpx.Response:
    return await service.client.post(f"/api/deliveries/{delivery}/replay", json=how)


async def test_a_filtered_delivery_starts_a_run_once_when_holds(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        assert (await _push(service, 3)).json()["runs"] == []
        delivery = await _find_newest(service)
        refused = await _replay(service, delivery)
        assert refused.status_code == 409
        assert "`when` is false" in refused.json()["detail"]
        file = tmp_path / "config" / "pipelines" / "hub.yaml"
        file.write_text(HUB.replace("> 5", "> 2"))
        await service.service.reload.reload()
        answer = await _replay(service, delivery, reason="the limit was wrong")
        assert answer.status_code == 202, answer.text
        run = await service.wait_for_end(answer.json()["id"])
        assert run["source"] == {
            "kind": "replay",
            "of": delivery,
            "step": None,
            "by": "admin",
            "reason": "the limit was wrong",
        }
        assert run["outputs"]["id"] == "1", "the id that the sender gave"
        assert (await _push(service, 3)).json() == {"event": run["event"], "runs": [run["id"]], "duplicate": True}
        shown = (await service.client.get(f"/api/deliveries/{delivery}")).json()
        assert [each["id"] for each in shown["replays"]] == [run["id"]]
        assert answer.json()["hint"] is None
        hint = (await _replay(service, delivery)).json()["hint"]
        assert hint == f"{delivery} was already replayed as {run['id']}"
        brought = await service.service.journal.read(find_delivery_of, run["event"])
        assert brought
        assert brought.id == delivery


async def test_a_replay_gives_the_run_what_the_delivery_gave_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        first = (await _push(service, 7)).json()
        delivery = await _find_newest(service)
        second = (await _replay(service, delivery)).json()
        runs = [await service.wait_for_end(each) for each in (first["runs"][0], second["id"])]
        assert runs[0]["inputs"] == runs[1]["inputs"]
        assert runs[0]["id"] != runs[1]["id"]
        assert second["event"] == first["event"], "the event is the recorded one"
        again = (await _push(service, 7)).json()
        assert again["runs"] == first["runs"], "its key stays with the first run"


async def test_a_rejected_delivery_is_replayed_after_the_secret_is_corrected(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        assert (await _push(service, 7, secret="another-secret")).status_code == 401
        delivery = await _find_newest(service)
        refused = await _replay(service, delivery)
        assert refused.status_code == 409
        assert "bad_signature" in refused.json()["detail"]
        made = (await service.client.post("/api/keys", json={"name": "ops", "scope": "start"})).json()
        starter = {"Authorization": f"Bearer {made['key']}"}
        path = f"/api/deliveries/{delivery}/replay"
        forbidden = await service.client.post(path, json={"unverified": True}, headers=starter)
        assert forbidden.status_code == 403
        assert (await _replay(service, delivery, unverified=True)).status_code == 202
    async with running(tmp_path, {}, ENVIRONMENT | {"WAYPOST_SECRET_HOOK": "another-secret"}) as service:
        assert (await _replay(service, delivery)).status_code == 202


async def test_a_token_is_checked_by_its_hash(tmp_path: Path) -> None:
    async with running(tmp_path, {"lab": LAB}) as service:
        for token, status in (("hook-secret-1", 202), ("wrong-token", 401)):
            headers = {"X-Gitlab-Token": token, "X-Gitlab-Event": "Push"}
            assert (await service.client.post("/hooks/lab", json={}, headers=headers)).status_code == status
            delivery = await _find_newest(service)
            answer = await _replay(service, delivery)
            assert answer.status_code == (202 if status == 202 else 409), answer.text
        assert "only as a hash" in answer.json()["detail"]
        assert "wrong-token" not in (await service.client.get(f"/api/deliveries/{delivery}")).text


async def test_a_delivery_is_verified_as_of_its_receipt(tmp_path: Path) -> None:
    clock = [int(time.time() * 1000)]
    async with running(tmp_path, {"stripe": STRIPE}, now=lambda: clock[0]) as service:
        body = b'{"id": "evt_1", "type": "charge"}'
        headers = sign_request(load_presets()["stripe"], "hook-secret-1", body, clock[0] / 1000, id="")
        assert (await service.client.post("/hooks/stripe", content=body, headers=headers)).status_code == 202
        clock[0] += 30 * 24 * 3_600_000
        assert (await _replay(service, await _find_newest(service))).status_code == 202


async def test_a_delivery_is_replayed_to_another_pipeline(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB, "other": OTHER}) as service:
        await _push(service, 3)
        delivery = await _find_newest(service)
        answer = await _replay(service, delivery, to="other")
        assert answer.status_code == 202, answer.text
        assert (await service.wait_for_end(answer.json()["id"]))["outputs"] == {"total": 3}
        unknown = await _replay(service, delivery, to="nobody")
        assert unknown.status_code == 409
        assert "no webhook 'nobody' is served" in unknown.json()["detail"].replace('"', "'")


async def test_unfit_inputs_start_no_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB, "other": OTHER}) as service:
        body = b'{"total": "many"}'
        await service.client.post("/hooks/hub/r", content=body, headers=github(body, id="1", type="push"))
        answer = await _replay(service, await _find_newest(service), to="other")
        assert answer.status_code == 422
        assert "total" in answer.json()["detail"]


async def test_a_request_that_is_no_longer_kept_is_not_replayed(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, max_deliveries_bytes=0) as service:
        await _push(service, 7)
        await service.service.keeper.drop_oldest()
        delivery = await _find_newest(service)
        answer = await _replay(service, delivery)
        assert answer.status_code == 409
        assert "max_deliveries_bytes" in answer.json()["detail"]
        assert (await service.client.get(f"/api/deliveries/{delivery}/body")).status_code == 409
        assert "max_deliveries_bytes" in (await service.client.get(f"/api/deliveries/{delivery}")).json()["absence"]
        assert (await _replay(service, "dlv_nothing")).status_code == 404


async def test_a_replay_with_the_same_idempotency_key_is_the_same_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        await _push(service, 7)
        path = f"/api/deliveries/{await _find_newest(service)}/replay"
        headers = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(service.client.post(path, json={}, headers=headers) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]
        assert len({answer.json()["id"] for answer in answers}) == 1
        other = await service.client.post(path, json={"reason": "another"}, headers=headers)
        assert other.status_code == 422


async def test_the_body_is_read_byte_for_byte(tmp_path: Path) -> None:
    body = b'{"total": 6.10,\n "name": "\xc3\xa9", "total": 9}'
    async with running(tmp_path, {"hub": HUB}) as service:
        await service.client.post("/hooks/hub/r", content=body, headers=github(body, id="1", type="push"))
        delivery = await _find_newest(service)
        answer = await service.client.get(f"/api/deliveries/{delivery}/body")
        assert answer.content == body
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        shown = (await service.client.get(f"/api/deliveries/{delivery}")).json()
        assert shown["body"] == {"total": 9, "name": "é"}
        assert shown["path"] == "/hooks/hub/r"
        made = (await service.client.post("/api/keys", json={"name": "eyes", "scope": "read"})).json()
        reader = {"Authorization": f"Bearer {made['key']}"}
        assert (await service.client.get(f"/api/deliveries/{delivery}", headers=reader)).status_code == 200
        assert (await service.client.get(f"/api/deliveries/{delivery}/body", headers=reader)).status_code == 403


async def test_a_secret_in_a_kept_request_is_not_shown(tmp_path: Path) -> None:
    body = b'{"total": 7, "token": "hook-secret-1", "twice": "aG9vay1zZWNyZXQtMQ=="}'
    async with running(tmp_path, {"hub": HUB}) as service:
        headers = github(body, id="1", type="push") | {"x-extra": "hook-secret-1"}
        await service.client.post("/hooks/hub/r?q=hook-secret-1", content=body, headers=headers)
        delivery = await _find_newest(service)
        raw = await service.client.get(f"/api/deliveries/{delivery}/body")
        texts = [
            (await service.client.get(f"/api/deliveries/{delivery}")).text,
            (await service.client.get("/api/deliveries")).text,
            raw.text,
        ]
        assert raw.headers["waypost-redacted"] == "true"
        for text in texts:
            assert "hook-secret-1" not in text
            assert "aG9vay1zZWNyZXQtMQ" not in text
        assert (await _replay(service, delivery)).status_code == 202, "the kept bytes are unchanged"


async def test_a_secret_that_is_a_part_of_a_time_or_an_outcome_disturbs_no_document(tmp_path: Path) -> None:
    secrets = {f"WAYPOST_SECRET_S{number}": text for number, text in enumerate(["accepted", "POST", "hub/hub", "dlv_"])}
    year = {"WAYPOST_SECRET_YEAR": time.strftime("%Y")}
    async with running(tmp_path, {"hub": HUB}, {**ENVIRONMENT, **secrets, **year}) as service:
        await _push(service, 7)
        delivery = await _find_newest(service)
        shown = (await service.client.get(f"/api/deliveries/{delivery}")).json()
        assert (shown["outcome"], shown["at"][:4]) == ("accepted", time.strftime("%Y"))


async def test_a_damaged_row_hides_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        for number in range(3):
            await _push(service, 7, id=str(number))
        ids = [each["id"] for each in (await service.client.get("/api/deliveries")).json()["deliveries"]]
        with sqlite3.connect(tmp_path / "data" / FILE_NAME) as connection:
            connection.execute("UPDATE deliveries SET head = ?, at = 9e18 WHERE id = ?", (b"\xff{", ids[1]))
            connection.execute("UPDATE deliveries SET head = CAST('[]' AS TEXT), kept = 'x' WHERE id = ?", (ids[2],))
            connection.execute("UPDATE deliveries SET outcome = 'odd' WHERE id = ?", (ids[0],))
        connection.close()
        listed = (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert [each["id"] for each in listed] == ids
        for id in ids[1:]:
            shown = await service.client.get(f"/api/deliveries/{id}")
            assert shown.status_code == 200, shown.text
            assert not shown.json()["kept"]
            assert (await _replay(service, id)).status_code == 409


BOMBS = (
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" + b"1," * 30_000 + b"1]",
    b"1" * 60_000,
    b'"\\ud800"',
    b"\xff\xfe\x00\xd8",
    b"a=1&" * 15_000,
    b"\x00" * 1_000_000,
)
TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain; charset=utf-16", "image/png", "")


async def test_a_hostile_body_is_kept_shown_and_replayed_without_an_error(tmp_path: Path) -> None:
    text = LAB.replace('{preset: gitlab, secret: "{{ secrets.HOOK }}"}', "none")
    async with running(tmp_path, {"lab": text}) as service:
        for body in BOMBS:
            for media_type in TYPES:
                sent = await service.client.post("/hooks/lab", content=body, headers={"content-type": media_type})
                assert sent.status_code < 500, (body[:20], media_type)
                delivery = await _find_newest(service)
                shown = await service.client.get(f"/api/deliveries/{delivery}")
                assert shown.status_code == 200, (body[:20], media_type, shown.text[:200])
                assert len(shown.content) < 300_000
                assert (await service.client.get(f"/api/deliveries/{delivery}/body")).content == body
                replayed = await _replay(service, delivery)
                assert replayed.status_code == (202 if sent.status_code == 202 else 422), replayed.text[:200]


async def test_random_requests_for_replays_break_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    words: list[Any] = ["hub", "hub/hub", "other", "other/in", "", "/", "\x00", "é", "x" * 300, None, 7, True, [], {}]
    names = ["to", "unverified", "reason", "TO", "extra"]
    async with running(tmp_path, {"hub": HUB, "other": OTHER}) as service:
        await _push(service, 7)
        whole = await _find_newest(service)
        for _ in range(150):
            id = chance.choice([whole, whole[:-1], "latest", "%00", "dlv_" + "0" * 26, "../runs"])
            body = {chance.choice(names): chance.choice(words) for _ in range(chance.randint(0, 3))}
            answer = await service.client.post(f"/api/deliveries/{id}/replay", json=body)
            assert answer.status_code in (202, 404, 405, 409, 422), (id, body, answer.text)
        assert (await service.client.get("/ready")).status_code == 200
