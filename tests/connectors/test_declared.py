"""Declarative actions: the requests that they send, and what they make of the responses."""

import json
import logging
import time
from typing import Any

import pytest

from connectors.auth.bearer import BEARER
from connectors.declared.action import make_action, restore_action
from connectors.declared.compiled import (
    DeclaredAction,
    ErrorMatch,
    ErrorRules,
    KeyRule,
    PageRules,
    RetryAfter,
    decode_action,
    encode_action,
)
from connectors.wire.client import HttpClient
from durable.action import ActionError, Context, InvalidOutput
from durable.redactor import Redactor
from durable.runner.output import Output, settle_output
from durable.schema_model import make_model
from tests.connectors.servers import answer, answering, serve

pytestmark = pytest.mark.anyio

JSON_TYPE = "Content-Type: application/json"
OPEN_INPUTS = {
    "type": "object",
    "properties": {"d": {"default": None}, **{name: {} for name in "abcfnptu"}},
    "additionalProperties": False,
}
OK = answer(b'{"id": 7, "name": "x"}', JSON_TYPE)
NO_BODY = (None, b"")
JSON_BODY = "application/json"
FORM = "application/x-www-form-urlencoded"


def declare(base_url: str, method: str = "POST", path: str = "/x", **more: Any) -> DeclaredAction:
    if "body" in more:
        more["has_body"] = True
    return DeclaredAction(method, base_url, path, OPEN_INPUTS, **more)


async def perform(context: Context, declared: DeclaredAction, **given: Any) -> Output:
    action = make_action("act", declared)
    returned = await action.perform(context, action.input.model_validate(given))
    return await settle_output(action.output, returned, Redactor(frozenset()))


async def refusal(context: Context, declared: DeclaredAction, **given: Any) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await perform(context, declared, **given)
    return caught.value


# -- requests ----------------------------------------------------------------------------------------------------

