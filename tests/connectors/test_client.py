"""The HTTP client on real ports: the headers it adds, its limits, and how it classifies each ending."""

import asyncio
import gzip
import tracemalloc
import zlib
from dataclasses import replace
from ipaddress import ip_address

import httpx
import pytest

from connectors.wire.client import RESPONSE_LIMIT, HttpClient
from connectors.wire.egress import Address
from connectors.wire.pool import PoolLimits
from connectors.wire.transport import Transport
from durable import __version__
from durable.action import ActionError, AttemptEnded, Context
from durable.runner.timeout import SuspendableTimeout
from tests.connectors.conftest import LOCAL
from tests.connectors.servers import OK, Visit, answer, answering, serve

pytestmark = pytest.mark.anyio


async def failure(client: HttpClient, context: Context, url: str, method: str = "POST") -> ActionError:
    with pytest.raises(ActionError) as caught:
        await client.send(context, method, url)
    return caught.value


def outcome(error: ActionError) -> tuple[str, str | None, str]:
    return error.error_class, error.code, error.ending


# -- requests ----------------------------------------------------------------------------------------------------


async def test_a_request_carries_the_default_headers(client: HttpClient, context: Context) -> None:
    async with serve(answering(OK)) as server:
        await client.send(context, "GET", server.url)
        headers = server.requests[0].headers
        assert headers["user-agent"] == f"waypost/{__version__}"
        assert headers["accept-encoding"] == "gzip, deflate"
        assert "idempotency-key" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_modifying_request_carries_an_idempotency_key(
    client: HttpClient, context: Context, method: str
) -> None:
    async with serve(answering(OK)) as server:
        await client.send(context, method, server.url)
        await client.send(context, method, server.url, headers={"IDEMPOTENCY-key": "mine"})
        await client.send(context, method, server.url)
        assert [each.headers["idempotency-key"] for each in server.requests] == ["run:step", "mine", "run:step-2"]


async def test_bodies_are_sent_with_their_content_types(client: HttpClient, context: Context) -> None:
    async with serve(answering(OK)) as server:
        await client.send(context, "POST", server.url, json={"é": [1, None]})
        await client.send(context, "POST", server.url, json=None)
        await client.send(context, "POST", server.url, form={"a": ["1", 2], "b": "x y&"})
        await client.send(context, "POST", server.url, content=b"raw", headers={"Content-Type": "text/plain"})
        assert [(each.headers["content-type"], each.body) for each in server.requests] == [
            ("application/json", '{"é":[1,null]}'.encode()),
            ("application/json", b"null"),
            ("application/x-www-form-urlencoded", b"a=1&a=2&b=x+y%26"),
            ("text/plain", b"raw"),
        ]


async def test_parameters_are_added_to_a_query(client: HttpClient, context: Context) -> None:
    async with serve(answering(OK)) as server:
        await client.send(context, "GET", f"{server.url}/p?a=1#part", params={"b": "x y", "c": [True, None]})
        assert server.requests[0].line == "GET /p?a=1&b=x+y&c=true&c= HTTP/1.1"


async def test_a_number_in_a_query_or_form_is_written_as_in_a_template(client: HttpClient, context: Context) -> None:
    numbers: dict[str, float | list[float]] = {"a": 1e20, "b": [0.1, 1e-7, 2], "c": 10**20}
    async with serve(answering(OK)) as server:
        await client.send(context, "POST", server.url, params=numbers, form=numbers)
        written = "a=1e20&b=0.1&b=1e-7&b=2&c=100000000000000000000"
        assert server.requests[0].line == f"POST /?{written} HTTP/1.1"
        assert server.requests[0].body.decode() == written


