"""TLS: nothing is sent to a server whose certificate is not valid for its name."""

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


async def fetch(transport: Transport, host: str, port: int) -> bytes:
    response = await transport.handle_async_request(httpx.Request("GET", f"https://{host}:{port}/"))
    return await response.aread()


async def test_a_server_with_a_trusted_certificate_is_accepted(certificate: Path, server_side: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        serve(answering(OK), tls=server_side) as server,
        Transport(LOCAL, resolve=loopback, tls=trusting) as transport,
    ):
        assert await fetch(transport, "crm.internal", server.port) == b"ok"
        assert await fetch(transport, "crm.internal", server.port) == b"ok"
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_server_with_a_certificate_for_another_name_is_rejected(
    certificate: Path, server_side: ssl.SSLContext
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with (
        serve(answering(OK), tls=server_side) as server,
        Transport(LOCAL, resolve=loopback, tls=trusting) as transport,
    ):
        for host in ("bank.example", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await fetch(transport, host, server.port)
        assert not server.requests


async def test_a_server_with_an_untrusted_certificate_is_rejected(server_side: ssl.SSLContext) -> None:
    async with serve(answering(OK), tls=server_side) as server, Transport(LOCAL, resolve=loopback) as transport:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await fetch(transport, "crm.internal", server.port)
        assert not server.requests


async def test_a_server_without_tls_is_rejected() -> None:
    async def behave(visit: Visit) -> None:
        await visit.send(OK)

    async with serve(behave) as server, Transport(LOCAL, resolve=loopback) as transport:
        with pytest.raises(httpx.ConnectError):
            await fetch(transport, "crm.internal", server.port)
