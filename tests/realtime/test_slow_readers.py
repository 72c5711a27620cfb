"""Clients that do not read: their streams wait without a queue, and end after a while."""

import asyncio
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.realtime.pipelines import wait_for_streams
from tests.service.running import Running, running
from triggers.http import flow

pytestmark = pytest.mark.anyio

LARGE = """
inputs: {text: {type: string}, items: {type: array}}
steps:
  - id: each
    foreach: "{{ inputs.items }}"
    max_parallel: 20
    steps:
      - {id: copy, use: transform.set, with: {values: {text: "{{ inputs.text }}"}}}
"""
ITEMS, SIZE = 200, 30_000
"""Six megabytes of outputs: more than what the kernel keeps for a connection."""

HANDSHAKE = (
    "GET /api/socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _frame(message: object) -> bytes:
    """A masked text frame (RFC 6455 5.2); the mask is zero."""
    data = json.dumps(message).encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data)]) + bytes(4) + data


async def _open(service: Running, run: str, transport: str) -> socket.socket:
    """Ask for a stream, and read nothing of it."""
    key = service.client.headers["Authorization"].removeprefix("Bearer ")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", urlsplit(service.service.url).port))
    if transport == "sse":
        head = f"GET /api/runs/{run}/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
        await loop.sock_sendall(client, head.encode())
        return client
    await loop.sock_sendall(client, HANDSHAKE.encode())
    await loop.sock_recv(client, 500)
    await loop.sock_sendall(client, _frame({"token": key}) + _frame({"sub": 1, "run": run}))
    return client


@pytest.mark.parametrize("transport", ["sse", "socket"])
async def test_a_client_that_does_not_read_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setattr(flow, "WRITE_SECONDS", 0.5)
    async with running(tmp_path, {"large": LARGE}) as service:
        run = (await service.start("large", {"text": "x" * SIZE, "items": list(range(ITEMS))})).json()["id"]
        await service.wait_for_end(run)
        with await _open(service, run, transport):
            await wait_for_streams(service, 1)
            await wait_for_streams(service, 0)
