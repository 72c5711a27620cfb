"""Clients that send or read slowly, on an event loop whose clock runs fifty times as fast."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.service.test_attacks import Hurried
from triggers.http.protocol import LINGER_LIMIT
from triggers.http.server import Server, listen

pytestmark = pytest.mark.anyio

LARGE = 64 * 1024 * 1024
"""Bytes of an answer that no kernel buffers whole."""


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the request: with a large body at /large, 413 as the API does at /refused."""
    size = LARGE if scope["path"] == "/large" else 5
    status, more = (413, [(b"connection", b"close")]) if scope["path"] == "/refused" else (200, [])
    headers = [(b"content-length", b"%d" % size), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * size})


@asynccontextmanager
async def _serving(app: ASGIApp = _answer) -> AsyncIterator[tuple[int, Server]]:
    with listen("127.0.0.1", 0) as listener:
        server = Server(uvicorn.Config(app, http=Hurried, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1], server
        finally:
            server.stop()
            await serving


async def _all_are_gone(server: Server) -> None:
    async with asyncio.timeout(60):
        while server.server_state.connections:
            await asyncio.sleep(0.01)


async def _write_much(writer: asyncio.StreamWriter) -> None:
    for _ in range(1_000):
        writer.write(b"y" * 1_000_000)
        await writer.drain()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 60)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n", b"\r"], ids=["nothing", "a line", "lines", "half a line"])
@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"], ids=["new", "kept alive"])
async def test_empty_lines_do_not_keep_a_connection_open(first: bytes, sent: bytes) -> None:
    async with _serving() as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        if first:
            await reader.readuntil(b"xxxxx")
        writer.write(sent)
        came = await _until_closed(reader)
        assert came == b"" or came.startswith(b"HTTP/1.1 408 ")
        writer.close()
        await _all_are_gone(server)


@pytest.mark.parametrize("more", [b"", b"connection: close\r\n"], ids=["kept alive", "closed"])
async def test_a_client_that_does_not_read_its_response_is_disconnected(more: bytes) -> None:
    async with _serving() as (port, server):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n" + more + b"\r\n")
            await asyncio.sleep(0)
            async with asyncio.timeout(60):
                while not server.server_state.connections:
                    await asyncio.sleep(0.01)
            await _all_are_gone(server)


async def test_a_slow_reader_gets_the_whole_response() -> None:
    async with _serving() as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
        writer.write(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        got = 0
        while chunk := await reader.read(512 * 1024):
            got += len(chunk)
            await asyncio.sleep(0.002)  # a tenth of a second of server time, so several seconds in all
        assert got == LARGE
        writer.close()
        await _all_are_gone(server)


@pytest.mark.parametrize("path", ["/", "/refused"])
async def test_a_client_answered_before_its_body_was_read_gets_the_response_not_a_reset(path: str) -> None:
    async with _serving() as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = LINGER_LIMIT // 2
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (path.encode(), size))
        await reader.readuntil(b"xxxxx")
        for _ in range(16):
            writer.write(b"y" * (size // 16))
            await writer.drain()
        assert await _until_closed(reader) == b""
        writer.close()
        await _all_are_gone(server)


async def test_endless_data_after_the_last_response_is_cut_off() -> None:
    async with _serving() as (port, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
        await reader.readuntil(b"xxxxx")
        with pytest.raises(ConnectionError):
            await _write_much(writer)
        writer.close()
        await _all_are_gone(server)
