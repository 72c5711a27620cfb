"""OAuth 2.0 against `oidc-provider`, which rotates refresh tokens and ends a grant if one is used twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from durable.encrypted_store.key_ring import StoreKey
from tests.service.openid import OpenIdProvider, consent, make_browser, serve_openid
from tests.service.running import Running, running
from tests.service.store_keys import make_environment
from tests.service.test_connections import write

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

STEPS = 50
PIPELINE = "steps: [{id: get, use: http.get, connection: me, with: {url: /me}}]\n"
HOUR = 3_600_000


@asynccontextmanager
async def serving(tmp_path: Path, clock: list[int]) -> AsyncIterator[tuple[Running, OpenIdProvider]]:
    """A service with the connection `me`, and the provider."""
    environment = make_environment(tmp_path, StoreKey.generate())
    public = "https://waypost.example.com"
    async with serve_openid(f"{public}/oauth/callback") as provider:
        auth = {"oauth2": provider.settings}
        write(tmp_path, json.dumps({"me": {"use": "http", "base_url": provider.url, "auth": auth}}))
        async with running(tmp_path, {"p": PIPELINE}, environment, now=lambda: clock[0], public_url=public) as service:
            service.client.base_url = service.service.local_url
            yield service, provider


async def log_in(service: Running, *, is_denied: bool = False) -> str:
    """Log in; returns the page at the end."""
    begun = (await service.client.post("/api/connections/me/login")).json()
    place = await consent(begun["url"], is_denied=is_denied)
    async with make_browser() as browser:
        page = await browser.get(place.replace("https://waypost.example.com", service.service.local_url))
    return page.text


async def run_all(service: Running, count: int) -> list[str]:
    """Start this many runs at once, and return how they ended."""
    started = await asyncio.gather(*(service.start("p") for _ in range(count)))
    ended = await asyncio.gather(*(service.wait_for_end(each.json()["id"]) for each in started))
    return [each["status"] for each in ended]


async def retry_paused(service: Running) -> list[str]:
    """Retry all paused runs at once, and return how they ended."""
    paused = [each["id"] for each in (await service.ask("/runs?status=paused"))["runs"]]
    bulk = {"action": "retry", "filter": {"status": "paused"}, "rate": 1000, "expected": len(paused)}
    assert (await service.client.post("/api/bulks", json=bulk)).status_code < 300
    ended = []
    for run in paused:
        while (found := await service.ask(f"/runs/{run}"))["status"] not in {"completed", "failed"}:
            await asyncio.sleep(0.01)
        ended.append(found["status"])
    return ended


async def test_many_steps_with_an_expired_token_renew_it_once_and_the_login_lives_on(tmp_path: Path) -> None:
    clock = [1_800_000_000_000]
    async with serving(tmp_path, clock) as (service, provider):
        denied = await log_in(service, is_denied=True)
        paused = await run_all(service, 20)
        page = await log_in(service)
        clock[0] += 1_000
        resumed = await retry_paused(service)
        first = await run_all(service, 2)
        outcomes, counts = [], []
        for _ in range(3):
            clock[0] += 2 * HOUR
            outcomes.append(await run_all(service, STEPS))
            counts.append(await provider.count("refresh_token"))
        state = (await service.ask("/connections/me"))["status"]
    assert "access_denied" in denied
    assert "The connection me is logged in" in page
    assert (paused, resumed, first) == (["paused"] * 20, ["completed"] * 20, ["completed"] * 2)
    assert outcomes == [["completed"] * STEPS] * 3
    assert (counts, state) == ([(1, 0), (2, 0), (3, 0)], "ready")


async def test_a_logout_ends_the_grant_at_the_provider(tmp_path: Path) -> None:
    clock = [1_800_000_000_000]
    async with serving(tmp_path, clock) as (service, _):
        await log_in(service)
        done = (await service.client.post("/api/connections/me/logout")).json()
        again = await run_all(service, 1)
    assert done["message"] == "me is logged out, and the service has revoked its tokens"
    assert again == ["paused"]
