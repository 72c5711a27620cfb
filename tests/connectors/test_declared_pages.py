"""Pages of declarative actions: how one follows another, and how a list ends."""

import json
import logging
from typing import Any

import pytest

from connectors.auth.api_key import QuerySettings
from connectors.declared.action import make_action
from connectors.declared.compiled import DeclaredAction, PageRules, PageSize
from connectors.wire.client import HttpClient
from connectors.wire.link import find_link
from connectors.wire.response import Response
from connectors.wire.url import parse_url
from durable.action import ActionError, Context
from durable.page import Page, PagePosition
from durable.values import JSON
from tests.connectors.servers import Behaviour, Server, answer, answering, serve

pytestmark = pytest.mark.anyio

JSON_TYPE = "Content-Type: application/json"
INPUTS = {"type": "object", "properties": {"limit": {"type": "integer"}, "q": {}}, "additionalProperties": False}
SIZE = PageSize("per_page", 2)
NEXT = PageRules("answer.body.i", next="answer.body.n")
CURSOR = PageRules("answer.body.i", cursor="answer.body.n", param="c")
MORE = PageRules("answer.body.i", cursor="answer.body.n", param="c", more="true")
HOST = "HOST"
"""Stands for the server's URL in the responses of a test."""


def declare(url: str, rules: PageRules, **more: Any) -> DeclaredAction:
    given: dict[str, Any] = {"method": "GET", "path": "/items", "params": {"q": "{{ inputs.q }}"}, **more}
    return DeclaredAction(base_url=f"{url}/v1", inputs=INPUTS, page=rules, **given)


async def get_pages(context: Context, declared: DeclaredAction, **given: Any) -> list[Page]:
    """Get all pages, as the core does."""
    action = make_action("list", declared)
    pages: list[Page] = []
    count = 0
    while not pages or pages[-1].next is not None:
        context.page = PagePosition(len(pages), pages[-1].next if pages else None, count)
        page = await action.perform(context, action.input.model_validate(given))
        assert isinstance(page, Page)
        pages.append(page)
        count += len(page.items)
    return pages


def respond(*bodies: JSON, headers: tuple[str, ...] = ()) -> Behaviour:
    """Send each body, for one request; a text among `headers` is a header of the response of its number."""

    async def behave(visit: Any) -> None:
        for index, body in enumerate(bodies):
            await visit.request()
            own = [headers[index]] if index < len(headers) and headers[index] else []
            text = json.dumps(body).replace(HOST, visit.server.url)
            await visit.send(answer(text.encode(), JSON_TYPE, *(each.replace(HOST, visit.server.url) for each in own)))
        await visit.request()

    return behave


def lines(server: Server) -> list[str]:
    return [request.line.removeprefix("GET /v1").removesuffix(" HTTP/1.1") for request in server.requests]


