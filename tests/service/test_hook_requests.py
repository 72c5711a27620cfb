"""Webhook requests: path, query, headers and body, and the methods that deliver nothing."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HOOKS = """
triggers:
  - id: shop
    use: webhook
    with: {path: "/p/{store}/x", verify: none, methods: [GET, POST]}
    inputs: {got: "{{ [trigger.path.store, trigger.query, trigger.headers['x-a'] | default(none), trigger.body] }}"}
  - {id: one, use: webhook, with: {path: /one, verify: none}, inputs: {got: "{{ trigger.body }}"}}
  - {id: put, use: webhook, with: {path: /put, verify: none, methods: [PUT]}, inputs: {got: "{{ trigger.body }}"}}
  - {id: cafe, use: webhook, with: {path: /café/menu, verify: none}, inputs: {got: "{{ trigger.body }}"}}
  - id: meta
    use: webhook
    with: {path: /meta, verify: {preset: meta, secret: "{{ secrets.HOOK }}", verify_token: "{{ secrets.HOOK }}"}}
    inputs: {got: "{{ trigger.body }}"}
  - id: page
    use: webhook
    with: {path: /page, verify: none, methods: [POST, PUT], cors: [https://shop.example, "http://Localhost:3000"]}
    inputs: {got: "{{ trigger.body }}"}
  - id: all
    use: webhook
    with: {path: /all, verify: {preset: github, secret: "{{ secrets.HOOK }}"}, cors: "*"}
    inputs: {got: "{{ trigger.body }}"}
  - id: western
    use: webhook
    with: {path: "/western/{store}", verify: none, charset: windows-1252}
    inputs: {got: "{{ [trigger.path.store, trigger.query, trigger.body] }}"}
inputs: {got: {}}
steps:
  - {id: note, use: transform.set, with: {values: {got: "{{ inputs.got }}"}}}
outputs: {got: "{{ inputs.got }}"}
"""
FORM = "application/x-www-form-urlencoded"


async def send(
    service: Running, target: str, body: bytes = b"", *, method: str = "POST", headers: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request as written, and return the status, headers and body of the response."""
    port = service.service.url.rpartition(":")[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    writer.write(head.encode("latin-1") + body)
    answer, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = answer.decode("latin-1").split("\r\n")
    named = (line.partition(": ") for line in lines)
    return int(status.split()[1]), {name.lower(): value for name, _, value in named}, content


async def read_trigger(service: Running, target: str, body: bytes = b"", *, headers: str = "") -> Any:
    """The trigger data that the run of a request got."""
    status, _, content = await send(service, target, body, headers=headers)
    assert status == 202, content
    return (await service.wait_for_end(json.loads(content)["runs"][0]))["outputs"]["got"]


async def is_recorded(service: Running, reason: str) -> bool:
    """Whether a delivery was rejected for this reason; the record may be written after the response."""
    async with asyncio.timeout(60):
        while True:
            found = (await service.client.get("/api/deliveries?outcome=rejected")).json()["deliveries"]
            if any(each["reason"] == reason for each in found):
                return True
            await asyncio.sleep(0.01)


async def test_a_path_segment_is_decoded_after_it_is_matched(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for part, store in {
            "a": "a",
            "a%2Fb": "a/b",
            "a%2fb%2F..": "a/b/..",
            "caf%C3%A9": "café",
            "a%3Fb%23c": "a?b#c",
            "%2E%2e%2e": "...",
            "a+b": "a+b",
            "a%2Bb%20c": "a+b c",
            "%zz%": "%zz%",
            "%252F": "%2F",
            "a;b=c": "a;b=c",
            "café".encode().decode("latin-1"): "café",
        }.items():
            assert (await read_trigger(service, f"/hooks/p/{part}/x"))[0] == store


async def test_equivalent_spellings_of_a_path_are_the_same_path(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for path in (
            "/hooks/%6Fne",
            "/%68ooks/one",
            "/hooks/%6f%6e%65",
            "/hooks/caf%C3%A9/menu",
            "/hooks/caf%c3%a9/menu",
        ):
            assert (await send(service, path))[0] == 202, path


async def test_no_other_path_is_served(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for path in (
            *("/hooks/one%0A", "/hooks/one/", "/hooks//one", "/hooks/./one", "/hooks/x/../one", "/hooks/%2e/one"),
            *("/hooks%2Fone", "/hooks/one%00", "/hooks/one%2F", "/hooks/p/../x", "/hooks/p/%2E%2e/x", "/hooks/p/./x"),
            *(
                "/hooks/p//x",
                "/hooks/p/a/b/x",
                "/hooks/p/a%2Fx",
                "/hooks/ONE",
                "/hooks/one;x",
                "/hooks/",
                "/hooks/%EFne",
            ),
        ):
            status, _, content = await send(service, path)
            assert (status, json.loads(content)) == (
                401,
                {"error": "the signature is wrong, or there is no such webhook"},
            ), path
        assert (await service.client.get("/api/runs")).json()["runs"] == []


async def test_an_encoded_slash_keeps_two_dedupe_keys_distinct(tmp_path: Path) -> None:
    pipeline = """
triggers:
  - id: t
    use: webhook
    with: {path: "/{a}/{b}", verify: none, dedupe: {key: same}}
steps:
  - {id: note, use: transform.set, with: {values: {}}}
"""
    async with running(tmp_path, {"p": pipeline}) as service:
        for path in ("/hooks/1/2%2Fb=3", "/hooks/1%2Fb=2/3", "/hooks/1%2F/b", "/hooks/1/%2Fb", "/hooks/1/b"):
            assert (await send(service, path))[0] == 202, path
            assert (await send(service, path))[0] == 200, path


async def test_invalid_utf_8_in_a_path_or_query_is_rejected_with_its_position_and_a_fix(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for target, expected in {
            "/hooks/p/a%E9/x": "the part 'store' of the path is not UTF-8: byte 1 (0xE9) cannot be decoded",
            "/hooks/p/%C3/x": "the part 'store' of the path is not UTF-8: byte 0 (0xC3) cannot be decoded",
            "/hooks/p/a/x?name=Ren%E9": "the field 'name' is not UTF-8: byte 3 (0xE9) cannot be decoded",
            "/hooks/p/a/x?%E9=1": "the field '\\xe9' is not UTF-8: byte 0 (0xE9) cannot be decoded",
            "/hooks/p/a/x?raw=Ren\xe9": "the field 'raw' is not UTF-8: byte 3 (0xE9) cannot be decoded",
            "/hooks/p/a/x?a=%ED%A0%80": "the field 'a' is not UTF-8: byte 0 (0xED) cannot be decoded",
        }.items():
            status, _, content = await send(service, target)
            error = json.loads(content)["error"]
            assert (status, expected in error, "`charset` in the webhook's trigger" in error) == (400, True, True), (
                error
            )
            assert await is_recorded(service, error)
        assert (await service.client.get("/api/runs")).json()["runs"] == []


async def test_a_trigger_sets_the_charset_for_senders_that_declare_none(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        form = f"Content-Type: {FORM}\r\n"
        result = await read_trigger(service, "/hooks/western/a%E9?b=%E9", b"c=%E9", headers=form)
        assert result == ["aé", {"b": "é"}, {"c": "é"}]
        result = await read_trigger(
            service, "/hooks/western/a", b"c=%C3%A9", headers=f"Content-Type: {FORM}; charset=utf-8\r\n"
        )
        assert result[2] == {"c": "é"}


async def test_repeated_names_become_lists(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        headers = f"X-A: a,b\r\nX-A: c\r\nContent-Type: {FORM}\r\n"
        result = await read_trigger(service, "/hooks/p/s/x?a=1&a=2&b=a,b&b=c&c=&d&e=1", b"a=a,b&a=c", headers=headers)
        query = {"a": ["1", "2"], "b": ["a,b", "c"], "c": "", "d": "", "e": "1"}
        assert result == ["s", query, ["a,b", "c"], {"a": ["a,b", "c"]}]


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        (b"\xef\xbb\xbfname=1", FORM, {"name": "1"}),
        (b"name=Ren%E9&charset=windows-1252", FORM, {"name": "René", "charset": "windows-1252"}),
        (b'{"a": "\xe9"}', "application/json; charset=ISO-8859-1", {"a": "é"}),
        ("中".encode("gbk"), "text/plain; charset='gbk'", "中"),
        (b'{"a": 1}', "application/csp-report", {"a": 1}),
        (b'{"a": 1}', FORM, {"a": 1}),
    ],
)
async def test_a_delivery_is_read_in_its_declared_type_and_charset(
    tmp_path: Path, body: bytes, content_type: str, value: Any
) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        assert await read_trigger(service, "/hooks/one", body, headers=f"Content-Type: {content_type}\r\n") == value


@pytest.mark.parametrize(
    ("body", "content_type", "status", "expected"),
    [
        (rb'{"a": "\ud83d"}', "application/json", 400, r"\ud83d at byte 7 is a lone surrogate"),
        (b"name=Ren%E9", FORM, 400, "the field 'name' is not UTF-8: byte 3 (0xE9)"),
        (b"x", "text/plain; charset=nonsense", 415, "the charset 'nonsense' is not known"),
    ],
)
async def test_an_unreadable_body_is_reported_and_recorded(
    tmp_path: Path, body: bytes, content_type: str, status: int, expected: str
) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        answered, _, content = await send(service, "/hooks/one", body, headers=f"Content-Type: {content_type}\r\n")
        error = json.loads(content)["error"]
        assert (answered, expected in error) == (status, True), error
        assert await is_recorded(service, error)


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("text/plain", "the body is read as text because its Content-Type is 'text/plain'"),
        ("application/octet-stream", "the body is read as a file because its Content-Type is 'application/octet-"),
    ],
)
async def test_an_error_about_a_missing_body_field_says_how_the_body_was_read(
    tmp_path: Path, content_type: str, taken: str
) -> None:
    pipeline = """
triggers:
  - {id: run, use: webhook, with: {path: /run, verify: none}, inputs: {id: "{{ trigger.body.id }}"}}
  - {id: when, use: webhook, with: {path: /when, verify: none}, when: trigger.body.id == 1, inputs: {id: 1}}
  - id: key
    use: webhook
    with: {path: /key, verify: none, dedupe: {key: "{{ trigger.body.id }}"}}
    inputs: {id: 1}
inputs: {id: {}}
steps:
  - {id: note, use: transform.set, with: {values: {id: "{{ inputs.id }}"}}}
"""
    headers = {"content-type": content_type}
    async with running(tmp_path, {"p": pipeline}) as service:
        answer = await service.client.post("/hooks/run", content=b'{"id": 1}', headers=headers)
        run = await service.wait_for_end(answer.json()["runs"][0])
        assert taken in run["error"]["message"]
        answer = await service.client.post("/hooks/when", content=b'{"id": 1}', headers=headers)
        assert (answer.status_code, taken in answer.json()["reason"]) == (200, True)
        answer = await service.client.post("/hooks/key", content=b'{"id": 1}', headers=headers)
        assert (answer.status_code, taken in answer.json()["error"]) == (400, True)


async def test_a_head_request_is_answered_and_delivers_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for path, status in {"/one": 200, "/p/a%2Fb/x": 200, "/meta": 200, "/put": 401, "/nobody": 401}.items():
            answered, _, content = await send(service, f"/hooks{path}", method="HEAD")
            assert (answered, content) == (status, b""), path
        assert (await service.client.get("/api/deliveries")).json()["deliveries"] == []
        assert (await service.client.get("/api/runs")).json()["runs"] == []


def make_preflight_headers(origin: str, method: str = "POST", names: str = "content-type, x-a") -> str:
    names = f"Access-Control-Request-Headers: {names}\r\n" if names else ""
    return f"Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n{names}"


async def test_a_preflight_request_from_a_listed_origin_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for origin in ("https://shop.example", "http://localhost:3000"):
            status, headers, content = await send(
                service, "/hooks/page", method="OPTIONS", headers=make_preflight_headers(origin)
            )
            assert (status, content) == (204, b"")
            assert headers["access-control-allow-origin"] == origin
            assert headers["access-control-allow-methods"] == "POST, PUT"
            assert headers["access-control-allow-headers"] == "content-type, x-a"
            assert headers["vary"] == "Origin"
        _, headers, _ = await send(
            service, "/hooks/all", method="OPTIONS", headers=make_preflight_headers("https://a.example", names="")
        )
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-headers" not in headers


async def test_a_preflight_response_reveals_no_other_webhooks_origins_or_methods(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        for path, headers in {
            "/one": make_preflight_headers("https://shop.example"),
            "/nobody": make_preflight_headers("https://shop.example"),
            "/page": make_preflight_headers("https://shop.example.evil.example"),
            "/page?1": make_preflight_headers("null"),
            "/page?2": make_preflight_headers("https://shop.example", "DELETE"),
            "/page?3": "Origin: https://shop.example\r\n",
        }.items():
            _, answered, _ = await send(service, f"/hooks{path}", method="OPTIONS", headers=headers)
            assert not [name for name in answered if name.startswith("access-control")], path


async def test_every_response_is_readable_by_a_page_of_a_listed_origin(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}, max_body_bytes=100) as service:
        origin = "Origin: https://shop.example\r\nContent-Type: application/json\r\n"
        for path, body, status in (
            ("/page", b"{}", 202),
            ("/page", b"{", 400),
            ("/page", b"9" * 101, 413),
            ("/all", b"{}", 401),
        ):
            answered, headers, _ = await send(service, f"/hooks{path}", body, headers=origin)
            assert answered == status
            assert headers["access-control-allow-origin"] in ("https://shop.example", "*")
        for other in ("", "Origin: https://evil.example\r\n"):
            _, headers, _ = await send(service, "/hooks/page", b"", headers=other)
            assert "access-control-allow-origin" not in headers


async def test_an_unknown_path_is_counted_and_logged_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        before = await _unknown(service)
        with caplog.at_level(logging.WARNING, "waypost.webhook"):
            for path in ("/onne", "/onne", "/onne/2", "/onne%0Ax", "/hooks/one", "/put"):
                assert (await send(service, f"/hooks{path}"))[0] == 401
        lines = [each.getMessage() for each in caplog.records if "'/hooks/" in each.getMessage()]
        assert lines == [
            "POST '/hooks/onne': no pipeline serves this webhook; did you mean '/hooks/one'",
            "POST '/hooks/onne·x': no pipeline serves this webhook; did you mean '/hooks/one'",
            "POST '/hooks/hooks/one': no pipeline serves this webhook; the path begins with /hooks twice",
            "POST '/hooks/put': the webhook accepts only PUT",
        ]
        assert await _unknown(service) - before == 6


async def _unknown(service: Running) -> float:
    lines = (await service.client.get("/metrics")).text.splitlines()
    counted = (line for line in lines if line.startswith("waypost_deliveries_total{") and 'outcome="unknown"' in line)
    return sum(float(line.split()[-1]) for line in counted)


async def test_unknown_paths_fill_neither_the_log_nor_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        with caplog.at_level(logging.WARNING, "waypost.webhook"):
            for number in range(300):
                await service.client.post(f"/hooks/{number}-{'x' * 100}")
        lines = [each for each in caplog.records if "no pipeline serves" in each.getMessage()]
        assert 101 <= len(lines) <= 202, "100 groups and the rest, in one minute or in two"


async def test_the_api_rejects_a_query_that_is_not_utf_8_and_skips_a_byte_order_mark(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": HOOKS}) as service:
        answer = await service.client.get("/api/deliveries?trigger=%E9")
        assert (answer.status_code, "'trigger' is not UTF-8: byte 0 (0xE9)" in answer.text) == (400, True)
        start = "/api/pipelines/p/runs"
        for body, headers in (
            (b'\xef\xbb\xbf{"inputs": {"got": "x"}}', {}),
            ('{"inputs": {"got": "é"}}'.encode("latin-1"), {"content-type": "application/json; charset=latin1"}),
        ):
            assert (await service.client.post(start, content=body, headers=headers)).status_code == 202
        answer = await service.client.post(start, content=rb'{"inputs": {"got": "\ud83d"}}')
        assert answer.status_code == 400
        assert (
            r"the body must be JSON, but is not valid JSON: \ud83d at byte 20 is a lone surrogate"
            in answer.json()["detail"]
        )