async def test_a_cookie_from_a_response_is_not_sent_with_the_next_request(client: HttpClient, context: Context) -> None:
    async with serve(answering(answer(b"", "Set-Cookie: session=of-another-run; Path=/"))) as server:
        await client.send(context, "GET", server.url)
        await client.send(context, "GET", server.url)
        assert all("cookie" not in each.headers for each in server.requests)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/inside", "http://169.254.169.254/latest", "//127.0.0.1:{port}"]
)
async def test_a_redirect_is_a_response_and_is_not_followed(client: HttpClient, context: Context, target: str) -> None:
    async with serve(answering(OK)) as inside:
        location = target.format(port=inside.port)
        async with serve(answering(answer(b"", f"Location: {location}", status="302 Found"))) as server:
            reply = await client.send(context, "GET", server.url)
            assert (reply.status, reply.headers["location"]) == (302, location)
        assert not inside.connections


async def test_proxies_from_the_environment_are_ignored(
    client: HttpClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(answering(OK)) as server, serve(answering(OK)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with HttpClient(egress=LOCAL) as fresh:
            await fresh.send(context, "GET", server.url)
        assert (len(server.requests), proxy.connections) == (1, 0)


# -- endings -----------------------------------------------------------------------------------------------------


async def test_a_failed_connection_is_reported_as_not_sent(client: HttpClient, context: Context) -> None:
    error = await failure(client, context, "http://127.0.0.1:1/")
    assert outcome(error) == ("network", "connect_failed", "not_sent")
    assert str(error).startswith("POST http://127.0.0.1:1: no connection to 127.0.0.1:1 can be made")


async def test_a_forbidden_address_is_reported_as_not_sent(client: HttpClient, context: Context) -> None:
    error = await failure(client, context, "http://169.254.169.254/latest/meta-data")
    assert outcome(error) == ("invalid", "egress_refused", "not_sent")
    for word in ("169.254.169.254", "link-local", "egress_allow", "WAYPOST_EGRESS_ALLOW"):
        assert word in str(error)


async def test_a_lost_response_is_reported_as_unknown(client: HttpClient, context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()

    async with serve(behave) as server:
        error = await failure(client, context, server.url)
        assert outcome(error) == ("network", "answer_lost", "unknown")
        assert len(server.requests) == 1


async def test_a_lost_body_is_reported_as_unknown_with_its_status(client: HttpClient, context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async with serve(behave) as server:
        error = await failure(client, context, server.url)
        assert outcome(error) == ("network", "answer_lost", "unknown")
        assert f"{server.url} answered 200: the connection was closed before the answer was complete" in str(error)


async def test_a_read_timeout_is_unknown_and_a_connect_timeout_is_not_sent(context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.request()

    async with serve(behave) as server, HttpClient(egress=LOCAL, read_timeout=0.01) as client:
        assert outcome(await failure(client, context, server.url)) == ("timeout", "answer_timeout", "unknown")

    def stuck(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("too slow")

    async with HttpClient(transport=httpx.MockTransport(stuck)) as client:
        assert outcome(await failure(client, context, "http://x")) == ("timeout", "connect_timeout", "not_sent")


async def test_waiting_for_a_free_connection_is_unbounded_and_pauses_the_attempt_timeout(context: Context) -> None:
    released, expired = asyncio.Event(), asyncio.Event()

    async def behave(visit: Visit) -> None:
        while await visit.request():
            await released.wait()
            await visit.send(OK)

    narrow = Transport(LOCAL, limits=PoolLimits(per_origin=1))
    async with serve(behave) as server, HttpClient(transport=narrow, connect_timeout=0.05) as client:
        first = asyncio.create_task(client.send(replace(context), "POST", server.url))
        await server.asked.wait()
        context.timer = timer = SuspendableTimeout(0.5, expired.set)
        second = asyncio.create_task(client.send(context, "POST", server.url))
        async with asyncio.timeout(60):
            while not timer.waits:
                await asyncio.sleep(0)
        assert timer.waits == [f"a connection to {server.url}"]
        await asyncio.sleep(0.6)
        assert not expired.is_set()
        assert not second.done()
        released.set()
        assert [answer.status for answer in await asyncio.gather(first, second)] == [200, 200]
        assert timer.waits == []
        timer.cancel()
    assert len(server.requests) == 2


async def test_concurrent_lookups_of_a_slow_name_share_one_resolution(context: Context) -> None:
    asked: list[str] = []
    answered = asyncio.Event()

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        await answered.wait()
        return [ip_address("127.0.0.1")]

    async with serve(answering(OK)) as server, HttpClient(transport=Transport(LOCAL, resolve=resolve)) as client:
        url = f"http://slow.example:{server.port}"
        given_up, *calls = [asyncio.create_task(client.send(replace(context), "GET", url)) for _ in range(50)]
        while not asked:
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        answered.set()
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200] * 49
        assert asked == ["slow.example"]


async def test_cancelling_a_call_closes_its_connection(client: HttpClient, context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await visit.request()

    async with serve(behave) as server:
        task = asyncio.create_task(client.send(context, "GET", server.url))
        await server.asked.wait()
        task.cancel()
        await server.gone.wait()
        assert task.cancelled()


async def test_an_ended_attempt_sends_nothing(client: HttpClient, context: Context) -> None:
    async with serve(answering(OK)) as server:
        context.close()
        with pytest.raises(AttemptEnded):
            await client.send(context, "GET", server.url)
        assert server.connections == 0


async def test_an_attempt_that_ends_while_connecting_sends_nothing(context: Context) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        context.close()
        return [ip_address("127.0.0.1")]

    async with serve(answering(OK)) as server, HttpClient(transport=Transport(LOCAL, resolve=resolve)) as client:
        with pytest.raises(AttemptEnded):
            await client.send(context, "POST", f"http://late.example:{server.port}")
        assert server.connections == 1
        assert not server.requests


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("", {}),
        ("example.com", {}),
        ("ftp://example.com", {}),
        ("http://", {}),
        ("http://[::1", {}),
        ("http://a b:c/", {}),
        ("http://x:99999/", {}),
        ("http://x/\r\nX: y", {}),
        ("http://\ud800.example/", {}),
        ("http://x/" + "a" * 70_000, {}),
        ("http://user:hunter2@example.com/", {}),
        ("http://127.0.0.1:1", {"X": "a\r\nInjected: b"}),
        ("http://127.0.0.1:1", {"X": "\ud800"}),
        ("http://127.0.0.1:1", {"X": "a", "x": "b"}),
        ("http://127.0.0.1:1", {"X Y": "a"}),
        ("http://127.0.0.1:1", {"É": "a"}),
    ],
)
async def test_a_malformed_request_is_invalid_and_not_sent(
    client: HttpClient, context: Context, url: str, headers: dict[str, str]
) -> None:
    with pytest.raises(ActionError) as caught:
        await client.send(context, "POST", url, headers=headers)
    assert outcome(caught.value) == ("invalid", "invalid_request", "not_sent")
    assert "hunter2" not in str(caught.value)


async def test_a_body_that_is_not_json_is_invalid_and_not_sent(client: HttpClient, context: Context) -> None:
    with pytest.raises(ActionError, match="nan at /price is not JSON") as caught:
        await client.send(context, "POST", "http://127.0.0.1:1", json={"price": float("nan")})
    assert outcome(caught.value) == ("invalid", "invalid_request", "not_sent")


# -- responses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0)),
        ("x-gzip", gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0)),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", zlib.compress(b"hello", wbits=-15)),
        ("identity", b"hello"),
        ("gzip", gzip.compress(b"hello", mtime=0) + bytes(512)),
        ("gzip", gzip.compress(b"hel", mtime=0) + gzip.compress(b"lo", mtime=0) + b"\r\n"),
        ("deflate, GZIP", gzip.compress(zlib.compress(b"hello"), mtime=0)),
    ],
)
async def test_a_content_encoding_is_decoded(client: HttpClient, context: Context, coding: str, encoded: bytes) -> None:
    async with serve(answering(answer(encoded, f"Content-Encoding: {coding}", "X: kept"))) as server:
        reply = await client.send(context, "GET", server.url)
        assert (reply.body, reply.headers["x"]) == (b"hello", "kept")


async def test_an_unsupported_content_encoding_leaves_the_body_unchanged(client: HttpClient, context: Context) -> None:
    async with serve(answering(answer(b"\x0b\x02", "Content-Encoding: br"))) as server:
        reply = await client.send(context, "GET", server.url)
        assert (reply.body, reply.headers["content-encoding"]) == (b"\x0b\x02", "br")


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-3]),
        ("gzip", gzip.compress(b"", mtime=0) * 1000),
        ("deflate", b"\xff\xff"),
        ("gzip, gzip, gzip, gzip", b"x"),
    ],
)
async def test_a_body_that_does_not_match_its_encoding_is_an_unreadable_response(
    client: HttpClient, context: Context, coding: str, encoded: bytes
) -> None:
    async with serve(answering(answer(encoded, f"Content-Encoding: {coding}"))) as server:
        error = await failure(client, context, server.url)
        assert outcome(error) == ("invalid", "undecodable_response", "answered")


