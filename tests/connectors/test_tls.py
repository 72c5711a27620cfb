"""TLS: a server that cannot prove its name is told nothing."""

import ssl
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from connectors.wire.egress import Address
from connectors.wire.transport import Transport
from tests.connectors.conftest import LOCAL
from tests.connectors.servers import OK, Visit, answering, serve

pytestmark = pytest.mark.anyio


async def loopback(host: str, port: int) -> list[Address]:
    return [ip_address("127.0.0.1")]


async def fetched(transport: Transport, host: str, port: int) -> bytes:
    response = await transport.handle_async_request(httpx.Request("GET", f"https://{host}:{port}/"))
    return await response.aread()


async def test_a_server_that_proves_its_name_is_talked_to(certificate: Path, server_side: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        serve(answering(OK), tls=server_side) as server,
        Transport(LOCAL, resolve=loopback, tls=trusting) as transport,
    ):
        assert await fetched(transport, "crm.internal", server.port) == b"ok"
        assert await fetched(transport, "crm.internal", server.port) == b"ok"
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_server_with_the_name_of_another_is_not_talked_to(
    certificate: Path, server_side: ssl.SSLContext
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        serve(answering(OK), tls=server_side) as server,
        Transport(LOCAL, resolve=loopback, tls=trusting) as transport,
    ):
        for host in ("bank.example", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await fetched(transport, host, server.port)
        assert not server.requests


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(server_side: ssl.SSLContext) -> None:
    async with serve(answering(OK), tls=server_side) as server, Transport(LOCAL, resolve=loopback) as transport:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await fetched(transport, "crm.internal", server.port)
        assert not server.requests


async def test_a_server_that_speaks_no_tls_is_not_talked_to() -> None:
    async def behave(visit: Visit) -> None:
        await visit.say(OK)

    async with serve(behave) as server, Transport(LOCAL, resolve=loopback) as transport:
        with pytest.raises(httpx.ConnectError):
            await fetched(transport, "crm.internal", server.port)
