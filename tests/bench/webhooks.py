"""The webhooks that benches send: signed, numbered, of any size, and cheap to make.

The number is at the end of the body, so that the signature of the part before it is computed once.
"""

import hashlib
import hmac
import itertools

from triggers.webhooks.presets import find_scheme
from triggers.webhooks.signature import sign_request

SECRET = "bench-secret"
SCHEME = find_scheme("hmac", {"header": "x-signature"}, "verify")
_numbers = itertools.count(1_000_000_000)
"""All of one length."""


class Webhooks:
    """Requests to one path with bodies of `size` bytes."""

    def __init__(self, path: str, size: int = 1024) -> None:
        filler = "x" * (size - len('{"text":"","number":1000000000}'))
        self._body = f'{{"text":"{filler}","number":'.encode()
        self._signature = hmac.new(SECRET.encode(), self._body, hashlib.sha256)
        lines = ["host: bench", "content-type: application/json", f"content-length: {size}", "x-signature: "]
        self._head = "\r\n".join([f"POST {path} HTTP/1.1", *lines]).encode()
        self._ensure_genuine()

    def next(self) -> tuple[bytes, bytes]:
        """A unique number, and the request that carries it."""
        number = b"%d" % next(_numbers)
        signature = self._signature.copy()
        signature.update(number + b"}")
        value = signature.hexdigest().encode()
        return number, b"".join((self._head, value, b"\r\n\r\n", self._body, number, b"}"))

    def some(self, count: int) -> list[tuple[bytes, bytes]]:
        """Make `count` webhooks in advance."""
        return [self.next() for _ in range(count)]

    def _ensure_genuine(self) -> None:
        head, _, body = self.next()[1].partition(b"\r\n\r\n")
        assert head.endswith(sign_request(SCHEME, SECRET, body, 0, id="")["x-signature"].encode())
