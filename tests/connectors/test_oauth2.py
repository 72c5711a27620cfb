"""OAuth 2.0 over a real journal and real sockets: what is requested, renewed, stored, and given up."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connectors.auth.oauth2 import FLOW, OAuth2Settings
from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed
from connectors.wire.client import HttpClient
from durable.action import ActionError, Context, LoginNeeded, OpenConnection
from durable.encrypted_store.key_ring import KeyRing, StoreKey
from durable.encrypted_store.store import EncryptedStore
from durable.grant import AccessTokens, Grant, take_access_tokens
from durable.grants.grants import Grants
from durable.grants.stored import GrantStore, RefreshLease, StoredGrant
from durable.journal.journal import Journal
from durable.redactor import Redactor
from tests.connectors.servers import answer
from tests.connectors.token_service import ACCOUNT, TokenService, json_answer, serve_tokens

pytestmark = pytest.mark.anyio

MINUTE = 60_000


@dataclass
class World:
    """A journal with a store key, a client, and the service that issues tokens. `now` is the time (ms)."""

    journal: Journal
    client: HttpClient
    service: TokenService
    now: int = 1_800_000_000_000
    ring: KeyRing = field(default_factory=lambda: KeyRing([StoreKey.generate()]))

    @property
    def store(self) -> GrantStore:
        return GrantStore(EncryptedStore(self.journal, self.ring, lambda: self.now))

    def open(self, holder: str = "node-1", *, is_alone: bool = True) -> Grants:
        resources: dict[type, object] = {HttpClient: self.client}
        grants = Grants(self.store, resources, Redactor(), lambda: self.now, holder=holder, is_alone=is_alone)
        resources[AccessTokens] = grants
        return grants

    def begin(self, grants: Grants, settings: Mapping[str, Any] | None = None) -> Context:
        """An attempt of a step with the connection `crm`."""
        made = OAuth2Settings.model_validate(self.service.settings if settings is None else settings)
        context = grants.make_context("crm")
        context.auth = {"oauth2": made}
        context.resources = {HttpClient: self.client, AccessTokens: grants}
        return context

    async def log_in(self, grants: Grants, *, lifetime: int | None = 60 * MINUTE, **changes: Any) -> Grant:
        """Store the tokens of a login that was made now."""
        issued = self.service.issue()
        expires = None if lifetime is None else self.now + lifetime
        grant = Grant(issued["access_token"], self.now, expires, changes.get("refresh", issued["refresh_token"]))
        identity = FLOW.identify(OAuth2Settings.model_validate(self.service.settings))
        await grants.keep("crm", identity, grant, "ada")
        return grant

    async def read(self) -> StoredGrant | None:
        kept = await self.store.read("crm")
        return kept.stored if kept else None


@dataclass
class WaitRecorder:
    """The timeout of an attempt that records what it waits for."""

    waits: list[str] = field(default_factory=list)
    suspended: asyncio.Event = field(default_factory=asyncio.Event)

    def suspend(self, what: str) -> None:
        self.waits.append(what)
        self.suspended.set()

    def resume(self, what: str) -> None: ...

    def cancel(self) -> None: ...


async def get_token(context: Context) -> str:
    return await take_access_tokens(context).get_token(context, FLOW, context.auth["oauth2"])


def find_login_problem(grants: Grants, settings: Mapping[str, Any]) -> str | None:
    made = OAuth2Settings.model_validate(settings)
    return grants.find_login_problem(OpenConnection("crm", made, {"oauth2": made}))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, client: HttpClient) -> AsyncIterator[World]:
    journal = await Journal.open(tmp_path, node="node-1", on_fatal=lambda error: None)
    async with serve_tokens() as service:
        yield World(journal, client, service)
    await journal.close()


CREDENTIALS = {**ACCOUNT, "grant": "client_credentials", "scopes": ["a", "b"], "separator": ","}


async def test_client_credentials_are_exchanged_once_for_all_attempts(world: World) -> None:
    settings = {**CREDENTIALS, "token_url": f"{world.service.url}/token", "token_params": {"audience": "x"}}
    grants = world.open()
    first = await asyncio.gather(*(get_token(world.begin(grants, settings)) for _ in range(20)))
    world.now += 61 * MINUTE
    second = await asyncio.gather(*(get_token(world.begin(grants, settings)) for _ in range(20)))
    assert (set(first), set(second)) == ({"canary-access-1"}, {"canary-access-2"})
    asked = {**ACCOUNT, "grant_type": "client_credentials", "scope": "a,b", "audience": "x", "by": "basic"}
    assert world.service.used == [asked, asked]
    assert await world.read() is None


async def test_a_service_account_gets_tokens_with_a_signed_assertion(world: World) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *private).decode()
    settings = {
        "grant": "jwt_bearer",
        "client_id": "robot@example.com",
        "private_key": pem.replace("\n", "\\n"),  # as it stands in a service account's JSON file
        "key_id": "k1",
        "token_url": f"{world.service.url}/token",
        "scopes": ["a", "b"],
        "claims": {"sub": "ada@example.com"},
    }
    assert await get_token(world.begin(world.open(), settings)) == "canary-access-1"
    (asked,) = world.service.used
    header, body, signature = (base64.urlsafe_b64decode(part + "==") for part in asked.pop("assertion").split("."))
    assert asked == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert json.loads(header) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    claims = json.loads(body)
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("robot@example.com", "ada@example.com", "a b")
    assert (claims["aud"], claims["iat"], claims["exp"] - claims["iat"]) == (
        settings["token_url"],
        world.now // 1000,
        55,
    )
    signed = f"{_encode_part(header)}.{_encode_part(body)}".encode()
    key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(ActionError, match="the private key is not PEM"):
        await get_token(world.begin(world.open(), {**settings, "private_key": "canary"}))


def _encode_part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("shift", [0, 59 * MINUTE, 61 * MINUTE])
async def test_a_token_is_renewed_once_before_it_expires(world: World, shift: int) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.now += shift
    tokens = await asyncio.gather(*(get_token(world.begin(grants)) for _ in range(50)))
    assert len(set(tokens)) == 1
    assert len(world.service.used) == (1 if shift else 0)
    assert world.service.is_alive
    stored = await world.read()
    assert stored
    assert (stored.grant and stored.grant.access_token, stored.lease) == (tokens[0], None)


async def test_of_two_processes_one_renews_and_the_other_one_reads_what_it_stored(world: World) -> None:
    nodes = [world.open(f"node-{number}", is_alone=False) for number in range(3)]
    await world.log_in(nodes[0])
    for node in nodes:
        await node.load()
    world.now += 61 * MINUTE
    tokens = await asyncio.gather(*(get_token(world.begin(nodes[number % 3])) for number in range(30)))
    assert set(tokens) == {"canary-access-2"}
    assert (len(world.service.used), world.service.is_alive) == (1, True)


async def test_a_process_takes_over_the_lease_of_one_that_died(world: World) -> None:
    grants = world.open("node-2", is_alone=False)
    await world.log_in(grants)
    kept = await world.store.read("crm")
    assert kept
    lease = RefreshLease("node-1", world.now + 62 * MINUTE)
    left = StoredGrant(kept.stored.identity, kept.stored.grant, lease)
    assert await world.store.write("crm", left, kept.generation, "service")
    world.now += 61 * MINUTE
    context = world.begin(grants)
    context.timer = timer = WaitRecorder()
    waiting = asyncio.create_task(get_token(context))
    await timer.suspended.wait()
    assert (world.service.used, timer.waits) == ([], ["the access token of crm to be renewed"])
    world.now += 2 * MINUTE
    assert await waiting == "canary-access-2"
    assert await get_token(world.begin(world.open("node-3", is_alone=True))) == "canary-access-2"


async def test_the_new_refresh_token_is_stored_before_the_access_token_is_used(world: World) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.now += 61 * MINUTE
    token = await get_token(world.begin(grants))
    world.now += 61 * MINUTE
    again = world.open("node-2")  # as after a crash
    await again.load()
    assert (token, await get_token(world.begin(again))) == ("canary-access-2", "canary-access-3")
    assert [each["refresh_token"] for each in world.service.used] == ["canary-refresh-1", "canary-refresh-2"]


async def test_a_refresh_token_that_is_not_replaced_is_kept(world: World) -> None:
    world.service.rotates = False
    grants = world.open()
    await world.log_in(grants)
    for _ in range(2):
        world.now += 61 * MINUTE
        await get_token(world.begin(grants))
    assert [each["refresh_token"] for each in world.service.used] == ["canary-refresh-1"] * 2


@pytest.mark.parametrize(
    ("answers", "is_forgiving", "outcome"),
    [
        ([None], True, "canary-access-3"),  # the answer is lost, and the old refresh token still works
        ([None], False, "an earlier answer of the service was lost"),
        ([None, None], True, "answer_lost"),  # it may still work later
        ([answer(b"", status="503 Unavailable")], True, "503"),
        ([answer(b"", "Retry-After: 7", status="429 Slow")], True, "429"),
        ([json_answer({"error": "temporarily_unavailable"}, "400 Bad Request")], True, "temporarily_unavailable"),
        ([json_answer({"error": "invalid_client"}, "401 Unauthorized")], True, "invalid_client"),
        ([json_answer({"error": "bad_refresh_token"})], True, "bad_refresh_token"),
        ([json_answer({"ok": False, "error": "token_revoked"})], True, "token_revoked"),
        ([json_answer({"token_type": "bearer"})], True, "no_access_token"),
        ([answer(b"<html>", status="200 OK")], True, "no_access_token"),
        ([answer(b"access_token=form&expires_in=60")], True, "form"),
        ([json_answer({"access_token": "dpop", "token_type": "DPoP"})], True, "token_type"),
        ([json_answer({"access_token": "broken\r\nline"})], True, "no_access_token"),
        ([json_answer({"access_token": ["list"], "error": {}})], True, "no_access_token"),
        ([json_answer([])], True, "no_access_token"),
    ],
)
async def test_an_answer_decides_whether_a_login_is_needed(
    world: World, answers: list[bytes | None], is_forgiving: bool, outcome: str
) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.service.answers, world.service.is_forgiving = [*answers], is_forgiving
    world.now += 61 * MINUTE
    ends_login = outcome in {"bad_refresh_token", "token_revoked"} or "earlier" in outcome
    result = (await asyncio.gather(get_token(world.begin(grants)), return_exceptions=True))[0]
    stored = await world.read()
    assert stored
    assert isinstance(result, LoginNeeded) == (stored.loss is not None) == ends_login
    found = str(result)
    if isinstance(result, ActionError) and not ends_login:
        found = str(result.code)
        assert (result.ending, result.retry_after) == ("not_sent", 7 if outcome == "429" else None)
    assert outcome in found
    problem = find_login_problem(grants, world.service.settings)
    assert (problem is not None) == ends_login
    assert "canary" not in f"{problem}{found if ends_login else ''}"


async def test_a_login_is_not_needed_if_another_process_has_renewed_the_grant(world: World) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.now += 61 * MINUTE

    async def renew_elsewhere() -> None:
        world.service.before_token = None
        await world.log_in(world.open("node-2"))

    world.service.before_token = renew_elsewhere
    world.service.answers = [json_answer({"error": "invalid_grant"}, "400 Bad Request")]
    assert await get_token(world.begin(grants)) == "canary-access-2"


async def test_a_token_that_is_still_valid_is_used_while_the_service_is_down(world: World) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.now += 59 * MINUTE
    world.service.answers = [answer(b"", status="500 Error")] * 3
    assert await get_token(world.begin(grants)) == "canary-access-1"
    world.now += MINUTE
    with pytest.raises(ActionError, match=r"cannot be renewed: .* 500"):
        await get_token(world.begin(grants))


@pytest.mark.parametrize("refresh", [None, "canary-refresh-1"])
async def test_a_refused_token_is_replaced_once_and_the_request_sent_again_with_its_key(
    world: World, refresh: str | None
) -> None:
    grants = world.open()
    await world.log_in(grants, lifetime=None, refresh=refresh)
    world.service.valid.clear()
    contexts = [world.begin(grants) for _ in range(20)]
    request = OutgoingRequest("POST", f"{world.service.url}/api")
    sent = [send_signed(context, request, has_key=True) for context in contexts]
    if refresh is None:
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert {type(each) for each in outcomes} == {LoginNeeded}
        return
    assert {exchange.response.status for exchange in await asyncio.gather(*sent)} == {200}
    assert len(world.service.used) == 1
    keys = [each.headers["idempotency-key"] for each in world.service.calls]
    assert (len(keys), sorted(set(keys))) == (40, sorted({context.key for context in contexts}))


async def test_a_token_that_is_refused_again_does_not_loop(world: World) -> None:
    grants = world.open()
    await world.log_in(grants)
    request = OutgoingRequest("GET", f"{world.service.url}/api")
    statuses: list[int] = []
    for _ in range(5):
        world.service.valid.clear()
        world.service.answers = [json_answer({"access_token": f"refused-{len(statuses)}", "refresh_token": "r"})]
        statuses.append((await send_signed(world.begin(grants), request)).response.status)
    assert (statuses, len(world.service.used)) == ([401] * 5, 1)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"client_id": "other"}, "was changed after the login"),
        ({"token_url": "http://127.0.0.1:9/token"}, "was changed after the login"),
        ({}, "nobody has logged it in"),
    ],
)
async def test_a_grant_goes_only_to_the_client_and_service_that_it_was_issued_for(
    world: World, change: dict[str, str], problem: str
) -> None:
    grants = world.open()
    if change:
        await world.log_in(grants)
    settings = {**world.service.settings, **change}
    with pytest.raises(LoginNeeded, match=problem):
        await get_token(world.begin(grants, settings))
    assert problem in str(find_login_problem(grants, settings))
    assert world.service.used == []


async def test_a_token_that_cannot_be_decrypted_says_which_key_it_needs(world: World) -> None:
    await world.log_in(world.open())
    key, world.ring = world.ring.current, KeyRing([StoreKey.generate()])
    grants = world.open()
    await grants.load()
    assert key
    with pytest.raises(LoginNeeded, match=f"encrypted with the store key {key.id}.*or log in again"):
        await get_token(world.begin(grants))
    assert await grants.forget("crm")


async def test_tokens_and_what_is_made_of_them_are_redacted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    grants = world.open()
    await world.log_in(grants)
    world.now += 61 * MINUTE
    context = world.begin(grants)
    with caplog.at_level(logging.DEBUG):
        signed = (await send_signed(context, OutgoingRequest("GET", f"{world.service.url}/api"))).request
    assert context.redactor
    assert context.redactor.redact_text(str(signed.headers)) == "{'authorization': 'Bearer ***'}"
    assert "canary" not in caplog.text


METADATA = {"issuer": "{url}/t", "token_endpoint": "{url}/token", "authorization_endpoint": "{url}/authorize"}


@pytest.mark.parametrize(
    ("path", "metadata", "outcome"),
    [
        ("/.well-known/oauth-authorization-server/t", METADATA, "canary-access-1"),
        ("/t/.well-known/openid-configuration", METADATA, "canary-access-1"),
        ("/elsewhere", METADATA, "answered 404 instead of its metadata"),
        ("/.well-known/oauth-authorization-server/t", {**METADATA, "issuer": "https://evil"}, "belongs to another"),
        ("/.well-known/oauth-authorization-server/t", {"issuer": "{url}/t"}, "has no token_endpoint"),
        ("/.well-known/oauth-authorization-server/t", {"token_endpoint": 1}, "cannot be read"),
    ],
)
async def test_an_issuer_is_discovered(world: World, path: str, metadata: dict[str, Any], outcome: str) -> None:
    url = world.service.url
    world.service.metadata = {path: {name: str(value).replace("{url}", url) for name, value in metadata.items()}}
    settings = {**ACCOUNT, "grant": "client_credentials", "issuer": f"{url}/t", "client_auth": "post"}
    try:
        found = await get_token(world.begin(world.open(), settings))
    except ActionError as error:
        found = error.message
    assert outcome in found
    assert all("by" not in each for each in world.service.used)
