"""Two readers of the same bytes: the served port and h11, which shares no code with it.

    python -m tests.bench.framing [REQUESTS [SEED]]

Random connections of up to six requests, many of them damaged, are split at random and sent to a real port. What the
application receives must be what h11 reads in the same bytes, or a prefix of it where the port is stricter; each
request must have one response, and after a rejection nothing more may be read. h11 accepts more: lines ended by LF,
folded lines, a length together with a coding. Only the port accepts empty lines before a request and
targets that are not ASCII. Prints the counts, and every connection on which the two disagree.
"""

import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import h11

from tests.service.wire import Recorder, Seen, WireAnswer, exchange, recording

AT_ONCE = 16
"""Connections that are open at a time."""

METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"PRI", b"POS", b"post", b"")
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/0.9",
    b"http/1.1",
    b"RTSP/1.0",
    b"HTTP/1.1 ",
    b"",
)
TARGETS = (
    b"/p",
    b"http://h/p",
    b"*",
    b"p",
    b"//p",
    b"/p?a=b&c",
    b"/p%20%e9",
    "/é".encode(),
    b"/\xe9",
    b"/a b",
    b"/#",
    b"h:1",
)
CODINGS = (
    b"chunked",
    b"Chunked",
    b" chunked\t",
    b"gzip, chunked",
    b"chunked, chunked",
    b"xchunked",
    b"identity",
    b"",
    b"chunked;a",
)
LENGTHS = (
    b"0",
    b"3",
    b"+3",
    b"-3",
    b"0x3",
    b"3, 3",
    b"3 3",
    b"",
    b"003",
    b"\t3 ",
    b"18446744073709551617",
    b"3.0",
    b"1_0",
)
FIELDS = (
    b"host: y",
    b"host:",
    b"Content-Type: text/plain",
    b"Authorization: Bearer a",
    b"connection: close",
    b"connection: keep-alive",
    b"connection: upgrade",
    b"Connection: Upgrade, HTTP2-Settings",
    b"connection: close, upgrade",
    b"upgrade: h2c",
    b"Upgrade: websocket",
    b"expect: 100-continue",
    b"Expect: nothing",
    b"te: trailers",
    b"trailer: x",
    b"x: \t blanks \t ",
    b"x:",
    b"x : y",
    b" x: y",
    b"x",
    b": x",
    b"x: a\r\n b",
    b"x: a\nb: c",
    b"x: a\rb: c",
    b"x: \xe9",
    b"x: a\x00b",
    b"x: a\x7fb",
    b"transfer-encoding : chunked",
    b"Transfer_Encoding: chunked",
    b"content-length\x00: 3",
    b"content-length: 3\r",
)
NOISE = (b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b"0", b"1", b";", b"\xff", b",", b"\r\n\r\n", b"0\r\n\r\n")
ENDS = (b"\r\n",) * 40 + (b"\n", b"\r", b"\r\r\n", b" \r\n", b"\n\r\n")


class Chance:
    """Generates connections from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def is_met(self, probability: float) -> bool:
        return self._random.random() < probability

    def connection(self) -> list[bytes]:
        """Up to six requests."""
        damage = self._random.choice((0.0, 0.1, 0.3))
        return [self._request(number, damage) for number in range(self._random.randint(1, 6))]

    def cut(self, stream: bytes) -> list[bytes]:
        """Split a stream into the parts in which it is sent."""
        if self.is_met(0.4) or len(stream) < 2:
            return [stream]
        if self.is_met(0.02):
            return [stream[at : at + 1] for at in range(len(stream))]
        cuts = sorted({self._random.randrange(1, len(stream)) for _ in range(self._random.randint(1, 4))})
        return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    def _request(self, number: int, damage: float) -> bytes:
        def one(usual: bytes, others: Sequence[bytes]) -> bytes:
            return self._random.choice(others) if self.is_met(damage) else usual

        has_body = self.is_met(0.6)
        line = [
            one(b"POST" if has_body else b"GET", METHODS),
            one(b"/%d" % number, TARGETS),
            one(b"HTTP/1.1", VERSIONS),
        ]
        fields = [one(b"host: x", (b"", b"Host: x:80", b"host: a, b"))]
        fields += [self._random.choice(FIELDS[:16]) for _ in range(self._random.choice((0, 0, 0, 1, 2)))]
        fields += [self._random.choice(FIELDS) for _ in range(2) if self.is_met(damage)]
        body = b""
        if has_body:
            content = self._content()
            if self.is_met(0.5):
                fields.append(b"content-length: " + one(b"%d" % len(content), LENGTHS))
                body = content
            else:
                fields.append(b"transfer-encoding: " + one(b"chunked", CODINGS))
                body = self._chunks(content, damage)
            if self.is_met(damage / 3):
                fields.append(self._random.choice((b"content-length: 3", b"transfer-encoding: chunked")))
        self._random.shuffle(fields)
        end = ENDS if self.is_met(damage) else ENDS[:1]
        head = b"".join(each + self._random.choice(end) for each in (b" ".join(line), *filter(None, fields), b""))
        return self._damage(self._random.choice((b"", b"", b"", b"\r\n")) + head + body, damage / 3)

    def _content(self) -> bytes:
        hidden = b"POST /hidden HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        return self._random.choice((b"", b"abc", hidden, hidden * 3, b"\r\n\r\n", b"0\r\n\r\n" + hidden, b"x" * 5_000))

    def _chunks(self, content: bytes, damage: float) -> bytes:
        size = self._random.choice((1, 7, 60, 10_000))
        chunks = []
        for at in range(0, len(content), size):
            part = content[at : at + size]
            extension = self._random.choice((b"", b"", b"", b";a", b';a="b;c"', b";a=b;c"))
            chunks += [b"%x" % len(part), extension, b"\r\n", part, b"\r\n"]
        chunks.append(
            self._random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"000\r\n\r\n", b"0;a\r\nx: y\r\nhost: z\r\n\r\n"))
        )
        if self.is_met(damage):
            chunks[self._random.randrange(len(chunks))] = self._random.choice(
                (*NOISE, b"+3", b"0x3", b"fffffffffffffffff")
            )
        return b"".join(chunks)

    def _damage(self, request: bytes, damage: float) -> bytes:
        while request and self.is_met(damage):
            at = self._random.randrange(len(request))
            request = request[:at] + self._random.choice((b"", *NOISE)) + request[at + self._random.choice((0, 1)) :]
        return request


@dataclass
class Tally:
    """Counts of what was sent and of the outcomes."""

    connections: int = 0
    requests: int = 0
    served: int = 0
    refused: int = 0
    stricter: int = 0
    wider: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def read_with_h11(stream: bytes) -> tuple[list[Seen], bool]:
    """The requests that h11 reads in a connection's bytes, and whether it rejects what follows."""
    seen: list[Seen] = []
    head, body = None, b""
    connection = _connection_with(stream)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head
                seen.append(Seen(head.method.decode(), head.target, body))
                connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return seen, False
                connection = _connection_with(connection.trailing_data[0])
            else:
                return seen, False
    except h11.RemoteProtocolError:
        return seen, True


