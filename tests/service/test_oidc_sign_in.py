"""Signing in with OpenID Connect, against a small provider and against the npm package `oidc-provider`."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from durable.secrets import Secrets
from tests.service.openid import SETTINGS, consent, serve_openid
from tests.service.running import ENVIRONMENT, Outside, Running, outside, running
from triggers.sessions.provider import open_provider
from triggers.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

HELLO = {"hello": "steps: [{id: say, use: log.write, with: {message: hello}}]\n"}
KEY = RSAKey.generate_key(2048, {"kid": "1"}, auto_kid=False)
ACCESS = "groups=ops:admin,groups=staff:start,email=ada@example.com:read"


def _make_environment(issuer: str, access: str = ACCESS, secret: str = "client-secret-1") -> dict[str, str]:
    settings = {"OIDC_ISSUER": issuer, "OIDC_CLIENT_ID": "waypost", "OIDC_ACCESS": access}
    secrets = {"WAYPOST_SECRET_OIDC_CLIENT_SECRET": secret}
    return {**ENVIRONMENT, **secrets, **{f"WAYPOST_{name}": value for name, value in settings.items()}}


@dataclass
class Issuer:
    """A provider. `claims` are added to those of ID tokens; `more` is what the userinfo endpoint says."""

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: KEY)
    challenge: str = ""
    nonce: str = ""

    def answer(self, request: Request) -> Response:
        answers: dict[str, Callable[[Request], Any]] = {
            "/.well-known/openid-configuration": self._describe,
            "/jwks": lambda _: {"keys": [KEY.as_dict(private=False)]},
            "/token": self._give_token,
            "/userinfo": lambda _: {"sub": "u1", **self.more},
        }
        return JSONResponse(answers[request.url.path](request))

    def _describe(self, _: Request) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
        }

    def _give_token(self, _: Request) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "waypost", "sub": "u1", "iat": now, "exp": now + 60, "nonce": self.nonce}
        claims = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}
        id_token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key, algorithms=["RS256"])
        return {"access_token": "a", "token_type": "Bearer", "id_token": id_token}

    def authorize(self, location: str) -> dict[str, str]:
        """What a browser brings back after its person has signed in there."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert location.startswith(f"{self.url}/authorize?")
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == (
            "code",
            "waypost",
            "S256",
        )
        self.challenge, self.nonce = asked["code_challenge"], asked["nonce"]
        return {"code": "c", "state": asked["state"]}


@asynccontextmanager
async def _serving(tmp_path: Path) -> AsyncIterator[tuple[Running, Issuer, Outside]]:
    async with outside() as world:
        issuer = Issuer(world.url)
        world.respond = issuer.answer
        async with running(tmp_path, HELLO, _make_environment(world.url)) as service:
            yield service, issuer, world


def _browser(service: Running) -> httpx.AsyncClient:
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    return httpx.AsyncClient(base_url=service.service.local_url, headers=headers, trust_env=False, timeout=30)


async def _sign_in(browser: httpx.AsyncClient, issuer: Issuer) -> httpx.Response:
    begun = await browser.get("/sign-in/provider?next=/runs")
    assert begun.status_code == 303, begun.text
    return await browser.get("/sign-in/callback", params=issuer.authorize(begun.headers["location"]))


