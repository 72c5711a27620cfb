"""What strangers send to the port itself."""

import asyncio
from pathlib import Path

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio


async def _raw(service: Running, data: bytes, *, then: float = 5) -> bytes:
    host, port = service.service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), then)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_headers_over_the_limit_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for head in (b"x: " + b"a" * 100_000, b"\r\n".join(b"x%d: %s" % (n, b"a" * 900) for n in range(100))):
            answer = await _raw(service, b"GET /health HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
            assert answer.startswith((b"HTTP/1.1 431 ", b""))
            assert b"200 OK" not in answer
        endless = await _raw(service, b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 500_000)
        assert not endless or endless.startswith(b"HTTP/1.1 431 ")
        assert (await service.client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ],
)
async def test_what_proxies_read_differently_is_refused(tmp_path: Path, request_: bytes) -> None:
    async with running(tmp_path, {}) as service:
        assert (await _raw(service, request_)).startswith(b"HTTP/1.1 400 ")


async def test_below_api_every_error_is_a_problem(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for method, path in (("GET", "/api/nobody"), ("DELETE", "/api/runs"), ("GET", "/api/runs/run_nobody")):
            answer = await service.client.request(method, path)
            assert answer.status_code in (404, 405)
            assert answer.headers["content-type"] == "application/problem+json"
        for query in ("limit=0", "limit=000100" + "0" * 20, "status=nobody", "limit=x"):
            assert (await service.client.get(f"/api/runs?{query}")).status_code == 422
        anonymous = await service.client.get("/api/runs", headers={b"authorization": "Bearer é".encode()})
        assert anonymous.status_code == 401