INPUT = {"a": "{{ inputs.a }}", "b": "{{ inputs.b }}"}
DEEP = "?f%5Ba%5D%5Bb%5D%5B0%5D=1&f%5Ba%5D%5Bb%5D%5B1%5D=true"
MULTIPART = b"""--BOUNDARY\r
Content-Disposition: form-data; name="a"\r
\r
hi\r
--BOUNDARY\r
Content-Disposition: form-data; name="a"\r
\r
7\r
--BOUNDARY\r
Content-Disposition: form-data; name="b"; filename="a%22.bin"\r
Content-Type: image/png\r
\r
\xff\xfe\r
--BOUNDARY\r
Content-Disposition: form-data; name="c"\r
Content-Type: application/json\r
\r
{"x":1}\r
--BOUNDARY--\r
"""
REQUESTS: list[tuple[dict[str, Any], dict[str, Any], str, tuple[str | None, bytes]]] = [
    # what the action declares, inputs, target, content type and body
    ({}, {}, "/x", NO_BODY),
    ({"path": "/a/{b}/c"}, {"b": "d é?#%"}, "/a/d%20%C3%A9%3F%23%25/c", NO_BODY),
    ({"path": "/f/{p...}:run"}, {"p": "a/b c"}, "/f/a/b%20c:run", NO_BODY),
    ({"path": "/g/{p%2F}/x"}, {"p": "a/b c"}, "/g/a%2Fb%20c/x", NO_BODY),
    ({"path": "n/{n}?x=1", "params": INPUT}, {"n": 7, "a": True}, "/n/7?x=1&a=true", NO_BODY),
    ({"params": INPUT}, {"a": [1, "x", None]}, "/x?a=1&a=x", NO_BODY),
    ({"params": INPUT, "styles": {"a": "comma"}}, {"a": [1, "x"], "b": 1e20}, "/x?a=1%2Cx&b=1e20", NO_BODY),
    ({"params": INPUT, "styles": {"a": "pipe", "b": "space"}}, {"a": [1, 2], "b": [3, 4]}, "/x?a=1%7C2&b=3+4", NO_BODY),
    ({"params": INPUT, "styles": {"a": "deep"}}, {"a": ["x", "y"]}, "/x?a%5B0%5D=x&a%5B1%5D=y", NO_BODY),
    ({"params": {"f": "{{ inputs.f }}"}}, {"f": {"a": {"b": [1, True]}, "c": None}}, f"/x{DEEP}", NO_BODY),
    ({"body": INPUT}, {"a": {"n": None}}, "/x", (JSON_BODY, b'{"a":{"n":null}}')),
    ({"body": "{{ inputs.a }}"}, {"a": [1]}, "/x", (JSON_BODY, b"[1]")),
    (
        {"body": {"x": "{{ inputs.a }}", "d": "{{inputs.d}}", **INPUT}},
        {"a": None, "d": None},
        "/x",
        (JSON_BODY, b'{"x":null,"a":null}'),
    ),
    ({"body": "{{ inputs.a }}"}, {}, "/x", NO_BODY),
    (
        {"body": INPUT, "media_type": "application/vnd.api+json"},
        {"a": 1},
        "/x",
        ("application/vnd.api+json", b'{"a":1}'),
    ),
    ({"body": INPUT, "headers": {"Content-Type": "text/x"}}, {"a": 1}, "/x", ("text/x", b'{"a":1}')),
    (
        {"body": INPUT, "encode": "form"},
        {"a": [{"p": "a b"}], "b": ["x"]},
        "/x",
        (FORM, b"a%5B0%5D%5Bp%5D=a+b&b%5B0%5D=x"),
    ),
    ({"body": INPUT, "encode": "form", "styles": {"a": "repeat"}}, {"a": ["x", "y"]}, "/x", (FORM, b"a=x&a=y")),
    ({"body": "{{ inputs.a }}", "encode": "text"}, {"a": "é"}, "/x", ("text/plain; charset=utf-8", "é".encode())),
    (
        {"body": "{{ inputs.a }}", "encode": "base64"},
        {"a": "//79"},
        "/x",
        ("application/octet-stream", b"\xff\xfe\xfd"),
    ),
    (
        {"body": {"query": "query q($a: Int) { a }", "variables": INPUT}, "encode": "graphql"},
        {"a": 1},
        "/x",
        (JSON_BODY, b'{"query":"query q($a: Int) { a }","variables":{"a":1}}'),
    ),
    (
        {"body": {**INPUT, "c": "{{ inputs.c }}"}, "encode": "multipart"},
        {
            "a": [{"text": "hi"}, 7],
            "b": {"base64": "//4=", "filename": 'a".bin', "content_type": "image/png"},
            "c": {"x": 1},
        },
        "/x",
        ("multipart/form-data; boundary=BOUNDARY", MULTIPART),
    ),
    (
        {"body": INPUT, "encode": "multipart", "media_type": "multipart/mixed"},
        {"a": None, "b": None},
        "/x",
        ("multipart/mixed; boundary=BOUNDARY", b"--BOUNDARY--\r\n"),
    ),
]


@pytest.mark.parametrize(("changes", "given", "target", "sent"), REQUESTS)
async def test_inputs_are_sent_where_the_action_says(
    context: Context, changes: dict[str, Any], given: dict[str, Any], target: str, sent: tuple[str | None, bytes]
) -> None:
    async with serve(answering(OK)) as server:
        await perform(context, declare(f"{server.url}/v1/", **changes), **given)
        await perform(context, declare(f"{server.url}/v1/", **changes), **given)
        [request, other] = server.requests
    kind = request.headers.get("content-type")
    boundary = kind.partition("boundary=")[2] if kind else ""
    expected = tuple(
        each.replace("BOUNDARY", boundary)
        if isinstance(each, str)
        else each and each.replace(b"BOUNDARY", boundary.encode())
        for each in sent
    )
    assert (request.line, (kind, request.body)) == (f"POST /v1{target} HTTP/1.1", expected)
    assert "idempotency-key" not in request.headers
    if not boundary:  # the second request of the context has another key
        assert other.body == request.body


