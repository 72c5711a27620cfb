"""`waypost send` signs as each sender does, and a served webhook verifies it."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from tests.service.running import ENVIRONMENT, Running, running
from triggers.cli import app
from triggers.webhooks.presets import load_presets
from triggers.webhooks.scheme import Scheme, Signed
from triggers.webhooks.trigger import WebhookTrigger

pytestmark = pytest.mark.anyio

PUBLIC_URL = "https://way.example"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _name_secret(preset: str) -> str:
    return preset.replace("-", "_").upper()


def _make_secret(scheme: Scheme, *, is_private: bool) -> str:
    """The secret of a sender; for Ed25519 the private key, or the public one that the webhook knows."""
    if not isinstance(scheme, Signed):
        return "user:password"
    raw = b"0123456789abcdef0123456789abcdef"
    if scheme.kind == "ed25519":
        raw = bytes(range(32)) if is_private else PRIVATE_KEY.public_key().public_bytes_raw()
    encoded = {"utf8": raw, "hex": raw.hex().encode(), "base64": base64.b64encode(raw)}
    return scheme.key.strip_prefix + encoded[scheme.key.encoding].decode("latin-1")


def _make_pipeline(preset: str) -> str:
    token = ', verify_token: "{{ secrets.TOKEN }}"' if preset == "meta" else ""
    verify = f'{{preset: {preset}, secret: "{{{{ secrets.{_name_secret(preset)} }}}}"{token}}}'
    return (
        f"id: {_name_secret(preset).lower()}\n"
        f"triggers: [{{id: hook, use: webhook, with: {{path: /{preset}, verify: {verify}}}}}]\n"
        "steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]\n"
    )


async def _send(service: Running, environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> Result:
    config, data = str(service.service.folder.path.parent), str(service.service.data)
    given = [*arguments, "--config", config, "--data", data]
    runner = CliRunner()
    return await asyncio.to_thread(lambda: runner.invoke(app, ["send", *given], input=stdin, env=environment))


async def test_every_preset_that_ships_is_verified(tmp_path: Path) -> None:
    presets = load_presets()
    secrets = {
        f"WAYPOST_SECRET_{_name_secret(name)}": _make_secret(scheme, is_private=False)
        for name, scheme in presets.items()
    }
    environment = {**ENVIRONMENT, **secrets, "WAYPOST_SECRET_TOKEN": "t", "WAYPOST_PUBLIC_URL": PUBLIC_URL}
    pipelines = {_name_secret(preset).lower(): _make_pipeline(preset) for preset in presets}
    refused: dict[str, str] = {}
    async with running(tmp_path, pipelines, environment) as service:
        assert len(service.service.folder.find_triggers(WebhookTrigger)) == len(presets)
        for name, scheme in presets.items():
            body = json.dumps({"id": name, "event_id": name, "type": "made", "update_id": 7}).encode()
            keys: list[str] = []
            if isinstance(scheme, Signed) and scheme.kind == "ed25519":
                keys = ["--secret-value", _make_secret(scheme, is_private=True)]
            result = await _send(service, environment, name, "-", "--to", f"/{name}?a=1", *keys, stdin=body)
            if result.exit_code != 0 or "event" not in result.output:
                refused[name] = f"{result.output} {result.exception}"
    assert refused == {}


OWN = """
id: own
triggers:
  - {id: hmac, use: webhook, with: {path: "/own/{id}", verify: &hmac}}
  - {id: token, use: webhook, with: {path: /token, verify: &token}}
  - {id: open, use: webhook, with: {path: /open, methods: [PUT], verify: none}}
steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]
"""
for _preset, _header in (("hmac", "x-sign"), ("token", "x-key")):
    OWN = OWN.replace(f"&{_preset}", f'{{preset: {_preset}, header: {_header}, secret: "{{{{ secrets.HOOK }}}}"}}')


async def test_a_body_is_sent_as_the_trigger_at_the_path_says(tmp_path: Path) -> None:
    async with running(tmp_path, {"own": OWN}) as service:
        file = tmp_path / "body.bin"
        file.write_bytes(b'{"b": 1}')
        for arguments in (
            ("hmac", str(file), "--to", "own/7"),
            ("token", str(file), "--to", "/hooks/token", "--header", "X-More: 1"),
            ("hmac", str(file), "--to", "/own/8", "--secret", "HOOK", "--json"),
            ("none", str(file), "--to", "/open", "--method", "put"),
        ):
            result = await _send(service, dict(ENVIRONMENT), *arguments)
            assert result.exit_code == 0, result.output
            assert "run_" in result.output
            assert "hook-secret-1" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("githb", "-", "--to", "/own/7"), 2, "did you mean 'github'; `none` sends"),
        (("hmac", "-", "--to", "/elsewhere"), 2, "no webhook with a signature has the path /elsewhere"),
        (("github", "-", "--to", "/elsewhere"), 2, "name a secret with --secret or --secret-value"),
        (("github", "-", "--to", "/own/7", "--secret", "MISSING"), 2, "MISSING"),
        (("discord", "-", "--to", "/own/7"), 2, "give the private key"),
        (("svix", "-", "--to", "/own/7", "--secret-value", "whsec_???"), 2, "the body cannot be signed"),
        (("linear", "-", "--to", "/own/7"), 2, "not JSON"),
        (("hmac", "-", "--to", "/own/7", "--secret-value", "other"), 1, "401"),
        (("none", "-", "--to", "/own/7", "--header", "nothing"), 2, "is not NAME:VALUE"),
    ],
)
async def test_what_cannot_be_sent_is_explained(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    async with running(tmp_path, {"own": OWN}) as service:
        result = await _send(service, dict(ENVIRONMENT), *arguments, stdin=b"text")
        shown: Any = getattr(result.exception, "code", result.exit_code) if result.exception else result.exit_code
        assert shown == code
        assert said in f"{result.output} {result.exception}"
