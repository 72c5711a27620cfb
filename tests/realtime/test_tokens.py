"""Tokens for streams: who can make them, what they permit, and when they end."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from durable import clock
from tests.realtime.pipelines import ASK, make_token, start_run
from tests.realtime.streaming import open_stream
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HOUR = 3_600


async def _status(service: Running, run: str, token: str) -> tuple[int, str]:
    answer = await service.client.get(
        f"/api/runs/{run}/stream?token={token}&after=999999999", headers={"Authorization": ""}
    )
    return answer.status_code, answer.text


def _forge(service: Running, **changes: Any) -> str:
    """A token signed with the right secret, unless the changes say otherwise."""
    secret = service.service.keys.make_signing_secret("admin")
    given = {"key": "admin", "algorithm": "HS256", "secret": secret, "claims": {}, **changes}
    claims = {"exp": int(time.time()) + HOUR, "scope": {"pipelines": ["ask"]}, **given["claims"]}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, given["secret"], given["algorithm"], {"kid": given["key"]})


FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "another secret": ({"secret": "x" * 32}, "Signature verification failed"),
    "no signature": ({"algorithm": "none", "secret": ""}, "not allowed"),
    "another algorithm": ({"algorithm": "HS384", "secret": "x" * 48}, "not allowed"),
    "an unknown key": ({"key": "key_00000000000000000000000000"}, "names no valid key"),
    "no key": ({"key": ""}, "names no valid key"),
    "no end": ({"claims": {"exp": None}}, "missing the"),
    "an end in the past": ({"claims": {"exp": 1_000}}, "has expired"),
    "an end too far away": ({"claims": {"exp": 4_000_000_000}}, "longer than 24 h"),
    "no scope": ({"claims": {"scope": None}}, "missing the"),
    "a scope of another shape": ({"claims": {"scope": "all"}}, "Expected `object`"),
    "an unknown view": ({"claims": {"see": "everything"}}, "Invalid enum value"),
}


async def test_a_token_that_was_not_made_for_this_service_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        right = _forge(service)
        head, _, signature = right.split(".")
        widened = base64.urlsafe_b64encode(json.dumps({"exp": 4e9, "scope": {"runs": [run]}}).encode()).decode()
        for changes, text in FORGED.values():
            status, said = await _status(service, run, _forge(service, **changes))
            assert (status, text in said) == (401, True), said
        assert (await _status(service, run, f"{head}.{widened.rstrip('=')}.{signature}"))[0] == 401
        assert (await _status(service, run, "x" * 20_000))[0] in (401, 429)


async def test_an_api_key_does_not_work_in_an_address(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        key = service.client.headers["Authorization"].removeprefix("Bearer ")
        assert (await _status(service, run, key))[0] == 401


async def test_a_token_is_no_key_of_the_api(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]}, see="history")
        for path in (f"/api/runs/{run}", "/api/runs", f"/api/runs/{run}/history"):
            answer = await service.client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401
        assert (await service.client.get(f"/api/runs/{run}?token={token}")).status_code == 422


async def test_a_token_ends_with_the_key_that_asked_for_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        made = (await service.client.post("/api/keys", json={"name": "shop", "scope": "read"})).json()
        answer = await service.client.post(
            "/api/tokens", json={"scope": {"runs": [run]}}, headers={"Authorization": f"Bearer {made['key']}"}
        )
        token = answer.json()["token"]
        async with open_stream(service.client, f"/runs/{run}/stream?token={token}") as stream:
            await stream.until_status("waiting")
        await service.client.delete(f"/api/keys/{made['id']}")
        assert "names no valid key" in (await _status(service, run, token))[1]


async def test_a_token_outlives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]})
    async with (
        running(tmp_path, {"ask": ASK}) as service,
        open_stream(service.client, f"/runs/{run}/stream?token={token}") as stream,
    ):
        assert (await stream.until_status("waiting"))[-1].data["status"] == "waiting"


async def test_a_stream_says_that_its_token_expires_and_ends_with_it(tmp_path: Path) -> None:
    shift = 0
    async with running(tmp_path, {"ask": ASK}, now=lambda: clock.now() + shift) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]}, **{"for": "2s"})
        async with open_stream(service.client, f"/runs/{run}/stream?token={token}") as stream:
            events = await stream.until("expiring")
            rest = await stream.rest()
        assert events[-1].data["expires_at"].endswith("Z")
        assert "end" not in [event.event for event in rest]


async def test_the_start_of_a_run_brings_a_token_for_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        start = "/api/pipelines/ask/runs"
        given = (await service.client.post(start, json={"token": {"for": "5m", "see": "outputs"}})).json()
        other = (await service.client.post(start, json={})).json()
        assert "token" not in other
        assert given["token"]["see"] == "outputs"
        assert given["token"]["scope"] == {"runs": [given["id"]]}
        assert (await _status(service, other["id"], given["token"]["token"]))[0] == 404
        async with open_stream(service.client, f"/runs/{given['id']}/stream?token={given['token']['token']}") as stream:
            assert await stream.until_status("waiting")
        batch = await service.client.post(f"{start}/batch", json={"runs": [{"token": {}}, {}]})
        assert ["token" in answer["run"] for answer in batch.json()["answers"]] == [True, False]


async def test_a_backend_signs_tokens_with_a_key_that_is_worth_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        made = (await service.client.post("/api/keys", json={"name": "shop", "scope": "sign"})).json()
        token = _forge(service, key=made["id"], secret=made["key"], claims={"see": "history"})
        async with open_stream(service.client, f"/runs/{run}/stream?token={token}") as stream:
            assert await stream.until_status("waiting")
        key = {"Authorization": f"Bearer {made['key']}"}
        assert (await service.client.get("/api/runs", headers=key)).status_code == 401
        assert (await service.client.get(f"/api/runs/{run}/stream", headers=key)).status_code == 401
        other = _forge(service, key="admin", secret=made["key"])
        assert "Signature verification failed" in (await _status(service, run, other))[1]
        await service.client.delete(f"/api/keys/{made['id']}")
        assert "names no valid key" in (await _status(service, run, token))[1]


async def test_what_a_token_may_be_is_checked(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"scope": {}}, "name at least one"),
            ({"scope": {"runs": ["x"]}}, "scope.runs"),
            ({"scope": {"tags": ["a"]}, "for": "25h"}, "for"),
            ({"scope": {"tags": ["a"]}, "see": "all"}, "see"),
            ({"for": "1m"}, "scope"),
        ]
        for body, text in cases:
            answer = await service.client.post("/api/tokens", json=body)
            assert answer.status_code == 422, body
            assert text in answer.json()["detail"]
        made = await service.client.post("/api/tokens", json={"scope": {"tags": ["a"]}})
        assert made.json().keys() == {"token", "expires_at", "scope", "see"}
        assert made.json()["see"] == "status"
        assert made.headers["cache-control"] == "no-store"