@pytest.mark.parametrize(
    ("changes", "given", "problem"),
    [
        ({"path": "/a/{b}"}, {"b": "x/y"}, "'b' is one segment of the path and cannot contain '/'"),
        ({"path": "/a/{b}"}, {"b": ""}, "'b' would leave a segment of the path empty"),
        ({"path": "/a/{b}"}, {"b": ".."}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/{b}"}, {"b": "%2e"}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/{b%2F}"}, {"b": "x/../y"}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/{b%2F}"}, {"b": "x/"}, "'b' would leave a segment of the path empty"),
        ({"path": "/a/{b...}"}, {"b": "x/../y"}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/{b...}"}, {"b": "x//y"}, "'b' would leave a segment of the path empty"),
        ({"path": "/a/{b}{c}"}, {"b": ".", "c": "."}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/.{b}"}, {"b": "%2e"}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/{b}"}, {"b": "..\\x"}, "the inputs give the path a segment '.' or '..'"),
        ({"path": "/a/{b}"}, {"b": "..%2fx"}, "the inputs give the path a segment '.' or '..'"),
        ({"path": "/a/{b}"}, {"b": "..;x"}, "'b' would put '.' or '..' into the path"),
        ({"path": "/a/.{b}"}, {"b": ".\\x"}, "the inputs give the path a segment '.' or '..'"),
        ({"path": "/a/{b}"}, {"b": None}, "'b' is part of the path and must be text, not null"),
        ({"path": "/a/{b}"}, {"b": [1]}, "'b' is part of the path and must be text, not a list"),
        ({"headers": {"x-a": "{{ inputs.a }}"}}, {"a": "x\r\ny: z"}, "'x-a' has a line break"),
        ({"headers": {"x-a": "{{ inputs.a }}"}}, {"a": [1]}, "'x-a' must be text, not a list"),
        ({"params": {"a": "{{ inputs.z }}"}}, {}, "there is no input 'z'"),
        ({"body": "{{ inputs.a }}", "encode": "form"}, {"a": [1]}, "the form must be a mapping, not a list"),
        ({"body": "{{ inputs.a }}", "encode": "base64"}, {"a": "?"}, "the body is not valid base64"),
        ({"params": INPUT, "styles": {"a": "comma"}}, {"a": [{}]}, "parameter 'a' must be texts or numbers"),
        ({"base_url": "{{ connection.url }}"}, {}, "add 'connection: NAME' to the step"),
        ({"base_url": "http://127.0.0.1/{{ inputs.a }}"}, {"a": ".."}, "'.' and '..' lead to another resource"),
        ({"base_url": "http://127.0.0.1/?a={{ inputs.a }}"}, {"a": 1}, "contains more than an address"),
        ({"base_url": "{{ inputs.a }}"}, {"a": "ftp://x"}, "the base_url is not valid"),
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_made_is_not_sent(
    context: Context, changes: dict[str, Any], given: dict[str, Any], problem: str
) -> None:
    async with serve(answering(OK)) as server:
        error = await refusal(context, declare(**{"base_url": server.url, **changes}), **given)
        assert not server.requests
    assert problem in error.message
    assert (error.error_class, error.ending) == ("invalid", "not_sent")


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"n": "{{ connection.token | int }}"}},
        {"params": {"n": "{{ {'a': 1}[connection.token] }}"}},
        {"body": ["{{ inputs.key | float }}"]},
    ],
)
async def test_the_reason_why_a_request_cannot_be_made_quotes_no_secret(
    context: Context, changes: dict[str, Any]
) -> None:
    context.connection = make_model("Shop", {"type": "object"}).model_validate({"token": "canary" * 20})
    inputs = {"type": "object", "properties": {"key": {"type": "string", "secret": True}}}
    error = await refusal(
        context,
        DeclaredAction("POST", "http://x", "/", inputs, has_body="body" in changes, **changes),
        key="canary" * 20,
    )
    assert "canary" not in error.message
    assert "cannot be evaluated" in error.message


