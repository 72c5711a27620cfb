"""The pytest plugin: fixtures for the tests of connectors, and the option that records exchanges."""

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from connectors.conformance.samples import make_connection
from connectors.conformance.suite import check_connector
from connectors.testing.calls import ActionCall, AnswersInOrder, call_over, make_context
from connectors.testing.recording import RecordingTransport, ReplayingTransport
from connectors.wire.client import HttpClient
from durable.action import Connector, Context
from durable.redactor import Redactor
from durable.values import JSON

OPTION = "--waypost-record"

MakeContext = Callable[..., Context]
"""Takes the connector, and fields of the connection as keywords."""

CallRecorded = Callable[..., ActionCall]
"""Takes the connector, the name of the action, its inputs, and `connection`, the fields of the connection."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--waypost-record`."""
    group = parser.getgroup("waypost")
    group.addoption(
        OPTION, action="store_true", help="call the real services, and record the exchanges of `call_recorded`"
    )


@pytest.fixture
def waypost_service() -> AnswersInOrder:
    """A service that answers the requests of `waypost_context` with `answers`, and keeps its `requests`."""
    return AnswersInOrder()


@pytest.fixture
def waypost_context(waypost_service: AnswersInOrder) -> MakeContext:
    """Makes a context whose requests go to `waypost_service`: `waypost_context(CONNECTOR, token="t")`."""

    def make(connector: Connector, **connection: JSON) -> Context:
        return make_context(connector, HttpClient(transport=httpx.MockTransport(waypost_service)), connection)

    return make


@pytest.fixture
def call_recorded(request: pytest.FixtureRequest) -> CallRecorded:
    """Calls an action with recorded answers: `call_recorded(CONNECTOR, "get_item", {"id": 7}, connection={…})`.

    With `--waypost-record`, the service itself is called, and the exchanges are written, without the secrets of the
    connection, into the folder `recordings` beside the test.
    """
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    file = Path(request.path).parent / "recordings" / f"{Path(request.path).stem}.{name}.json"
    is_recording = request.config.getoption(OPTION)

    def call(
        connector: Connector, action: str, given: Mapping[str, JSON] | None = None, *, connection: Mapping[str, JSON]
    ) -> ActionCall:
        redactor = Redactor(make_connection(connector, connection).secrets)
        if not is_recording:
            replaying = ReplayingTransport(file, redactor)
            return asyncio.run(call_over(connector, action, given or {}, connection, replaying, replaying.requests))
        recording = RecordingTransport(redactor)
        done = asyncio.run(call_over(connector, action, given or {}, connection, recording, recording.requests))
        recording.save(file)
        return done

    return call


def ensure_conformance(connector: Connector) -> None:
    """Run the suite of `waypost connector check`; raises `AssertionError` with what failed."""
    report = asyncio.run(check_connector(connector))
    assert report.is_passed, report.explain_failures()
