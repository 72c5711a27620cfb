"""White space around a header value is not part of it (RFC 9112 5.1), on every way in."""

import json
from pathlib import Path

import pytest

from tests.service.running import ENVIRONMENT, Running, running
from tests.service.wire import WireAnswer, exchange

pytestmark = pytest.mark.anyio

SECRET = ENVIRONMENT["WAYPOST_SECRET_HOOK"]
AROUND = [(b"", b""), (b" ", b" "), (b"\t", b"\t"), (b" \t ", b"  \t\t ")]
IDS = ["none", "blanks", "tabs", "both"]


def hook(verify: str, more: str = "") -> str:
    return f"""
triggers: [{{id: hook, use: webhook, with: {{path: /hook, verify: {verify}{more}}}}}]
steps: [{{id: note, use: transform.set, with: {{values: {{a: "{{{{ trigger.headers['x-note'] }}}}"}}}}}}]
outputs: {{a: "{{{{ steps.note.output.a }}}}"}}
"""


async def post(service: Running, path: str, fields: list[bytes], body: bytes = b"{}") -> WireAnswer:
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"host: x", b"content-length: %d" % len(body), *fields, b"", body]
    [answer], _ = await exchange(int(service.service.url.rpartition(":")[2]), [b"\r\n".join(lines)])
    return answer


@pytest.mark.parametrize(("before", "after"), AROUND, ids=IDS)
async def test_a_value_is_the_same_with_and_without_surrounding_white_space(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    async with running(tmp_path, {"one": hook("none")}) as service:
        fields = [b"x-note:%sa \t b%s" % (before, after), b"content-type:%sapplication/json%s" % (before, after)]
        answer = await post(service, "/hooks/hook", fields)
        assert answer.status == 202
        run = await service.wait_for_end(json.loads(answer.body)["runs"][0])
        assert run["outputs"] == {"a": "a \t b"}


VERIFIED = {
    "token": ('{preset: token, header: x-token, secret: "{{ secrets.HOOK }}"}', b"x-token:%s" + SECRET.encode()),
    "bearer": (
        '{scheme: {kind: token, header: authorization, carrier: bearer}, secret: "{{ secrets.HOOK }}"}',
        b"authorization:%sBearer%s " + SECRET.encode(),
    ),
}


@pytest.mark.parametrize(("before", "after"), AROUND, ids=IDS)
@pytest.mark.parametrize("secret", [SECRET, f" {SECRET}\t"], ids=["a secret", "a secret with white space around it"])
@pytest.mark.parametrize("preset", VERIFIED)
async def test_a_token_with_surrounding_white_space_is_accepted(
    tmp_path: Path, preset: str, secret: str, before: bytes, after: bytes
) -> None:
    verify, field = VERIFIED[preset]
    environment = {**ENVIRONMENT, "WAYPOST_SECRET_HOOK": secret}
    async with running(tmp_path, {"one": hook(verify)}, environment) as service:
        sent = field % ((before, before) if preset == "bearer" else before)
        assert (await post(service, "/hooks/hook", [sent + after])).status == 202
        for wrong in (sent + b"x", sent + b" x", sent[:-1], field.split(b":")[0] + b":" + before):
            assert (await post(service, "/hooks/hook", [wrong])).status == 401


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t", b"  \t "])
async def test_an_api_key_with_surrounding_white_space_is_accepted(tmp_path: Path, blanks: bytes) -> None:
    async with running(tmp_path, {"one": hook("none")}) as service:
        key = service.client.headers["authorization"].encode().removeprefix(b"Bearer ")
        field = b"authorization:%sBearer %s%s%s" % (blanks, blanks, key, blanks)
        assert (await post(service, "/api/pipelines/one/runs", [field])).status == 202


async def test_only_spaces_and_tabs_are_white_space_before_a_key(tmp_path: Path) -> None:
    async with running(tmp_path, {"one": hook("none")}) as service:
        key = service.client.headers["authorization"].encode().removeprefix(b"Bearer ")
        for between in (b"\xa0", b"\x85", b" \xa0", b""):
            field = b"authorization: Bearer%s%s" % (between, key)
            assert (await post(service, "/api/pipelines/one/runs", [field])).status == 401


WAYS = {
    "an expression": (hook("none", ", dedupe: {key: \"{{ trigger.headers['x-id'] }}\"}"), "/hooks/hook", b"x-id"),
    "an id of the sender": (
        hook('{scheme: {kind: token, header: x-token, dedupe: "header:x-id"}, secret: "{{ secrets.HOOK }}"}'),
        "/hooks/hook",
        b"x-id",
    ),
    "an idempotency key": (hook("none"), "/api/pipelines/one/runs", b"Idempotency-Key"),
}


@pytest.mark.parametrize(("pipeline", "path", "name"), WAYS.values(), ids=WAYS)
async def test_a_dedupe_key_is_the_same_with_and_without_surrounding_white_space(
    tmp_path: Path, pipeline: str, path: str, name: bytes
) -> None:
    async with running(tmp_path, {"one": pipeline}) as service:
        own = [b"authorization: " + service.client.headers["authorization"].encode(), b"x-token: " + SECRET.encode()]
        first = await post(service, path, [*own, name + b": 1"])
        assert first.status == 202
        for again in (b"1", b"1 ", b"\t1\t", b" 1 \t"):
            repeat = await post(service, path, [*own, name + b":" + again])
            assert (repeat.status, json.loads(repeat.body)["duplicate"]) == (200, True), again
        assert (await post(service, path, [*own, name + b": 1 1"])).status == 202
