"""Arbitrary input on a real port: never a 5xx, never a long wait, never more memory.

`WAYPOST_FUZZ_SECONDS` sets the duration (10), `WAYPOST_FUZZ_SEED` the seed.
"""

import asyncio
import contextlib
import os
import random
import string
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.service.running import ENVIRONMENT, running
from tests.service.test_attacks import address, resident
from triggers.webhooks.presets import load_presets
from triggers.webhooks.request import Rejected
from triggers.webhooks.signature import sign_request

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("WAYPOST_FUZZ_SECONDS", "10"))
SEED = int(os.environ.get("WAYPOST_FUZZ_SEED", "0")) or random.randrange(1, 2**32)
SENDERS = 8
SLOWEST = 3.0
"""Seconds in which every whole request is answered; some machines have other things to do as well."""

PATIENCE = 0.1
"""Seconds for an answer to what may not be a whole request."""

LIMIT = 100_000
"""Bytes of a body; whoever sends more may find the connection closed before it has read why."""

GROWTH = 64 * 1024 * 1024
"""Bytes that the process, in which the senders live too, may grow by."""

SECRET = ENVIRONMENT["WAYPOST_SECRET_HOOK"]
PUBLIC_URL = "https://hooks.example.com"
HOOKS = ("github", "slack", "meta", "zoom", "stripe", "square", "linear", "bearer", "none")


def _pipeline(preset: str) -> str:
    token = ', verify_token: "{{ secrets.HOOK }}"' if preset == "meta" else ""
    verify = "none" if preset == "none" else f'{{preset: {preset}, secret: "{{{{ secrets.HOOK }}}}"{token}}}'
    dedupe = 'dedupe: {key: "{{ trigger.body.id }}"}, ' if preset == "none" else ""
    return f"""
triggers:
  - id: hook
    use: webhook
    with: {{path: "/{preset}/{{part}}", methods: [POST, PUT], {dedupe}verify: {verify}}}
    when: "(trigger.body.go | default('yes')) != 'no' and (trigger.headers | length) < 40"
    inputs: {{id: "{{{{ trigger.body.id | default(1) }}}}"}}
inputs:
  id: {{type: integer}}
steps:
  - {{id: note, use: transform.set, with: {{values: {{id: "{{{{ inputs.id }}}}"}}}}}}
"""


@dataclass
class Tally:
    """Counts of the outcomes."""

    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    culprits: list[bytes] = field(default_factory=list)

    def count(self, request: "Request", answer: bytes, seconds: float) -> None:
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
        self.statuses[status] += 1
        if status != "none":
            self.slowest = max(self.slowest, seconds)
        if status.startswith("5") or seconds > SLOWEST or (request.is_whole and status == "none"):
            self.culprits.append(request.data[:2_000])


@dataclass(frozen=True)
class Request:
    """Bytes to send; a request that `is_whole` must be answered."""

    data: bytes
    is_whole: bool


RIGHT = 0.7
"""How often a request is what it should be, in each of its parts; of these lists that is the first."""

METHODS = ("POST", "PUT", "GET", "DELETE", "OPTIONS", "HEAD", "CONNECT", "post", "É")
ROOTS = ("/hooks", "//hooks", "http://x/hooks", "/api", "")
PARTS = ("a", "%00", "%c3%a9", "%ff", "..", "a/b", "%2f", "", "é", "a" * 3_000, "%", "a?b", ";", "\x7f", " ")
QUERIES = (
    "",
    "?",
    "?a=1&a=2",
    "?" + "a&" * 2_000,
    "?%ff=%00",
    "?a=\xe9",
    "?hub.mode=subscribe&hub.challenge=1",
    f"?hub.mode=subscribe&hub.challenge=1&hub.verify_token={SECRET}",
    f"?hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token={SECRET}",
)
KINDS = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/plain; charset=utf-7",
    "multipart/form-data",
    "",
    "é",
)
NAMES = (
    "x-hub-signature-256",
    "x-slack-signature",
    "stripe-signature",
    "authorization",
    "cookie",
    "content-type",
    "content-encoding",
    "expect",
    "upgrade",
    "transfer-encoding",
    "te",
    "x-" + "a" * 300,
    "x\x00",
)
VALUES = (
    b"gzip",
    b"100-continue",
    b"websocket",
    b"chunked",
    b"identity",
    b"\xe9\xff",
    b"sha256=",
    b"t=,v1=",
    b"Basic =",
    b"Bearer \xe9",
    b"a," * 4_000,
    string.printable.encode(),
    b"",
)


