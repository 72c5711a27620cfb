"""Responses that break RFC 9112: read where it permits a client to do so, and otherwise not retried."""

import time

import pytest

from connectors.wire.client import HttpClient
from connectors.wire.lenient import HEAD_LIMIT, LenientReader
from durable.action import ActionError, Context
from tests.connectors.servers import OK, Behaviour, Visit, serve

pytestmark = pytest.mark.anyio

START = b"HTTP/1.1 200 OK\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n"
TWO = b"2\r\nok\r\n0\r\n\r\n"

READ = [
    (START + b"A: b\r\n c\r\n\t d\r\nContent-Length: 2\r\n\r\nok", {"a": "b c d", "content-length": "2"}),
    (START + b"A:\r\n b\r\nContent-Length: 2\r\n\r\nok", {"a": "b", "content-length": "2"}),
    (START + b" A: b\r\nContent-Length: 2\r\n\r\nok", {"content-length": "2"}),
    (START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", {"content-length": "2"}),
    (START + b"Content-Length: 2, 02\r\n\r\nok", {"content-length": "2"}),
    (START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + TWO, {"transfer-encoding": "chunked"}),
    (START + b"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n" + TWO, {"transfer-encoding": "chunked"}),
    (START + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", None),
    (START + b"Transfer-Encoding: identity\r\n\r\nok", None),
    (START + b"Transfer-Encoding: identity, chunked\r\n\r\n" + TWO, None),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", {"content-length": "2"}),
    (b"HTTP/1.1 200 OK\nA: b\r\nContent-Length: 2\n\r\nok", {"a": "b", "content-length": "2"}),
    (b"HTTP/1.1 200 OK\r\r\nContent-Length: 2\r\r\n\r\r\nok", {"content-length": "2"}),
    (b"HTTP/1.0 200 OK\n\nok", {}),
    (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\no\n1;x=y\nk\n0\nA: b\n\n", {"transfer-encoding": "chunked"}),
    (START + b"Content-Length : 2\r\n\r\nok", {"content-length": "2"}),
    (START + b"A\t: b\r\nContent-Length: 2\r\n\r\nok", {"a": "b", "content-length": "2"}),
    (START + b"no colon\r\nX Y: 1\r\n: 2\r\nContent-Length: 2\r\n\r\nok", {"content-length": "2"}),
    (START + b"A: b\x00c\rd\x01\r\nContent-Length: 2\r\n\r\nok", {"a": "b c d", "content-length": "2"}),
    (START + b"A: \xe9\r\nB : c\r\nContent-Length: 2\r\n\r\nok", {"a": "é", "b": "c", "content-length": "2"}),
    (b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
    (b"HTTP/1.1  200  OK\r\nContent-Length: 2\r\n\r\nok", None),
    (b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok", None),
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", None),
    (b"HTTP/1.1 200 \xff\x01\r\nContent-Length: 2\r\n\r\nok", None),
    (b"\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", None),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\nLink: a\n\n"
        + START
        + b"A : b\r\nContent-Length: 2\r\n\r\nok",
        None,
    ),
    (CHUNKED + b"\r\n2 \r\nok\r\n0 \r\n\r\n", None),
    (CHUNKED + b"\r\n2 ;a=b\r\nok\r\n0\r\n\r\n", None),
    (CHUNKED + b"\r\n2\nok\n0\n\n", {"transfer-encoding": "chunked"}),
    (CHUNKED + b"\r\n2;\x01\r\nok\r\n0\r\n\r\n", None),
    (CHUNKED + b"\r\n2\r\nok\r\n0\r\nno trailer\r\n\r\n", None),
    (CHUNKED + b"\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n", None),
    (CHUNKED + b"\r\n2\r\nok\r\n0\r\n\n", None),
]

REFUSED = [
    (START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", 200),
    (START + b"Content-Length: 2, 3\r\n\r\nok", 200),
    (START + b"Content-Length: -2\r\n\r\nok", 200),
    (START + b"Content-Length: +2\r\n\r\nok", 200),
    (START + b"Content-Length:\r\n\r\nok", 200),
    (START + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok", 200),
    (START + b"Transfer-Encoding: gzip\r\n\r\nok", 200),
    (START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + TWO, 200),
    (START + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + TWO, 200),
    (CHUNKED + b"\r\nzz\r\nok\r\n0\r\n\r\n", 200),
    (CHUNKED + b"\r\n2\r\nokay\r\n0\r\n\r\n", 200),
    (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0x2\nok\n0\n\n", 200),
    (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nokay\n0\n\n", 200),
    (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + b"1\nx\n" * 2_000 + b"0\n\n", 200),
    (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 101),
    (b"HTTP/1.1 2OO OK\r\n\r\n", None),
    (b"HTTP/1.1 2000 OK\r\n\r\n", None),
    (b"HTTP/1.1 000 OK\r\n\r\n", None),
    (b"HTTP/x\r\n", None),
    (START + b"X: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", 200),
    (START + b"A : b\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", 200),
    (START + b"A : b\r\n" * 3_000 + b"\r\n", 200),
    (START + b"X: " + b"a" * 1_000_000, 200),
]


def says(data: bytes, *, piece: int = 0) -> Behaviour:
    """Behaviour: after the request, send this data, at once or in pieces, and close."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        for start in range(0, len(data), piece or len(data)):
            await visit.send(data[start : start + (piece or len(data))])

    return behave


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize(("data", "headers"), READ, ids=range(len(READ)))
async def test_responses_that_rfc_9112_lets_a_client_read_are_read(
    client: HttpClient, context: Context, data: bytes, headers: dict[str, str] | None, piece: int
) -> None:
    async with serve(says(data, piece=piece)) as server:
        answer = await client.send(context, "POST", server.url)
        assert (answer.status, answer.body) == (200, b"ok")
        assert headers in (None, answer.headers)


@pytest.mark.parametrize(("data", "status"), REFUSED, ids=range(len(REFUSED)))
async def test_an_unreadable_response_counts_as_answered_and_is_not_retried(
    client: HttpClient, context: Context, data: bytes, status: int | None
) -> None:
    async with serve(says(data)) as server:
        with pytest.raises(ActionError) as caught:
            await client.send(context, "POST", server.url)
        error = caught.value
        assert (error.error_class, error.code, error.ending) == ("invalid", "malformed_response", "answered")
        assert error.details == {"status": status}
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error_class"), [(503, "server"), (429, "rate_limit"), (422, "client"), (302, "client")]
)
@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Length: 9\r\n\r\nlost",
        b"Content-Len",
        b"",
        b"A : b\r\nContent-Len",
    ],
)
async def test_an_error_response_with_an_unreadable_rest_keeps_its_status(
    client: HttpClient, context: Context, status: int, error_class: str, rest: bytes
) -> None:
    async with serve(says(b"HTTP/1.1 %d No\r\n" % status + rest)) as server:
        with pytest.raises(ActionError) as caught:
            await client.send(context, "POST", server.url)
        error = caught.value
        assert (error.error_class, error.code, error.ending) == (error_class, str(status), "answered")


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x01\x00\x02", b"<html>", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000]
)
async def test_data_that_is_not_http_leaves_the_ending_unknown(
    client: HttpClient, context: Context, data: bytes
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(data)
        await visit.request()  # the connection stays open

    async with serve(behave) as server:
        with pytest.raises(ActionError) as caught:
            await client.send(context, "POST", server.url)
        error = caught.value
        assert (error.error_class, error.code, error.ending) == ("network", "answer_lost", "unknown")


@pytest.mark.parametrize("chunks", [b"2\rok\r0\r\r", b"0x2", b"-2", b"2\r\nokay", b"f" * 17, b"2,"])
@pytest.mark.parametrize("head", [CHUNKED, CHUNKED.replace(b"\r\n", b"\n")], ids=["strict", "lenient"])
async def test_a_malformed_chunk_fails_without_waiting_for_more(
    client: HttpClient, context: Context, head: bytes, chunks: bytes
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(head + b"\r\n" + chunks)
        await visit.request()

    async with serve(behave) as server:
        with pytest.raises(ActionError) as caught:
            await client.send(context, "POST", server.url)
        assert caught.value.code == "malformed_response"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_ends_with_its_head(client: HttpClient, context: Context, status: int) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 %d So\nContent-Length: 9\n\n" % status)
        await visit.request()

    async with serve(behave) as server:
        assert (await client.send(context, "GET", server.url)).body == b""


async def test_a_connection_is_not_reused_after_an_irregular_response(client: HttpClient, context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK.replace(b"Content-Length:", b"Content-Length :") + OK.replace(b"ok", b"no"))
        await visit.request()

    async with serve(behave) as server:
        for _ in range(2):
            assert (await client.send(context, "POST", server.url)).body == b"ok"
        assert server.connections == 2


def test_the_cost_per_chunk_does_not_grow_with_the_number_of_chunks() -> None:
    def seconds(chunks: int) -> float:
        received: list[bytes] = []
        reader = LenientReader(is_head=False, begin=lambda *_: None, deliver=received.append, end=lambda: None)
        data = (
            b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"
            + b"20\n0123456789abcdef0123456789abcdef\n" * chunks
            + b"0\n\n"
        )
        started = time.process_time()
        reader.feed(data)
        assert len(received) == chunks
        return time.process_time() - started

    assert min(seconds(200_000) for _ in range(2)) < 100 * min(seconds(10_000) for _ in range(3))
