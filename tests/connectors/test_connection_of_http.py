"""Connections of the `http` connector: where requests may go, and what they carry."""

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.http import CONNECTOR, HttpConnection
from connectors.wire.join import join_url
from durable.action import ActionError, Context
from tests.connectors.servers import OK, answering, serve

pytestmark = pytest.mark.anyio

ACTIONS = CONNECTOR.actions
BASE = "https://api.example.com/v2"


async def perform(context: Context, base_url: str, name: str = "get", given: Any = None, **connection: Any) -> None:
    """Perform an action with a connection; `connection` holds its fields other than the base URL."""
    connected = dataclasses.replace(context, connection=HttpConnection(base_url=base_url, **connection))
    action = ACTIONS[name]
    await action.perform(connected, action.input.model_validate(given))


@pytest.mark.parametrize(
    ("base", "url", "joined"),
    [
        (BASE, "/holds", f"{BASE}/holds"),
        (BASE, "holds", f"{BASE}/holds"),
        (f"{BASE}/", "/holds", f"{BASE}/holds"),
        (BASE, "/holds/1?a=/../b#c", f"{BASE}/holds/1?a=/../b#c"),
        (BASE, "", BASE),
        (BASE, "?page=2", f"{BASE}?page=2"),
        ("https://api.example.com", "/holds", "https://api.example.com/holds"),
        ("https://api.example.com", "", "https://api.example.com"),
        (BASE, "/a..b/...", f"{BASE}/a..b/..."),
        (BASE, f"{BASE}/next?page=2", f"{BASE}/next?page=2"),
        (BASE, "https://API.example.com:443/v2/next", "https://API.example.com:443/v2/next"),
        (BASE, BASE, BASE),
    ],
)
def test_a_url_is_joined_to_the_base_url(base: str, url: str, joined: str) -> None:
    assert join_url(base, url) == joined


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v2/holds",
        "http://api.example.com/v2/holds",
        "https://api.example.com:444/v2/holds",
        "https://api.example.com.evil.example/v2/holds",
        "https://api.example.com@evil.example/v2/holds",
        "https://api.example.com/v3/holds",
        "https://api.example.com/v2x",
        "https://api.example.com/v2/../v3",
        "//evil.example/v2/holds",
        "\\\\evil.example/v2",
        "/\\evil.example/v2",
        "https:/v2/holds",
        "https:evil.example",
        "ftp://api.example.com/v2",
        "file:///etc/passwd",
        "javascript:1",
        "/../admin",
        "..",
        "/holds/..",
        "/holds/../../admin",
        "/holds/%2e%2E/%2e%2e/admin",
        "/holds/%252e%252e/admin",
        "/holds/..%2f..%2fadmin",
        "/holds\\..\\admin",
        "/holds/..;/admin",
        "/holds/..%00/admin",
        "/holds/\t../admin",
        "/holds\n/admin",
        "https://api.example.com:port/v2",
        " /holds",
        " https://api.example.com/v2/holds",
        "/holds ",
        "\u00a0/holds",
        "https://u:p@api.example.com/v2/holds",
        "https://api.example.com:0/v2/holds",
        "/holds\\1",
    ],
)
def test_a_url_outside_the_base_url_is_rejected_and_not_sent(url: str) -> None:
    with pytest.raises(ActionError) as caught:
        join_url(BASE, url)
    error = caught.value
    assert (error.error_class, error.code, error.ending) == ("invalid", "invalid_request", "not_sent")


async def test_values_of_the_connection_are_added_and_those_of_the_step_win(context: Context) -> None:
    async with serve(answering(OK)) as server:
        await perform(
            context,
            f"{server.url}/v2",
            "post",
            {
                "url": "/holds?page=2",
                "headers": {"X-Team": "ops"},
                "params": {"size": 9},
                "json": {"a": 1},
            },
            headers={"Authorization": "Bearer s3", "x-team": "all", "X-Kind": "k"},
            params={"page": 1, "size": 1, "locale": ["en", "de"]},
        )
        request = server.requests[0]
    assert request.line == "POST /v2/holds?page=2&size=9&locale=en&locale=de HTTP/1.1"
    assert request.headers["authorization"] == "Bearer s3"
    assert (request.headers["x-team"], request.headers["x-kind"]) == ("ops", "k")
    assert request.headers["idempotency-key"] == "run:step"
    assert request.body == b'{"a":1}'


async def test_credentials_are_not_sent_to_another_origin(context: Context) -> None:
    async with serve(answering(OK)) as own, serve(answering(OK)) as other:
        with pytest.raises(ActionError, match="its credentials go nowhere else"):
            await perform(context, own.url, "get", {"url": f"{other.url}/x"}, headers={"authorization": "Bearer s3"})
        assert (own.connections, other.connections) == (0, 0)


async def test_a_relative_url_without_a_connection_is_rejected(context: Context) -> None:
    with pytest.raises(ActionError, match="the URL is relative; name a connection") as caught:
        await ACTIONS["get"].perform(context, ACTIONS["get"].input.model_validate({"url": "/holds"}))
    assert (caught.value.error_class, caught.value.ending) == ("invalid", "not_sent")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"base_url": "/v2"}, "the URL has no scheme"),
        ({"base_url": "ftp://api.example.com"}, "neither http nor https"),
        ({"base_url": "https://user:pass"}, "port is not a number"),
        ({"base_url": "https://user:pass@api.example.com"}, "the URL contains a user or password"),
        ({"base_url": f"{BASE}?key=1"}, "it holds more than an address"),
        ({"base_url": BASE, "headers": {"Idempotency-Key": "1"}}, "each request has an Idempotency-Key of its own"),
        ({"base_url": BASE, "header": {}}, "Extra inputs"),
        ({}, "Field required"),
    ],
)
def test_an_invalid_connection_is_rejected(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        HttpConnection.model_validate(given)


async def test_the_repr_of_a_context_shows_no_credentials(context: Context) -> None:
    connection = HttpConnection(base_url=BASE, headers={"authorization": "canary"})
    assert "canary" not in repr(dataclasses.replace(context, connection=connection))
