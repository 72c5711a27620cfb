"""OAuth 2.0 in a whole service: access tokens of steps, and runs that wait for a login."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from durable.encrypted_store.key_ring import StoreKey
from tests.connectors.token_service import TokenService, json_answer, serve_tokens
from tests.service.running import ENVIRONMENT, Running
from tests.service.running import running as run_service
from tests.service.store_keys import make_environment
from tests.service.test_connections import write

pytestmark = pytest.mark.anyio

PIPELINE = """
steps:
  - {id: first, use: http.get, connection: crm, with: {url: /a}}
  - {id: second, use: http.post, connection: crm, on_crash: park, with: {url: /b, json: {}}}
"""


def write_connection(tmp_path: Path, service: TokenService, **more: Any) -> None:
    auth = {"oauth2": {**service.settings, "client_secret": "{{ secrets.CLIENT }}", **more}}
    write(tmp_path, json.dumps({"crm": {"use": "http", "base_url": service.url, "auth": auth}}))


SECRET = {"WAYPOST_SECRET_CLIENT": "canary/secret+1"}


async def test_steps_are_sent_with_the_access_token_of_the_client(tmp_path: Path) -> None:
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside, grant="client_credentials")
        async with run_service(tmp_path, {"p": PIPELINE}, {**ENVIRONMENT, **SECRET}) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
            history = await service.client.get(f"/api/runs/{run['id']}/history")
    assert run["status"] == "completed"
    assert [each.headers["authorization"] for each in outside.calls] == ["Bearer canary-access-1"] * 2
    assert [each["client_secret"] for each in outside.used] == ["canary/secret+1"]
    assert "canary" not in history.text


async def log_in(service: Running, name: str = "crm") -> httpx.Response:
    """Log a connection in, as a person with a browser does."""
    begun = await service.client.post(f"/api/connections/{name}/login")
    assert begun.status_code == 200, begun.text
    return await open_in_browser(begun.json()["url"])


async def open_in_browser(url: str) -> httpx.Response:
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False, verify=False) as browser:
        return await browser.get(url, headers={"accept": "text/html"})


async def get_login(service: Running, name: str = "crm") -> tuple[str, str | None]:
    found = await service.ask(f"/connections/{name}")
    return found["status"], found["login"] and found["login"]["status"]


@asynccontextmanager
async def serving(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[Running, TokenService]]:
    """A service with a store key, and the service that the connection `crm` calls."""
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside, **more)
        environment = make_environment(tmp_path, StoreKey.generate(), **SECRET)
        async with run_service(tmp_path, {"p": PIPELINE}, environment) as service:
            yield service, outside


async def test_a_paused_run_goes_on_after_a_login(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(tmp_path) as (service, outside):
            run = (await service.wait_for_end((await service.start("p")).json()["id"]))["id"]
            before = await get_login(service)
            page = await log_in(service)
            again = await open_in_browser(str(page.url))
            after = await get_login(service)
            await service.client.post(f"/api/runs/{run}/resume")
            ended = await service.wait_for_end(run)
            paths = (f"/api/runs/{run}/history", "/api/connections", "/connections/crm", "/api/audit")
            pages = [(await service.client.get(path)).text for path in paths]
            token = (await service.ask("/connections/crm"))["token"]
            recorded = (await service.ask("/audit?target=crm"))["records"]
    assert token["expires_at"] > token["issued_at"]
    assert "Log in again" in pages[2]
    assert [(each["action"], each["via"], each["by"], each["outcome"]) for each in recorded] == [
        ("complete_login", "link", "admin", "done"),
        ("begin_login", "api", "admin", "done"),
    ]
    assert (before, after) == (("needs_login", None), ("ready", "completed"))
    assert (page.status_code, again.status_code, ended["status"]) == (200, 200, "completed")
    assert "The connection crm is logged in. You can close this page." in page.text
    assert page.text == again.text
    assert len(outside.used) == 1
    (asked,) = outside.authorizations
    assert (asked["scope"], asked["code_challenge_method"], len(asked["code_challenge"])) == ("read write", "S256", 43)
    assert asked["redirect_uri"] == f"{service.service.url}/oauth/callback"
    assert {"cache-control": "no-store", "referrer-policy": "no-referrer"}.items() <= dict(page.headers).items()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    told = f"{page.text}{pages}{caplog.text}"
    assert "canary" not in told
    assert outside.used[0]["code_verifier"] not in told
    for file in (tmp_path / "data").iterdir():
        assert b"canary" not in file.read_bytes()


SHOP = """
about: A shop
connection:
  fields:
    url: {type: string, about: Its address}
    client: {type: string, about: The client id}
    secret: {type: string, secret: true, about: The client secret}
    scopes: {type: array, items: {type: string}, default: [orders], about: What is requested}
  auth:
    - oauth2:
        authorize_url: "{{ connection.url }}/authorize"
        token_url: "{{ connection.url }}/token"
        client_id: "{{ connection.client }}"
        client_secret: "{{ connection.secret }}"
        client_auth: post
        scopes: "{{ connection.scopes }}"
        separator: ","
  test: me
