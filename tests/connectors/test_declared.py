"""Declarative actions: the requests that they send, and what they make of the responses."""

from typing import Any

import pytest

from connectors.declared.action import make_action, restore_action
from connectors.declared.compiled import DeclaredAction, ErrorMatch, ErrorRules, decode_action, encode_action
from durable.action import ActionError, Context, InvalidOutput
from durable.redactor import Redactor
from durable.runner.output import settle_output
from tests.connectors.servers import answer, answering, serve

pytestmark = pytest.mark.anyio

JSON_TYPE = "Content-Type: application/json"


def declare(base_url: str, method: str = "POST", path: str = "/x", **more: Any) -> DeclaredAction:
    inputs = more.pop("inputs", {"type": "object"})
    return DeclaredAction(method, base_url, path, inputs, **more)


async def perform(context: Context, declared: DeclaredAction, **given: Any) -> Any:
    action = make_action("act", declared)
    returned = await action.perform(context, action.input.model_validate(given))
    return await settle_output(action.output, returned, Redactor(frozenset()))


@pytest.mark.parametrize(
    ("changes", "given", "line", "content_type", "body"),
    [
        ({}, {}, "POST /v1/x", None, b""),
        ({"path": "/a/{b}/c"}, {"b": "d e/?é"[:3]}, "POST /v1/a/d%20e/c", None, b""),
        ({"path": "/f/{p...}"}, {"p": "a/b c"}, "POST /v1/f/a/b%20c", None, b""),
        ({"path": "/n/{n}"}, {"n": 7}, "POST /v1/n/7", None, b""),
        (
            {"params": {"a": "{{ inputs.a }}", "b": "{{ inputs.b }}"}},
            {"a": [1, "x"]},
            "POST /v1/x?a=1&a=x",
            None,
            b"",
        ),
        (
            {"params": {"f": "{{ inputs.f }}"}},
            {"f": {"a": {"b": [1, True]}}},
            "POST /v1/x?f%5Ba%5D%5Bb%5D%5B0%5D=1&f%5Ba%5D%5Bb%5D%5B1%5D=true",
            None,
            b"",
        ),
        (
            {"body": {"t": "{{ inputs.t }}", "u": "{{ inputs.u }}"}, "has_body": True},
            {"t": {"u": None}},
            "POST /v1/x",
            "application/json",
            b'{"t":{"u":null}}',
        ),
        (
            {"body": {"t": "{{ inputs.t }}"}, "has_body": True, "encode": "form"},
            {"t": [{"p": "a b"}]},
            "POST /v1/x",
            "application/x-www-form-urlencoded",
            b"t%5B0%5D%5Bp%5D=a+b",
        ),
    ],
)
async def test_inputs_are_sent_where_the_action_says(
    context: Context, changes: dict[str, Any], given: dict[str, Any], line: str, content_type: str | None, body: bytes
) -> None:
    names = {"a", "b", "f", "t", "u", "p", "n"}
    inputs = {"type": "object", "properties": {name: {} for name in names}, "additionalProperties": False}
    async with serve(answering(answer(b"{}", JSON_TYPE))) as server:
        await perform(context, declare(f"{server.url}/v1/", inputs=inputs, **changes), **given)
        [request] = server.requests
    assert (request.line, request.headers.get("content-type"), request.body) == (f"{line} HTTP/1.1", content_type, body)
    assert "idempotency-key" not in request.headers


async def test_the_output_is_made_of_the_response(context: Context) -> None:
    async with serve(answering(answer(b'{"id": 7, "name": "x"}', JSON_TYPE))) as server:
        declared = declare(server.url, output={"id": "{{ answer.body.id }}", "status": "{{ answer.status }}"})
        assert (await perform(context, declared)).plain == {"id": 7, "status": 200}
        restored = restore_action("shop.act", encode_action(declared))
        assert await restored.perform(context, restored.input.model_validate({})) == {"id": 7, "status": 200}
    assert decode_action(encode_action(declared)) == declared


async def test_an_error_has_the_code_and_the_message_of_the_service(context: Context) -> None:
    rules = ErrorRules(
        when="answer.body.ok is false",
        code="{{ answer.body.error }}",
        message="{{ answer.body.message }}",
        ok=("gone",),
        classes=(("rate_limit", ErrorMatch("slow")),),
    )
    for body, status, expected in [
        (b'{"ok": false, "error": "slow"}', "200 OK", ("200 slow", "slow", "rate_limit")),
        (b'{"ok": false, "error": "no_channel"}', "200 OK", ("200 no_channel", "no_channel", "client")),
        (b'{"message": "bad name"}', "422 X", ("422 bad name", "422", "client")),
        (b"<html>", "503 X", ("503 Service Unavailable", "503", "server")),
    ]:
        async with serve(answering(answer(body, JSON_TYPE, status=status))) as server:
            with pytest.raises(ActionError) as caught:
                await perform(context, declare(server.url, path="/x?key=k", errors=rules))
            error = caught.value
            assert (error.message, error.code, error.error_class) == (
                f"POST {server.url}/x: {expected[0]}",
                *expected[1:],
            )
    async with serve(answering(answer(b'{"ok": false, "error": "gone"}', JSON_TYPE))) as server:
        output = await perform(context, declare(server.url, errors=rules, returns={"type": "object"}))
        assert (output.plain, output.problem) == (None, None)


async def test_what_fails_after_a_success_keeps_the_response_and_is_no_error(context: Context) -> None:
    for body, problem in [(b"<html>", "declared as JSON"), (b"{}", "there is no 'id'")]:
        async with serve(answering(answer(body, JSON_TYPE))) as server:
            action = make_action("act", declare(server.url, output="{{ answer.body.id }}"))
            returned = await action.perform(context, action.input.model_validate({}))
        assert isinstance(returned, InvalidOutput)
        assert problem in returned.problem
        assert (await settle_output(action.output, returned, Redactor(frozenset()))).problem == returned.problem