def test_unknown_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="chanel"):
        make_action("act", declare("http://x")).input.model_validate({"chanel": "C1"})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"path": "/a/{b"}, "a brace without its counterpart"),
        ({"path": "/a/{}"}, "the braces in the path are empty"),
        ({"path": "/a/../b"}, "which services resolve"),
        ({"base_url": "http://127.0.0.1/?a=1"}, "contains more than an address"),
        ({"params": {"a": "{{ inputs. }}"}}, "params: inputs"),
        ({"params": {"a": "{{ secrets.X }}"}}, "secrets belong in the connection"),
        ({"errors": ErrorRules(when="{{ a")}, "errors.when"),
        ({"idempotency": KeyRule(header="k", max=8)}, "at least 16 characters"),
        ({"idempotency": KeyRule()}, "sent in one place"),
        ({"redirects": "without_credentials"}, "is only for GET requests"),
        ({"page": PageRules("answer.body")}, "exactly one of link"),
        ({"page": PageRules("answer.body", cursor="answer.c")}, "needs 'param'"),
    ],
)
def test_a_form_that_cannot_be_compiled_is_an_error(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_action("act", declare(**{"base_url": "http://x", **changes}))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (KeyRule(header="X-Key"), "run:step"),
        (KeyRule(json="nonce", with_={"enforce": True}), "run:step"),
        (KeyRule(param="request_id"), "run:step"),
        (KeyRule(header="X-Key", format="uuid"), "36"),
        (KeyRule(header="X-Key", format="base32hex", max=25), "25"),
        (KeyRule(header="X-Key", format="hex"), "64"),
    ],
)
async def test_the_key_is_sent_where_its_rule_says(context: Context, rule: KeyRule, expected: str) -> None:
    async with serve(answering(OK)) as server:
        await perform(context, declare(server.url, idempotency=rule))
        [request] = server.requests
    target = request.line.split()[1]
    body = json.loads(request.body) if request.body else {}
    key = body.get("nonce") or target.partition("request_id=")[2].replace("%3A", ":") or request.headers["x-key"]
    assert expected in {key, str(len(key))}
    assert body in ({}, {"nonce": key, "enforce": True})


@pytest.mark.parametrize(
    ("method", "rule", "expected"),
    [
        ("GET", None, ("yes", "retry")),
        ("PUT", None, ("yes", "retry")),
        ("DELETE", None, ("yes", "retry")),
        ("POST", None, ("no", "park")),
        ("PATCH", None, ("no", "park")),
        ("POST", KeyRule(header="k"), ("key", "retry")),
    ],
)
def test_whether_an_action_is_repeated_follows_from_its_method_and_key(
    method: str, rule: KeyRule | None, expected: tuple[str, str]
) -> None:
    action = make_action("act", declare("http://x", method, idempotency=rule))
    assert (action.idempotent, action.on_crash) == expected
    assert make_action("act", declare("http://x", method), idempotent="yes").on_crash == "retry"


# -- credentials -------------------------------------------------------------------------------------------------


@pytest.fixture
def signing(client: HttpClient) -> Context:
    """The context of an attempt whose connection signs requests, and gives the base URL of the service."""
    log = logging.LoggerAdapter(logging.getLogger("waypost.run"), {})
    auth = {"bearer": BEARER.settings.model_validate("s3cret")}
    return Context("run", "step", 1, "run:step", log, {HttpClient: client}, auth=auth)


async def test_credentials_stay_at_the_origin_of_the_connection(signing: Context) -> None:
    def redirecting(to: str) -> bytes:
        return answer(b"", f"Location: {to}", status="307 Temporary Redirect")

    async with serve(answering(OK)) as elsewhere:
        async with serve(answering(redirecting(elsewhere.url))) as server:
            for redirects in ("refuse", "same_origin"):
                error = await refusal(signing, declare(server.url, redirects=redirects))
                assert "answered 307 with a redirect to" in error.message
            assert not elsewhere.requests
            await perform(signing, declare(server.url, "GET", redirects="without_credentials", headers={"x-key": "k"}))
        [moved] = elsewhere.requests
        assert not {"authorization", "x-key"} & moved.headers.keys()
        async with serve(answering(redirecting("/y?z=1"), OK)) as server:
            rule = KeyRule(header="idempotency-key")
            declared = declare(server.url, redirects="same_origin", body={"a": 1}, idempotency=rule)
            assert (await perform(signing, declared)).plain == {"id": 7, "name": "x"}
        first, second = server.requests
        assert second.line == "POST /y?z=1 HTTP/1.1"
        assert (first.headers["authorization"], first.headers["idempotency-key"], first.body) == (
            second.headers["authorization"],
            second.headers["idempotency-key"],
            second.body,
        )


