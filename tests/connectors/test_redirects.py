"""Redirects on real ports: none counts as a success, and none sends credentials to another origin."""

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.http import CONNECTOR, HttpConnection, HttpOutput
from durable.action import ActionError, Context
from tests.connectors.servers import OK, Behaviour, Visit, answer, answering, serve

pytestmark = pytest.mark.anyio

ACTIONS = CONNECTOR.actions
CHANGES = ["post", "put", "patch", "delete"]
STATUSES = [301, 302, 303, 307, 308]


async def perform(context: Context, name: str, **given: Any) -> HttpOutput:
    action = ACTIONS[name]
    reply = await action.perform(context, action.input.model_validate(given))
    assert isinstance(reply, HttpOutput)
    return reply


async def refusal(context: Context, name: str, **given: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await perform(context, name, **given)
    assert (caught.value.error_class, caught.value.ending) == ("client", "answered")
    return caught.value


def make_redirect(status: int, *locations: str) -> bytes:
    return answer(b"", *(f"Location: {location}" for location in locations), status=f"{status} Moved")


def by_path(**answers: bytes) -> Behaviour:
    """Answer each request by the first segment of its path; `at_` is the root."""

    async def behave(visit: Visit) -> None:
        while True:
            received = await visit.request()
            path = received.line.split(" ")[1].partition("?")[0].strip("/").partition("/")[0]
            await visit.send(answers[path or "at_"])

    return behave


# -- by default --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CHANGES, "get"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_fails_the_step_and_names_its_target(context: Context, name: str, status: int) -> None:
    async with (
        serve(answering(OK)) as there,
        serve(answering(make_redirect(status, f"{there.url}/new?token=s3"))) as server,
    ):
        error = await refusal(context, name, url=server.url)
        assert error.code == str(status)
        assert f"answered {status} with a redirect to {there.url}/new…: redirects are not followed" in str(error)
        assert error.details == {"status": status, "body": "", "location": f"{there.url}/new…"}
        assert (len(server.requests), there.connections) == (1, 0)


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
@pytest.mark.parametrize("name", ["post", "get"])
async def test_no_other_3xx_counts_as_success(context: Context, name: str, status: int) -> None:
    async with serve(answering(answer(b"", status=f"{status} So"))) as server:
        assert (await refusal(context, name, url=server.url)).code == str(status)


@pytest.mark.parametrize("header", ["If-None-Match", "if-modified-since"])
async def test_a_304_is_the_response_to_a_conditional_get(context: Context, header: str) -> None:
    async with serve(answering(answer(b"", status="304 Not Modified"))) as server:
        assert (await perform(context, "get", url=server.url, headers={header: "x"})).status == 304
        await refusal(context, "post", url=server.url, headers={header: "x"})


@pytest.mark.parametrize("redirects", ["refuse", "same_origin"])
async def test_an_expected_redirect_is_a_success_and_is_not_followed(context: Context, redirects: str) -> None:
    async with serve(answering(make_redirect(302, "/there"))) as server:
        reply = await perform(context, "post", url=server.url, expect=[302], redirects=redirects)
        assert (reply.status, reply.headers["location"]) == (302, "/there")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/login", "/login"),
        ("/login?next=/secret", "/login…"),
        ("https://u:p@x.example/a#token=1", "https://***@x.example/a…"),
        ("//u:p@x.example/a", "//***@x.example/a"),
        ("\tnonsense and\x9bmore", "nonsense and·more"),
        ("/" + "a" * 3000, "/…"),
        ("/aa/" * 50, "/aa/" * 50),
        ("/aa" * 100, "/aa" * 66 + "/…"),
    ],
)
async def test_a_message_shows_neither_query_nor_userinfo_of_a_location(
    context: Context, location: str, shown: str
) -> None:
    async with serve(answering(make_redirect(302, location))) as server:
        assert f"a redirect to {shown}: " in str(await refusal(context, "post", url=server.url))


