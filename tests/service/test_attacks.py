"""Hostile requests to the port."""

import asyncio
import contextlib
import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.service.running import ENVIRONMENT, Running, running
from triggers.http.body import IS_WHOLE
from triggers.http.protocol import HttpProtocol
from triggers.http.server import Server, listen, make_server
from triggers.webhooks.presets import load_presets
from triggers.webhooks.signature import sign_request

pytestmark = pytest.mark.anyio

HUB = """
triggers:
  - {id: hub, use: webhook, with: {path: /hub, verify: {preset: github, secret: "{{ secrets.HOOK }}"}}}
steps:
  - {id: note, use: transform.set, with: {values: {a: 1}}}
"""
SECRET = ENVIRONMENT["WAYPOST_SECRET_HOOK"]


def address(tmp_path: Path) -> tuple[str, int]:
    """The address on which the service of this folder listens."""
    url = httpx.URL(json.loads((tmp_path / "data" / "service.json").read_text())["url"])
    return url.host, url.port or 80


def resident() -> int:
    """The resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _sign(body: bytes, id: str = "1") -> dict[str, str]:
    return sign_request(load_presets()["github"], SECRET, body, 0, id=id, type="push")


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


# -- heads and framing ------------------------------------------------------------------------------------------------


async def test_headers_over_the_limit_are_rejected(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for head in (b"x: " + b"a" * 100_000, b"\r\n".join(b"x%d: %s" % (n, b"a" * 900) for n in range(100))):
            answer = await _raw(service, b"GET /health HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
            assert answer.startswith((b"HTTP/1.1 431 ", b""))
            assert b"200 OK" not in answer
        endless = await _raw(service, b"GET /health HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 500_000)
        assert not endless or endless.startswith(b"HTTP/1.1 431 ")
        assert (await service.client.get("/health")).status_code == 200


async def test_the_body_of_a_request_is_not_read_as_the_next_request(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        host, port = address(tmp_path)
        reader, writer = await asyncio.open_connection(host, port)
        for part in (_request("/hooks/x", b"x" * 200_000, {}), b"GET /health HTTP/1.1\r\nhost:", b" x\r\n\r\n"):
            writer.write(part)
            await writer.drain()
            if part.startswith(b"POST"):
                assert (await reader.readuntil(b'webhook"}')).startswith(b"HTTP/1.1 401 ")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert (await service.client.options("/hooks/x")).status_code == 405


async def test_the_server_reports_whether_the_body_is_complete() -> None:
    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        told = b"whole" if IS_WHOLE in scope.get("extensions", {}) else b"begun"
        headers = [(b"x-body", told), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.body"})

    listener = listen("127.0.0.1", 0)
    server = make_server(tell, max_connections=10)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        whole = _request("/", b"x" * 100, {})
        for cut, told in ((len(whole), b"whole"), (len(whole) - 100, b"begun"), (len(whole) - 50, b"begun")):
            writer.write(whole[:cut])
            assert told in await reader.readuntil(b"\r\n\r\n")
            writer.write(whole[cut:])
        writer.close()
    finally:
        server.stop()
        await serving
        listener.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /hooks/x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ],
)
async def test_requests_that_proxies_interpret_differently_are_rejected(tmp_path: Path, request_: bytes) -> None:
    async with running(tmp_path, {}) as service:
        assert (await _raw(service, request_)).startswith(b"HTTP/1.1 400 ")


class Hurried(HttpProtocol):
    """The protocol on an event loop whose clock runs fifty times as fast."""

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.loop = _Fast(self.loop)  # type: ignore[assignment]  # the part of it that a protocol uses


class _Fast:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        return self._loop.call_later(delay / 50, callback, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["silent", "trickling"])
async def test_an_incomplete_head_times_out(pause: float) -> None:
    async def fine(request: Request) -> PlainTextResponse:
        return PlainTextResponse("fine")

    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(Starlette(routes=[Route("/", fine)]), http=Hurried, lifespan="off", log_config=None)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
        trickle = asyncio.create_task(_trickle(writer, pause))
        assert (await asyncio.wait_for(_until_closed(reader), 60)).startswith(b"HTTP/1.1 408 ")
        trickle.cancel()
        writer.close()
    finally:
        server.stop()
        await serving
        listener.close()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    """The bytes until the other side closes; a side that still sends then gets a reset after the response."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            came += chunk
    return came