@pytest.mark.parametrize("where", [(), ("page",), ("errors",), ("idempotency",)])
def test_a_stored_form_with_a_field_that_is_not_known_is_refused(where: tuple[str, ...]) -> None:
    page, errors = PageRules(items="answer.body", link="next"), ErrorRules(when="answer.body.error")
    stored = encode_action(declare("http://x", page=page, errors=errors, idempotency=KeyRule(header="x-key")))
    part = stored
    for name in where:
        part = part[name]
    part["sixth_sense"] = True
    with pytest.raises(ValueError, match="sixth_sense"):
        restore_action("shop.act", stored)


async def test_a_secret_url_is_not_in_messages(context: Context) -> None:
    context.connection = make_model("Bot", {"type": "object"}).model_validate({"token": "7:s3cret"})
    bad = answer(b'{"description": "bad chat"}', JSON_TYPE, status="400 Bad Request")
    rules = ErrorRules(message="{{ answer.body.description }}")
    for body, message in [(bad, "POST /send: 400 bad chat"), (answer(b"<", JSON_TYPE), "POST /send: the answer is")]:
        async with serve(answering(body)) as server:
            base_url = f"{server.url}/bot{{{{ connection.token }}}}"
            declared = declare(base_url, path="/send", errors=rules, has_secret_url=True)
            try:
                shown = (await perform(context, declared)).problem or ""
            except ActionError as error:
                shown = error.message
            assert server.requests[0].line == "POST /bot7%3As3cret/send HTTP/1.1"
        assert shown.startswith(message)


# -- responses ---------------------------------------------------------------------------------------------------


async def test_the_output_is_made_of_the_response(context: Context) -> None:
    async with serve(answering(OK)) as server:
        declared = declare(server.url, output={"id": "{{ answer.body.id }}", "status": "{{ answer.status }}"})
        assert (await perform(context, declared)).plain == {"id": 7, "status": 200}
        restored = restore_action("shop.act", encode_action(declared))
        assert await restored.perform(context, restored.input.model_validate({})) == {"id": 7, "status": 200}
        checked = declare(server.url, returns={"type": "object", "properties": {"id": {"type": "string"}}})
        output = await perform(context, checked)
        assert (output.plain, output.problem) == ({"id": 7, "name": "x"}, "id: must be text")
    assert decode_action(encode_action(declared)) == declared


RULES = ErrorRules(
    when="answer.body.ok is false",
    code="{{ answer.body.error.code | default(answer.body.error) }}",
    message="{{ answer.body.message }}",
    ok=("gone", "404"),
    classes=(
        ("rate_limit", ErrorMatch("slow")),
        ("auth", ErrorMatch(when="answer.headers['x-left'] == '0'")),
        ("server", ErrorMatch("409")),
    ),
)


@pytest.mark.parametrize(
    ("body", "status", "header", "expected"),
    [
        (b'{"ok": false, "error": "slow"}', 200, "", ("200 slow", "slow", "rate_limit")),
        (b'{"ok": false, "error": {"code": "no_channel"}}', 200, "", ("200 no_channel", "no_channel", "client")),
        (b'{"ok": false, "error": "e", "message": "No"}', 200, "", ("200 No (e)", "e", "client")),
        (b'{"message": "bad name"}', 422, "", ("422 bad name", "422", "client")),
        (b'{"message": {"a": 1}}', 400, "", ('400 {"a":1}', "400", "client")),
        (b'{"message": "%s"}' % (b"x" * 3000), 400, "", ("400 Bad Request", "400", "client")),
        (b"{}", 409, "", ("409 Conflict", "409", "server")),
        (b"{}", 403, "X-Left: 0", ("403 Forbidden", "403", "auth")),
        (b"{}", 403, "Retry-After: 7", ("403 Forbidden", "403", "rate_limit")),
        (b"{}", 429, "", ("429 Too Many Requests", "429", "rate_limit")),
        (b"<html>", 503, "", ("503 Service Unavailable", "503", "server")),
        (b"{}", 418, "", ("418 I'm a Teapot", "418", "client")),
        (b"{}", 599, "", ("599 (unknown status)", "599", "server")),
    ],
)
async def test_an_error_has_the_code_and_the_message_of_the_service(
    context: Context, body: bytes, status: int, header: str, expected: tuple[str, str, str]
) -> None:
    headers = (JSON_TYPE, header) if header else (JSON_TYPE,)
    async with serve(answering(answer(body, *headers, status=f"{status} X"))) as server:
        error = await refusal(context, declare(server.url, path="/x?key=k", errors=RULES))
    message, code, error_class = expected
    assert (error.message, error.code, error.error_class) == (f"POST {server.url}/x: {message}", code, error_class)
    assert error.ending == ("unknown" if status == 599 else "answered")
    assert error.details == {"status": status, "body": body.decode()}