# -- same_origin -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("status", [307, 308])
async def test_a_same_origin_redirect_keeps_body_headers_and_idempotency_key(
    context: Context, name: str, status: int
) -> None:
    async with serve(
        by_path(at_=make_redirect(status, "/two"), two=make_redirect(307, "three?b=2"), three=OK)
    ) as server:
        reply = await perform(
            context,
            name,
            url=f"{server.url}/?a=1",
            params={"c": 1},
            headers={"Authorization": "Bearer s3"},
            json={"a": 1},
            redirects="same_origin",
        )
        assert (reply.status, reply.body) == (200, "ok")
        lines = [each.line for each in server.requests]
        assert lines == [f"{name.upper()} {path} HTTP/1.1" for path in ("/?a=1&c=1", "/two", "/three?b=2")]
        for each in server.requests:
            assert (each.headers["authorization"], each.headers["idempotency-key"]) == ("Bearer s3", "run:step")
            assert each.body == b'{"a":1}'


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_modifying_request_never_becomes_a_get(context: Context, name: str, status: int) -> None:
    async with serve(by_path(at_=make_redirect(status, "/two"), two=OK)) as server:
        error = await refusal(context, name, url=server.url, redirects="same_origin")
        assert f"after {status} a {name.upper()} would become a GET" in str(error)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", STATUSES)
async def test_a_get_follows_every_redirect_on_the_same_origin(context: Context, status: int) -> None:
    async with serve(by_path(at_=make_redirect(status, "/two#part"), two=OK)) as server:
        headers = {"Authorization": "Bearer s3"}
        assert (await perform(context, "get", url=server.url, headers=headers, redirects="same_origin")).body == "ok"
        assert [each.headers["authorization"] for each in server.requests] == ["Bearer s3", "Bearer s3"]


async def test_a_head_stays_a_head(context: Context) -> None:
    async with serve(
        by_path(at_=make_redirect(303, "/two"), two=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    ) as server:
        await perform(context, "request", method="HEAD", url=server.url, redirects="same_origin")
        assert [each.line for each in server.requests] == ["HEAD / HTTP/1.1", "HEAD /two HTTP/1.1"]


@pytest.mark.parametrize("name", ["get", "post"])
async def test_another_origin_is_not_contacted(context: Context, name: str) -> None:
    async with serve(answering(OK)) as other:
        for location in (f"{other.url}/", f"//127.0.0.1:{other.port}/", f"http://localhost:{other.port}/"):
            async with serve(answering(make_redirect(307, location))) as server:
                error = await refusal(context, name, url=server.url, redirects="same_origin")
                assert "it leads to another origin" in str(error)
        assert other.connections == 0


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "it has no Location"),
        ("  ", "it has no Location"),
        ("http://[::1", "its Location is not a valid URL"),
        ("http://127.0.0.1:0/", "the URL's port is not a number from 1 to 65535"),
        ("http:///x", "its Location is not a valid URL"),
        ("javascript:alert(1)", "neither http nor https"),
        ("ftp://127.0.0.1/", "neither http nor https"),
        ("http://u:p@127.0.0.1/", "the URL contains a user or password"),
        ("/\\evil.example", "a backslash"),
        ("/a\tb", "a control character"),
    ],
)
@pytest.mark.parametrize("redirects", ["same_origin", "without_credentials"])
async def test_a_location_that_is_not_a_url_is_not_followed(
    context: Context, location: str, reason: str, redirects: str
) -> None:
    async with serve(answering(make_redirect(307, location))) as server:
        error = await refusal(context, "get", url=server.url, redirects=redirects)
        assert reason in str(error)
        assert ":p@" not in str(error)
        assert len(server.requests) == 1


async def test_a_redirect_without_a_location_fails(context: Context) -> None:
    async with serve(answering(make_redirect(302))) as server:
        assert "it has no Location" in str(await refusal(context, "get", url=server.url, redirects="same_origin"))


async def test_a_redirect_with_two_different_locations_fails(context: Context) -> None:
    async with serve(by_path(at_=make_redirect(307, "/two", "/three"), two=OK)) as server:
        error = await refusal(context, "post", url=server.url, redirects="same_origin")
        assert "it has several Location headers" in str(error)
        assert len(server.requests) == 1


async def test_a_repeated_identical_location_counts_once(context: Context) -> None:
    async with serve(by_path(at_=make_redirect(307, "/two", "/two"), two=OK)) as server:
        assert (await perform(context, "post", url=server.url, redirects="same_origin")).status == 200
        assert server.requests[1].line == "POST /two HTTP/1.1"