LINK = '<HOST/v1/items?q=a&page=2&x=a%2Cb>; rel="next", <HOST/v1/items?page=9>; rel="last"'
CASES: list[tuple[PageRules, dict[str, Any], list[JSON], list[str], list[str]]] = [
    # rules, inputs, bodies, headers, request lines
    (
        PageRules("answer.body", link="next"),
        {},
        [[1, 2], [3]],
        [f"link: {LINK}"],
        ["/items?q=a", "/items?q=a&page=2&x=a%2Cb"],
    ),
    (
        PageRules("answer.body", link="next"),
        {},
        [[1], [2]],
        ['link: </v1/items?p=2>; title=x; rel="a Next"'],
        ["/items?q=a", "/items?p=2"],
    ),
    (
        NEXT,
        {},
        [{"i": [1], "n": "HOST/v1/items?c=2"}, {"i": [], "n": "?c=3"}, {"i": [2], "n": None}],
        [],
        ["/items?q=a", "/items?c=2", "/items?c=3"],
    ),
    (
        NEXT,
        {},
        [{"i": [1], "n": "/other?c=2"}, {"i": [2]}],
        [],
        ["/items?q=a", "GET /other?c=2"],
    ),
    (
        PageRules("answer.body.i", cursor="answer.body.meta.c", param="c"),
        {},
        [{"i": [1], "meta": {"c": "x y"}}, {"i": [2], "meta": {"c": ""}}],
        [],
        ["/items?q=a", "/items?q=a&c=x+y"],
    ),
    (
        PageRules("answer.body.i", cursor="items[-1].id", param="after", more="answer.body.more"),
        {},
        [{"i": [{"id": 7}], "more": True}, {"i": [{"id": 8}], "more": False}],
        [],
        ["/items?q=a", "/items?q=a&after=7"],
    ),
    (
        PageRules("answer.body", offset="o", size=SIZE),
        {},
        [[1, 2], [3, 4], [5]],
        [],
        ["/items?q=a&per_page=2&o=0", "/items?q=a&per_page=2&o=2", "/items?q=a&per_page=2&o=4"],
    ),
    (
        PageRules("answer.body", offset="o"),
        {},
        [[1, 2], [3], []],
        [],
        ["/items?q=a&o=0", "/items?q=a&o=2", "/items?q=a&o=3"],
    ),
    (
        PageRules("answer.body", number="p", first=0),
        {},
        [[1], [2], []],
        [],
        ["/items?q=a&p=0", "/items?q=a&p=1", "/items?q=a&p=2"],
    ),
    (
        PageRules("answer.body.i", number="p", more="answer.body.pages > 1", size=SIZE),
        {},
        [{"i": [1], "pages": 2}, {"i": [2], "pages": 1}],
        [],
        ["/items?q=a&per_page=2&p=1", "/items?q=a&per_page=2&p=2"],
    ),
    (
        PageRules("answer.body", number="p", size=SIZE),
        {"limit": 3},
        [[1, 2], [3, 4]],
        [],
        ["/items?q=a&per_page=2&p=1", "/items?q=a&per_page=2&p=2"],
    ),
    (
        PageRules("answer.body", number="p", size=SIZE, max_items=5),
        {"limit": 1},
        [[1, 2]],
        [],
        ["/items?q=a&per_page=1&p=1"],
    ),
    (PageRules("answer.body", offset="o", max_items=2), {}, [[1, 2, 3]], [], ["/items?q=a&o=0"]),
    (PageRules("answer.body.i | default([])", cursor="answer.body.c", param="c"), {}, [{}], [], ["/items?q=a"]),
]


@pytest.mark.parametrize(("rules", "given", "bodies", "headers", "expected"), CASES)
async def test_pages_follow_one_another_to_the_end(
    context: Context,
    rules: PageRules,
    given: dict[str, Any],
    bodies: list[JSON],
    headers: list[str],
    expected: list[str],
) -> None:
    async with serve(respond(*bodies, headers=tuple(headers))) as server:
        pages = await get_pages(context, declare(server.url, rules), q="a", **given)
    assert lines(server) == expected
    limit = min(given.get("limit", 99), rules.max_items or 99)
    lists = [body if isinstance(body, list) else body.get("i", []) for body in bodies]  # type: ignore[union-attr]
    every = [item for each in lists for item in each]  # type: ignore[union-attr]
    assert [item for page in pages for item in page.items] == every[:limit]
    assert pages[-1].is_complete is (len(every) <= limit)


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ("</a>; rel=next", "/a"),
        ("</a>;REL=next", "/a"),
        ("</a>; rel = 'next'", "/a"),
        ('</a>; rel="prev NEXT"', "/a"),
        ('</a;b=c?d=e,f>; rel="next"', "/a;b=c?d=e,f"),
        ('</a>; title="x=y; z, w"; rel=next', "/a"),
        ('</a>; flag; title="\\"<"; rel=next', "/a"),
        ('</b>; title="x; rel=next", </a>; rel=next', "/a"),
        ("</b>; rel=last,</a>; rel=next, </c>; rel=next", "/a"),
        ("no link, <>, </a>; rel=next", "/a"),
        ("</a>; rel=last; rel=next", None),
        ("</a>; rel", None),
        ("</a; rel=next", None),
        ("", None),
        ("<" * 60_000, None),
        ("<>; a" + " " * 60_000 + "\x00", None),
        ('<>; a="' * 9_000, None),
    ],
)
def test_the_first_link_with_a_relation_is_found_however_it_is_written(header: str, url: str | None) -> None:
    assert find_link(Response(200, {"link": header}, b""), "next") == url


