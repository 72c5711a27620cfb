"""Signed assertions with which a client gets access tokens (RFC 7523), such as those of Google's service accounts."""

import base64
import secrets
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connectors.wire.errors import InvalidRequest

LIFETIME = 55
"""In seconds. Box accepts at most a minute, Google an hour."""


def make_assertion(private_key: str, key_id: str | None, claims: Mapping[str, str], at: int) -> str:
    """Return a JSON Web Token with these claims, signed at that time (ms) with RS256. Raises `InvalidRequest`."""
    seconds = at // 1000
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    body = {"iat": seconds, "exp": seconds + LIFETIME, "jti": secrets.token_urlsafe(16), **claims}
    signed = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(body))}"
    signature = _load_key(private_key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_encode(signature)}"


def _load_key(private_key: str) -> rsa.RSAPrivateKey:
    try:
        # A key that was copied out of JSON has escaped line breaks.
        key = serialization.load_pem_private_key(private_key.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError):
        raise InvalidRequest("no token can be requested: the private key is not PEM, or has a passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidRequest("no token can be requested: the private key is not an RSA key")
    return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
