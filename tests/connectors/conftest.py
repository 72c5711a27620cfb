"""What the tests of the way out share: a client that may visit this machine, and contexts of attempts."""

import logging
from collections.abc import AsyncIterator

import pytest

from connectors.client import HttpClient
from connectors.egress import Egress
from connectors.transport import Transport
from durable.action import Context

LOCAL = Egress.parse("127.0.0.0/8")


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: the service runs on uvloop where there is one, and the two differ at their edges."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(egress=LOCAL, connect_timeout=5) as client:
        yield client


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(LOCAL) as transport:
        yield transport


@pytest.fixture
def context(client: HttpClient) -> Context:
    log = logging.LoggerAdapter(logging.getLogger("waypost.run"), {})
    return Context("run", "step", 1, "run:step", log, {HttpClient: client})
