"""The announcement of a service at its start: its address, and a request that its pipeline accepts."""

import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable.sample_values import make_sample_value
from tests.service.running import ENVIRONMENT, Running, running
from triggers.commands.announce import announce

pytestmark = pytest.mark.anyio

HOOK = """
triggers:
  - id: hub
    use: webhook
    with: {{path: "{path}", verify: {verify}{more}}}
    {rest}
inputs: {inputs}
steps:
  - {{id: note, use: transform.set, with: {{values: {{given: "{{{{ inputs }}}}"}}}}}}
"""
GITHUB = '{preset: github, secret: "{{ secrets.HOOK }}"}'
HMAC = '{preset: hmac, header: x-signature, secret: "{{ secrets.HOOK }}"}'

LINK = "http://127.0.0.1:8400/enter#secret"


def _hook(
    *, verify: str = HMAC, path: str = "/try", rest: str = "", inputs: str = "{}", more: str = ""
) -> dict[str, str]:
    return {"tried": HOOK.format(path=path, verify=verify, rest=rest, inputs=inputs, more=more)}


def _read_announcement(service: Running, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    announce(service.service, LINK)
    return capsys.readouterr().out.splitlines()


async def _try(lines: list[str]) -> httpx.Response:
    """Send the request of the printed command."""
    words = shlex.split(next(line for line in lines if line.strip().startswith("curl")))
    headers = dict(words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H")
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        return await client.post(words[3], content=words[words.index("-d") + 1].encode(), headers=headers)


@pytest.mark.parametrize(
    ("pipeline", "given"),
    [
        (_hook(rest='inputs: {name: "{{ trigger.body.name }}"}', inputs="{name: {type: string}}"), {"name": "Ada"}),
        (
            _hook(
                rest='inputs: {order: "{{ trigger.body }}"}',
                inputs="{order: {type: object, properties: {id: {type: integer}, kind: {enum: [a, b]}}}}",
            ),
            {"order": {"id": 42, "kind": "a"}},
        ),
        (
            _hook(
                rest='inputs: {to: "{{ trigger.body.customer.mail }}", n: "{{ trigger.body.lines[0].n }}"}',
                inputs="{to: {type: string, format: email}, n: {type: integer, minimum: 5}}",
            ),
            {"to": "ada@example.com", "n": 5},
        ),
        (
            _hook(
                verify=GITHUB,
                rest="when: \"trigger.type == 'issues' and trigger.body.action == 'opened'\"",
            ),
            {},
        ),
        (_hook(rest="when: \"trigger.headers['X-Kind'] == 'b' and trigger.query.v == '2'\""), {}),
        (_hook(rest='when: "trigger.body.total > 0 and trigger.body.discount < 50"'), {}),
        (_hook(rest='when: "trigger.body.test is not defined"'), {}),
        (
            _hook(path="/orders/{store}/{n:int}", rest='inputs: {s: "{{ trigger.path.store }}"}', inputs="{s: {}}"),
            {"s": "store"},
        ),
        (_hook(verify="none", rest='inputs: {name: "{{ trigger.body.name }}"}', inputs="{name: {}}"), {"name": "Ada"}),
    ],
)
async def test_the_suggested_request_is_accepted_by_its_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pipeline: dict[str, str], given: dict[str, Any]
) -> None:
    async with running(tmp_path, pipeline) as service:
        answer = await _try(_read_announcement(service, capsys))
        assert answer.status_code == 202, answer.text
        run = await service.wait_for_end(answer.json()["runs"][0])
        assert run["status"] == "completed"
        assert run["steps"]["note"]["output"] == {"given": given}


@pytest.mark.parametrize(
    ("pipeline", "note", "is_duplicate"),
    [
        (_hook(), "Each such request starts a run.", False),
        (_hook(verify=GITHUB), "For a new delivery, change its body.", True),
        (
            _hook(more=", dedupe: {key: \"{{ trigger.headers['X-Id'] }}\", for: 12h}"),
            "The same request within 12h is a duplicate: it starts no run, and the response has the ids of the first. "
            "For a new delivery, change its 'dedupe' key {{ trigger.headers['X-Id'] }}.",
            True,
        ),
    ],
)
async def test_the_note_below_the_request_says_what_a_second_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pipeline: dict[str, str], note: str, is_duplicate: bool
) -> None:
    async with running(tmp_path, pipeline) as service:
        lines = _read_announcement(service, capsys)
        assert note in lines[-1]
        first, second = (await _try(lines)).json(), (await _try(lines)).json()
        assert second.get("duplicate", False) is is_duplicate
        assert (first["runs"] == second["runs"]) is is_duplicate
        later = await _try(_read_announcement(service, capsys))
        assert later.status_code in {200, 202}


async def test_with_a_public_url_the_listening_address_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, _hook(), ENVIRONMENT, public_url="https://flows.example.com") as service:
        lines = _read_announcement(service, capsys)
        local = service.service.local_url
        assert local.startswith("http://127.0.0.1:")
        assert lines[0].endswith(f" listens on {local}")
        assert lines[1].startswith("  public    https://flows.example.com   ")
        assert lines[2].startswith("  webhook   POST https://flows.example.com/hooks/try ")
        assert f" {local}/hooks/try " in next(line for line in lines if "curl" in line)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": ["null", "integer"], "maximum": 0}, 0),
        ({"const": "x"}, "x"),
        ({"type": "string", "pattern": "^AC[0-9a-f]{4}$"}, "AC0000"),
        ({"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}, "0"),
        ({"type": "string", "pattern": r"^(?:https?:/)/[^\s\]]+\.\w?$"}, "http://a."),
        ({"type": "string", "pattern": r"[\]x]"}, "]"),
        ({"type": "string", "pattern": "(?=x)"}, "text"),
        ({"type": "string", "pattern": "(a{200}){200}"}, "text"),
        ({"type": "string", "pattern": "[("}, "text"),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "object", "required": ["email"]}, {"email": "ada@example.com"}),
        (None, "a thing"),
    ],
)
def test_a_sample_matches_its_schema(schema: Any, value: Any) -> None:
    assert make_sample_value(schema, "thing" if schema is None else "text") == value
