"""Tokens for streams: JSON Web Tokens that permit to follow some runs for a short time.

A token is signed with HMAC-SHA-256 by a secret that is derived from the service's own API key and the id of another
key, which the token names (`kid`). So nothing is stored of a token or its secret, and both are worthless once that key
is revoked or the service's own key is replaced. The algorithm is pinned (RFC 8725).
"""

from collections.abc import Callable
from typing import Any

import jwt
import msgspec

from durable.durations import parse_duration
from triggers.documents.streams import See, TokenScopeDocument
from triggers.keys import Keys
from triggers.realtime.permit import StreamPermit
from triggers.refusals import TokenRefused

ALGORITHM = "HS256"
ISSUER = "waypost"

LIFETIME_LIMIT = parse_duration("24h")
DEFAULT_LIFETIME = parse_duration("15m")

LEEWAY_SECONDS = 30
"""How much the clock of a signer may differ."""

TOKEN_LIMIT = 16 * 1024
"""The maximum length of a token."""


class _Claims(msgspec.Struct):
    exp: int
    scope: TokenScopeDocument
    see: See = "status"


class StreamTokens:
    """Signs and verifies tokens. `now` is in ms."""

    def __init__(self, keys: Keys, now: Callable[[], int]) -> None:
        self._keys = keys
        self._now = now

    def sign(self, key: str, scope: TokenScopeDocument, see: See, lifetime: int) -> tuple[str, int]:
        """Make a token that lasts so long (ms); returns it, and when it expires (ms)."""
        expires_at = (self._now() + lifetime) // 1000
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": key,
            "exp": expires_at,
            "scope": msgspec.to_builtins(scope),
            "see": see,
        }
        return jwt.encode(claims, self._keys.make_signing_secret(key), ALGORITHM, {"kid": key}), expires_at * 1000

    def verify(self, token: str) -> StreamPermit:
        """What a token permits; raises `TokenRefused`."""
        if len(token) > TOKEN_LIMIT:
            raise TokenRefused("the token is too long")
        try:
            key = str(jwt.get_unverified_header(token).get("kid"))
            if not self._keys.is_active(key):
                raise TokenRefused(
                    "the token names no valid key: put the id of the key that signs it into `kid`, or ask for a new one"
                )
            given = jwt.decode(
                token,
                self._keys.make_signing_secret(key),
                algorithms=[ALGORITHM],
                options={"require": ["exp", "scope"], "verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
            claims = msgspec.convert(given, _Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise TokenRefused(f"the token is not valid: {error}") from None
        now = self._now() // 1000
        if claims.exp <= now:
            raise TokenRefused("the token has expired; ask for a new one")
        if claims.exp > now + LIFETIME_LIMIT // 1000 + LEEWAY_SECONDS:
            raise TokenRefused("the token would last longer than 24 h; make its `exp` earlier")
        return StreamPermit(key, claims.see, claims.scope, expires_at=claims.exp * 1000)
