"""Connections of the `http` connector: where requests may go, and what they carry."""

import dataclasses
import hmac
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.http import CONNECTOR, HttpConnection
from connectors.wire.join import join_url
from durable.action import ActionError, Context
from tests.connectors.servers import OK, answer, answering, serve

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


AUTH: dict[str, Any] = {
    "header": {"x-key": "k"},
    "query": {"key": "q"},
    "hmac": {
        "secret": "s",
        "sign": "{method} {target} {body}",
        "header": "x-signature",
        "timestamp": {"param": "ts"},
    },
}


def sign(text: str) -> str:
    return hmac.digest(b"s", text.encode(), "sha256").hex()


async def test_a_request_is_signed_as_it_is_sent(context: Context) -> None:
    context.auth = AUTH
    async with serve(answering(OK)) as server:
        given = {"url": "/a", "params": {"x": "y z"}, "json": {"a": 1}, "headers": {"X-Key": "mine"}}
        await perform(context, server.url, "post", given)
        await perform(context, server.url, "get", {"url": "/b"})
        posted, read = server.requests
    for request, body in ((posted, '{"a":1}'), (read, "")):
        method, target, _ = request.line.split(" ")
        assert target.endswith(("/a?x=y+z&key=q&ts=" + target[-10:], "/b?key=q&ts=" + target[-10:]))
        assert request.headers["x-signature"] == sign(f"{method} {target} {body}")
        assert (request.headers["x-key"], request.body.decode()) == ("k", body)
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["idempotency-key"] == "run:step"


async def test_a_redirect_on_the_same_origin_is_signed_anew(context: Context) -> None:
    context.auth = AUTH
    async with serve(answering(answer(b"", "Location: /new?a=1", status="308 Moved"), OK)) as server:
        given = {"url": "/old?b=2", "json": 1, "redirects": "same_origin"}
        await perform(context, server.url, "post", given)
        first, second = server.requests
    assert second.line.startswith("POST /new?a=1&key=q&ts=")
    for request in (first, second):
        assert request.headers["x-signature"] == sign(" ".join(request.line.split(" ")[:2]) + " 1")


async def test_no_credentials_follow_a_redirect_to_another_origin(context: Context) -> None:
    context.auth = AUTH
    async with (
        serve(answering(OK)) as other,
        serve(answering(answer(b"", f"Location: {other.url}/x", status="302 Moved"))) as own,
    ):
        await perform(context, own.url, "get", {"url": "/a", "redirects": "without_credentials"})
        for redirects in ("same_origin", "refuse"):
            with pytest.raises(ActionError, match="redirect"):
                await perform(context, own.url, "get", {"url": "/a", "redirects": redirects})
    assert len(own.requests) == 3
    [request] = other.requests
    assert request.line == "GET /x HTTP/1.1"
    assert not {"x-key", "x-signature", "authorization"} & request.headers.keys()


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
        ({"base_url": f"{BASE}?key=1"}, "it contains more than an address"),
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