class Chance:
    """Generates requests that are valid, partly invalid, or noise."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> Request:
        preset = self._random.choice(HOOKS)
        method, target, body = self._one_of(METHODS), self._target(preset), self._body()
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"host: x", b"connection: close"]
        lines += self._sign(preset, method, target, body)
        more = [] if self._is_right() else [self._header() for _ in range(self._random.randrange(1, 6))]
        framing, sent, is_framed = self._frame(body)
        whole = b"\r\n".join([*lines, *more, framing, b"", sent])
        if not self._is_right():
            return Request(self._mangle(whole), is_whole=False)
        is_whole = is_framed and not more and method in METHODS[:6] and " " not in target and len(body) <= LIMIT
        return Request(whole, is_whole)

    def _is_right(self) -> bool:
        return self._random.random() < RIGHT

    def _one_of(self, texts: Sequence[str]) -> str:
        return texts[0] if self._is_right() else self._random.choice(texts)

    def _target(self, preset: str) -> str:
        return f"{self._one_of(ROOTS)}/{preset}/{self._one_of(PARTS)}{self._one_of(QUERIES)}"

    def _body(self) -> bytes:
        number = self._random.randrange(10**9)
        right = b'{"id": %d, "event_id": "e%d", "webhookTimestamp": %d}' % (number, number, time.time() * 1000)
        makers: list[Callable[[], bytes]] = [
            lambda: b'{"type": "url_verification", "challenge": "c%d"}' % number,
            lambda: b'{"type": "url_verification", "challenge": "%s"}' % self._noise(20),
            lambda: b'{"event": "endpoint.url_validation", "payload": {"plainToken": "a%d"}}' % number,
            lambda: b'{"id": %s}' % (b"9" * self._random.randrange(1, 6_000)),
            lambda: b'{"id": 1e%d}' % self._random.randrange(500),
            lambda: b"[" * self._random.randrange(1, 60_000),
            lambda: b'{"a":' * self._random.randrange(1, 300) + b"1" + b"}" * self._random.randrange(1, 300),
            lambda: b'{"id": "\\ud800", "go": NaN}',
            lambda: b'{"id": null, "go": "no"}',
            lambda: b"a=1&" * self._random.randrange(2_000),
            lambda: self._noise(self._random.randrange(3_000)),
            lambda: b"x" * self._random.randrange(200_000),
            lambda: b"",
        ]
        return right if self._is_right() else self._random.choice(makers)()

    def _noise(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def _sign(self, preset: str, method: str, target: str, body: bytes) -> list[bytes]:
        headers = {"content-type": self._one_of(KINDS)}
        if preset != "none" and self._is_right():
            path, _, query = target.partition("?")
            own = {"id": str(self._random.randrange(10**5)), "path": path, "query_string": query, "method": method}
            with contextlib.suppress(Rejected):  # input that cannot be signed is sent unsigned
                headers |= sign_request(load_presets()[preset], SECRET, body, time.time(), public_url=PUBLIC_URL, **own)
        return [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]

    def _header(self) -> bytes:
        value = self._noise(30) if self._random.random() < 0.1 else self._random.choice(VALUES)
        return self._random.choice(NAMES).encode() + b": " + value

    def _frame(self, body: bytes) -> tuple[bytes, bytes, bool]:
        """A framing header, the body, and whether the header describes the body correctly."""
        match 4 if self._is_right() else self._random.randrange(4):
            case 0:
                half = len(body) // 2
                chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part]
                return b"transfer-encoding: chunked", b"".join([*chunks, b"0\r\n\r\n"]), True
            case 1:
                size = self._random.choice((b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"))
                return b"transfer-encoding: chunked", size, False
            case 2:
                length = len(body) + self._random.choice((-1, 1, 10**12))
                return b"content-length: %d" % length, body, False
            case 3:
                return b"content-length: 1\r\ncontent-length: %d" % len(body), body, False
            case _:
                return b"content-length: %d" % len(body), body, True

    def _mangle(self, request: bytes) -> bytes:
        at = self._random.randrange(min(len(request), 600))
        match self._random.randrange(4):
            case 0:
                return request[:at] + self._noise(self._random.randrange(1, 20)) + request[at:]
            case 1:
                return request[:at]
            case 2:
                return request[:at] + bytes([request[at] ^ (1 << self._random.randrange(8))]) + request[at + 1 :]
            case _:
                return request + request[at:]


async def _send(host: str, port: int, request: Request) -> bytes:
    """The response, or nothing if there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(request.data)
        async with asyncio.timeout(2 * SLOWEST if request.is_whole else PATIENCE):
            answer = await reader.read(64 * 1024)
            writer.close()
            return answer
    writer.transport.abort()
    return b""


async def _fuzz(where: tuple[str, int], chance: Chance, tally: Tally, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        request = chance.request()
        answer = await _send(*where, request)
        tally.count(request, answer, time.monotonic() - began)


@pytest.mark.slow
async def test_any_input_is_answered_without_5xx_in_bounded_time_and_memory(tmp_path: Path) -> None:
    pipelines = {preset.replace("-", "_"): _pipeline(preset) for preset in HOOKS}
    async with running(
        tmp_path,
        pipelines,
        public_url=PUBLIC_URL,
        address_rate="none",
        body_timeout="1s",
        max_body_bytes=LIMIT,
        log_level="error",
    ):
        where = address(tmp_path)
        chances = [Chance(SEED + number) for number in range(SENDERS)]
        await asyncio.gather(*(_fuzz(where, chance, Tally(), SECONDS / 5) for chance in chances))
        before, tally = resident(), Tally()
        await asyncio.gather(*(_fuzz(where, chance, tally, SECONDS * 4 / 5) for chance in chances))
        growth = resident() - before
    tried, fives = tally.statuses.total(), sum(n for status, n in tally.statuses.items() if status.startswith("5"))
    print(f"fuzzing (seed {SEED}): {tried} requests in {SECONDS * 4 / 5:g} s, 5xx: {fives}", end=", ")
    print(f"slowest {tally.slowest * 1000:.0f} ms, RSS grew by {growth / 2**20:.1f} MiB; {dict(tally.statuses)}")
    assert not tally.culprits, f"seed {SEED}: {tally.culprits[:3]}"
    assert {"202", "200", "400", "401"} <= set(tally.statuses)
    assert growth < GROWTH
