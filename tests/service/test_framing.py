"""HTTP framing: one response per request, however the bytes of a connection are split."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from tests.bench.framing import compare
from tests.service.running import running
from tests.service.wire import exchange, read_answers, recording

pytestmark = pytest.mark.anyio

HIDDEN = b"POST /hidden HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
"""A request that stands in another's body."""

NEXT = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"
SIZED = b"content-length: %d\r\n\r\n%s" % (len(HIDDEN), HIDDEN)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def post(*fields: bytes, body: bytes = SIZED, line: bytes = b"POST /first HTTP/1.1", host: bytes = b"host: x") -> bytes:
    """A request whose body contains another request."""
    return b"".join(part + b"\r\n" for part in (line, host, *fields) if part) + body


UPGRADES = {
    "h2c as Java's HttpClient offers it": [
        b"Connection: Upgrade, HTTP2-Settings",
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        b"Upgrade: h2c",
    ],
    "websocket": [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"],
    "any other protocol": [b"connection: upgrade", b"upgrade: foo/2, bar"],
    "no protocol": [b"connection: upgrade", b"upgrade:"],
    "in upper case with white space": [b"CONNECTION: \t UPGRADE \t ", b"UPGRADE:\tTLS/1.2 "],
    "in a second connection header": [b"connection: keep-alive", b"connection: foo, Upgrade", b"upgrade: h2c"],
    "twice": [b"connection: upgrade", b"upgrade: h2c", b"upgrade: websocket"],
    "without the connection header": [b"upgrade: h2c"],
    "without the upgrade header": [b"connection: upgrade"],
}


@pytest.mark.parametrize("body", [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("fields", UPGRADES.values(), ids=UPGRADES)
async def test_an_unsupported_upgrade_is_ignored_and_the_request_served_with_its_body(
    fields: list[bytes], body: bytes
) -> None:
    async with recording() as server:
        answers, client = await exchange(server.port, [post(*fields, body=body) * 2 + NEXT])
        assert [(each.status, each.body) for each in answers] == [(200, b"/first"), (200, b"/first"), (200, b"/next")]
        assert [each.body for each in server.seen[client]] == [HIDDEN, HIDDEN, b""]
        sent = {name.lower() for name, _, _ in (field.partition(b":") for field in fields)}
        assert sent <= server.headers[0].keys()


async def test_an_upgrade_and_its_last_request_end_the_connection_together() -> None:
    async with recording() as server:
        request = post(b"connection: close, upgrade", b"upgrade: h2c")
        answers, _ = await exchange(server.port, [request + NEXT], ends=False)
        assert [each.body for each in answers] == [b"/first"]
        assert server.paths == ["/first"]


SERVED = {
    "with a length": post(),
    "in chunks": post(body=CHUNKED),
    "an upgrade": post(*UPGRADES["h2c as Java's HttpClient offers it"]),
    "an upgrade in chunks": post(*UPGRADES["websocket"], body=CHUNKED),
    "with an empty line before": b"\r\n" + post(),
    "with extensions of chunks and trailers": post(
        body=b'transfer-encoding: chunked\r\n\r\n1;a=b;c="d;e"\r\nP\r\n1\r\nO\r\n0;x\r\n'
        b"authorization: z\r\nhost: y\r\n\r\n"
    ),
    "with blanks around the length": post(body=b"content-length: \t 3 \t\r\n\r\nabc"),
    "in one-byte chunks": post(
        body=b"transfer-encoding: Chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % each for each in HIDDEN) + b"0\r\n\r\n"
    ),
    "with blanks around the coding": post(body=b"transfer-encoding: \t chunked \t\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "to an absolute target": post(line=b"POST http://elsewhere/first HTTP/1.1"),
}


@pytest.mark.parametrize("request_", SERVED.values(), ids=SERVED)
async def test_a_request_is_read_the_same_however_it_is_split(request_: bytes) -> None:
    stream = request_ + NEXT
    async with recording() as server:
        answers, client = await exchange(server.port, [stream])
        assert [each.body for each in answers] == [b"/first", b"/next"]
        whole = server.seen[client]
        for at in range(1, len(stream)):
            answers, client = await exchange(server.port, [stream[:at], stream[at:]])
            assert [each.body for each in answers] == [b"/first", b"/next"], at
            assert server.seen[client] == whole, at
        answers, client = await exchange(server.port, [stream[at : at + 1] for at in range(len(stream))])
        assert [each.body for each in answers] == [b"/first", b"/next"]
        assert server.seen[client] == whole


@pytest.mark.parametrize("body", [b"transfer-encoding: chunked\r\n\r\nZZ\r\n", b"content-length: 9\r\n\r\n"])
async def test_a_rejected_request_with_100_continue_gets_one_response_and_no_traceback(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording() as server:
        answers, _ = await exchange(server.port, [post(b"expect: 100-continue", body=body)])
    assert [each.status for each in answers] == [400]
    assert not [each for each in caplog.records if each.name.startswith("uvicorn")]


async def test_trailers_are_not_headers() -> None:
    async with recording() as server:
        await exchange(server.port, [SERVED["with extensions of chunks and trailers"]])
        [headers] = server.headers
        assert b"authorization" not in headers
        assert headers[b"host"] == b"x"


REFUSED = {
    "CONNECT": post(line=b"CONNECT a:1 HTTP/1.1"),
    "CONNECT with an upgrade": post(*UPGRADES["websocket"], line=b"CONNECT /first HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
    "the method of that preface": b"PRI /0 HTTP/1.1\r\n\r\n",
    "HTTP/2 in words": post(line=b"POST /first HTTP/2.0"),
    "HTTP/1.2": post(line=b"POST /first HTTP/1.2"),
    "HTTP/0.9": b"GET /first\r\n\r\n",
    "RTSP": post(line=b"POST /first RTSP/1.0"),
    "ICE": post(line=b"SOURCE /first ICE/1.0"),
    "an unknown method": post(line=b"FROB /first HTTP/1.1"),
    "a method in lower case": post(line=b"post /first HTTP/1.1"),
    "two blanks": post(line=b"POST  /first HTTP/1.1"),
    "a tab": post(line=b"POST\t/first HTTP/1.1"),
    "a blank at the end of the line": post(line=b"POST /first HTTP/1.1 "),
    "a fragment": post(line=b"POST /first#a HTTP/1.1"),
    "an asterisk": post(line=b"OPTIONS * HTTP/1.1"),
    "a target that is no path": post(line=b"POST first HTTP/1.1"),
    "an absolute target without a path": post(line=b"POST http://x HTTP/1.1"),
    "lines ended by LF": post().replace(b"\r\n", b"\n"),
    "one line ended by LF": post(b"a: b\nc: d"),
    "one line ended by CR": post(b"a: b\rc: d"),
    "an end of the head by LF": b"POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\n" + HIDDEN,
    "a folded line": post(b"a: b\r\n c: d"),
    "a line of a blank": post(b"a: b", b" "),
    "a line of blanks and tabs": post(b"a: b", b" \t \t"),
    "a blank before the first header": post(b" a: b"),
    "a blank before the colon": post(b"content-length : 3"),
    "a header without a name": post(b": a"),
    "a line without a colon": post(b"abc"),
    "a zero byte": post(b"a: b\0c"),
    "a control character": post(b"a: b\x01c"),
    "a coding after another": post(body=CHUNKED.replace(b" chunked", b" gzip, chunked")),
    "a coding after nothing": post(body=CHUNKED.replace(b" chunked", b" , chunked")),
    "a coding twice": post(b"transfer-encoding: chunked", body=CHUNKED),
    "a coding twice in a line": post(body=CHUNKED.replace(b" chunked", b" chunked, chunked")),
    "an unknown coding": post(body=CHUNKED.replace(b" chunked", b" xchunked")),
    "the coding identity": post(body=CHUNKED.replace(b" chunked", b" identity")),
    "no coding": post(body=CHUNKED.replace(b" chunked", b"")),
    "a coding with a parameter": post(body=CHUNKED.replace(b" chunked", b" chunked;q=1")),
    "a coding in quotes": post(body=CHUNKED.replace(b" chunked", b' "chunked"')),
    "a coding and a vertical tab": post(body=CHUNKED.replace(b" chunked", b" \x0bchunked")),
    "a coding of HTTP/1.0": post(line=b"POST /first HTTP/1.0", body=CHUNKED),
    "a length and a coding": post(b"content-length: 3", body=CHUNKED),
    "a coding and a length": post(b"transfer-encoding: chunked", body=SIZED),
    "two lengths": post(b"content-length: 3"),
    "two equal lengths": post(b"content-length: %d" % len(HIDDEN)),
    "two lengths in a line": post(body=b"content-length: 3, 3\r\n\r\n" + HIDDEN),
    "a length with a plus": post(body=b"content-length: +5\r\n\r\n" + HIDDEN),
    "a length with a minus": post(body=b"content-length: -5\r\n\r\n" + HIDDEN),
    "a length in hexadecimal": post(body=b"content-length: 0x5\r\n\r\n" + HIDDEN),
    "a length with a blank": post(body=b"content-length: 5 5\r\n\r\n" + HIDDEN),
    "a length with an underscore": post(body=b"content-length: 1_0\r\n\r\n" + HIDDEN),
    "no length": post(body=b"content-length: \r\n\r\n" + HIDDEN),
    "a length beyond 64 bits": post(body=b"content-length: 18446744073709551617\r\n\r\n" + HIDDEN),
    "no host": post(host=b""),
    "two hosts": post(b"host: y"),
    "two equal hosts": post(b"Host: x"),
    "a host that is none": post(host=b"host: a, b"),
    "two credentials": post(b"authorization: Bearer a", b"Authorization: Bearer a"),
    "two content types": post(b"content-type: text/plain", b"Content-Type: application/json"),
    "two idempotency keys": post(b"idempotency-key: 1", b"Idempotency-Key: 2"),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_an_ambiguous_request_is_rejected_and_ends_the_connection(request_: bytes) -> None:
    async with recording() as server:
        for stream in ([request_ + NEXT], [request_, NEXT], [NEXT + request_ + NEXT]):
            answers, _ = await exchange(server.port, stream, ends=False)
            refusal = answers.pop()
            assert refusal.status == 400
            assert refusal.headers["connection"] == "close"
            assert refusal.headers["content-type"] == "application/problem+json"
            assert refusal.detail
            assert [each.body for each in answers] == ([b"/next"] if stream[0].startswith(NEXT) else [])
        assert server.paths == ["/next"]


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_a_rejected_request_stays_rejected_however_it_is_split(request_: bytes) -> None:
    async with recording() as server:
        for at in range(1, len(request_)):
            answers, _ = await exchange(server.port, [request_[:at], request_[at:] + NEXT], ends=False)
            assert len(answers) == 1, at
        assert server.paths == []


BROKEN_CHUNKS = {
    "a size with a plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "a size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a size with a blank": b"3 \r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a size ended by LF": b"3\nabc\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "data ended by LF": b"3\r\nabc\n0\r\n\r\n",
    "data that is too long": b"3\r\nabcd\r\n0\r\n\r\n",
    "data that is too short": b"5\r\nabc\r\n0\r\n\r\n",
    "an extension ended by LF": b"3;a\nabc\r\n0\r\n\r\n",
    "an extension with LF in quotes": b'3;a="\n"\r\nabc\r\n0\r\n\r\n',
    "a last chunk ended by LF": b"3\r\nabc\r\n0\n\n",
    "trailers ended by LF": b"3\r\nabc\r\n0\r\na: b\n\n",
    "a length in the trailers": b"3\r\nabc\r\n0\r\ncontent-length: 50\r\n\r\n",
    "endless extensions": b"3;" + b"a" * 100_000 + b"\r\nabc\r\n0\r\n\r\n",
    "endless trailers": b"3\r\nabc\r\n0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
}


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
async def test_a_body_with_malformed_chunks_is_rejected_once_and_not_delivered(chunks: bytes) -> None:
    request = post(body=b"transfer-encoding: chunked\r\n\r\n" + chunks)
    async with recording() as server:
        for stream in ([request + NEXT], [request[:80], request[80:] + NEXT], [NEXT + request + NEXT]):
            answers, _ = await exchange(server.port, stream, ends=False)
            refusal = answers.pop()
            assert refusal.status == 400
            assert refusal.headers["connection"] == "close"
            assert [each.body for each in answers] == ([b"/next"] if stream[0].startswith(NEXT) else [])
        assert server.paths == ["/next"]


async def test_a_truncated_request_gets_400_and_is_not_served() -> None:
    async with recording() as server:
        for request in (post(), post(body=CHUNKED)):
            for at in range(1, len(request)):
                answers, _ = await exchange(server.port, [request[:at]])
                assert [each.status for each in answers] == [400], at
        assert server.paths == []


async def test_no_request_is_read_after_the_last_one() -> None:
    async with recording() as server:
        for last in (post(b"connection: close"), post(line=b"POST /first HTTP/1.0"), post(b"connection: a, CLOSE")):
            for stream in ([last + NEXT], [last, NEXT]):
                answers, client = await exchange(server.port, stream, ends=False)
                assert [each.body for each in answers] == [b"/first"]
                assert answers[0].headers["connection"] == "close"
                assert [each.body for each in server.seen[client]] == [HIDDEN]


async def test_pipelined_requests_are_answered_in_order_each_once() -> None:
    paths = [b"/%d" % number for number in range(2_000)]
    async with recording() as server:
        stream = b"".join(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path for path in paths)
        answers, _ = await exchange(server.port, [stream])
        assert [each.body for each in answers] == paths


async def test_hundreds_of_pipelining_connections_do_not_block_another_request() -> None:
    connections, requests = 200, 100
    stream = b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n" * requests
    async with recording() as server:
        pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(connections)]
        for _, writer in pairs:
            writer.write(stream)
        [answer], _ = await exchange(server.port, [b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n"])
        assert answer.body == b"/other"
        before = server.count
        for reader, writer in pairs:
            writer.write_eof()
            assert len(read_answers(await asyncio.wait_for(reader.read(), 60))) == requests
            writer.close()
    assert server.count == connections * requests + 1
    assert before < 2 * connections, "apart from the first request of each connection, hardly any was served earlier"


async def test_pipelined_requests_wait_outside_the_process() -> None:
    async with recording() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.sendall(post(line=b"POST /held HTTP/1.1"))
            stranger.setblocking(False)
            sent, stuck = 0, 0
            while stuck < 50:
                await asyncio.sleep(0)
                try:
                    sent += stranger.send(post() * 500)
                    stuck = 0
                except BlockingIOError:
                    stuck += 1
            print(f"{sent / 1e6:.1f} MB were taken in behind a request that is not answered yet")
            assert sent < 32e6, "which is about what the kernel buffers"
            assert server.count == 1
        server.gate.set()


async def test_many_small_parts_of_a_body_do_not_block_another_request() -> None:
    content = b"\r\n\r\n" * 60_000
    async with recording() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(body=b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(content)))
        writer.write(content)
        [answer], _ = await exchange(server.port, [NEXT])
        assert answer.body == b"/next"
        assert server.count == 1
        writer.write(b"\r\n0\r\n\r\n")
        writer.write_eof()
        assert [each.body for each in read_answers(await asyncio.wait_for(reader.read(), 60))] == [b"/first"]
        assert content in [each.body for requests in server.seen.values() for each in requests]
        writer.close()


async def test_an_interim_response_is_sent_only_while_the_body_is_awaited() -> None:
    async with recording() as server:
        expecting = post(b"Expect: 100-Continue \t")
        head, body = expecting[: -len(HIDDEN)], expecting[-len(HIDDEN) :]
        assert (await exchange(server.port, [expecting]))[0][0].status == 200
        for version, interim in ((b"1.1", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"1.0", b"")):
            came = await _dialogue(server.port, head.replace(b"HTTP/1.1", b"HTTP/" + version), body, interim)
            assert [each.body for each in read_answers(came)] == [b"/first"]
            assert came.startswith(interim + b"HTTP/1.1 200")


async def _dialogue(port: int, head: bytes, body: bytes, interim: bytes) -> bytes:
    """The responses to a head and, after the interim response, to its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    came = await asyncio.wait_for(reader.readexactly(len(interim)), 60)
    writer.write(body)
    writer.write_eof()
    came += await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return came


# -- the whole service ------------------------------------------------------------------------------------------------

OPEN = """
triggers: [{id: hook, use: webhook, with: {path: /PATH, verify: none}, inputs: {body: "{{ trigger.body }}"}}]
inputs: {body: {}}
steps: [{id: note, use: transform.set, with: {values: {body: "{{ inputs.body }}"}}}]
outputs: {body: "{{ steps.note.output.body }}"}
"""


async def test_a_delivery_that_offers_an_upgrade_keeps_its_body_and_starts_one_run(tmp_path: Path) -> None:
    pipelines = {name: OPEN.replace("PATH", name) for name in ("one", "other")}
    hidden = b"POST /hooks/other HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    async with running(tmp_path, pipelines) as service:
        port = int(service.service.url.rpartition(":")[2])
        for fields in UPGRADES.values():
            sized = b"content-length: %d\r\n\r\n%s" % (len(hidden), hidden)
            request = post(*fields, b"content-type: text/plain", line=b"POST /hooks/one HTTP/1.1", body=sized)
            [answer], _ = await exchange(port, [request])
            assert answer.status == 202
            [run] = json.loads(answer.body)["runs"]
            assert (await service.wait_for_end(run))["outputs"] == {"body": hidden.decode()}
        started = (await service.client.get("/api/runs?pipeline=other")).json()
        assert started["runs"] == []


async def test_a_start_over_the_api_that_offers_an_upgrade_gets_its_inputs(tmp_path: Path) -> None:
    async with running(tmp_path, {"one": OPEN.replace("PATH", "one")}) as service:
        headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
        answer = await service.client.post("/api/pipelines/one/runs", json={"inputs": {"body": 7}}, headers=headers)
        assert answer.status_code == 202
        assert (await service.wait_for_end(answer.json()["id"]))["outputs"] == {"body": 7}


# -- random connections -----------------------------------------------------------------------------------------------


async def test_random_connections_are_read_as_by_an_independent_strict_parser() -> None:
    tally = await compare(3_000, seed=20_261_130)
    assert not tally.disagreements
    assert tally.served > 900
    assert tally.refused > 450
    assert {tally.stricter > 0, tally.wider > 0} == {True}, "the readers differ only where expected"
