"""URLs, parameters and headers on the wire: what the pipeline states is sent byte for byte."""

import dataclasses
from typing import Any

import pytest

from connectors.http import CONNECTOR, HttpConnection
from durable.action import ActionError, Context
from tests.connectors.servers import OK, Visit, serve
from tests.docs.mistakes import load_text

pytestmark = pytest.mark.anyio

ACTIONS = CONNECTOR.actions


async def receive_head(context: Context, *, connection: dict[str, Any] | None = None, **given: Any) -> list[bytes]:
    """The lines of the request head that a service receives; `url` is the part after the host."""
    heads: list[bytes] = []

    async def behave(visit: Visit) -> None:
        heads.append(await visit.reader.readuntil(b"\r\n\r\n"))
        await visit.send(OK)

    async with serve(behave) as server:
        if connection is not None:
            context = dataclasses.replace(context, connection=HttpConnection(base_url=server.url, **connection))
        action = ACTIONS["get"]
        url = given.pop("url", "/")
        await action.perform(context, action.input.model_validate({"url": f"{server.url}{url}", **given}))
    return heads[0].split(b"\r\n")


@pytest.mark.parametrize(
    ("url", "params", "target"),
    [
        ("/?q=%E9", {"a": 1}, "/?q=%E9&a=1"),
        ("/?flag", {"a": 1}, "/?flag&a=1"),
        ("/?q=%20+x", {"a": "b c"}, "/?q=%20+x&a=b+c"),
        ("/?a=1", {"a": 2}, "/?a=1&a=2"),
        ("/?a=1&a=2", {"a": [3, 4]}, "/?a=1&a=2&a=3&a=4"),
        ("/?b[]=1&c={x}&d='e'", {"a": "ä/?&="}, "/?b[]=1&c={x}&d='e'&a=%C3%A4%2F%3F%26%3D"),
        ("/?q=a%2fb%2F;c:@!$()*,", {"a": 1}, "/?q=a%2fb%2F;c:@!$()*,&a=1"),
        ("/?", {"a": 1}, "/?a=1"),
        ("/?b&", {"a": 1}, "/?b&a=1"),
        ("/a%2fb/%E9;x=1", {"a": 1}, "/a%2fb/%E9;x=1?a=1"),
        ("/a&", {"a": 1}, "/a&?a=1"),
        ("?q", {"a": 1}, "/?q&a=1"),
        ("", {"a": 1}, "/?a=1"),
        ("/?q=1#part?x=2", {"a": 1}, "/?q=1&a=1"),
        ("/#part", {"a": 1}, "/?a=1"),
        ("/?q=%E9", {}, "/?q=%E9"),
        ("/?q=%E9", {"a": []}, "/?q=%E9"),
        ("/", {"a": None, "b": True, "c": 1.5}, "/?a=&b=true&c=1.5"),
    ],
)
async def test_params_are_appended_to_the_query_of_a_url_which_stays_unchanged(
    context: Context, url: str, params: dict[str, Any], target: str
) -> None:
    assert (await receive_head(context, url=url, params=params))[0] == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("url", "params", "target"),
    [
        ("/?q=%E9&flag", {}, "/?q=%E9&flag&key=s3&locale=en"),
        ("/?locale=%E9", {}, "/?locale=%E9&key=s3"),
        ("/?locale", {}, "/?locale&key=s3"),
        ("/?loc%61le=de", {"key": 1}, "/?loc%61le=de&key=1"),
        ("/", {"locale": "de", "q": 1}, "/?key=s3&locale=de&q=1"),
    ],
)
async def test_params_of_the_connection_are_appended_unless_the_step_sets_them(
    context: Context, url: str, params: dict[str, Any], target: str
) -> None:
    head = await receive_head(context, url=url, params=params, connection={"params": {"key": "s3", "locale": "en"}})
    assert head[0] == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize("value", ["Zoë", "€ 5", "日本", "a\tb", "\x80", "", "'\"\\"])
@pytest.mark.parametrize("is_connections", [False, True])
async def test_a_header_value_is_sent_in_utf_8(context: Context, value: str, is_connections: bool) -> None:
    headers = {"X-Name": value}
    head = await (
        receive_head(context, connection={"headers": headers})
        if is_connections
        else receive_head(context, headers=headers)
    )
    assert b"X-Name: " + value.encode() in head


@pytest.mark.parametrize("name", ["Content-Type", "ACCEPT", "user-agent", "Idempotency-Key"])
async def test_a_header_of_the_step_replaces_the_default(context: Context, name: str) -> None:
    head = await receive_head(context, headers={name: "Zoë"})
    named = [line for line in head if line.lower().startswith(name.lower().encode() + b":")]
    assert named == [f"{name}: Zoë".encode()]


NO_HEADERS = [
    ({"X Y": "s3"}, "'X Y' cannot be a header's name; write letters, digits and '-'"),
    ({"É": "s3"}, "'É' cannot be a header's name"),
    ({"": "s3"}, "'' cannot be a header's name"),
    ({"X:": "s3"}, "'X:' cannot be a header's name"),
    ({"X": "s3\r\nHost: evil"}, "the header 'X' has a line break, which no header can hold; remove it"),
    ({"X": "s3\n"}, "the header 'X' has a line break"),
    ({"X": "s3\0"}, "the header 'X' has a NUL character"),
    ({"X": "s3", "x": "s4"}, "a header is set twice, with different capitalisation"),
]


@pytest.mark.parametrize(("headers", "reason"), NO_HEADERS)
async def test_an_invalid_header_is_named_without_its_value(
    context: Context, headers: dict[str, str], reason: str
) -> None:
    with pytest.raises(ActionError) as caught:
        await receive_head(context, headers=headers)
    error = caught.value
    assert (error.error_class, error.code, error.ending) == ("invalid", "invalid_request", "not_sent")
    assert reason in str(error)
    assert "s3" not in str(error)


@pytest.mark.parametrize(("headers", "reason"), NO_HEADERS)
@pytest.mark.parametrize("more", ["", "{{ inputs.x }}"])
def test_an_invalid_header_is_rejected_when_a_file_is_loaded(headers: dict[str, str], reason: str, more: str) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace("\r", "\\r").replace("\n", "\\n").replace("\0", "\\0") + '"'

    written = ", ".join(f"{quote(name)}: {quote(value + more)}" for name, value in headers.items())
    text = f"steps:\n  - id: a\n    use: http.get\n    with: {{url: 'https://x', headers: {{{written}}}}}\n"
    result = [str(problem) for problem in load_text(text).problems if "'x'" not in problem.message]
    assert any("orders.yaml:4:" in each and "error: 'headers': " in each and reason in each for each in result), result


@pytest.mark.parametrize("given", [{"params": {"a": "\ud800"}}, {"form": {"a": "\ud800"}}])
async def test_a_lone_surrogate_is_rejected_and_not_sent(context: Context, given: dict[str, Any]) -> None:
    action = ACTIONS["post"]
    with pytest.raises(ActionError) as caught:
        await action.perform(context, action.input.model_construct(url="http://127.0.0.1:1/", **given))
    assert (caught.value.code, caught.value.ending) == ("invalid_request", "not_sent")
