"""Requests signed by providers' own libraries are accepted over a real port, and rejected if a byte changes."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import pytest
import standardwebhooks
import stripe
import svix.webhooks
from slack_sdk.signature import SignatureVerifier

from tests.npm import PACKAGES, require_package
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
"""Where npm keeps what tests need; `.ci/run` fills it."""

PAYLOADS = ROOT / "tests" / "data" / "webhooks"
SECRETS = {
    "stripe": "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH",
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
    "standard-webhooks": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "svix": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "github": "It's a Secret to Everybody",
}
TEXTS = [
    '{"id": "evt_1", "type": "order.created", "event_id": "Ev1"}',
    '{"id": "evt_2", "note": "Grüße ♥ \\u2665 \\ud83d\\ude00 😀", "event_id": "Ev2"}',
    '{ "id":"evt_3",\r\n\t"spaced" : [ 1 , 2.50, -0.0, 1e3 ], "event_id": "Ev3" }\n',
    (PAYLOADS / "github.push.json").read_text(encoding="utf-8"),
]

Sign = Callable[[str, str], dict[str, str]]
"""From a secret and a body to the headers of a request."""


def _by_stripe(secret: str, text: str) -> dict[str, str]:
    return {"stripe-signature": stripe.WebhookSignature.generate_signature_header(text, secret)}


def _by_slack(secret: str, text: str) -> dict[str, str]:
    now = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=now, body=text)
    return {"x-slack-request-timestamp": now, "x-slack-signature": str(signature)}


def _by_standard_webhooks(secret: str, text: str) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = standardwebhooks.Webhook(secret).sign(_id(text), now, text)
    return _standard("webhook", _id(text), now, signature)


def _by_svix(secret: str, text: str) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = svix.webhooks.Webhook(secret).sign(_id(text), now, text)
    return _standard("svix", _id(text), now, signature)


def _id(text: str) -> str:
    return f"msg_{crc32(text.encode())}"


def _standard(prefix: str, id: str, now: datetime, signature: str) -> dict[str, str]:
    stamp = str(int(now.timestamp()))
    return {f"{prefix}-id": id, f"{prefix}-timestamp": stamp, f"{prefix}-signature": signature}


def _by_octokit(secret: str, text: str) -> dict[str, str]:
    script = """
        import { sign } from "@octokit/webhooks-methods";
        import { readFileSync } from "node:fs";
        const [secret, text] = JSON.parse(readFileSync(0, "utf8"));
        process.stdout.write(await sign(secret, text));
    """
    command = ["node", "--input-type=module", "--eval", script]
    given = json.dumps([secret, text])
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=PACKAGES, timeout=60, check=True)
    return {"x-hub-signature-256": done.stdout, "x-github-delivery": _id(text), "x-github-event": "push"}


SENDERS: dict[str, tuple[str, Sign]] = {
    "stripe": ("stripe", _by_stripe),
    "slack-sdk": ("slack", _by_slack),
    "standardwebhooks": ("standard-webhooks", _by_standard_webhooks),
    "svix": ("svix", _by_svix),
    "@octokit/webhooks-methods": ("github", _by_octokit),
}


def _pipelines() -> Iterator[tuple[str, str]]:
    for preset in SECRETS:
        name = preset.replace("-", "_")
        verify = f'{{preset: {preset}, secret: "{{{{ secrets.{name.upper()} }}}}"}}'
        yield (
            name,
            f"""
triggers:
  - {{id: hook, use: webhook, with: {{path: /{preset}, verify: {verify}}}}}
steps:
  - {{id: note, use: transform.set, with: {{values: {{a: 1}}}}}}
""",
        )


async def _status(service: Running, preset: str, body: bytes, headers: dict[str, str]) -> int:
    headers = {"content-type": "application/json", **headers}
    return (await service.client.post(f"/hooks/{preset}", content=body, headers=headers)).status_code


@pytest.mark.parametrize("library", SENDERS)
async def test_requests_signed_by_the_libraries_of_providers_are_accepted(tmp_path: Path, library: str) -> None:
    preset, sign = SENDERS[library]
    if library.startswith("@"):
        require_package(library)
    environment = {f"WAYPOST_SECRET_{name.replace('-', '_').upper()}": secret for name, secret in SECRETS.items()}
    expected = 200 if preset == "slack" else 202
    async with running(tmp_path, dict(_pipelines()), environment, log_level="error") as service:
        accepted = 0
        for text in TEXTS:
            headers = sign(SECRETS[preset], text)
            body = text.encode()
            assert await _status(service, preset, body + b" ", headers) == 401
            assert await _status(service, preset, body, sign(SECRETS[preset][:-4] + "AAAA", text)) == 401
            accepted += await _status(service, preset, body, headers) == expected
        runs = (await service.client.get("/api/runs")).json()["runs"]
    print(f"{library}: {accepted} / {len(TEXTS)} accepted")
    assert accepted == len(TEXTS) == len(runs)