@pytest.mark.parametrize("location", ["#part", "?a=1&b=2", "/?a=1&b=2#part"])
async def test_a_relative_location_is_resolved_against_the_url_with_its_params(context: Context, location: str) -> None:
    async with serve(answering(make_redirect(302, location))) as server:
        error = await refusal(context, "get", url=f"{server.url}/?a=1", params={"b": 2}, redirects="same_origin")
        assert "redirects form a loop" in str(error)
        assert len(server.requests) == 1


@pytest.mark.parametrize("second", ["/", "/two"])
async def test_a_redirect_loop_fails_at_once(context: Context, second: str) -> None:
    async with serve(by_path(at_=make_redirect(307, "/two"), two=make_redirect(307, second))) as server:
        error = await refusal(context, "post", url=server.url, redirects="same_origin")
        assert "redirects form a loop" in str(error)
        assert len(server.requests) == 2


async def test_a_long_redirect_chain_fails(context: Context) -> None:
    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(make_redirect(308, f"/{len(visit.server.requests)}"))

    async with serve(behave) as server:
        error = await refusal(context, "post", url=server.url, redirects="same_origin")
        assert "10 redirects were followed, which is the limit" in str(error)
        assert len(server.requests) == 11


async def test_the_response_after_a_redirect_is_judged_like_any_other(context: Context) -> None:
    async with serve(by_path(at_=make_redirect(307, "/two"), two=answer(b"no", status="409 Conflict"))) as server:
        error = await refusal(context, "post", url=server.url, redirects="same_origin")
        assert (error.code, str(error)) == ("409", f"POST {server.url} answered 409")


async def test_a_redirect_stays_below_the_base_url_of_a_connection(context: Context) -> None:
    async with serve(by_path(v2=make_redirect(307, "/admin"), admin=OK)) as server:
        connection = HttpConnection(base_url=f"{server.url}/v2", headers={"X-Key": "s3"}, params={"key": "s4"})
        connected = dataclasses.replace(context, connection=connection)
        error = await refusal(connected, "post", url="/holds", redirects="same_origin")
        assert "it leads out of the connection's base_url" in str(error)
        assert [each.line for each in server.requests] == ["POST /v2/holds?key=s4 HTTP/1.1"]


# -- without_credentials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
async def test_a_get_follows_a_redirect_to_any_origin_without_credentials(context: Context, status: int) -> None:
    async with (
        serve(answering(OK)) as there,
        serve(answering(make_redirect(status, f"{there.url}/file?sig=1"))) as server,
    ):
        connection = HttpConnection(base_url=server.url, headers={"X-Key": "s3"}, params={"key": "s4"})
        reply = await perform(
            dataclasses.replace(context, connection=connection),
            "get",
            url="/download",
            headers={
                "Authorization": "Bearer s3",
                "Cookie": "a=s3",
                "X-Token": "s3",
                "Idempotency-Key": "k",
                "Accept": "image/png",
                "range": "bytes=0-1",
            },
            redirects="without_credentials",
        )
        assert reply.body == "ok"
        assert server.requests[0].headers["authorization"] == "Bearer s3"
        received = there.requests[0]
        assert received.line == "GET /file?sig=1 HTTP/1.1"
        assert received.headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "range", "traceparent"}
        assert received.headers["host"] == f"127.0.0.1:{there.port}"
        assert (received.headers["accept"], received.headers["range"]) == ("image/png", "bytes=0-1")


async def test_a_redirect_to_a_forbidden_address_is_refused_before_sending(context: Context) -> None:
    async with serve(answering(make_redirect(302, "http://169.254.169.254/latest/meta-data"))) as server:
        with pytest.raises(ActionError) as caught:
            await perform(context, "get", url=server.url, redirects="without_credentials")
        error = caught.value
        assert (error.error_class, error.code, error.ending) == ("invalid", "egress_refused", "not_sent")
        assert str(error).startswith("GET http://169.254.169.254: 169.254.169.254 is")
        assert str(error).endswith(f" (GET {server.url} redirects there)")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("post", {}),
        ("delete", {}),
        ("request", {"method": "POST"}),
        ("request", {"method": "HEAD"}),
        ("request", {"method": "GET", "body": "token=s3"}),
        ("request", {"method": "GET", "json": None}),
        ("request", {"method": "GET", "form": {"token": "s3"}}),
    ],
)
def test_only_a_get_may_be_redirected_without_credentials(name: str, given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ACTIONS[name].input.model_validate({"url": "http://x", "redirects": "without_credentials", **given})
