"""API keys: scopes, revocation, and the rate limit on guesses."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, running
from triggers.instance import Instance
from triggers.keys import ensure_guarded
from triggers.service import serve
from triggers.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

QUICK = {"p": "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n"}
START = "/api/pipelines/p/runs"


async def _make_key(service: Running, scope: str, name: str = "somebody") -> dict[str, Any]:
    answer = await service.client.post("/api/keys", json={"name": name, "scope": scope})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _status(service: Running, key: str, method: str, path: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    content = b"{}" if method == "POST" else None
    return (await service.client.request(method, path, headers=headers, content=content)).status_code


@pytest.mark.parametrize(
    ("scope", "reads", "starts", "manages"),
    [("read", 200, 403, 403), ("start", 200, 202, 403), ("admin", 200, 202, 200)],
)
async def test_a_key_may_do_what_its_scope_allows(
    tmp_path: Path, scope: str, reads: int, starts: int, manages: int
) -> None:
    async with running(tmp_path, QUICK) as service:
        key = (await _make_key(service, scope))["key"]
        assert key.startswith("wp_")
        assert await _status(service, key, "GET", "/api/runs") == reads
        assert await _status(service, key, "POST", START) == starts
        assert await _status(service, key, "GET", "/api/keys") == manages
        refused = await service.client.get("/api/keys", headers={"authorization": f"Bearer {key}"})
        if refused.status_code == 403:
            assert f"this one has `{scope}`" in refused.json()["detail"]
            assert "insufficient_scope" in refused.headers["www-authenticate"]


async def test_a_key_is_stored_only_as_a_hash_and_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service:
        made = await _make_key(service, "read", "the reader")
        [listed] = (await service.client.get("/api/keys")).json()["keys"]
        assert listed == {name: value for name, value in made.items() if name != "key"}
    data = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert made["key"].encode() not in data
    assert hashlib.sha256(made["key"].encode()).hexdigest().encode() in data
    async with running(tmp_path, QUICK) as service:
        assert await _status(service, made["key"], "GET", "/api/runs") == 200


async def test_a_revoked_key_never_works_again(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service:
        made = await _make_key(service, "admin")
        for _ in range(2):
            revoked = (await service.client.delete(f"/api/keys/{made['id']}")).json()
            assert revoked["revoked_at"] is not None
        assert await _status(service, made["key"], "GET", "/api/runs") == 401
    async with running(tmp_path, QUICK) as service:
        assert await _status(service, made["key"], "GET", "/api/runs") == 401
        [listed] = (await service.client.get("/api/keys")).json()["keys"]
        assert listed == revoked


async def test_only_the_description_is_public(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service, httpx.AsyncClient(base_url=service.service.url) as stranger:
        for path in ("/api/runs", "/api/pipelines", "/api/keys"):
            answer = await stranger.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for path in ("/api/openapi.json", "/api/docs"):
            assert (await stranger.get(path)).status_code == 200


async def test_guessing_keys_is_rate_limited(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service:
        for number in range(20):
            assert await _status(service, f"wp_guess{number}", "GET", "/api/runs") == 401
        answers = [await service.client.get("/api/runs", headers={"authorization": "Bearer wp_x"}) for _ in range(20)]
        answer = next(each for each in answers if each.status_code == 429)
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert (await service.client.get("/api/runs")).status_code == 200, "a valid key is never locked out"
        async with httpx.AsyncClient(base_url=service.service.url) as stranger:
            assert (await stranger.get("/api/runs")).status_code == 401, "a request without a key is not a guess"


@pytest.mark.parametrize(("host", "key"), [("0.0.0.0", None), ("::", None), ("0.0.0.0", "k" * 15), ("some.host", None)])
async def test_an_api_without_keys_is_not_exposed_to_other_machines(tmp_path: Path, host: str, key: str | None) -> None:
    async with running(tmp_path, {}) as service:
        settings = Settings.load(tmp_path / "config", {}, {"host": host, "api_key": key})
        with pytest.raises(SettingsError, match="16 characters or more"):
            ensure_guarded(settings, service.service.keys)
        made = await _make_key(service, "read")
        if key is None:
            ensure_guarded(settings, service.service.keys)
        await service.client.delete(f"/api/keys/{made['id']}")
        with pytest.raises(SettingsError):
            ensure_guarded(settings, service.service.keys)
        for fine in (
            {"host": host, "api_key": "k" * 16},
            {"host": "127.0.0.9"},
            {"host": "::1"},
            {"host": "localhost"},
        ):
            ensure_guarded(Settings.load(tmp_path / "config", {}, fine), service.service.keys)


async def test_an_exposed_service_without_keys_does_not_serve(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {}, {"host": "0.0.0.0", "port": 0})

    def announced(*_: object) -> None:
        raise AssertionError("it serves")

    with pytest.raises(SettingsError, match="no key for the API has been chosen"):
        await asyncio.wait_for(
            serve(settings, Instance(tmp_path, tmp_path / "data", ENVIRONMENT), announce=announced), 60
        )
