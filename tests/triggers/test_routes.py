"""The path of a webhook trigger and the keys next to it are checked when the file is loaded."""

from typing import Any

import pytest
from pydantic import ValidationError

from triggers.webhooks.route import compile_route, read_path
from triggers.webhooks.trigger import WebhookSpec


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"path": "/a?b=1"}, "a path ends before"),
        ({"path": "/a#b"}, "a path ends before"),
        ({"path": "/a/../b"}, "not allowed in a path"),
        ({"path": "/./b"}, "not allowed in a path"),
        ({"path": "/{a}/{a}"}, "two segments have the same name"),
        ({"path": "/{a:text}"}, "a segment has an unknown type"),
        ({"charset": "klingon"}, "'klingon' is not a charset"),
        ({"charset": "utf-16"}, "'utf-16' is not a charset that forms and texts use"),
        ({"cors": ["shop.example"]}, "'shop.example' is not an origin; write scheme and host"),
        ({"cors": ["https://shop.example/"]}, "is not an origin"),
        ({"cors": ["https://u:p@shop.example"]}, "is not an origin"),
        ({"cors": ["*"]}, "is not an origin"),
        ({"cors": []}, "at least 1"),
        ({"methods": ["HEAD"]}, "'GET'"),
    ],
)
def test_an_invalid_webhook_route_is_rejected_with_a_fix(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected.replace("?", r"\?")):
        WebhookSpec.model_validate({"path": "/x", "verify": "none"} | given)


def test_an_origin_is_normalised_to_the_form_that_browsers_send() -> None:
    origins = ["HTTPS://Shop.Example:443", "http://localhost:80", "http://[::1]:3000", "null", "capacitor://localhost"]
    read = WebhookSpec.model_validate({"path": "/x", "verify": "none", "cors": origins}).cors
    assert read == ["https://shop.example", "http://localhost", "http://[::1]:3000", "null", "capacitor://localhost"]


@pytest.mark.parametrize(
    ("path", "raw", "found"),
    [
        ("/one", "/one", {}),
        ("/one", "/%6f%6E%65", {}),
        ("/one", "/one\n", None),
        ("/one", "/one%0A", None),
        ("/one", "/One", None),
        ("/café", "/caf%C3%A9", {}),
        ("/caf%C3%A9", "/caf%c3%a9", {}),
        ("/café", "/caf%E9", None),
        ("/a b+c", "/a%20b%2Bc", {}),
        ("/a%2Fb", "/a%2fb", {}),
        ("/a%2Fb", "/a/b", None),
        ("/x-{id}.json", "/x-1%2E2.json", {"id": "1.2"}),
        ("/all/{rest:path}", "/all/a/b%20c", {"rest": "a/b c"}),
        ("/all/{rest:path}", "/all/../b", None),
        ("/{n:int}", "/12", {"n": "12"}),
        ("/{n:int}", "/1%0A", None),
        ("/{a}/{b}", "/1/%2E%2E", None),
        ("/{a}/{b}", "//2", None),
        ("/", "/", {}),
    ],
)
def test_a_path_matches_whole_segment_by_segment(path: str, raw: str, found: dict[str, str] | None) -> None:
    readable = read_path(raw)
    match = None if readable is None else compile_route(path).fullmatch(readable)
    assert (None if match is None else match.groupdict()) == found