async def test_a_person_signs_in_with_the_scope_that_their_claims_give(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, world), _browser(service) as browser:
        assert f"Sign in with {urlsplit(world.url).netloc}" in (await browser.get("/sign-in")).text
        issuer.claims = {"groups": ["staff", "ops"], "preferred_username": "ada"}
        answer = await _sign_in(browser, issuer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        assert "Signed in as ada with the scope admin" in (await browser.get("/runs")).text
        [session] = (await service.ask("/sessions"))["sessions"]
        assert (session["name"], session["scope"], session["key"], session["subject"]) == ("ada", "admin", "oidc", "u1")
        await service.client.delete(f"/api/sessions/{session['id']}")
        assert (await browser.get("/runs")).status_code == 303


async def test_the_token_request_proves_the_verifier_and_the_client(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, world), _browser(service) as browser:
        issuer.claims = {"groups": "staff"}
        await _sign_in(browser, issuer)
        [sent] = [each for each in world.requests if each["path"] == "/token"]
        basic = base64.b64encode(b"waypost:client-secret-1").decode()
        assert sent["headers"]["authorization"] == f"Basic {basic}"
        hashed = hashlib.sha256(sent["body"]["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(hashed).decode().rstrip("=") == issuer.challenge


REFUSED: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
    ({"groups": ["guests"]}, {}, "may not use this service"),
    ({"email": "ada@example.com"}, {}, "may not use this service"),
    ({"email": "ada@example.com", "email_verified": False}, {}, "may not use this service"),
    ({}, {"sub": "u2", "groups": ["ops"]}, "describes another person"),
    ({"groups": "ops", "iss": "https://other.example"}, {}, "ID token"),
    ({"groups": "ops", "aud": "other"}, {}, "ID token"),
    ({"groups": "ops", "aud": ["waypost", "other"], "azp": "other"}, {}, "for another client"),
    ({"groups": "ops", "exp": 1_000_000_000}, {}, "ID token"),
    ({"groups": "ops", "nonce": "another"}, {}, "ID token"),
    ({"groups": "ops", "nonce": None}, {}, "ID token"),
    ({"groups": "ops", "sub": None}, {}, "ID token"),
)
"""Claims of the ID token, what the userinfo endpoint says, and what the person reads."""


async def test_who_is_not_permitted_or_not_proven_does_not_sign_in(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, _), _browser(service) as browser:
        for claims, more, message in REFUSED:
            issuer.claims, issuer.more = claims, more
            answer = await _sign_in(browser, issuer)
            assert answer.status_code == 403, claims
            assert message in answer.text, claims
            assert (await browser.get("/runs")).status_code == 303


async def test_a_token_that_is_signed_by_another_key_is_refused(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, _), _browser(service) as browser:
        issuer.claims, issuer.key = {"groups": "ops"}, RSAKey.generate_key(2048, {"kid": "1"}, auto_kid=False)
        assert (await _sign_in(browser, issuer)).status_code == 403


async def test_claims_that_the_token_has_not_are_read_from_the_provider(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, _), _browser(service) as browser:
        issuer.more = {"email": "ada@example.com", "email_verified": True}
        assert (await _sign_in(browser, issuer)).status_code == 303
        assert "Signed in as ada@example.com with the scope read" in (await browser.get("/runs")).text


async def test_an_answer_counts_once_and_only_in_the_browser_that_asked(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, _), _browser(service) as browser, _browser(service) as victim:
        issuer.claims = {"groups": "ops"}
        begun = await browser.get("/sign-in/provider")
        answer = issuer.authorize(begun.headers["location"])
        for each in (victim, browser, browser):
            status = (await each.get("/sign-in/callback", params=answer)).status_code
            assert status == (303 if each is browser and not browser.cookies.get("done") else 403)
            if each is browser:
                browser.cookies.set("done", "1")
        assert (await browser.get("/sign-in/callback")).status_code == 403


async def test_the_sessions_of_people_end_when_the_rules_change(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, world), _browser(service) as browser:
        issuer.claims = {"groups": "ops"}
        await _sign_in(browser, issuer)
        [(_, token)] = [each for each in browser.cookies.items() if each[0] != "waypost_sign_in"]
    for access, status in ((ACCESS, 200), ("groups=ops:read", 303)):
        environment = _make_environment(world.url, access)
        async with running(tmp_path, HELLO, environment) as again, _browser(again) as browser:
            port = again.service.local_url.rpartition(":")[2]
            browser.cookies.set(f"waypost_{port}", token)
            assert (await browser.get("/runs")).status_code == status


async def test_a_provider_that_is_down_leaves_the_form_for_keys(tmp_path: Path) -> None:
    environment = _make_environment("http://127.0.0.1:9")
    async with running(tmp_path, HELLO, environment) as service, _browser(service) as browser:
        answer = await browser.get("/sign-in/provider")
        assert answer.status_code == 503
        assert "gave no usable answer" in answer.text
        assert 'name="key"' in answer.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"oidc_issuer": "https://login.example.com"}, "oidc_client_id is not"),
        ({"oidc_issuer": "https://login.example.com", "oidc_client_id": "w"}, "oidc_access is not"),
        ({"oidc_issuer": "http://login.example.com"}, "should be an https address"),
        ({"oidc_access": "ops:admin"}, "CLAIM=VALUE:SCOPE"),
        ({"oidc_access": "groups=ops:root"}, "scopes are read, start, admin"),
    ],
)
def test_settings_that_cannot_be_used_are_explained(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    environment = {f"WAYPOST_{name.upper()}": each for name, each in settings.items()}
    with pytest.raises(SettingsError, match=message):
        open_provider(Settings.load(tmp_path, environment, {}), Secrets({}))


@pytest.mark.slow
async def test_a_person_signs_in_at_a_real_provider(tmp_path: Path) -> None:
    public = "http://127.0.0.1:8400"
    async with serve_openid(f"{public}/sign-in/callback") as provider:
        environment = _make_environment(provider.url, "sub=ada:start", str(SETTINGS["client_secret"]))
        async with running(tmp_path, HELLO, environment, public_url=public) as service, _browser(service) as browser:
            browser.headers["Host"] = "127.0.0.1:8400"
            begun = await browser.get("/sign-in/provider?next=/runs")
            place = await consent(begun.headers["location"], callback="/sign-in/callback")
            answer = await browser.get(place.removeprefix(public))
            assert answer.status_code == 303, answer.text
            assert "with the scope start" in (await browser.get("/runs")).text


async def test_many_sign_ins_at_once_do_not_mix(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (service, issuer, _):
        issuer.claims = {"groups": "ops", "nonce": None}

        async def begin() -> str:
            async with _browser(service) as browser:
                return (await browser.get("/sign-in/provider")).headers["location"]

        locations = await asyncio.gather(*(begin() for _ in range(20)))
        asked = [parse_qs(urlsplit(location).query) for location in locations]
        for name in ("state", "nonce", "code_challenge"):
            assert len({each[name][0] for each in asked}) == 20
