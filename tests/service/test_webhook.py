"""The path of an event from a signed request to a run, over a real port."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, outside, running
from triggers.webhooks.presets import find_scheme
from triggers.webhooks.signature import sign_request

pytestmark = pytest.mark.anyio
PAYLOADS = Path(__file__).parent.parent / "data" / "webhooks"

GITHUB = """
triggers:
  - id: hub
    use: webhook
    with:
      path: /github
      verify: {preset: github, secret: "{{ secrets.HOOK }}"}
    inputs: {event: "{{ trigger.type }}", repository: "{{ trigger.body.repository.full_name }}"}
steps:
  - {id: note, use: transform.set, with: {values: {said: "{{ inputs.event }} at {{ inputs.repository }}"}}}
outputs: {said: "{{ steps.note.output.said }}"}
"""

SHOP = """
triggers:
  - id: shop
    use: webhook
    with:
      path: /orders/{store}
      verify: {preset: standard-webhooks, secret: "{{ secrets.SHOP }}"}
      dedupe: {key: "{{ trigger.headers['webhook-id'] }}", for: 1d}
    when: "trigger.body.test is not defined"
    inputs: {id: "{{ trigger.body.id }}", store: "{{ trigger.path.store }}"}
inputs:
  id: {type: integer}
  store: {type: string}
steps:
  - {id: note, use: transform.set, with: {values: {id: "{{ inputs.id }}"}}}
on_failure:
  - {id: told, use: log.write, with: {message: "{{ error.message }}"}}
