"""The `http` actions: what counts as success, how a body is parsed, and what an error contains."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.http import CONNECTOR, HttpOutput
from connectors.wire.body import LEVEL_LIMIT
from connectors.wire.errors import LONGEST_WAIT
from durable.action import ActionError, Context
from tests.connectors.servers import OK, Server, answer, answering, serve

pytestmark = pytest.mark.anyio

ACTIONS = CONNECTOR.actions
JSON_TYPE = "Content-Type: application/json"


async def perform(context: Context, name: str, **given: Any) -> HttpOutput:
    action = ACTIONS[name]
    reply = await action.perform(context, action.input.model_validate(given))
    assert isinstance(reply, HttpOutput)
    return reply


async def refusal(context: Context, server: Server, name: str = "post", **given: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await perform(context, name, url=server.url, **given)
    return caught.value


@pytest.mark.parametrize("name", ["get", "post", "put", "patch", "delete"])
async def test_each_action_sends_its_method(context: Context, name: str) -> None:
    async with serve(answering(OK)) as server:
        await perform(context, name, url=f"{server.url}/a", params={"q": [1, "x"]}, headers={"X-Team": "ops"})
        request = server.requests[0]
        assert request.line == f"{name.upper()} /a?q=1&q=x HTTP/1.1"
        assert request.headers["x-team"] == "ops"
        assert ("idempotency-key" in request.headers) is (name != "get")


async def test_request_sends_any_method(context: Context) -> None:
    async with serve(answering(OK)) as server:
        await perform(context, "request", method="OPTIONS", url=server.url)
        assert server.requests[0].line == "OPTIONS / HTTP/1.1"


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        ({"json": {"a": 1}}, "application/json", b'{"a":1}'),
        ({"json": None}, "application/json", b"null"),
        ({"form": {"a": "x y", "b": True}}, "application/x-www-form-urlencoded", b"a=x+y&b=true"),
        ({"body": "é", "headers": {"content-type": "text/plain"}}, "text/plain", "é".encode()),
        ({}, None, b""),
    ],
)
async def test_a_body_is_sent_unchanged(
    context: Context, given: dict[str, Any], content_type: str | None, body: bytes
) -> None:
    async with serve(answering(OK)) as server:
        await perform(context, "post", url=server.url, **given)
        request = server.requests[0]
        assert (request.headers.get("content-type"), request.body) == (content_type, body)


@pytest.mark.parametrize(
    "given",
    [
        {"json": 1, "body": "x"},
        {"form": {}, "body": "x"},
        {"jsn": 1},
        {"headers": {"x": 1}},
        {"params": {"x": {"y": 1}}},
        {"expect": []},
        {"expect": [20]},
        {"expect": [100]},
        {"expect": [2000]},
    ],
)
def test_invalid_inputs_are_rejected(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ACTIONS["post"].input.model_validate({"url": "http://x", **given})


def test_a_get_has_no_body() -> None:
    with pytest.raises(ValidationError):
        ACTIONS["get"].input.model_validate({"url": "http://x", "json": {}})


def nest(levels: int) -> list[object]:
    return [nest(levels - 1)] if levels > 1 else []


# -- responses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "encoding"),
    [
        ("application/json", b'{"a": [1, null]}', {"a": [1, None]}, "json"),
        ("application/problem+json; charset=utf-8", b"3", 3, "json"),
        ("application/json", b"<html>", "<html>", "text"),
        ("application/json", b"[NaN]", "[NaN]", "text"),
        ("application/json", b"[" * 100_000, "[" * 100_000, "text"),
        ("application/json", b"[%b]" % b",".join([b"[1]"] * 1000), [[1]] * 1000, "json"),
        ("application/json", b"[" * LEVEL_LIMIT + b"]" * LEVEL_LIMIT, nest(LEVEL_LIMIT), "json"),
        ("application/json", b"[" * 102 + b"]" * 102, "[" * 102 + "]" * 102, "text"),
        ("application/json", b'"\\ud800"', '"\\ud800"', "text"),
        ("application/json", b"", None, "empty"),
        ("text/plain", "é".encode(), "é", "text"),
        ("text/plain; charset=ISO-8859-1", b"\xe9", "é", "text"),
        ('text/plain; charset="windows-1252"', b"\x80", "€", "text"),
        ("text/plain; charset=zlib", b"plain", "plain", "text"),
        ("text/plain; charset=unicode_escape", b"\\ud800", "\\ud800", "text"),
        ("text/plain; charset=nonsense", b"plain", "plain", "text"),
        ("text/plain", b"\xff\xfe\xfd", "//79", "base64"),
        ("image/png", b"\x89PNG", "iVBORw==", "base64"),
        ("audio/mpeg", b"\xff\xfea\x00", "//5hAA==", "base64"),
        ("text/json", b'\xef\xbb\xbf{"a": 1}', {"a": 1}, "json"),
        ("application/x-json; charset=windows-1251", '{"a": "я"}'.encode("cp1251"), {"a": "я"}, "json"),
        ("application/json", '{"a": "é"}'.encode("utf-16"), {"a": "é"}, "json"),
        ("text/html", "я<meta charset=koi8-r>".encode("koi8-r"), "я<meta charset=koi8-r>", "text"),
        (
            "text/xml",
            b"<?xml version='1.0' encoding='latin1'?>\xe9",
            "<?xml version='1.0' encoding='latin1'?>é",
            "text",
        ),
        ("text/csv; charset='shift_jis'", "日本".encode("shift_jis"), "日本", "text"),
        ("text/plain; charset=gbk", b"\xff", "/w==", "base64"),
    ],
)
async def test_a_response_body_is_parsed_by_its_content_type(
    context: Context, content_type: str, body: bytes, expected: object, encoding: str
) -> None:
    async with serve(answering(answer(body, f"Content-Type: {content_type}"))) as server:
        reply = await perform(context, "post", url=server.url)
        assert (reply.body, reply.body_encoding) == (expected, encoding)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain; charset=gbk", b"a\xff", r"is kept as base64: it is not gbk: byte 1 (0xFF) cannot be decoded"),
        ("text/plain; charset=nonsense", b"\xff", r"is kept as base64: the charset 'nonsense' is not known"),
        ("application/json", b'"\\ud83d"', r"is kept as text: \ud83d at byte 1 is a lone surrogate"),
    ],
)
async def test_a_body_that_contradicts_its_content_type_is_logged(
    context: Context, caplog: pytest.LogCaptureFixture, content_type: str, body: bytes, expected: str
) -> None:
    async with serve(answering(answer(body, f"Content-Type: {content_type}"))) as server:
        await perform(context, "post", url=server.url)
    assert expected in caplog.text


@pytest.mark.parametrize("body", [b"%s", b'{"a": %s}', b"'%s'", b"-%s", b'{"a": "b"} %s'])
async def test_the_log_does_not_quote_a_response_that_is_not_json(
    context: Context, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """The response may contain part of a secret, which the log's redactor would not recognise."""
    async with serve(answering(answer(body % b"canary-0123456789-0123456789", "Content-Type: text/json"))) as server:
        await perform(context, "post", url=server.url)
    assert "is kept as text: " in caplog.text
    assert "canar" not in caplog.text


