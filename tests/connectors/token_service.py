"""An OAuth 2.0 service on a local port: it issues tokens, rotates refresh tokens, and ends a grant if one is used twice
(`tests.connectors.servers`)."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from tests.connectors.servers import Received, Visit, answer, serve

ACCOUNT = {"client_id": "client", "client_secret": "canary/secret+1"}


@dataclass
class TokenService:
    """`lifetime`: of access tokens, in seconds. `is_forgiving`: a refresh token can be used twice. `answers` replace
    its next answers to requests for tokens; an answer of None closes the connection after the request was performed.
    `before_token` is awaited before each request for tokens is performed, `after_token` before it is answered. `used`:
    those requests. `calls_left`: after this many calls of the API, the tokens are invalid."""

    url: str = ""
    lifetime: int | None = 3600
    is_forgiving: bool = False
    rotates: bool = True
    denies: bool = False
    calls_left: int | None = None
    answers: list[bytes | None] = field(default_factory=list)
    before_token: Callable[[], Awaitable[None]] | None = None
    after_token: Callable[[], Awaitable[None]] | None = None
    used: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    revoked: list[dict[str, str]] = field(default_factory=list)
    calls: list[Received] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    metadata: dict[str, Any] = field(default_factory=dict)
    _refresh: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _count: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a client that needs a login."""
        urls = {f"{name}_url": f"{self.url}/{name}" for name in ("authorize", "token")}
        return {**ACCOUNT, **urls, "scopes": ["read", "write"]}

    @property
    def is_alive(self) -> bool:
        """Whether a refresh token can still be used."""
        return bool(self._refresh)

    def issue(self) -> dict[str, Any]:
        """Issue new tokens."""
        self._count += 1
        access, refresh = f"canary-access-{self._count}", f"canary-refresh-{self._count}"
        self.valid.add(access)
        self._refresh.add(refresh)
        lifetime = {} if self.lifetime is None else {"expires_in": self.lifetime}
        return {"access_token": access, "token_type": "bearer", "refresh_token": refresh, **lifetime}

    async def behave(self, visit: Visit) -> None:
        while True:
            request = await visit.request()
            sent = await self._answer(request)
            if sent is None:
                await visit.close()
                return
            await visit.send(sent)

    async def _answer(self, request: Received) -> bytes | None:
        target = request.line.split(" ")[1]
        url = urlsplit(target)
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        match url.path:
            case "/token":
                return await self._answer_token(request, form)
            case "/authorize":
                return self._authorize(dict(parse_qsl(url.query)))
            case "/revoke":
                self.revoked.append(form)
                self._refresh.discard(form.get("token", ""))
                return answer(b"")
            case path if "/.well-known/" in path:
                found = self.metadata.get(path)
                return answer(json.dumps(found).encode()) if found else answer(b"", status="404 Not Found")
            case _:
                self.calls.append(request)
                if self.calls_left is not None:
                    self.calls_left -= 1
                    if self.calls_left < 0:
                        self.calls_left = None
                        self.valid.clear()
                is_valid = request.headers.get("authorization", "").removeprefix("Bearer ") in self.valid
                return answer(b"ok") if is_valid else answer(b"no", status="401 Unauthorized")

    async def _answer_token(self, request: Received, form: dict[str, str]) -> bytes | None:
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(pair).decode().partition(":")
            form |= {"client_id": unquote_plus(user), "client_secret": unquote_plus(password), "by": "basic"}
        self.used.append(form)
        if self.before_token:
            await self.before_token()
        body = self._perform(form)
        if self.after_token:
            await self.after_token()
        status = "400 Bad Request" if "error" in body else "200 OK"
        return self.answers.pop(0) if self.answers else json_answer(body, status)

    def _perform(self, form: dict[str, str]) -> dict[str, Any]:
        if form["grant_type"] == "client_credentials" or "assertion" in form:
            return {name: value for name, value in self.issue().items() if name != "refresh_token"}
        if form["grant_type"] == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if asked is None or challenge != asked.get("code_challenge", challenge):
                return {"error": "invalid_grant"}
            return self.issue() if form["redirect_uri"] == asked["redirect_uri"] else {"error": "invalid_grant"}
        token = form["refresh_token"]
        if token in self._spent and not self.is_forgiving:
            self._refresh.clear()  # as RFC 9700 says: a refresh token that is used twice was stolen
            self.valid.clear()
        if token not in self._refresh | (self._spent if self.is_forgiving else set()):
            return {"error": "invalid_grant", "error_description": f"{token} is spent"}
        if not self.rotates:
            return {name: value for name, value in self.issue().items() if name != "refresh_token"}
        self._refresh.discard(token)
        self._spent.add(token)
        return self.issue()

    def _authorize(self, query: dict[str, str]) -> bytes:
        """Consent without a question."""
        self.authorizations.append(query)
        said = {"error": "access_denied", "error_description": "<b>no</b>"}
        if not self.denies:
            self._count += 1
            code = f"canary-code-{self._count}"
            self._codes[code], said = query, {"code": code}
        location = f"{query['redirect_uri']}?{urlencode({**said, 'state': query['state']})}"
        return answer(b"", f"Location: {location}", status="302 Found")


def json_answer(body: Any, status: str = "200 OK") -> bytes:
    return answer(json.dumps(body).encode(), "Content-Type: application/json", status=status)


@asynccontextmanager
async def serve_tokens() -> AsyncIterator[TokenService]:
    service = TokenService()
    async with serve(service.behave) as server:
        service.url = server.url
        yield service
