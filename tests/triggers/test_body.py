"""Inbound bodies are read within limits and parsed strictly; an unacceptable body is a 4xx."""

import asyncio
import base64
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from durable.values import JSON, Value
from triggers.http.body import (
    FIELD_LIMIT,
    IS_WHOLE,
    LEVEL_LIMIT,
    BadRequest,
    BodyLimits,
    parse_and_encode,
    parse_body,
    read_body,
    receive_body,
)

KB = 1024


def request(*messages: Message, **headers: str) -> Request:
    """A request whose server sends these messages, and then nothing more."""
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def chunks(*parts: bytes) -> list[Message]:
    return [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]


async def read(given: Request, limit: int = KB, deadline: float = 5) -> bytes:
    return await read_body(given, BodyLimits(limit, deadline))


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_body_arrives_in_pieces_as_it_was_sent() -> None:
    assert await read(request(*chunks(b"one ", b"", b"two"), content_length="7")) == b"one two"


@pytest.mark.anyio
async def test_a_body_exactly_at_the_limit_is_read() -> None:
    assert await read(request(*chunks(b"x" * KB), content_length=str(KB))) == b"x" * KB


@pytest.mark.anyio
@pytest.mark.parametrize("length", [str(KB + 1), "9" * 5_000])
async def test_a_body_declared_too_large_is_rejected_without_being_read(length: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await read(request(content_length=length))
    assert caught.value.status == 413


@pytest.mark.anyio
@pytest.mark.parametrize("declared", [{}, {"content_length": "3"}], ids=["chunked", "declared smaller"])
async def test_a_body_that_grows_too_large_is_rejected_before_it_is_kept(declared: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as caught:
        await read(request(*chunks(*[b"x" * 100] * 11, b"never read"), **declared))
    assert caught.value.status == 413


@pytest.mark.anyio
async def test_an_unfinished_body_is_rejected_at_the_deadline() -> None:
    half = chunks(b"half", b"the rest")[0]
    with pytest.raises(BadRequest, match=r"within 0\.01 s; 4 bytes came") as caught:
        await read(request(half), deadline=0.01)
    assert caught.value.status == 408


@pytest.mark.anyio
@pytest.mark.parametrize("size", [KB, KB + 1])
async def test_a_buffered_body_is_bounded_in_size_and_has_no_deadline(size: int) -> None:
    given = request(*chunks(b"x" * size))
    with pytest.raises(BadRequest) if size > KB else contextlib.nullcontext():
        body = await receive_body(
            {**given.scope, "extensions": {IS_WHOLE: {}}}, given.receive, BodyLimits(KB, deadline=0)
        )
        assert len(body) == size


@pytest.mark.anyio
async def test_a_client_disconnect_is_not_reported_as_an_unreadable_body() -> None:
    with pytest.raises(ClientDisconnect):
        await read(request(chunks(b"half", b"")[0], {"type": "http.disconnect"}))


@pytest.mark.anyio
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip"])
async def test_a_compressed_body_is_rejected_without_being_read(encoding: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await read(request(content_encoding=encoding))
    assert caught.value.status == 415


@pytest.mark.anyio
async def test_the_identity_encoding_is_accepted() -> None:
    assert await read(request(*chunks(b"{}"), content_encoding="identity")) == b"{}"


# -- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"", "application/json", None),
        (b"", None, None),
        (b'{"a": [1, 2.5, null]}', "application/json", {"a": [1, 2.5, None]}),
        (b'"\xc3\xa9"', "application/json; charset=latin-1", "é"),
        (b'{"a": 1}', "Application/CloudEvents+JSON; charset=utf-8", {"a": 1}),
        (b'{"id": 123456789012345678901234567890}', "application/json", {"id": 123456789012345678901234567890}),
        (b'{"a": 1, "a": 2}', "application/json", {"a": 2}),
        (b"a=1&b=&c=x+y%C3%A9&a=2", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "", "c": "x yé"}),
        (b"payload=%7B%22a%22%3A1%7D", "application/x-www-form-urlencoded", {"payload": '{"a":1}'}),
        (b"hello", "text/plain", "hello"),
        (b"caf\xe9", 'text/plain; Charset="ISO-8859-1"', "café"),
        (b"<a/>", "application/atom+xml", "<a/>"),
        (b'  {"a": 1}', None, {"a": 1}),
        (b"hello", None, "hello"),
        (b"\x00\xff", "image/png", {"base64": base64.b64encode(b"\x00\xff").decode(), "content_type": "image/png"}),
        (
            b"x",
            "multipart/form-data; boundary=A",
            {"base64": "eA==", "content_type": "multipart/form-data; boundary=A"},
        ),
    ],
)
def test_a_body_is_parsed_according_to_its_content_type(body: bytes, content_type: str | None, value: JSON) -> None:
    assert parse_body(body, content_type) == value


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b"NaN",
        b"[-Infinity]",
        b"1e400",
        b"01",
        rb'"\ud800"',
        rb'{"\udc00 ": 1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'{"\xff": 1}',
        b"9" * 5_000,
        b"[" * 1_000_000,
        b"[" * (LEVEL_LIMIT + 1) + b"]" * (LEVEL_LIMIT + 1),
        b'{"a":' * (LEVEL_LIMIT + 1) + b"1" + b"}" * (LEVEL_LIMIT + 1),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_json_that_is_not_strict_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_body(body, "application/json")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"&".join([b"a=1"] * (FIELD_LIMIT + 1)), "application/x-www-form-urlencoded", 413),
        (b"a=%ED%A0%80", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "text/plain", 400),
        (b"\xff", None, 400),
        (b"xn--", "text/plain; charset=idna", 415),
        (b"x\x9c", "text/plain; charset=zlib_codec", 415),
    ],
)
def test_an_unreadable_form_or_text_is_rejected_with_its_status(
    body: bytes, content_type: str | None, status: int
) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_body(body, content_type)
    assert caught.value.status == status


def test_the_deepest_accepted_body_still_fits_inside_an_event() -> None:
    deepest = parse_body(b"[" * LEVEL_LIMIT + b"]" * LEVEL_LIMIT, "application/json")
    assert Value.of({"trigger": {"body": deepest}}).load() == {"trigger": {"body": deepest}}


def test_an_event_keeps_json_byte_for_byte_and_loads_what_expressions_read() -> None:
    sent = b'{ "a": 1, "a": 2.50,\n "b": "\\u00e9" }'
    parsed, kept = parse_and_encode(sent, "application/json")
    assert parsed == kept.load() == {"a": 2.5, "b": "é"}
    assert kept.text.encode() == sent


TYPES = st.sampled_from(
    [
        "application/json",
        "a/b+json",
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
        "text/xml",
        "text/html; charset=utf-16",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded; charset=shift_jis",
        "image/png",
        None,
    ]
)
TOKENS = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"1",
        b"e9",
        b"null",
        b"\\u",
        b"d800",
        b"\xff",
        b"%",
        b"\0",
        b"\xfe",
        b"&=",
    ]
)


@settings(deadline=1000)
@given(st.binary(max_size=2_000) | st.lists(TOKENS, max_size=400).map(b"".join), TYPES | st.text(max_size=60))
def test_any_bytes_are_parsed_or_rejected_in_bounded_time(body: bytes, content_type: str | None) -> None:
    with contextlib.suppress(BadRequest):
        parsed, kept = parse_and_encode(body, content_type)
        assert kept.load() == Value.of(parsed).load() == parsed
