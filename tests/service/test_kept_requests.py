"""Deliveries keep their requests byte for byte, within bounds, and without credentials."""

import asyncio
from pathlib import Path

import pytest

from durable.journal.deliveries import find_delivery, sum_kept
from durable.units import Delivery
from tests.service.running import ENVIRONMENT, Running, running
from tests.service.test_webhook import github
from triggers.webhooks.kept_request import RequestHead

pytestmark = pytest.mark.anyio

HUB = """
triggers:
  - id: hub
    use: webhook
    with: {path: "/hub/{repo}", verify: {preset: github, secret: "{{ secrets.HOOK }}"}}
    when: trigger.body.total > 5
  - id: lab
    use: webhook
    with: {path: /lab, verify: {preset: gitlab, secret: "{{ secrets.HOOK }}"}}
  - id: meta
    use: webhook
    with:
      path: /meta
      verify: {preset: meta, secret: "{{ secrets.HOOK }}", verify_token: "{{ secrets.TOKEN }}"}
steps:
  - {id: a, use: transform.set, with: {values: {}}}
"""
PNG = b"\x89PNG\x00\xff\xfe"
TOKENS = ENVIRONMENT | {"WAYPOST_SECRET_TOKEN": "meta-token-1"}


async def _find_newest(service: Running) -> Delivery:
    """The newest delivery with its request, once it is recorded."""
    async with asyncio.timeout(10):
        while not (found := await service.service.journal.list_deliveries(limit=1)):
            await asyncio.sleep(0)
    delivery = await service.service.journal.read(find_delivery, found[0].id)
    assert delivery
    return delivery


async def test_a_request_is_kept_as_it_was_sent(tmp_path: Path) -> None:
    body = b'{"total": 6.10,\n "total": 9}'
    headers = [
        *github(body, id="1", type="push").items(),
        ("X-Note", "a"),
        ("x-other", "caf\xe9"),
        ("x-note", "b"),
        ("Cookie", "session=canary-cookie"),
    ]
    async with running(tmp_path, {"hub": HUB}) as service:
        client = service.client
        del client.headers["authorization"]
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        answer = await client.post("/hooks/hub/a%2Fb?x=1&x=%20&y", content=body, headers=raw)
        assert answer.status_code == 202, answer.text
        delivery = await _find_newest(service)
    assert delivery.body == body
    assert delivery.head
    head = RequestHead.decode(delivery.head)
    assert (head.path, head.query) == ("/hooks/hub/a%2Fb", "x=1&x=%20&y")
    assert [(each.name, each.value) for each in head.headers if each.name in ("x-note", "x-other")] == [
        ("x-note", "a"),
        ("x-other", "caf\xe9"),
        ("x-note", "b"),
    ]
    [signature] = [each.value for each in head.headers if each.name == "x-hub-signature-256"]
    assert signature == dict(headers)["x-hub-signature-256"]
    [cookie] = [each for each in head.headers if each.name == "cookie"]
    assert cookie.value is None
    assert cookie.hash
    assert delivery.kept == len(delivery.head) + len(body)


async def test_the_bytes_of_a_file_are_kept(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        headers = github(PNG, id="1", type="push") | {"content-type": "image/png"}
        await service.client.post("/hooks/hub/r", content=PNG, headers=headers)
        delivery = await _find_newest(service)
    assert (delivery.outcome, delivery.body) == ("filtered", PNG)


async def test_a_token_is_in_no_file_answer_or_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, {"hub": HUB}, TOKENS) as service:
        for token in ("hook-secret-1", "wrong-canary"):
            headers = {"X-Gitlab-Token": token, "Authorization": "Bearer canary-bearer", "X-Gitlab-Event": "Push"}
            await service.client.post("/hooks/lab", json={}, headers=headers)
        for token in ("meta-token-1", "wrong-canary"):
            query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "c1"}
            await service.client.get("/hooks/meta", params=query)
        assert await service.service.journal.is_writable()
        answers = [await service.client.get("/api/deliveries")]
        for each in answers[0].json()["deliveries"]:
            answers += [await service.client.get(f"/api/deliveries/{each['id']}{what}") for what in ("", "/body")]
            answers.append(await service.client.post(f"/api/deliveries/{each['id']}/replay", json={}))
    shown = caplog.text.encode() + b"".join(answer.content for answer in answers)
    kept = shown + b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    for canary in (b"hook-secret-1", b"wrong-canary", b"canary-bearer", b"meta-token-1"):
        assert canary not in kept
    assert b"hub.challenge=c1" in kept


async def test_a_large_request_is_kept_without_its_body(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, max_delivery_bytes=2_000) as service:
        body = b"x" * 2_000
        await service.client.post("/hooks/hub/r", content=body, headers=github(body, id="1", type="push"))
        delivery = await _find_newest(service)
    assert (delivery.size, delivery.body) == (2_000, None)
    assert delivery.head


async def test_of_a_rejected_multipart_request_only_the_head_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        await service.client.post("/hooks/hub/r", files={"file": b"x"})
        delivery = await _find_newest(service)
    assert (delivery.outcome, delivery.body) == ("rejected", None)
    assert delivery.head


async def test_the_oldest_requests_are_dropped_first(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, max_deliveries_bytes=8_000) as service:
        for number in range(12):
            body = b"%d" % number + b" " * 1_000
            await service.client.post("/hooks/hub/r", content=body, headers=github(body, id=str(number), type="push"))
        journal = service.service.journal
        assert await journal.is_writable()  # after the records, which no sender waits for
        await service.service.keeper.drop_oldest()
        kept = [delivery.kept for delivery in await journal.list_deliveries()]
        total = await journal.read(sum_kept, is_rejected=False)
    assert len(kept) == 12
    assert kept == sorted(kept, key=bool, reverse=True)
    assert sum(kept) == total <= 8_000


async def test_a_flood_of_rejected_requests_displaces_no_others(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, max_rejected_bytes=32_000, max_deliveries_bytes=32_000) as service:
        body = b"{}" + b" " * 1_000
        await service.client.post("/hooks/hub/r", content=body, headers=github(body, id="1", type="push"))
        for _ in range(50):
            await service.client.post("/hooks/hub/r", content=b"forged" * 1_000)
        journal = service.service.journal
        assert await journal.is_writable()  # after the records, which no sender waits for
        await service.service.keeper.drop_oldest()
        assert await journal.read(sum_kept, is_rejected=True) <= 32_000
        assert await journal.read(sum_kept, is_rejected=False) > 1_000
        assert len(await journal.list_deliveries(outcome="rejected", limit=100)) == 50