http: {base_url: "{{ connection.url }}"}
actions:
  me: {about: Who is logged in., get: /me, output: "{{ answer.status }}"}
"""


async def test_a_connector_in_yaml_declares_how_its_connections_are_logged_in(tmp_path: Path) -> None:
    async with serve_tokens() as outside:
        connection = {"use": "shop", "url": outside.url, "client": "client", "secret": "{{ secrets.CLIENT }}"}
        write(tmp_path, json.dumps({"crm": {**connection, "scopes": ["orders", "items"]}}))
        (tmp_path / "config" / "connectors").mkdir()
        (tmp_path / "config" / "connectors" / "shop.yaml").write_text(SHOP)
        environment = make_environment(tmp_path, StoreKey.generate(), **SECRET)
        async with run_service(tmp_path, {}, environment) as service:
            before = (await service.client.post("/api/connections/crm/test")).json()
            page = await log_in(service)
            after = (await service.client.post("/api/connections/crm/test")).json()
    assert (before["works"], before["code"], after["works"]) == (False, "login_needed", True)
    assert page.status_code == 200
    assert [each["scope"] for each in outside.authorizations] == ["orders,items"]
    assert ("by" in outside.used[0], outside.used[0]["client_secret"]) == (False, "canary/secret+1")
    assert "canary" not in f"{before}{after}"


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"error": "access_denied", "error_description": "<b>no</b>"}, 400, "access_denied: &lt;b&gt;no&lt;/b&gt;"),
        ({}, 400, "the service&#39;s answer has no code"),
        ({"code": "guessed"}, 400, "the service refused the request for a token: 400, invalid_grant"),
        ({"code": "x", "state": "guessed"}, 404, "This login is unknown"),
        ({"code": "x", "state": "\udc80é"}, 404, "This login is unknown"),
    ],
)
async def test_an_answer_that_is_no_consent_does_not_log_in(
    tmp_path: Path, given: dict[str, str], status: int, told: str
) -> None:
    async with serving(tmp_path) as (service, _):
        begun = (await service.client.post("/api/connections/crm/login")).json()
        state = parse_qs(urlsplit(begun["url"]).query)["state"][0]
        query = urlencode({"state": state, **given}, errors="surrogatepass")
        await service.client.head(f"/oauth/callback?{query}")
        page = await service.client.get(f"/oauth/callback?{query}", headers={"authorization": ""})
        states = await get_login(service)
    assert (page.status_code, states) == (status, ("needs_login", "failed" if status == 400 else "pending"))
    assert told in page.text
    assert "waypost connections login" in page.text


async def test_a_login_expires_is_used_once_and_is_replaced_by_a_later_one(tmp_path: Path) -> None:
    clock = [1_800_000_000_000]
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside)
        environment = make_environment(tmp_path, StoreKey.generate(), **SECRET)
        async with run_service(tmp_path, {}, environment, now=lambda: clock[0]) as service:
            replaced = (await service.client.post("/api/connections/crm/login")).json()["url"]
            expired = (await service.client.post("/api/connections/crm/login")).json()["url"]
            pages = [await open_in_browser(replaced)]
            clock[0] += 600_000
            pages.append(await open_in_browser(expired))
            begun = (await service.client.post("/api/connections/crm/login")).json()["url"]
            twice = await asyncio.gather(*(open_in_browser(begun) for _ in range(2)))
            states = await get_login(service)
    assert [page.status_code for page in pages] == [404, 400]
    assert "The login of crm has expired" in pages[1].text
    assert 200 in {page.status_code for page in twice}
    assert ([each["grant_type"] for each in outside.used], states) == (["authorization_code"], ("ready", "completed"))


async def test_a_login_without_a_store_key_says_how_to_make_one(tmp_path: Path) -> None:
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside)
        async with run_service(tmp_path, {}, {**ENVIRONMENT, **SECRET}) as service:
            refused = await service.client.post("/api/connections/crm/login")
            unknown = await service.client.post("/api/connections/nope/login")
    assert (refused.status_code, unknown.status_code) == (409, 404)
    assert "`waypost secrets key new FILE`" in refused.json()["detail"]


async def test_a_connection_that_needs_no_login_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, grant="client_credentials") as (service, _):
        refused = await service.client.post("/api/connections/crm/login")
        left = await service.client.post("/api/connections/crm/logout")
    assert (refused.status_code, left.json()["was_logged_in"]) == (409, False)
    assert "needs no login" in refused.json()["detail"]


@pytest.mark.parametrize("revokes", [True, False])
async def test_a_logout_forgets_the_tokens_and_revokes_them(tmp_path: Path, revokes: bool) -> None:
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside, **({"revoke_url": f"{outside.url}/revoke"} if revokes else {}))
        environment = make_environment(tmp_path, StoreKey.generate(), **SECRET)
        async with run_service(tmp_path, {"p": PIPELINE}, environment) as service:
            await log_in(service)
            done = (await service.client.post("/api/connections/crm/logout")).json()
            run = await service.wait_for_end((await service.start("p")).json()["id"])
            states = await get_login(service)
    assert (done["was_logged_in"], done["is_revoked"], len(outside.revoked)) == (True, revokes, int(revokes))
    assert (run["status"], outside.calls, states) == ("paused", [], ("needs_login", None))
    assert revokes or "`revoke_url`" in done["message"]


async def test_a_login_that_ended_is_shown_wherever_people_look(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, outside):
        await log_in(service)
        outside.valid.clear()
        outside.answers = [json_answer({"error": "invalid_grant", "error_description": "expired"}, "400 Bad Request")]
        run = await service.wait_for_end((await service.start("p")).json()["id"])
        found = await service.ask("/connections/crm")
        metrics = (await service.client.get("/metrics")).text
    assert (run["status"], found["status"], len(outside.calls)) == ("paused", "needs_login", 1)
    assert "invalid_grant: expired" in found["reason"]
    assert "its login ended at" in str(run)
    assert 'waypost_connection_needs_login{connection="crm"} 1' in metrics


async def test_a_step_that_must_not_be_repeated_is_not_uncertain_if_its_login_has_ended(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, outside):
        await log_in(service)
        outside.calls_left = 1
        outside.answers = [json_answer({"error": "invalid_grant"}, "400 Bad Request")]
        paused = await service.wait_for_end((await service.start("p")).json()["id"])
        await log_in(service)
        await service.client.post(f"/api/runs/{paused['id']}/resume")
        ended = await service.wait_for_end(paused["id"])
    statuses = {path: step["status"] for path, step in paused["steps"].items()}
    assert statuses == {"first": "completed", "second": "running"}
    assert (paused["status"], ended["status"]) == ("paused", "completed")
    lines = [each.line.split()[0] for each in outside.calls]
    assert lines == ["GET", "POST", "POST"]
    assert len({each.headers.get("idempotency-key") for each in outside.calls[1:]}) == 1


@pytest.mark.parametrize("has_key", [True, False])
async def test_a_run_whose_connection_needs_a_login_is_paused_before_anything_is_sent(
    tmp_path: Path, has_key: bool
) -> None:
    environment = make_environment(tmp_path, StoreKey.generate(), **SECRET) if has_key else {**ENVIRONMENT, **SECRET}
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside)
        async with run_service(tmp_path, {"p": PIPELINE}, environment) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
    assert run["status"] == "paused"
    assert "the connection 'crm' needs a login: nobody has logged it in" in str(run)
    assert "run `waypost connections login crm`" in str(run)
    assert outside.calls == []