def _connection_with(stream: bytes) -> h11.Connection:
    """An h11 connection with these bytes, without leading empty lines, some of which h11 rejects."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(stream) + 1)
    connection.receive_data(re.sub(rb"^(\r\n)+", b"", stream))
    connection.receive_data(b"")
    return connection


def judge(tally: Tally, stream: bytes, got: list[Seen], answers: list[WireAnswer]) -> str | None:
    """The reason why the port handled a connection wrongly, if it did."""
    expected, h11_refuses = read_with_h11(stream)
    finals = [answer.status for answer in answers]
    is_refused = bool(answers) and answers[-1].status != 200
    tally.served += len(got)
    tally.refused += is_refused
    if is_refused:
        tally.reasons[re.sub(r"\d+", "N", answers[-1].detail)] += 1
    if finals[: len(got)] != [200] * len(got) or len(finals) != len(got) + is_refused:
        return f"{len(got)} requests were served, and the answers were {finals}"
    if is_refused and answers[-1].headers.get("connection") != "close":
        return "the connection goes on after a refusal"
    for mine, theirs in zip(got, expected, strict=False):
        if mine != theirs._replace(target=_path(theirs.target)):
            return f"the port read {mine}, and h11 {theirs}"
    if len(got) > len(expected):
        if h11_refuses and re.search(rb"%[89A-F]", got[len(expected)].target):
            tally.wider += 1
            return None
        return f"h11 read {len(expected)} requests, and the port {len(got)}"
    if len(got) < len(expected):
        tally.stricter += 1
        return (
            None if is_refused else f"h11 read {len(expected)} requests, and the port only {len(got)}, without a word"
        )
    if h11_refuses and not is_refused:
        return "h11 refuses what comes next, and the port says nothing"
    return None


def _path(target: bytes) -> bytes:
    """A target as the application receives it: an absolute one without its authority."""
    return re.sub(rb"^(?i:http)://[^/]+", b"", target)


async def compare(requests: int, seed: int) -> Tally:
    """Send `requests` requests, and judge each connection."""
    tally = Tally()
    chance = Chance(seed)

    async def send(server: Recorder) -> None:
        while tally.requests < requests and len(tally.disagreements) < 10:
            sent = chance.connection()
            tally.connections += 1
            tally.requests += len(sent)
            stream = b"".join(sent)
            try:
                answers, client = await exchange(server.port, chance.cut(stream))
            except (ValueError, TimeoutError) as error:
                tally.disagreements.append(f"{error!r}: {stream!r}")
                continue
            got = server.seen.pop(client, [])
            server.headers.clear()
            if wrong := judge(tally, stream, got, answers):
                tally.disagreements.append(f"{wrong}: {stream!r}")

    async with recording() as server:
        await asyncio.gather(*(send(server) for _ in range(AT_ONCE)))
    return tally


def main() -> None:
    given = [int(each) for each in sys.argv[1:]]
    requests, seed = (*given, 200_000, 1)[:2] if len(given) != 1 else (given[0], 1)
    began = time.perf_counter()
    tally = asyncio.run(compare(requests, seed))
    print(f"{tally.requests} requests on {tally.connections} connections in {time.perf_counter() - began:.0f} s")
    print(
        f"served {tally.served}; refused {tally.refused}: stricter than h11 on {tally.stricter} connections, ", end=""
    )
    print(f"wider on {tally.wider}; disagreements {len(tally.disagreements)}")
    for reason, count in tally.reasons.most_common():
        print(f"  {count:7}  {reason}")
    for each in tally.disagreements:
        print(f"DISAGREEMENT {each.replace('x' * 5_000, '(5,000 times x)')}")
    sys.exit(bool(tally.disagreements))


if __name__ == "__main__":
    main()