async def _trickle(writer: asyncio.StreamWriter, pause: float) -> None:
    with contextlib.suppress(ConnectionError):
        while pause:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(pause)


async def test_connections_over_the_limit_get_503_until_one_is_free(tmp_path: Path) -> None:
    async with running(tmp_path, {}, max_connections=6) as service:
        url = service.service.url
        writers = [(await asyncio.open_connection(*address(tmp_path)))[1] for _ in range(6)]
        for writer in writers:
            writer.write(b"POST /hooks/x HTTP/1.1\r\nhost: x\r\n")
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/health")).status_code == 503
        for writer in writers:
            writer.close()
        async with asyncio.timeout(60):
            while await _health(url) != 200:
                await asyncio.sleep(0.01)


async def _health(url: str) -> int:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return (await client.get("/health")).status_code


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["silent", "trickling"])
@pytest.mark.parametrize("framing", [b"content-length: 1000", b"transfer-encoding: chunked"])
async def test_an_incomplete_body_times_out(tmp_path: Path, framing: bytes, pause: float) -> None:
    async with running(tmp_path, {"hub": HUB}, body_timeout="200ms"):
        reader, writer = await asyncio.open_connection(*address(tmp_path))
        writer.write(b"POST /hooks/hub HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n3e8\r\n")
        trickle = asyncio.create_task(_trickle(writer, pause))
        answer = await asyncio.wait_for(_until_closed(reader), 60)
        trickle.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_gigabyte_in_chunks_is_cut_off_in_bounded_memory(tmp_path: Path) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with running(tmp_path, {"hub": HUB}) as service:
        before, sent = resident(), 0
        for _ in range(4):
            reader, writer = await asyncio.open_connection(*address(tmp_path))
            writer.write(b"POST /hooks/hub HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(16_384):
                    writer.write(chunk)
                    await writer.drain()
                    sent += len(chunk)
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).startswith((b"HTTP/1.1 413 ", b""))
            writer.close()
        growth = resident() - before
        print(
            f"4 bodies of 1 GiB in chunks: cut off after {sent / 2**20:.1f} MiB, RSS grew by {growth / 2**20:.1f} MiB"
        )
        assert sent < 64 * 2**20
        assert growth < 32 * 2**20
        assert await _health(service.service.url) == 200


