"""OpenID Connect: the authorization code flow with PKCE (https://openid.net/specs/openid-connect-core-1_0.html).

Needs the extra `oidc`, so it is reached through `durable.lazy`. joserfc checks ID tokens. The two requests of OAuth 2.0
are made here: Authlib's client is one of httpx2, a second HTTP client beside the one that Waypost has.
"""

import base64
import hashlib
from collections.abc import Mapping, Set
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from durable.wording import make_printable, quote
from triggers.sessions.provider import Challenge, Claims, ProviderUnavailable, SignInRefused

SECONDS = 10.0
"""How long the provider may take for an answer."""

SCOPE = "openid profile email"

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Those with a public key. With a shared secret, whoever knows the client secret could sign."""

LEEWAY = 60
"""Seconds by which clocks may differ."""

Metadata = Mapping[str, Any]


class OpenIdProvider:
    """A provider, whose metadata and keys are read when they are needed first. `claims` are the names of those that
    rules read."""

    def __init__(self, issuer: str, client_id: str, client_secret: str | None, claims: Set[str]) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._claims = claims
        self._metadata: Metadata | None = None

    @property
    def label(self) -> str:
        return urlsplit(self._issuer).netloc

    async def make_url(self, challenge: Challenge, redirect_url: str) -> str:
        """The address to which the browser is sent; raises `ProviderUnavailable`."""
        metadata = await self._find_metadata()
        hashed = hashlib.sha256(challenge.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_url,
            "scope": SCOPE,
            "state": challenge.state,
            "nonce": challenge.nonce,
            "code_challenge": base64.urlsafe_b64encode(hashed).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        endpoint = str(metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def read_claims(self, answer: Mapping[str, str], challenge: Challenge, redirect_url: str) -> Claims:
        """What the provider says of a person; raises `SignInRefused` and `ProviderUnavailable`."""
        if "code" not in answer:
            said = answer.get("error_description") or answer.get("error") or "it gave no reason"
            raise SignInRefused(f"{self.label} refused the sign-in: {make_printable(said)[:300]}")
        metadata = await self._find_metadata()
        token = await self._get_token(metadata, answer["code"], challenge.verifier, redirect_url)
        claims = await self._check_id_token(metadata, str(token.get("id_token", "")), challenge.nonce)
        endpoint = metadata.get("userinfo_endpoint")
        if endpoint and not self._claims <= claims.keys():
            more = await self._ask("GET", str(endpoint), headers={"Authorization": f"Bearer {token['access_token']}"})
            if more.get("sub") != claims["sub"]:
                raise SignInRefused(f"{self.label} describes another person than the one who signed in")
            claims = {**more, **claims}
        return claims

    async def _get_token(self, metadata: Metadata, code: str, verifier: str, redirect_url: str) -> dict[str, Any]:
        """Exchange the code for tokens (RFC 6749 4.1.3)."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_url}
        form |= {"code_verifier": verifier}
        methods = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        auth = None
        if self._client_secret is None:
            form |= {"client_id": self._client_id}
        elif "client_secret_basic" in methods:
            auth = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._client_secret))
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        token = await self._ask("POST", str(metadata["token_endpoint"]), data=form, auth=auth)
        if "access_token" not in token:
            said = token.get("error_description") or token.get("error") or "it gave no token"
            raise SignInRefused(f"{self.label} refused the sign-in: {make_printable(str(said))[:300]}")
        return token

    async def _find_metadata(self) -> Metadata:
        if self._metadata is None:
            found = await self._ask("GET", f"{self._issuer}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise ProviderUnavailable(
                    f"{self._issuer} says that it is the issuer {quote(str(found.get('issuer')))}"
                )
            if missing := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
                raise ProviderUnavailable(f"the metadata of {self._issuer} has no {', '.join(sorted(missing))}")
            self._metadata = found
        return self._metadata

    async def _check_id_token(self, metadata: Metadata, text: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token; raises `SignInRefused` unless the provider has made it for this sign-in."""
        keys = KeySet.import_key_set(await self._ask("GET", str(metadata["jwks_uri"])))  # type: ignore[arg-type]
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": metadata["issuer"]},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(text, keys, algorithms=ALGORITHMS).claims
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise SignInRefused(f"the ID token of {self.label} cannot be accepted: {error}") from None
        if claims.get("azp", self._client_id) != self._client_id:
            raise SignInRefused(f"the ID token of {self.label} was made for another client")
        return claims

    async def _ask(self, method: str, url: str, **sent: Any) -> dict[str, Any]:
        """A JSON object of the provider, also that of an error; raises `ProviderUnavailable`."""
        try:
            async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
                answer = await client.request(method, url, **sent)
            document = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderUnavailable(f"{url} gave no usable answer: {error or type(error).__name__}") from None
        if not isinstance(document, dict) or answer.status_code >= 500:
            raise ProviderUnavailable(f"{url} answered {answer.status_code} without what is needed")
        return document