async def test_a_body_over_the_limit_is_not_read_to_the_end(context: Context) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await visit.send(b"x" * 65_536)

    async with serve(behave) as server, HttpClient(egress=LOCAL, max_response_bytes=100_000) as client:
        error = await failure(client, context, server.url)
        assert outcome(error) == ("invalid", "response_too_large", "answered")
        await server.gone.wait()


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_decompression_bomb_fails_in_bounded_memory(client: HttpClient, context: Context, layers: int) -> None:
    bomb = gzip.compress(bytes(300 * 1024 * 1024), 9)
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb, 9)
    coding = ", ".join(["gzip"] * layers)
    async with serve(answering(answer(bomb, f"Content-Encoding: {coding}"))) as server:
        tracemalloc.start()
        try:
            error = await failure(client, context, server.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert outcome(error) == ("invalid", "response_too_large", "answered")
        assert peak < 3 * RESPONSE_LIMIT


async def test_an_error_response_with_an_unreadable_body_keeps_its_status(client: HttpClient, context: Context) -> None:
    broken = answer(b"not gzip", "Content-Encoding: gzip", status="503 Service Unavailable")
    async with serve(answering(broken)) as server:
        assert outcome(await failure(client, context, server.url)) == ("server", "503", "answered")


async def test_a_connector_can_be_tested_with_a_mock_transport(context: Context) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={"path": request.url.path})

    async with HttpClient(transport=httpx.MockTransport(handle)) as client:
        reply = await client.send(context, "POST", "https://api.example/charges")
        assert (reply.status, reply.json()) == (201, {"path": "/charges"})


async def test_a_mock_transport_sees_what_a_server_would_see(context: Context) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"headers": dict(request.headers), "body": (await request.aread()).decode()})

    async with serve(answering(OK)) as server, HttpClient(egress=LOCAL) as real:
        await real.send(context, "POST", server.url, json={"a": 1}, headers={"X-Team": "ops", "ACCEPT": "text/plain"})
        seen = server.requests[0]
        async with HttpClient(transport=httpx.MockTransport(handle)) as client:
            given = {"X-Team": "ops", "ACCEPT": "text/plain", "idempotency-key": "run:step"}
            reply = await client.send(context, "POST", server.url, json={"a": 1}, headers=given)
    assert reply.json() == {"headers": seen.headers, "body": seen.body.decode()}


async def test_the_same_limits_apply_to_a_mock_transport(context: Context) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * 11)

    async with HttpClient(transport=httpx.MockTransport(handle), max_response_bytes=10) as client:
        error = await failure(client, context, "https://api.example/")
        assert outcome(error) == ("invalid", "response_too_large", "answered")