async def test_a_compressed_body_is_rejected(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    async with running(tmp_path, {"hub": HUB}) as service:
        before = resident()
        headers = {**_sign(bomb), "content-encoding": "gzip"}
        assert (await service.client.post("/hooks/hub", content=bomb, headers=headers)).status_code == 415
        assert resident() - before < 16 * 2**20


# -- signatures -------------------------------------------------------------------------------------------------------


async def test_one_changed_space_invalidates_a_signature_and_two_signatures_are_a_bad_request(tmp_path: Path) -> None:
    body = b'{"a": 1}'
    async with running(tmp_path, {"hub": HUB}) as service:
        changed = await service.client.post("/hooks/hub", content=b'{"a":1}', headers=_sign(body))
        twice = [*_sign(body).items(), ("X-Hub-Signature-256", "sha256=00")]
        assert changed.status_code == 401
        assert (await service.client.post("/hooks/hub", content=body, headers=twice)).status_code == 400
        assert (await service.client.post("/hooks/hub", content=body, headers=_sign(body))).status_code == 202


@pytest.mark.parametrize("signature", ["é".encode(), b"\xff", b"sha256=\xe9", b"sha256=", b"\xed\xa0\x80"])
async def test_a_signature_that_is_not_text_is_unauthorised(tmp_path: Path, signature: bytes) -> None:
    async with running(tmp_path, {"hub": HUB}) as service:
        answer = await service.client.post("/hooks/hub", content=b"{}", headers={b"x-hub-signature-256": signature})
        assert answer.status_code == 401


async def test_an_unknown_webhook_takes_as_long_as_a_bad_signature(tmp_path: Path) -> None:
    body = b'{"a": "' + b"x" * 2_000 + b'"}'
    headers = _sign(b"another")
    async with running(tmp_path, {"hub": HUB}, log_level="error") as service:
        seconds: dict[str, list[float]] = {"/hooks/hub": [], "/hooks/nobody": []}
        for _ in range(400):
            for path, taken in seconds.items():
                began = time.perf_counter()
                answer = await service.client.post(path, content=body, headers=headers)
                taken.append(time.perf_counter() - began)
                assert answer.status_code == 401
    known, unknown = (median(taken) * 1e6 for taken in seconds.values())
    print(f"median of 400 bad signatures: {known:.0f} µs; of 400 requests for an unknown webhook: {unknown:.0f} µs")
    assert 0.6 < known / unknown < 1.7


# -- rates ------------------------------------------------------------------------------------------------------------


async def test_an_address_over_its_rate_gets_429_before_its_body_is_read(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, address_rate="3/1h") as service:
        for status in (401, 401, 401, 429, 429):
            answer = await service.client.post("/hooks/nobody", content=b"{}")
            assert answer.status_code == status
        assert 0 < int(answer.headers["retry-after"]) <= 1_200
        head = b"POST /hooks/hub HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
        unread = await _raw(service, head)
        assert unread.startswith(b"HTTP/1.1 429 ")
        assert (await service.client.get("/api/runs")).status_code == 200


async def test_unsigned_requests_do_not_use_up_the_rate_of_a_webhook(tmp_path: Path) -> None:
    async with running(tmp_path, {"hub": HUB}, webhook_rate="2/1h") as service:
        for number in range(5):
            bad = await service.client.post("/hooks/hub", content=b"{}", headers=_sign(b"x", str(number)))
            assert bad.status_code == 401
        statuses = []
        for number in range(4):
            body = b'{"n": %d}' % number
            answer = await service.client.post("/hooks/hub", content=body, headers=_sign(body, str(number)))
            statuses.append(answer.status_code)
        assert statuses == [202, 202, 429, 429]
        assert 0 < int(answer.headers["retry-after"]) <= 1_800
        assert len((await service.client.get("/api/runs")).json()["runs"]) == 2


async def test_every_event_of_a_burst_is_acknowledged(tmp_path: Path) -> None:
    seconds: list[float] = []

    async def send(sender: int) -> None:
        reader, writer = await asyncio.open_connection(*address(tmp_path))
        for number in range(25):
            id = f"{sender}/{number}"
            request = _request("/hooks/hub", body := id.encode(), _sign(body, id))
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            seconds.append(time.perf_counter() - began)
            assert head.startswith(b"HTTP/1.1 202 ")
            await reader.readuntil(b"}")
        writer.close()

    async with running(tmp_path, {"hub": HUB}, log_level="error"):
        await asyncio.gather(*(send(sender) for sender in range(40)))
    cuts = quantiles(seconds, n=100)
    print(
        f"1000 events from 40 senders: acknowledged in {cuts[49] * 1000:.0f} ms (p50), {cuts[98] * 1000:.0f} ms (p99)"
    )
    assert len(seconds) == 1000


def _request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


# -- the API ----------------------------------------------------------------------------------------------------------


async def test_every_error_below_api_is_answered_with_problem_details(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for method, path in (("GET", "/api/nobody"), ("DELETE", "/api/runs"), ("GET", "/api/runs/run_nobody")):
            answer = await service.client.request(method, path)
            assert answer.status_code in (404, 405)
            assert answer.headers["content-type"] == "application/problem+json"
        for query in ("limit=0", "limit=000100" + "0" * 20, "status=nobody", "limit=x"):
            assert (await service.client.get(f"/api/runs?{query}")).status_code == 422
        anonymous = await service.client.get("/api/runs", headers={b"authorization": "Bearer é".encode()})
        assert anonymous.status_code == 401
