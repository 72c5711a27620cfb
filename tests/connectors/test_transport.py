"""The transport on real ports: requests, responses, errors, and the rule that no request is sent twice."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_address

import httpx
import pytest

from connectors.wire.connection import Connection
from connectors.wire.egress import Address, Egress
from connectors.wire.exchange import BUFFER_LIMIT, Exchange
from connectors.wire.lenient import HEAD_LIMIT
from connectors.wire.pool import PoolLimits
from connectors.wire.transport import BEFORE_SENDING, Transport
from tests.connectors.conftest import LOCAL
from tests.connectors.servers import OK, Behaviour, Server, Visit, answer, answering, serve

pytestmark = pytest.mark.anyio

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


async def call(
    transport: Transport, server: Server, method: str = "GET", *, content: bytes | None = None, **timeouts: float
) -> tuple[int, bytes]:
    request = httpx.Request(method, server.url, content=content, extensions={"timeout": {"read": 5.0, **timeouts}})
    response = await transport.handle_async_request(request)
    try:
        return response.status_code, await response.aread()
    finally:
        await response.aclose()


def says(data: bytes) -> Behaviour:
    """Behaviour: after the request, send this data and close."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(data)

    return behave


# -- framing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (OK, b"ok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the close", b"until the close"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_every_framing_of_a_body_is_read(transport: Transport, data: bytes, body: bytes) -> None:
    async with serve(says(data)) as server:
        assert await call(transport, server) == (200, body)


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    ],
)
async def test_a_response_without_a_body_ends_with_its_head(transport: Transport, method: str, data: bytes) -> None:
    async with serve(answering(data)) as server:
        for _ in range(2):
            assert (await call(transport, server, method))[1] == b""


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (HEAD_LIMIT + 10) + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 5000 + b"Content-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + b"a" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=" + b"a" * 1_000_000,
    ],
    ids=range(12),
)
async def test_a_malformed_response_is_rejected(transport: Transport, data: bytes) -> None:
    async with serve(says(data)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await call(transport, server)
        assert len(server.requests) == 1


async def test_a_response_may_arrive_byte_by_byte(transport: Transport) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            await visit.send(bytes([byte]))

    async with serve(behave) as server:
        assert await call(transport, server) == (200, b"abc")


async def test_data_after_a_response_is_not_taken_for_the_next_response(transport: Transport) -> None:
    async with serve(answering(OK + answer(b"a lie"))) as server:
        assert await call(transport, server) == (200, b"ok")
        assert await call(transport, server) == (200, b"ok")
        assert server.connections == 2


async def test_a_response_before_the_end_of_the_request_is_accepted(transport: Transport) -> None:
    async def behave(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.send(answer(b"enough", status="413 Content Too Large"))
        await visit.reader.read()  # until the client closes

    async with serve(behave) as server:
        assert await call(transport, server, "POST", content=b"x" * 50_000_000) == (413, b"enough")


async def test_a_large_body_arrives_complete(transport: Transport) -> None:
    async def behave(visit: Visit) -> None:
        received = await visit.request()
        await visit.send(answer(received.body))

    body = bytes(range(256)) * 40_000
    async with serve(behave) as server:
        assert await call(transport, server, "PUT", content=body) == (200, body)


async def test_a_slow_reader_applies_backpressure_to_the_server(transport: Transport) -> None:
    written = 0

    async def behave(visit: Visit) -> None:
        nonlocal written
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await visit.send(b"x" * 65_536)
            written += 65_536

    async with serve(behave) as server:
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
        before = -1
        while before != written:  # until the server blocks
            before = written
            for _ in range(100):
                await asyncio.sleep(0)
        buffers = 2 * BUFFER_LIMIT + 16 * 1024 * 1024  # our buffer and those of two sockets
        assert written < buffers
        await response.aclose()
        await server.gone.wait()


# -- failures before sending, and unknown endings ----------------------------------------------------------------


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_refused_connection_is_reported_as_not_sent(transport: Transport) -> None:
    with pytest.raises(httpx.ConnectError):
        await call(transport, Server(port=unused_port()))


async def test_a_host_without_an_address_is_reported_as_not_sent() -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        raise OSError("no such host")

    async with Transport(LOCAL, resolve=resolve) as transport:
        with pytest.raises(httpx.ConnectError, match="no such host"):
            await transport.handle_async_request(httpx.Request("GET", "http://nowhere.example"))


async def test_a_slow_resolver_is_a_timeout_before_sending() -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    async with Transport(LOCAL, resolve=resolve) as transport:
        request = httpx.Request("GET", "http://slow.example", extensions={"timeout": {"connect": 0.01}})
        with pytest.raises(httpx.ConnectTimeout):
            await transport.handle_async_request(request)


async def test_the_second_address_is_tried_when_the_first_refuses() -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async with serve(answering(OK)) as server, Transport(LOCAL, resolve=resolve) as transport:
        response = await transport.handle_async_request(httpx.Request("GET", f"http://two.example:{server.port}"))
        assert await response.aread() == b"ok"
        assert server.requests[0].headers["host"] == f"two.example:{server.port}"


async def test_a_missing_response_is_a_read_timeout(transport: Transport) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.request()

    async with serve(behave) as server:
        with pytest.raises(httpx.ReadTimeout):
            await call(transport, server, read=0.01)
        await server.gone.wait()


async def test_a_stalled_body_is_a_read_timeout(transport: Transport) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await visit.request()

    async with serve(behave) as server:
        with pytest.raises(httpx.ReadTimeout):
            await call(transport, server, read=0.01)
        await server.gone.wait()


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"]
)
@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_a_lost_response_is_unknown_and_its_request_is_sent_once(
    transport: Transport, method: str, beginning: bytes, is_reset: bool
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(beginning)
        if is_reset:
            visit.reset()

    async with serve(behave) as server:
        if method == "HEAD" and beginning.endswith(b"ab"):
            await call(transport, server, method)
        else:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await call(transport, server, method)
        assert [request.line for request in server.requests] == [f"{method} / HTTP/1.1"]


# -- connection reuse ------------------------------------------------------------------------------------------------


async def test_a_connection_is_reused(transport: Transport) -> None:
    async with serve(answering(OK)) as server:
        for method in ("GET", "POST", "PUT", "DELETE"):
            await call(transport, server, method)
        assert (len(server.requests), server.connections) == (4, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_reused(transport: Transport, data: bytes) -> None:
    async with serve(answering(data)) as server:
        await call(transport, server)
        await call(transport, server)
        assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 39\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 39\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_a_body_of_a_bodyless_response_is_not_taken_for_the_next_response(
    transport: Transport, head: bytes
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(head)
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na lie")

    async with serve(behave) as server:
        for _ in range(2):
            _, body = await call(transport, server)
            assert body == b""
        assert server.connections == 2


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_lost_on_a_reused_connection_is_not_sent_again(transport: Transport, method: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK)
        await visit.request()

    async with serve(behave) as server:
        await call(transport, server)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await call(transport, server, method)
        assert [request.line for request in server.requests] == ["GET / HTTP/1.1", f"{method} / HTTP/1.1"]


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_a_closed_idle_connection_is_replaced(transport: Transport, method: str, is_reset: bool) -> None:
    closed = asyncio.Event()

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK)
        if is_reset:
            visit.reset()
        await visit.close()
        closed.set()

    async with serve(behave) as server:
        await call(transport, server)
        await closed.wait()
        await call(transport, server, method)
        assert (len(server.requests), server.connections) == (2, 2)


async def test_a_close_that_the_event_loop_has_not_processed_is_noticed(transport: Transport) -> None:
    """A server in a thread closes the connection while the event loop is blocked, so only the socket shows it."""
    listener = socket.create_server(("127.0.0.1", 0))
    closed = threading.Event()

    def visits() -> None:
        for _ in range(2):
            visitor, _ = listener.accept()
            visitor.recv(65_536)
            visitor.sendall(OK)
            may_close.wait()
            visitor.close()
            closed.set()

    may_close = threading.Event()
    thread = threading.Thread(target=visits)
    thread.start()
    try:
        server = Server(port=listener.getsockname()[1])
        await call(transport, server)
        may_close.set()
        closed.wait()  # the loop is blocked on purpose
        assert await call(transport, server, "POST") == (200, b"ok")
    finally:
        thread.join()
        listener.close()


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with serve(answering(OK)) as server, Transport(LOCAL, limits=PoolLimits(idle=0.02)) as transport:
        await call(transport, server)
        await server.gone.wait()


async def test_connections_to_an_origin_are_bounded_and_further_requests_wait() -> None:
    busy, most = 0, 0

    async def behave(visit: Visit) -> None:
        nonlocal busy, most
        while True:
            await visit.request()
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1
            await visit.send(OK)

    async with serve(behave) as server, Transport(LOCAL, limits=PoolLimits(per_origin=3)) as transport:
        answers = await asyncio.gather(*(call(transport, server) for _ in range(30)))
        assert answers == [(200, b"ok")] * 30
        assert server.connections == 3
        assert most <= 3


async def test_total_connections_are_bounded_and_idle_ones_are_closed_first() -> None:
    async with (
        serve(answering(OK)) as one,
        serve(answering(OK)) as two,
        serve(answering(OK)) as three,
        Transport(LOCAL, limits=PoolLimits(total=2)) as transport,
    ):
        for server in (one, two, three):
            await call(transport, server)
        await one.gone.wait()
        calls = [call(transport, server) for server in (one, two, three) for _ in range(10)]
        assert await asyncio.gather(*calls) == [(200, b"ok")] * 30


async def test_a_pool_timeout_has_sent_nothing() -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.request()

    async with serve(behave) as server, Transport(LOCAL, limits=PoolLimits(per_origin=1)) as transport:
        first = asyncio.create_task(call(transport, server, read=60.0))
        await server.asked.wait()
        with pytest.raises(httpx.PoolTimeout):
            await call(transport, server, pool=0.01)
        first.cancel()
        await asyncio.wait([first])
        assert len(server.requests) == 1


async def test_cancelling_closes_the_connection_and_frees_its_slot() -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        if len(visit.server.requests) > 1:
            await visit.send(OK)
        await visit.request()

    async with serve(behave) as server, Transport(LOCAL, limits=PoolLimits(per_origin=1)) as transport:
        task = asyncio.create_task(call(transport, server))
        await server.asked.wait()
        task.cancel()
        await server.gone.wait()
        assert task.cancelled()
        assert await call(transport, server, pool=5.0) == (200, b"ok")


async def test_a_request_cancelled_while_waiting_leaves_no_state() -> None:
    async with serve(answering(OK)) as server, Transport(LOCAL, limits=PoolLimits(per_origin=1, total=1)) as transport:
        for _ in range(3):
            tasks = [asyncio.create_task(call(transport, server)) for _ in range(5)]
            await asyncio.sleep(0)
            for task in tasks[1::2]:
                task.cancel()
            await asyncio.wait(tasks)
        assert await call(transport, server, pool=5.0) == (200, b"ok")


async def test_an_error_right_before_sending_sends_nothing_and_keeps_the_connection(transport: Transport) -> None:
    class Ended(Exception):
        pass

    def refuse() -> None:
        raise Ended

    async with serve(answering(OK)) as server:
        await call(transport, server)
        with pytest.raises(Ended):
            await transport.handle_async_request(httpx.Request("POST", server.url, extensions={BEFORE_SENDING: refuse}))
        await call(transport, server)
        assert (len(server.requests), server.connections) == (2, 1)


async def test_closing_the_transport_ends_requests_in_progress() -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.request()

    async with serve(behave) as server:
        transport = Transport(LOCAL)
        task = asyncio.create_task(call(transport, server))
        await server.asked.wait()
        await transport.aclose()
        with pytest.raises(httpx.RemoteProtocolError):
            await task


@pytest.mark.parametrize("data", [OK, b"HTTP/1.1 200 OK\r\n\r\nuntil the close"], ids=["length", "close"])
async def test_a_response_leaves_nothing_to_the_garbage_collector(transport: Transport, data: bytes) -> None:
    async with serve(says(data)) as server:
        gc.collect()
        gc.disable()
        try:
            await call(transport, server)
            assert not [each for each in gc.get_objects() if isinstance(each, Exchange)]
        finally:
            gc.enable()


# -- requests ----------------------------------------------------------------------------------------------------


async def test_the_transport_sets_the_content_length_itself(transport: Transport) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async with serve(answering(OK)) as server:
        for request in (
            httpx.Request("POST", server.url, headers={"Content-Length": "999"}, content=b"abcd"),
            httpx.Request("POST", server.url, headers={"Transfer-Encoding": "chunked"}, content=b"abcd"),
            httpx.Request("POST", server.url, content=pieces()),
        ):
            await (await transport.handle_async_request(request)).aread()
        for received in server.requests:
            assert received.headers["content-length"] == "4"
            assert "transfer-encoding" not in received.headers
            assert received.body == b"abcd"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"x": "a\r\nInjected: b"}),
        ("GET", {"x": "a\nb"}),
        ("GET", {"x": "a\0b"}),
        ("GET", {"x y": "a"}),
        ("GET", {"x:": "a"}),
        ("GET", {"": "a"}),
        ("GET / HTTP/1.1\r\nX:", {}),
        ("GÉT", {}),
    ],
)
async def test_a_request_that_would_inject_another_is_not_sent(
    transport: Transport, method: str, headers: dict[str, str]
) -> None:
    async with serve(answering(OK)) as server:
        with pytest.raises(httpx.LocalProtocolError):
            await transport.handle_async_request(httpx.Request(method, server.url, headers=headers))
        assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "/path", "//host/", "http://", "http://x:99999/"]
)
async def test_only_absolute_http_urls_are_sent(url: str) -> None:
    async with Transport(Egress.parse("0.0.0.0/0")) as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(httpx.Request("GET", url))


async def test_a_connection_survives_a_cancel_at_the_moment_its_response_arrives(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(answering(OK)) as server:
        release = transport._pool.release
        tasks: list[asyncio.Task[tuple[int, bytes]]] = []

        def release_and_cancel(connection: Connection) -> None:
            release(connection)
            if len(tasks) == 1:
                tasks.append(asyncio.create_task(call(transport, server)))
                tasks[0].cancel()

        monkeypatch.setattr(transport._pool, "release", release_and_cancel)
        tasks.append(asyncio.create_task(call(transport, server)))
        await asyncio.wait({tasks[0]})
        assert await tasks[1] == (200, b"ok")
    assert tasks[0].cancelled()