async def test_the_pages_of_a_service_at_an_ipv6_address_may_stand_beside_its_base_url(context: Context) -> None:
    context.page = PagePosition(1, "http://[::1]:1/other", 1)
    action = make_action("list", declare("http://[::1]:1", NEXT))
    with pytest.raises(ActionError) as caught:
        await action.perform(context, action.input.model_validate({}))
    assert caught.value.code == "egress_refused"
    assert parse_url("http://[::1]:1/").origin.address == "http://[::1]:1"


@pytest.mark.parametrize(
    ("rules", "body", "code"),
    [
        (PageRules("answer.body.items", number="p"), {}, "no_items"),
        (PageRules("answer.body.items", number="p"), "<html>", "output"),
        (PageRules("answer.body.items", number="p"), {"items": {"a": 1}}, "no_items"),
        (NEXT, {"i": [], "n": "https://evil.example/v1/items"}, "next_page_elsewhere"),
        (NEXT, {"i": [], "n": "//evil.example/v1/items"}, "next_page_elsewhere"),
        (NEXT, {"i": [], "n": "http://127.0.0.1:1/v1/items"}, "next_page_elsewhere"),
        (NEXT, {"i": [], "n": "ftp://127.0.0.1/"}, "no_next_page"),
        (NEXT, {"i": [], "n": 7}, "no_next_page"),
        (CURSOR, {"i": [], "n": [1]}, "no_next_page"),
        (MORE, {"i": [], "n": None}, "no_next_page"),
        (PageRules("answer.body.i", number="p", max_pages=1), {"i": [1]}, "too_many_pages"),
    ],
)
async def test_a_page_that_cannot_be_used_fails_as_invalid(
    context: Context, rules: PageRules, body: JSON, code: str
) -> None:
    broken = answering(answer(str(body).encode(), JSON_TYPE))
    async with serve(broken if isinstance(body, str) else respond(body)) as server:
        with pytest.raises(ActionError) as caught:
            await get_pages(context, declare(server.url, rules))
        assert (caught.value.code, caught.value.error_class, caught.value.ending) == (code, "invalid", "answered")
        assert caught.value.message.startswith(f"GET {server.url}/v1/items: ")
        assert len(server.requests) == 1


async def test_a_cursor_can_be_a_field_of_the_body(context: Context) -> None:
    rules = PageRules(
        "answer.body.i", cursor="answer.body.c", param="after", size=PageSize("first", 1), is_in_body=True
    )
    body = {"query": "q", "variables": {"a": "{{ inputs.q }}"}}
    async with serve(respond({"i": [1], "c": "x"}, {"i": [2], "c": None})) as server:
        await get_pages(
            context, declare(server.url, rules, method="POST", body=body, has_body=True, encode="graphql"), q=1
        )
    sent = [json.loads(request.body)["variables"] for request in server.requests]
    assert sent == [{"a": 1, "first": 1}, {"a": 1, "first": 1, "after": "x"}]


async def test_the_url_of_a_next_page_is_kept_without_credentials(client: HttpClient) -> None:
    log = logging.LoggerAdapter(logging.getLogger("waypost.run"), {})
    auth = {"query": QuerySettings.model_validate({"key": "s3cret"})}
    context = Context("run", "step", 1, "run:step", log, {HttpClient: client}, auth=auth)
    first_body: JSON = {"i": [1], "n": "HOST/v1/items?key=s3cret&c=2"}
    async with serve(respond(first_body, {"i": [2]})) as server:
        first, last = await get_pages(context, declare(server.url, NEXT))
    assert (first.next, last.next) == ("/items?c=2", None)
    assert lines(server) == ["/items?key=s3cret", "/items?c=2&key=s3cret"]


async def test_pages_with_the_same_body_have_the_same_fingerprint(context: Context) -> None:
    rules = PageRules("answer.body", number="p", delay=100)
    async with serve(
        answering(answer(b"[1]", JSON_TYPE), answer(b"[1]", JSON_TYPE), answer(b"[]", JSON_TYPE))
    ) as server:
        one, two, three = await get_pages(context, declare(server.url, rules))
    assert one.fingerprint == two.fingerprint != three.fingerprint
    assert (one.delay, three.next) == (100, None)