async def test_header_names_are_lower_case_and_repeated_headers_are_lists(context: Context) -> None:
    headers = ["X-A: 1, 2", "x-a: 3", "Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "set-cookie: b=2"]
    async with serve(answering(answer(b"", *headers, status="201 Created"))) as server:
        reply = await perform(context, "post", url=server.url)
        assert reply.status == 201
        assert reply.headers == {
            "content-length": "0",
            "x-a": ["1, 2", "3"],
            "set-cookie": ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"],
        }


@pytest.mark.parametrize("cookie", ["a=1", ""])
async def test_a_single_set_cookie_header_is_a_list(context: Context, cookie: str) -> None:
    async with serve(
        answering(answer(gzip.compress(b"ok"), f"Set-Cookie: {cookie}", "Content-Encoding: gzip"))
    ) as server:
        assert (await perform(context, "get", url=server.url)).headers == {"set-cookie": [cookie]}


@pytest.mark.parametrize(("value", "text"), [("é".encode(), "é"), (b"\xe9", "é"), (b"", "")])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_header_becomes_text_from_utf_8_or_latin_1(
    context: Context, value: bytes, text: str, coding: str
) -> None:
    body = gzip.compress(b"ok") if coding == "gzip" else b"ok"
    result = answer(body, f"Content-Encoding: {coding}", "X-Name: NAME").replace(b"NAME", value)
    async with serve(answering(result)) as server:
        reply = await perform(context, "post", url=server.url)
        assert (reply.headers["x-name"], reply.body) == (text, "ok")


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, "client"),
        (401, "auth"),
        (403, "auth"),
        (404, "client"),
        (408, "timeout"),
        (409, "client"),
        (421, "server"),
        (422, "client"),
        (423, "server"),
        (424, "client"),
        (425, "server"),
        (426, "client"),
        (429, "rate_limit"),
        (500, "server"),
        (501, "server"),
        (505, "server"),
        (511, "server"),
        (521, "server"),
        (529, "server"),
        (503, "server"),
    ],
)
async def test_an_error_has_the_class_of_its_status(context: Context, status: int, error_class: str) -> None:
    async with serve(answering(answer(b'{"why": "no"}', JSON_TYPE, status=f"{status} No"))) as server:
        error = await refusal(context, server, params={"token": "in-the-query"})
        assert (error.error_class, error.code, error.ending) == (error_class, str(status), "answered")
        assert error.details == {"status": status, "body": '{"why": "no"}'}
        assert str(error) == f"POST {server.url} answered {status}"