"""
SHOP_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WITH_SHOP = {**ENVIRONMENT, "WAYPOST_SECRET_SHOP": SHOP_SECRET}


def github(body: bytes, *, id: str, type: str, secret: str = "hook-secret-1") -> dict[str, str]:
    scheme = find_scheme("github", {}, "verify")
    return {"content-type": "application/json", **sign_request(scheme, secret, body, 0, id=id, type=type)}


def _shop(service: Running, body: bytes, *, id: str, secret: str = SHOP_SECRET) -> dict[str, str]:
    import time

    scheme = find_scheme("standard-webhooks", {}, "verify")
    return {"content-type": "application/json", **sign_request(scheme, secret, body, time.time(), id=id)}


@pytest.mark.parametrize("event", ["push", "issues", "pull_request", "release"])
async def test_a_real_github_payload_becomes_a_completed_run(tmp_path: Path, event: str) -> None:
    body = next(PAYLOADS.rglob(f"github.{event}.json")).read_bytes()
    async with running(tmp_path, {"hub": GITHUB}) as service:
        answer = await service.client.post("/hooks/github", content=body, headers=github(body, id="1", type=event))
        assert answer.status_code == 202
        assert set(answer.json()) == {"event", "runs"}
        run = await service.wait_for_end(answer.json()["runs"][0])
        assert run["status"] == "completed"
        assert run["outputs"] == {"said": f"{event} at Codertocat/Hello-World"}


async def test_a_repeated_delivery_gets_200_with_the_same_ids(tmp_path: Path) -> None:
    body = b'{"id": 7}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        first = await service.client.post("/hooks/orders/berlin", content=body, headers=_shop(service, body, id="a"))
        again = await service.client.post("/hooks/orders/berlin", content=body, headers=_shop(service, body, id="a"))
        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json() == {**first.json(), "duplicate": True}
        elsewhere = await service.client.post("/hooks/orders/rome", content=body, headers=_shop(service, body, id="a"))
        assert elsewhere.status_code == 202, "the path's values are part of a claim's scope"


async def test_a_hundred_duplicates_at_once_start_one_run(tmp_path: Path) -> None:
    body = b'{"id": 7}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        headers = _shop(service, body, id="a")
        answers = await asyncio.gather(
            *(service.client.post("/hooks/orders/berlin", content=body, headers=headers) for _ in range(100))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
        assert len({answer.json()["runs"][0] for answer in answers}) == 1
        assert len((await service.client.get("/api/runs")).json()["runs"]) == 1


async def test_a_captured_request_with_a_new_unsigned_id_starts_nothing(tmp_path: Path) -> None:
    body = b'{"repository": {"full_name": "a/b"}}'
    async with running(tmp_path, {"hub": GITHUB}) as service:
        first = await service.client.post("/hooks/github", content=body, headers=github(body, id="1", type="push"))
        replayed = await service.client.post("/hooks/github", content=body, headers=github(body, id="2", type="push"))
        assert replayed.status_code == 200
        assert replayed.json()["runs"] == first.json()["runs"]


async def test_a_bad_signature_and_an_unknown_webhook_get_the_same_response(tmp_path: Path) -> None:
    body = b"{}"
    async with running(tmp_path, {"hub": GITHUB}) as service:
        bad = await service.client.post("/hooks/github", content=body, headers=github(b"x", id="1", type="push"))
        none = await service.client.post("/hooks/github", content=body)
        unknown = await service.client.post("/hooks/nobody", content=body)
        assert {answer.status_code for answer in (bad, none, unknown)} == {401}
        assert bad.content == none.content == unknown.content
        assert (await service.client.get("/api/runs")).json()["runs"] == []


async def test_a_request_rejected_by_when_is_filtered_and_can_be_sent_again(tmp_path: Path) -> None:
    body = b'{"id": 7, "test": true}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        answer = await service.client.post("/hooks/orders/berlin", content=body, headers=_shop(service, body, id="a"))
        assert answer.status_code == 200
        assert answer.json()["runs"] == []
        assert "when" in answer.json()["reason"]
        mended = b'{"id": 7}'
        headers = _shop(service, mended, id="a")
        assert (await service.client.post("/hooks/orders/berlin", content=mended, headers=headers)).status_code == 202


async def test_invalid_inputs_start_a_failed_run_with_the_reason(tmp_path: Path) -> None:
    body = b'{"id": "seven"}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        answer = await service.client.post("/hooks/orders/berlin", content=body, headers=_shop(service, body, id="a"))
        assert answer.status_code == 202
        run = await service.wait_for_end(answer.json()["runs"][0])
        assert run["status"] == "failed"
        assert run["error"]["class"] == "invalid"
        assert "inputs.id" in run["error"]["message"]
        assert run["steps"]["told"]["status"] == "completed", "on_failure is performed for start failures too"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": 1e400}', 400),
        (b'{"a": ' + b"9" * 5_000 + b"}", 400),
        (b"\xff\xfe", 400),
        (b'"\\ud800"', 400),
        (b"[" * 5000, 400),
        (b"x" * 3_000_000, 413),
    ],
)
async def test_an_unreadable_body_gets_a_4xx(tmp_path: Path, body: bytes, status: int) -> None:
    async with running(tmp_path, {"hub": GITHUB}, max_body_bytes=1_000_000) as service:
        answer = await service.client.post("/hooks/github", content=body, headers=github(body, id="1", type="push"))
        assert answer.status_code == status
        assert answer.json()["error"]


async def test_deliveries_show_their_outcome_and_reason(tmp_path: Path) -> None:
    body = b'{"id": 7, "test": true}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        good = b'{"id": 1}'
        for content, headers in (
            (body, _shop(service, body, id="a")),
            (good, _shop(service, good, id="b")),
            (good, _shop(service, good, id="b")),
            (good, _shop(service, good, id="c", secret="whsec_" + "A" * 32)),
        ):
            await service.client.post("/hooks/orders/berlin", content=content, headers=headers)
        deliveries: list[dict[str, str]] = []
        while len(deliveries) < 4:
            deliveries = (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert [each["outcome"] for each in deliveries] == ["rejected", "duplicate", "accepted", "filtered"]
        assert "bad_signature" in deliveries[0]["reason"]
        assert "when" in deliveries[3]["reason"]


async def test_a_client_that_disconnects_changes_nothing(tmp_path: Path) -> None:
    body = b'{"id": 7}'
    async with running(tmp_path, {"shop": SHOP}, WITH_SHOP) as service:
        headers = _shop(service, body, id="a")
        host, port = service.service.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        lines = [f"POST /hooks/orders/berlin HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        writer.write("".join([*lines, "\r\n"]).encode() + body)
        await writer.drain()
        writer.close()
        async with asyncio.timeout(60):
            while not (found := (await service.client.get("/api/runs")).json()["runs"]):
                await asyncio.sleep(0.01)
        assert (await service.wait_for_end(found[0]["id"]))["status"] == "completed"


async def test_credentials_are_removed_before_the_event_is_created(tmp_path: Path) -> None:
    text = GITHUB.replace(
        "note, use: transform.set, with: {values: {said:",
        'note, use: transform.set, with: {values: {all: "{{ trigger.headers }}", said:',
    )
    body = b'{"repository": {"full_name": "a/b"}}'
    async with running(tmp_path, {"hub": text}) as service:
        headers = github(body, id="1", type="push") | {"authorization": "Bearer canary-9", "cookie": "c=canary-9"}
        client = httpx.AsyncClient(base_url=service.service.url)
        answer = await client.post("/hooks/github", content=body, headers=headers)
        await client.aclose()
        run = await service.wait_for_end(answer.json()["runs"][0])
        seen = run["steps"]["note"]["output"]["all"]
        assert "x-github-event" in seen
        assert not {"authorization", "cookie", "x-hub-signature-256"} & set(seen)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert b"canary-9" not in kept
    # The signature is stored with the delivery, so that it can be checked again. It proves only this request.
    assert headers["x-hub-signature-256"].encode() in kept


async def test_a_step_sends_a_stable_key_and_its_secret(tmp_path: Path) -> None:
    async with outside() as world:
        text = f"""
steps:
  - id: call
    use: http.post
    with: {{url: "{world.url}/x", headers: {{authorization: "Bearer {{{{ secrets.HOOK }}}}"}}, json: {{a: 1}}}}
"""
        async with running(tmp_path, {"caller": text}) as service:
            run = await service.wait_for_end((await service.start("caller")).json()["id"])
            assert run["status"] == "completed"
            sent = world.requests[0]["headers"]
            assert sent["authorization"] == "Bearer hook-secret-1"
            assert sent["idempotency-key"] == f"{run['id']}:call"
            assert run["steps"]["call"]["input"]["headers"]["authorization"] == "Bearer {{ secrets.HOOK }}"