@pytest.mark.parametrize(("body", "status"), [(b'{"ok": false, "error": "gone"}', "200 OK"), (b"<", "404 Not Found")])
async def test_an_error_that_is_ok_is_a_success_without_output(context: Context, body: bytes, status: str) -> None:
    async with serve(answering(answer(body, JSON_TYPE, status=status))) as server:
        output = await perform(context, declare(server.url, errors=RULES, returns={"type": "object"}))
    assert (output.plain, output.problem) == (None, None)


async def test_errors_of_graphql_are_errors(context: Context) -> None:
    body = b'{"data": null, "errors": [{"message": "No such issue", "extensions": {"code": "NOT_FOUND"}}]}'
    async with serve(answering(answer(body, JSON_TYPE))) as server:
        declared = declare(server.url, body={"query": "{ a }"}, encode="graphql")
        error = await refusal(context, declared)
    assert error.message == f"POST {server.url}/x: 200 No such issue (NOT_FOUND)"


async def test_what_fails_after_a_success_keeps_the_response_and_is_no_error(context: Context) -> None:
    for body, problem in [(b"<html>", "declared as JSON"), (b"{}", "there is no 'id'")]:
        async with serve(answering(answer(body, JSON_TYPE))) as server:
            action = make_action("act", declare(server.url, output="{{ answer.body.id }}"))
            returned = await action.perform(context, action.input.model_validate({}))
        assert isinstance(returned, InvalidOutput)
        assert problem in returned.problem
        output = await settle_output(action.output, returned, Redactor(frozenset()))
        assert (output.plain, output.problem) == (returned.raw, returned.problem)


@pytest.mark.parametrize(
    ("rules", "headers", "expected"),
    [
        ((RetryAfter("retry-after"),), ["Retry-After: 7"], 7),
        ((RetryAfter("x-a"), RetryAfter("x-b", unit="ms")), ["X-B: 1500"], 1.5),
        ((RetryAfter("x-b", unit="ms", when="answer.status == 500"), RetryAfter("x-a")), ["X-A: 3", "X-B: 9"], 3),
        ((RetryAfter("x-a", unit="epoch"),), ["X-A: SOON"], 1000),
        ((RetryAfter("x-a", unit="epoch_ms"),), ["X-A: SOON500"], 1000),
        ((RetryAfter("x-a", unit="epoch"),), ["X-A: SOON", "Date: DATE"], 0),
        ((RetryAfter("x-a"),), ["X-A: DATE"], 1000),
        ((RetryAfter(value="answer.body.wait"),), [], 12.5),
        ((RetryAfter(value="answer.body.nothing"),), [], None),
        ((RetryAfter("x-a"),), ["X-A: 99999999"], 86_400),
        ((RetryAfter("x-a", unit="ms"),), ["X-A: nan"], None),
    ],
)
async def test_the_wait_that_a_service_asks_for_is_read_where_the_action_says(
    context: Context, rules: tuple[RetryAfter, ...], headers: list[str], expected: float | None
) -> None:
    soon = int(time.time()) + 1000
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(soon))
    sent = [header.replace("SOON", str(soon)).replace("DATE", date) for header in headers]
    body = answer(b'{"wait": 12.5}', JSON_TYPE, *sent, status="429 Slow")
    async with serve(answering(body)) as server:
        error = await refusal(context, declare(server.url, retry_after=rules))
    assert error.retry_after == (
        expected if expected is None else pytest.approx(expected, abs=30 if expected == 1000 else 0)
    )