@pytest.mark.parametrize("status", [502, 504, 520, 522, 524])
async def test_a_gateway_error_leaves_the_ending_unknown(context: Context, status: int) -> None:
    async with serve(answering(answer(b"", status=f"{status} Lost"))) as server:
        error = await refusal(context, server)
        assert (error.error_class, error.ending) == ("server", "unknown")


async def test_a_421_makes_the_next_attempt_use_a_new_connection(context: Context) -> None:
    async with serve(answering(answer(b"", status="421 Misdirected Request"))) as server:
        await refusal(context, server)
        await refusal(context, server)
        assert server.connections == 2


@pytest.mark.parametrize(("body", "text"), [(b"x" * 100_000, "x" * 100_000), (b"\xff\xfe", None)])
async def test_an_error_carries_the_response_body(context: Context, body: bytes, text: str | None) -> None:
    async with serve(answering(answer(body, status="500 Oh"))) as server:
        assert (await refusal(context, server)).details == {"status": 500, "body": text}


async def test_expect_decides_which_statuses_are_a_success(context: Context) -> None:
    async with serve(answering(answer(b"", status="404 Not Found"), OK)) as server:
        reply = await perform(context, "delete", url=server.url, expect=[200, 404])
        assert reply.status == 404
        error = await refusal(context, server, expect=[201])
        assert (error.error_class, error.code) == ("client", "200")


DATE = "Date: Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["Retry-After: 120"], 120.0),
        (["Retry-After: 0.5"], 0.5),
        (["Retry-After: 1."], 1.0),
        (["Retry-After: 0"], 0.0),
        (["Retry-After: Wed, 21 Oct 2026 07:30:00 GMT", DATE], 120.0),
        (["Retry-After: Wed, 21 Oct 2026 07:00:00 GMT", DATE], 0.0),
        (["Retry-After: Wed, 21 Oct 2026 07:30:00 -0000", DATE], 120.0),
        (["Retry-After: Wed, 21 Oct 2026 09:30:00 +0200", DATE], 120.0),
        (["Retry-After: Wed, 21 Oct 2026 07:30:00", DATE], 120.0),
        (["Retry-After: 21 Oct 2026 07:30:00 GMT", DATE], 120.0),
        (["Retry-After: Wednesday, 21-Oct-26 07:30:00 GMT", DATE], 120.0),
        (["Retry-After: Wed Oct 21 07:30:00 2026", DATE], 120.0),
        (["Retry-After: 2026-10-21T07:30:00Z", DATE], 120.0),
        (["Retry-After: Wed, 21 Oct 2026 07:30:00 GMT", "Date: Wed, 21 Oct 2026 07:28:00 -0000"], 120.0),
        (["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", DATE], LONGEST_WAIT),
        (["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"], LONGEST_WAIT),
        (["Retry-After: Wed, 21 Oct 2020 07:30:00 GMT"], 0.0),
        (["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", "Date: today"], LONGEST_WAIT),
        (["Retry-After: 5", "Retry-After: 120", "Retry-After: 60"], 120.0),
        (["Retry-After: 5, 120"], 120.0),
        (["Retry-After: 60", "Retry-After: Wed, 21 Oct 2026 07:30:00 GMT", DATE], 120.0),
        (["Retry-After: Wed, 21 Oct 2026 07:29:00 GMT, Wed, 21 Oct 2026 07:30:00 GMT", DATE], 120.0),
        (["Retry-After: soon", "Retry-After: 120"], 120.0),
        (["Retry-After: 99999999999"], LONGEST_WAIT),
        (["Retry-After: " + "9" * 290], LONGEST_WAIT),
        (["Retry-After: 1e999"], None),
        (["Retry-After: -5"], None),
        (["Retry-After: ٣"], None),
        (["Retry-After: soon", DATE], None),
        (["Retry-After: Mon, 99 Foo 99999 99:99:99 GMT", DATE], None),
        (["Retry-After:"], None),
        ([], None),
    ],
)
async def test_retry_after_is_parsed_in_every_form(context: Context, headers: list[str], seconds: float | None) -> None:
    async with serve(answering(answer(b"", *headers, status="429 Slow"))) as server:
        assert (await refusal(context, server)).retry_after == seconds


async def test_a_retry_after_date_without_a_date_header_counts_from_the_local_clock(context: Context) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    async with serve(answering(answer(b"", f"Retry-After: {later}", status="503 Slow"))) as server:
        seconds = (await refusal(context, server)).retry_after
        assert seconds is not None
        assert 0 < seconds <= 7_200


async def test_a_403_with_retry_after_is_a_rate_limit(context: Context) -> None:
    async with serve(answering(answer(b"", "Retry-After: 60", status="403 Slow"))) as server:
        error = await refusal(context, server)
        assert (error.error_class, error.retry_after) == ("rate_limit", 60.0)
