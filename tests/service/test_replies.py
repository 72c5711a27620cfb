"""Provider-specific responses over a real port: replies, handshakes and signed URLs."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, running
from triggers.webhooks.presets import load_presets
from triggers.webhooks.signature import sign_request

pytestmark = pytest.mark.anyio

SECRET = ENVIRONMENT["WAYPOST_SECRET_HOOK"]
TOKEN = "canary-token-7"
WITH_TOKEN = {**ENVIRONMENT, "WAYPOST_SECRET_TOKEN": TOKEN}


def _hook(preset: str, *, path: str = "/x", more: str = "", when: str = "true") -> str:
    return f"""
triggers:
  - id: hook
    use: webhook
    with: {{path: {path}, verify: {{preset: {preset}, secret: "{{{{ secrets.HOOK }}}}"{more}}}}}
    when: "{when}"
steps:
  - {{id: note, use: transform.set, with: {{values: {{all: "{{{{ trigger }}}}"}}}}}}
"""


META = _hook("meta", more=', verify_token: "{{ secrets.TOKEN }}"')


async def _send(service: Running, preset: str, body: Any, **signing: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = sign_request(
        load_presets()[preset], SECRET, content, time.time(), path="/hooks/x", **{"id": "1", **signing}
    )
    headers["content-type"] = "application/json"
    return await service.client.post("/hooks/x", content=content, headers=headers)


def _local(tmp_path: Path) -> str:
    """The address on which the service listens; its `url` is the public one."""
    return str(json.loads((tmp_path / "data" / "service.json").read_text())["url"])


async def _deliveries(service: Running, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found = (await service.client.get("/api/deliveries")).json()["deliveries"]
    return found


# -- replies ----------------------------------------------------------------------------------------------------------


async def test_a_sender_with_its_own_reply_format_gets_the_ids_in_headers(tmp_path: Path) -> None:
    event = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "message"}}
    async with running(tmp_path, {"chat": _hook("slack")}) as service:
        first, again = [await _send(service, "slack", event) for _ in range(2)]
        assert (first.status_code, first.content) == (again.status_code, again.content) == (200, b"")
        assert first.headers["waypost-event"] == again.headers["waypost-event"]
        run = await service.wait_for_end(first.headers["waypost-runs"])
        assert run["status"] == "completed"
        assert run["event"] == first.headers["waypost-event"]
        assert len((await service.client.get("/api/runs")).json()["runs"]) == 1


async def test_a_filtered_request_gets_the_same_reply_without_ids(tmp_path: Path) -> None:
    async with running(tmp_path, {"chat": _hook("slack", when="false")}) as service:
        answer = await _send(service, "slack", {"event_id": "Ev1"})
        assert (answer.status_code, answer.content, answer.headers["waypost-runs"]) == (200, b"", "")
        assert "waypost-event" not in answer.headers


async def test_a_slash_command_without_an_id_runs_once_however_often_it_is_replayed(tmp_path: Path) -> None:
    body = b"command=%2Fdeploy&text=now&channel_name=ops"
    headers = sign_request(load_presets()["slack"], SECRET, body, time.time(), id="")
    headers["content-type"] = "application/x-www-form-urlencoded"
    async with running(tmp_path, {"chat": _hook("slack")}) as service:
        answers = [await service.client.post("/hooks/x", content=body, headers=headers) for _ in range(3)]
        assert len({answer.headers["waypost-runs"] for answer in answers}) == 1
        run = await service.wait_for_end(answers[0].headers["waypost-runs"])
        assert run["steps"]["note"]["output"]["all"]["body"]["command"] == "/deploy"


# -- handshakes -------------------------------------------------------------------------------------------------------


async def test_a_handshake_is_answered_and_recorded_and_starts_nothing(tmp_path: Path) -> None:
    challenge = {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRN", "token": "deprecated"}
    async with running(tmp_path, {"chat": _hook("slack")}) as service:
        answer = await _send(service, "slack", challenge)
        assert answer.json() == {"challenge": "3eZbrw1aBm2rZgRN"}
        assert answer.headers["content-type"] == "application/json"
        unsigned = await service.client.post("/hooks/x", json=challenge)
        reflecting = await _send(service, "slack", challenge | {"challenge": "<script>alert(1)</script>"})
        assert (unsigned.status_code, reflecting.status_code) == (401, 400)
        assert "script" not in reflecting.text
        recorded = await _deliveries(service, 3)
        assert [each["outcome"] for each in recorded] == ["rejected", "rejected", "handshake"]
        assert recorded[2]["reason"] is None
        assert (await service.client.get("/api/runs")).json()["runs"] == []


async def test_meta_subscribes_with_a_get_and_then_posts_events(tmp_path: Path) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": TOKEN}
    async with running(tmp_path, {"social": META}, WITH_TOKEN) as service:
        answer = await service.client.get("/hooks/x", params=query)
        assert (answer.status_code, answer.text) == (200, "1158201444")
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        posted = await _send(service, "meta", {"object": "page"})
        assert posted.status_code == 200
        assert (await service.wait_for_end(posted.headers["waypost-runs"]))["status"] == "completed"
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert TOKEN.encode() not in kept


async def test_a_wrong_token_and_an_unknown_webhook_get_the_same_answer(tmp_path: Path) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": "wrong"}
    async with running(tmp_path, {"social": META}, WITH_TOKEN) as service:
        asked = [("/hooks/x", query), ("/hooks/x", {}), ("/hooks/nobody", query), ("/hooks/nobody", {})]
        answers = [await service.client.get(path, params=given) for path, given in asked]
        assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
        signed = sign_request(load_presets()["meta"], SECRET, b"", 0, id="")
        assert (await service.client.get("/hooks/x", headers=signed)).status_code == 401, "GET is for handshakes only"
        assert (await service.client.get("/api/runs")).json()["runs"] == []


# -- signed URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["square", "hubspot-v3"])
async def test_a_signed_url_is_verified_against_the_public_url(tmp_path: Path, preset: str) -> None:
    body = b'{"event_id": "1"}'
    public = "https://hooks.example.com/base"
    async with running(tmp_path, {"pay": _hook(preset)}, public_url=public):
        for url, status in ((public, 202), ("http://127.0.0.1", 401), ("https://hooks.example.com", 401)):
            headers = sign_request(
                load_presets()[preset], SECRET, body, time.time(), id="", path="/hooks/x", public_url=url
            )
            async with httpx.AsyncClient(base_url=_local(tmp_path), trust_env=False) as client:
                forwarded = {"host": "127.0.0.1", "x-forwarded-host": "hooks.example.com"}
                answer = await client.post("/hooks/x", content=body, headers=headers | forwarded)
            assert answer.status_code == status


@pytest.mark.parametrize("preset", ["square", "hubspot-v3"])
async def test_a_preset_that_signs_the_url_requires_a_public_url(tmp_path: Path, preset: str) -> None:
    async with running(tmp_path, {"pay": _hook(preset)}) as service:
        (file,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert file["status"] == "disabled"
        (problem,) = file["problems"]
        assert "pay.yaml:5:" in problem
        assert "set `public_url` in settings.toml or WAYPOST_PUBLIC_URL" in problem
        assert (await _send(service, "github", {})).status_code == 503


# -- secrets ----------------------------------------------------------------------------------------------------------


async def test_a_webhook_without_a_secret_value_rejects_all_requests(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": _hook("github")}, {}) as service:
        for secret in ("None", "", "null", "{{ secrets.HOOK }}"):
            headers = sign_request(load_presets()["github"], secret, b"{}", 0, id="1")
            assert (await service.client.post("/hooks/x", content=b"{}", headers=headers)).status_code == 401


@pytest.mark.parametrize("secret", ["written out", "{{ trigger.body.x }}", "{{ secrets.HOOK }}{{ trigger.body.x }}"])
async def test_a_literal_or_sender_supplied_secret_disables_the_pipeline(tmp_path: Path, secret: str) -> None:
    text = _hook("github").replace("{{ secrets.HOOK }}", secret)
    async with running(tmp_path, {"hub": text}) as service:
        (file,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert file["status"] == "disabled"
        assert 'write "{{ secrets.NAME }}"' in file["problems"][0]


async def test_either_secret_during_rotation_is_accepted(tmp_path: Path) -> None:
    text = _hook("github").replace('"{{ secrets.HOOK }}"', '["{{ secrets.NEW }}", "{{ secrets.HOOK }}"]')
    async with running(tmp_path, {"hub": text}, {**ENVIRONMENT, "WAYPOST_SECRET_NEW": "new"}) as service:
        for secret, status in (("new", 202), (SECRET, 202), ("another", 401)):
            body = secret.encode()
            headers = sign_request(load_presets()["github"], secret, body, 0, id=secret)
            assert (await service.client.post("/hooks/x", content=body, headers=headers)).status_code == status
