"""A JSON error says why, at which byte, and what to change. The media type decides what is parsed as JSON."""

import pytest

from durable.media_type import parse_media_type
from durable.values import JSON, NotJSON, decode
from triggers.http.body import BadRequest, parse_body

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (rb'"\ud83d"', r"\\ud83d at byte 1 is a lone surrogate: the first half of a character"),
        (rb'{"a":"\udc00 b"}', r"\\udc00 at byte 6 is a lone surrogate: the second half"),
        (rb'["\ud83dx\u0041"]', r"\\ud83d at byte 2 is a lone surrogate"),
        (rb'["\ud83d\u0041"]', r"\\ud83d at byte 2 is a lone surrogate"),
        (rb'["\ud83d\ude00\ude00"]', r"\\ude00 at byte 14 is a lone surrogate"),
        (rb'{"\\\ud83d": 1}', r"\\ud83d at byte 4 is a lone surrogate"),
        (rb'["\\ud83d', r"it ends after 9 bytes, before it is complete"),
        (b'{"a": 1', r"it ends after 7 bytes, before it is complete: a quote, bracket or brace is not closed"),
        (b"nul", r"it ends after 3 bytes"),
        (b"", r"it is empty"),
        (b" \n", r"it is empty"),
        (b'{"a": NaN}', r"'NaN}' at byte 6: JSON has no such number"),
        (b"[-Infinity]", r"'-Infinity]' at byte 2: JSON has no such number"),
        (b"[+Infinity]", r"at byte 1: JSON has no such number"),
        (b"[True]", r"at byte 1: JSON spells these true, false and null"),
        (b'{"a": undefined}', r"at byte 6: JSON spells these true, false and null"),
        (b"{'a': 1}", r"at byte 1: JSON uses double quotes"),
        (b"/* a */ {}", r"at byte 0: JSON has no comments"),
        (b"<html>", r"at byte 0: this looks like XML or HTML"),
        (b"[.5]", r"a JSON number begins with a digit or a minus sign"),
        (b'"a\x01"', r"the control character 0x01 at byte 2 is not allowed; a text has it as \\u0001"),
        (b'"a\nb"', r"the control character 0x0A at byte 2"),
        (b"[1,]", r"trailing comma in array at byte 3"),
        (b'{\n "a": 1,\n "b" 2}', r"expected ':' at byte 16, line 3, column 6"),
        (b"{} x", r"something follows its end at byte 3: 'x'; send one value; several, one in each line, are appl"),
        (b'{"a":1}\n{"a":2}\n', r"something follows its end at byte 8, line 2, column 1: '\{\"a\":2\}·'"),
        (b"1\0", r"something follows its end at byte 1: '·'"),
        ("{“a”:1}".encode(), r"at byte 1: JSON uses straight double quotes"),
        (b"9" * 5_000, r"a number has more than 4300 digits; send it as a text"),
        (b'{"a": [1e400]}', r"a number at \$.* is larger than 1.8e308; send it as a text"),
        (b'{"a": "\xff"}', r"byte 7 \(0xFF\) is not UTF-8"),
        (b"[" * 100_000, r"nested too deeply"),
    ],
)
def test_a_json_error_says_why_and_where(data: bytes, expected: str) -> None:
    with pytest.raises(NotJSON, match=expected):
        decode(data)


def test_finding_a_lone_surrogate_takes_time_linear_in_the_body() -> None:
    for evil in (
        b'"' + b"\\" * 200_001,
        b'"' + rb"\ud83d\ude00" * 20_000,
        b'"' + rb"\u" * 100_000,
        rb'"\ud83d' * 20_000,
    ):
        with pytest.raises(NotJSON):
            decode(evil)


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "text/json", "application/x-json", "application/csp-report", "TEXT/JSON; charset=utf-8"),
        *("application/vnd.github.v3+json", "application/reports+json", "application/vnd.acme.v1.json"),
        *("application/problem+json", "application/x-amz-json-1.1", "application/json-rpc", "model/gltf+json"),
    ],
)
def test_every_json_media_type_is_parsed_as_json(kind: str) -> None:
    assert parse_media_type(kind).is_json
    assert parse_body(b'{"a": 1}', kind) == {"a": 1}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson", "application/jsonl", "application/stream+json"])
def test_json_declared_as_text_stays_text(kind: str) -> None:
    assert parse_body(b'{"a": 1}', kind) == '{"a": 1}'


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": 1}', FORM, {"a": 1}),
        (b' [{"a": 1}]', FORM, [{"a": 1}]),
        (b'{"a": 1', FORM, {'{"a": 1': ""}),
        (b"[0]=a&[1]=b", FORM, {"[0]": "a", "[1]": "b"}),
        (b'payload={"a": 1}', FORM, {"payload": '{"a": 1}'}),
        (b'{"a": 1}', None, {"a": 1}),
        (b'{"a": 1}', "json", {"a": 1}),
        (b"a=1", None, "a=1"),
    ],
)
def test_json_under_a_form_content_type_is_parsed_as_json_and_a_form_as_a_form(
    body: bytes, content_type: str, value: JSON
) -> None:
    assert parse_body(body, content_type) == value


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/csp-report", "read as JSON because its Content-Type is 'application/csp-report'"),
        (b"{", None, "read as JSON because it has no Content-Type and looks like JSON"),
        (b"\xff", None, "read as text because it has no Content-Type and looks like text"),
        (b"&" * 2_000, FORM, f"read as a form because its Content-Type is '{FORM}'"),
    ],
)
def test_an_unreadable_body_error_says_how_it_was_read_and_why(
    body: bytes, content_type: str | None, expected: str
) -> None:
    with pytest.raises(BadRequest, match=expected):
        parse_body(body, content_type)
