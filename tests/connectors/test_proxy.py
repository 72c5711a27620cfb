"""A proxy on a real port: which requests use it, how, and how its errors are classified."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from connectors.wire.client import HttpClient
from connectors.wire.egress import Address, Egress
from connectors.wire.proxy import Proxy
from connectors.wire.transport import Transport
from durable.action import ActionError, Context
from tests.connectors.conftest import LOCAL
from tests.connectors.servers import OK, Server, Visit, answer, answering, serve

pytestmark = pytest.mark.anyio


@dataclass
class Tunnels:
    """A proxy that opens every tunnel to one local port and records the CONNECT requests."""

    port: int = 0
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def tunnels(target: int, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> AsyncIterator[Tunnels]:
    found = Tunnels()
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        found.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(reply)
        if b" 200 " not in reply:
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", target)
        writers.append(back)
        tasks.update({asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))})

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def resolve(host: str, port: int) -> list[Address]:
    assert host == "proxy.internal", "a service's name is the proxy's to resolve"
    return [ip_address("127.0.0.1")]


def through(
    port: int, *, tls: Path | None = None, direct: str = "", credentials: str | None = None, egress: Egress = LOCAL
) -> HttpClient:
    proxy = Proxy("proxy.internal", port, Egress.parse(direct), lambda: credentials)
    context = ssl.create_default_context(cafile=str(tls)) if tls else None
    return HttpClient(transport=Transport(egress, resolve=resolve, tls=context, proxy=proxy), connect_timeout=5)


def outcome(error: ActionError) -> tuple[str, str | None, str]:
    return error.error_class, error.code, error.ending


async def failure(client: HttpClient, context: Context, url: str) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await client.send(context, "POST", url)
    return caught.value


async def test_an_http_request_is_sent_to_the_proxy_in_absolute_form(context: Context) -> None:
    async with serve(answering(OK)) as proxy, through(proxy.port, credentials="me:s3") as client:
        for _ in range(2):
            await client.send(context, "POST", "http://crm.example:8080/a%E9?q", json={"a": 1}, params={"b": 2})
        assert proxy.connections == 1
        for request in proxy.requests:
            assert request.line == "POST http://crm.example:8080/a%E9?q&b=2 HTTP/1.1"
            assert request.headers["host"] == "crm.example:8080"
            assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:s3").decode()
            assert request.body == b'{"a":1}'


async def test_an_https_request_goes_through_a_tunnel(
    context: Context, certificate: Path, server_side: ssl.SSLContext
) -> None:
    async with serve(answering(OK), tls=server_side) as server, tunnels(server.port) as proxy:
        async with through(proxy.port, tls=certificate, credentials="me:s3") as client:
            for _ in range(2):
                assert (await client.send(context, "POST", "https://crm.internal/a?b", json=1)).body == b"ok"
        credentials = base64.b64encode(b"me:s3").decode()
        assert proxy.heads == [
            "CONNECT crm.internal:443 HTTP/1.1\r\nHost: crm.internal:443\r\n"
            f"proxy-authorization: Basic {credentials}\r\n\r\n"
        ]
        assert [request.line for request in server.requests] == ["POST /a?b HTTP/1.1"] * 2
        assert all("proxy-authorization" not in request.headers for request in server.requests)


async def test_the_certificate_of_a_server_behind_a_tunnel_is_verified(
    context: Context, certificate: Path, server_side: ssl.SSLContext
) -> None:
    async with serve(answering(OK), tls=server_side) as server, tunnels(server.port) as proxy:
        async with through(proxy.port, tls=certificate) as client:
            error = await failure(client, context, "https://other.internal/")
        assert outcome(error) == ("network", "connect_failed", "not_sent")
        assert not server.requests


@pytest.mark.parametrize(
    ("reply", "error_class", "code", "expected"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "auth", "proxy_refused", "WAYPOST_SECRET_EGRESS_PROXY"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "auth", "proxy_refused", "the proxy answered 403 to CONNECT"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "client", "proxy_refused", "the proxy answered 404 to CONNECT"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "network", "proxy_refused", "the proxy answered 502 to CONNECT"),
        (b"nonsense\r\n\r\n", "network", "connect_failed", "the proxy's answer to CONNECT is not valid HTTP"),
        (
            b"HTTP/1.1 299 OK\r\n\r\nmore",
            "network",
            "connect_failed",
            "the proxy's answer to CONNECT is not valid HTTP",
        ),
        (b"", "network", "connect_failed", "the proxy closed the connection"),
    ],
)
async def test_a_request_that_the_proxy_refuses_is_not_sent(
    context: Context, reply: bytes, error_class: str, code: str, expected: str
) -> None:
    async with tunnels(1, reply) as proxy, through(proxy.port) as client:
        error = await failure(client, context, "https://crm.example/")
        assert outcome(error) == (error_class, code, "not_sent")
        assert expected in str(error)


async def test_an_unresponsive_proxy_is_a_timeout_before_sending(context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.request()

    async with serve(behave) as server:
        proxy = Proxy("proxy.internal", server.port, Egress(), lambda: None)
        async with HttpClient(transport=Transport(LOCAL, resolve=resolve, proxy=proxy), connect_timeout=0.05) as client:
            error = await failure(client, context, "https://crm.example/")
        assert outcome(error) == ("timeout", "connect_timeout", "not_sent")
        await server.gone.wait()


async def test_an_unreachable_proxy_is_reported_as_not_sent(context: Context) -> None:
    async with through(1) as client:
        for url in ("http://crm.example/", "https://crm.example/"):
            assert outcome(await failure(client, context, url)) == ("network", "connect_failed", "not_sent")


async def test_a_response_from_the_proxy_counts_as_answered(context: Context) -> None:
    refusal = answer(b"", status="407 Proxy Authentication Required")
    async with serve(answering(refusal)) as proxy, through(proxy.port) as client:
        assert (await client.send(context, "POST", "http://crm.example/")).status == 407


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fe80::1]", "0xa9fea9fe", "2852039166", "192.168.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_forbidden_address_is_refused_behind_a_proxy(context: Context, scheme: str, host: str) -> None:
    async with serve(answering(OK)) as proxy, through(proxy.port) as client:
        error = await failure(client, context, f"{scheme}://{host}/")
        assert outcome(error) == ("invalid", "egress_refused", "not_sent")
        assert proxy.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "api.localhost"])
async def test_the_local_machine_is_reached_without_the_proxy(context: Context, host: str) -> None:
    async def local(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    async with serve(answering(OK)) as server, serve(answering(OK)) as seen:
        await _sent_directly(context, server, seen, host, "", local)


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("crm.internal", "crm.internal"),
        ("a.b.crm.internal", "CRM.internal"),
        ("crm.internal.", "internal"),
        ("127.0.0.2", "127.0.0.0/30"),
    ],
)
async def test_a_host_on_the_no_proxy_list_is_reached_without_the_proxy(
    context: Context, host: str, direct: str
) -> None:
    async def local(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    async with serve(answering(OK)) as server, serve(answering(OK)) as seen:
        await _sent_directly(context, server, seen, host, direct, local)


async def _sent_directly(
    context: Context, server: Server, proxy: Server, host: str, direct: str, resolve: object
) -> None:
    through = Proxy("127.0.0.1", proxy.port, Egress.parse(direct), lambda: "me:s3")
    async with HttpClient(transport=Transport(LOCAL, resolve=resolve, proxy=through)) as client:  # type: ignore[arg-type]
        with contextlib.suppress(ActionError):  # nothing listens on 127.0.0.2
            await client.send(context, "POST", f"http://{host}:{server.port}/")
    assert proxy.connections == 0
    assert all("proxy-authorization" not in request.headers for request in server.requests)


async def test_a_name_that_only_shares_a_suffix_with_an_exception_uses_the_proxy(context: Context) -> None:
    async with serve(answering(OK)) as proxy, through(proxy.port, direct="crm.internal") as client:
        await client.send(context, "POST", "http://evilcrm.internal/")
        assert proxy.requests[0].line == "POST http://evilcrm.internal/ HTTP/1.1"
