"""The requests of OAuth 2.0: authorization, tokens, their renewal and their revocation.

RFC 6749; PKCE is RFC 7636, the check of `iss` RFC 9207, revocation RFC 7009.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote_plus

from connectors.auth.oauth2_assertion import make_assertion
from connectors.auth.oauth2_metadata import IssuerMetadata, MetadataCache
from connectors.auth.token_response import explain_refusal, read_grant
from connectors.wire.client import HttpClient
from connectors.wire.response import Response
from connectors.wire.url import add_params
from durable.action import Context
from durable.grant import Authorization, Grant, GrantRefused

GrantType: TypeAlias = Literal["authorization_code", "client_credentials", "jwt_bearer"]
ClientAuth: TypeAlias = Literal["basic", "post", "none"]

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class OAuth2Client(Protocol):
    """What the flow reads of the scheme's settings."""

    grant: GrantType
    client_id: str
    client_secret: str | None
    private_key: str | None
    key_id: str | None
    claims: dict[str, str]
    issuer: str | None
    authorize_url: str | None
    token_url: str | None
    revoke_url: str | None
    scopes: list[str]
    separator: str
    pkce: bool
    client_auth: ClientAuth | None
    authorize_params: dict[str, str]
    token_params: dict[str, str]


class OAuth2Flow:
    """Implements `durable.grant.GrantFlow`."""

    def __init__(self) -> None:
        self._metadata = MetadataCache()

    def needs_login(self, settings: OAuth2Client) -> bool:
        return settings.grant == "authorization_code"

    def identify(self, settings: OAuth2Client) -> str:
        return f"{settings.grant} {settings.client_id} {settings.token_url or settings.issuer}"

    async def begin(self, context: Context, settings: OAuth2Client, redirect_url: str, state: str) -> Authorization:
        url = settings.authorize_url or (await self._read_metadata(context, settings)).get_url("authorization_endpoint")
        verifier = secrets.token_urlsafe(48) if settings.pkce else ""
        params = {
            **settings.authorize_params,
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect_url,
            "state": state,
        }
        if settings.scopes:
            params["scope"] = settings.separator.join(settings.scopes)
        if verifier:
            params |= {"code_challenge": _hash_verifier(verifier), "code_challenge_method": "S256"}
        return Authorization(add_params(url, params), redirect_url, verifier)

    async def finish(
        self, context: Context, settings: OAuth2Client, authorization: Authorization, answer: Mapping[str, str], at: int
    ) -> Grant:
        code = answer.get("code")
        issuer = answer.get("iss")
        if issuer is not None and settings.issuer is not None and issuer != settings.issuer:
            raise GrantRefused("the answer came from another issuer than the connection's", "issuer_mismatch")
        if not code:
            raise GrantRefused("the service's answer has no code", "code_missing")
        for secret in (code, authorization.verifier):
            context.conceal(secret)
        params = {"grant_type": "authorization_code", "code": code, "redirect_uri": authorization.redirect_url}
        if authorization.verifier:
            params["code_verifier"] = authorization.verifier
        return await self._request_grant(context, settings, params, at)

    async def refresh(self, context: Context, settings: OAuth2Client, grant: Grant | None, at: int) -> Grant:
        if settings.grant == "jwt_bearer":
            return await self._assert(context, settings, at)
        if grant is None:
            params = {"grant_type": "client_credentials"}
            if settings.scopes:
                params["scope"] = settings.separator.join(settings.scopes)
            return await self._request_grant(context, settings, params, at)
        assert grant.refresh_token, "a grant without a refresh token is not renewed"
        for token in (grant.refresh_token, grant.access_token):
            context.conceal(token)
        params = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
        return await self._request_grant(context, settings, params, at)

    async def _assert(self, context: Context, settings: OAuth2Client, at: int) -> Grant:
        assert settings.private_key, "settings with this grant have a key"
        claims = {"iss": settings.client_id, "aud": await self._find_token_url(context, settings)}
        if settings.scopes:
            claims["scope"] = settings.separator.join(settings.scopes)
        assertion = make_assertion(settings.private_key, settings.key_id, claims | settings.claims, at)
        context.conceal(assertion)
        return await self._request_grant(context, settings, {"grant_type": JWT_BEARER, "assertion": assertion}, at)

    async def revoke(self, context: Context, settings: OAuth2Client, grant: Grant) -> bool:
        url = settings.revoke_url
        if url is None and settings.issuer is not None:
            url = (await self._read_metadata(context, settings)).revocation_endpoint
        if url is None:
            return False
        is_renewable = grant.refresh_token is not None
        token, kind = grant.refresh_token or grant.access_token, "refresh_token" if is_renewable else "access_token"
        context.conceal(token)
        response = await self._post(context, settings, url, {"token": token, "token_type_hint": kind})
        if not response.is_success:
            raise explain_refusal(response, context)
        return True

    async def _request_grant(
        self, context: Context, settings: OAuth2Client, params: Mapping[str, str], at: int
    ) -> Grant:
        url = await self._find_token_url(context, settings)
        response = await self._post(context, settings, url, {**settings.token_params, **params})
        return read_grant(response, context, at)

    async def _find_token_url(self, context: Context, settings: OAuth2Client) -> str:
        return settings.token_url or (await self._read_metadata(context, settings)).get_url("token_endpoint")

    async def _post(self, context: Context, settings: OAuth2Client, url: str, params: Mapping[str, str]) -> Response:
        """Send a form, with what proves who the client is."""
        form, headers = dict(params), {"accept": "application/json"}
        if settings.client_secret is not None:
            context.conceal(settings.client_secret)
        match await self._choose_client_auth(context, settings):
            case "basic":
                pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret or '')}"
                credentials = base64.b64encode(pair.encode()).decode()
                context.conceal(credentials)
                headers["authorization"] = f"Basic {credentials}"
            case "post":
                form |= {"client_id": settings.client_id, "client_secret": settings.client_secret or ""}
            case "none" if settings.grant != "jwt_bearer":  # there, the assertion names the client
                form["client_id"] = settings.client_id
        client = context.resource(HttpClient)
        return await client.send(context, "POST", url, headers=headers, form=form, has_key=False)

    async def _choose_client_auth(self, context: Context, settings: OAuth2Client) -> ClientAuth:
        if settings.client_auth is not None:
            return settings.client_auth
        if settings.client_secret is None:
            return "none"
        known = (await self._read_metadata(context, settings)).client_auths if settings.issuer else ()
        return "post" if "client_secret_post" in known and "client_secret_basic" not in known else "basic"

    async def _read_metadata(self, context: Context, settings: OAuth2Client) -> IssuerMetadata:
        assert settings.issuer, "settings without the URLs have an issuer"
        return await self._metadata.read(context, settings.issuer)


def _hash_verifier(verifier: str) -> str:
    """Return the challenge of a PKCE verifier (S256)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
