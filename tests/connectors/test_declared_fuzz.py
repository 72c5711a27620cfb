"""Declarative actions with arbitrary inputs and responses: nothing but an `ActionError` is ever raised."""

import json
from contextlib import suppress
from typing import Any, get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.auth.request import OutgoingRequest
from connectors.declared.action import DeclaredCall
from connectors.declared.compiled import (
    BodyKind,
    DeclaredAction,
    ErrorMatch,
    ErrorRules,
    KeyRule,
    PageRules,
    PageSize,
    RetryAfter,
)
from connectors.declared.pages import PageResponse
from connectors.declared.request import Address, RequestTemplate
from connectors.wire.body import read_body
from connectors.wire.response import Response
from durable.action import ActionError, InvalidOutput
from durable.page import Page, PagePosition
from durable.values import JSON

URL = "https://api.example/v1"
REQUEST = OutgoingRequest("GET", f"{URL}/items?key=a")
SIGNED = OutgoingRequest("GET", f"{URL}/items?key=a&token=b")
RULES = ErrorRules(
    when="answer.body.ok is false or answer.body.count > 3",
    code="{{ answer.body.error.code | default(answer.body.error | upper) }}",
    message="{{ answer.body.errors[0].message }}",
    ok=("gone",),
    classes=(("auth", ErrorMatch(when="answer.body.items | length == 0")),),
)
WAITS = (RetryAfter("x-a", unit="epoch_ms"), RetryAfter(value="answer.body.wait", unit="ms"), RetryAfter("retry-after"))
PAGES = (
    None,
    PageRules("answer.body.items", next="answer.body.next", size=PageSize("n", 2)),
    PageRules("answer.body.items", cursor="items[-1].id", param="c", more="answer.body.ok"),
    PageRules("answer.body.items | default([])", link="next", max_pages=2),
    PageRules("answer.body", number="p"),
)
CALLS = [
    DeclaredCall(
        "act",
        DeclaredAction(
            "GET", URL, "/items", {}, errors=RULES, retry_after=WAITS, page=page, output="{{ answer.body.id }}"
        ),
    )
    for page in PAGES
]
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "//[",
        "https://api.example/v1/x?token=t",
        "//evil/",
        "/..",
        "?",
        "",
        "gone",
        "9" * 400,
        "nan",
        "<a>; rel=next",
        "\ud800",
    ]
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
KEYS = st.sampled_from(["ok", "error", "errors", "items", "next", "wait", "count", "code", "message", "id"])
BODIES: st.SearchStrategy[JSON] = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=10
)
NAMES = st.sampled_from(["link", "retry-after", "x-a", "location", "date"])
HEADERS = st.dictionaries(NAMES, TEXTS.filter(lambda text: text.isprintable() and "\ud800" not in text), max_size=3)


@given(
    st.sampled_from(CALLS),
    st.sampled_from([200, 204, 301, 304, 400, 404, 429, 503, 999]),
    HEADERS,
    BODIES.map(json.dumps) | st.text(max_size=9, alphabet='{}[]"1,'),
)
@example(CALLS[1], 200, {}, '{"items": [], "next": "//["}')
@example(CALLS[3], 200, {"link": "<é>; rel=next, <http://[>; rel=next"}, '{"items": []}')
@settings(max_examples=150, deadline=None)
def test_no_response_raises_anything_else(call: DeclaredCall, status: int, headers: dict[str, str], body: str) -> None:
    response = Response(status, {"content-type": "application/json", **headers}, body.encode(errors="replace"))
    received = PageResponse(response, REQUEST, SIGNED, "GET https://api.example/v1/items")
    scope: dict[str, Any] = {"inputs": {}, "connection": None}
    with suppress(ActionError):
        read = read_body(response)
        output = call.read_response(PagePosition(1, "/x", 2), received, read, scope, Address(URL, "/items"))
        assert isinstance(output, Page | InvalidOutput) or call is CALLS[0]


TEMPLATE = {"a": "{{ inputs.a }}", "b": "x {{ inputs.b }}"}
BODY: dict[str, Any] = {"json": TEMPLATE, "graphql": {"query": "q", "variables": "{{ inputs.a }}"}}
REQUESTS = [
    RequestTemplate(
        DeclaredAction(
            method="POST",
            base_url="https://{{ inputs.b }}.example/{{ inputs.a }}" if encode == "text" else URL,
            path="/{a}/{b...}" if encode == "json" else "/x",
            inputs={},
            params=TEMPLATE,
            headers=TEMPLATE if encode != "form" else None,
            body=BODY.get(encode, "{{ inputs.a }}"),
            has_body=True,
            encode=encode,
            styles={"a": "comma"},
            idempotency=KeyRule(json="key", max=20) if encode == "form" else None,
        )
    )
    for encode in get_args(BodyKind)
]


@given(st.sampled_from(REQUESTS), BODIES, BODIES)
@settings(max_examples=150, deadline=None)
def test_no_input_raises_anything_else(template: RequestTemplate, one: JSON, other: JSON) -> None:
    scope = {"inputs": {"a": one, "b": other}, "connection": None}
    with suppress(ActionError):
        template.make_request(scope, "run:step", template.find_address(scope), {"page": 1}, ["a"])
