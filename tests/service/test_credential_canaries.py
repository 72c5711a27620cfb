"""Credentials of every kind: sent to the service, and shown nowhere, also if the service returns them."""

import hmac
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from connectors.auth.request import OutgoingRequest
from connectors.auth.sign import sign_request
from connectors.declared.action import make_action
from connectors.declared.compiled import DeclaredAction
from durable.action import Connector, Context, Inputs, action
from durable.schema_model import make_inputs_schema, make_model
from tests.connectors.test_client_certificate import ANN, ANN_KEY
from tests.service.running import ENVIRONMENT, Running, outside, running
from tests.service.test_connections import wait_for_end, write

pytestmark = pytest.mark.anyio

CANARY = "canary/+9 tökèn=="
KINDS: Mapping[str, str] = {
    "bearer": 'auth: {bearer: "{{ secrets.C }}"}',
    "basic": 'auth: {basic: {username: canary-user, password: "{{ secrets.C }}"}}',
    "header": 'auth: {header: {x-key: "Token {{ secrets.C }}"}}',
    "query": 'auth: {query: {key: "{{ secrets.C }}"}}',
    "hmac": 'auth: {hmac: {secret: "{{ secrets.C }}", sign: "{method}{target}", header: x-signature}}',
    "hmac_query": 'auth: {hmac: {secret: "{{ secrets.C }}", sign: "{target}", param: sig, encoding: base64}}',
    "aws": 'auth: {aws_sigv4: {access_key_id: id, secret_access_key: "{{ secrets.C }}", session_token: '
    '"{{ secrets.C }}", region: r, service: s3}}',
    "certificate": 'auth: {client_certificate: {certificate: "{{ secrets.CERT }}", key: "{{ secrets.KEY }}"}}',
    "old_header": 'headers: {x-old: "{{ secrets.C }}"}',
    "literal": "headers: {x-api-key: canary-literal-1}",
}
DERIVED = ("authorization", "x-signature")
PIPELINE = """
steps:
  - {{id: good, use: {use}, connection: {name}, with: {{{url}}}}}
  - id: bad
    try:
      - {{id: call, use: {use}, connection: {name}, retry: {{max_attempts: 1}}, with: {{{bad}}}}}
    catch:
      - steps:
          - {{id: note, use: log.write, with: {{message: "it said {{{{ error.details }}}} {{{{ error.message }}}}"}}}}
  - {{id: talk, use: talk.loudly, connection: {name}_talk}}
outputs: {{all: "{{{{ steps.good.output }}}}"}}
"""


def respond(request: Request) -> Response:
    """Return everything that was sent."""
    sent: dict[str, Any] = {"url": str(request.url), "headers": dict(request.headers)}
    if request.url.path.endswith("/bad"):
        return PlainTextResponse(f"refused: {sent}", 400, {"x-echo": request.url.query or "none"})
    return JSONResponse(sent, headers={"x-echo": str(request.headers.get("authorization", "none")).encode().decode()})


@action("loudly", input=Inputs)
async def talk_loudly(context: Context, input: Inputs) -> str:
    """Log and return all that the context knows, and what it signs."""
    signed = await sign_request(context, OutgoingRequest("GET", "https://a.b"))
    context.log.warning("I have %s and %s and %s", context.connection, context.auth, signed)
    return f"{context.connection} {context.auth} {signed}"


def make_talkative() -> Connector:
    fields = make_inputs_schema({"token": {"type": "string", "secret": True}})
    auth = [{"hmac": {"secret": "{{ connection.token }}", "sign": "{method}", "header": "x-signature"}}]
    return Connector("talk", "Talks", [talk_loudly], make_model("TalkConnection", fields), auth=auth)


def make_shop(url: str) -> Connector:
    """A connector that declares its schemes, and whose token stands in its URL as well."""
    fields = make_inputs_schema({"token": {"type": "string", "secret": True}})
    call = DeclaredAction(
        method="GET",
        base_url=f"{url}/bot{{{{ connection.token }}}}",
        path="/{path}",
        inputs=make_inputs_schema({"path": {"type": "string"}}),
        has_secret_url=True,
    )
    auth = [{"basic": {"username": "me", "password": "{{ connection.token }}"}}]
    return Connector("shop", "A shop", [make_action("call", call)], make_model("ShopConnection", fields), auth=auth)


def make_files(url: str) -> tuple[dict[str, str], str]:
    """Return a pipeline for each kind, and the connections."""
    pipelines = {name: PIPELINE.format(use="http.get", name=name, url="url: /good", bad="url: /bad") for name in KINDS}
    pipelines["shop"] = PIPELINE.format(use="shop.call", name="shop", url="path: good", bad="path: bad")
    test = "test: {use: http.get, with: {url: /bad}}"
    lines = [f"{name}: {{use: http, base_url: '{url}', {auth}, {test}}}" for name, auth in KINDS.items()]
    lines += ['shop: {use: shop, token: "{{ secrets.P }}"}']
    lines += [f'{name}_talk: {{use: talk, token: "{{{{ secrets.C }}}}"}}' for name in pipelines]
    return pipelines, "\n".join(lines)


async def read_everything(service: Running, names: Mapping[str, str]) -> str:
    """Run all pipelines and return everything that people can see of it."""
    seen = []
    problems = [each["problems"] for each in (await service.ask("/pipelines"))["pipelines"]]
    assert not any(problems), problems
    for name in names:
        run = await wait_for_end(service, pipeline=name)
        assert run["status"] == "completed", (name, run["error"])
        seen.append(str(run))
        paths = [f"/api/runs/{run['id']}/{what}" for what in ("history", "steps", "outline")]
        paths += [f"/runs/{run['id']}?view={view}" for view in ("fall", "history", "data", "json")]
        paths.append("/api/connections")
        seen += [(await service.client.get(path)).text for path in paths]
        seen.append((await service.client.post(f"/api/connections/{name}/test")).text)
    paths = ["/metrics", "/ready", "/api/runs", "/api/pipelines", "/api/errors"]
    seen += [(await service.client.get(path)).text for path in paths]
    return "\n".join(seen)


async def test_no_credential_is_shown_or_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = {"C": CANARY, "P": "canary-path-token", "CERT": ANN, "KEY": ANN_KEY}
    environment = {**ENVIRONMENT, **{f"WAYPOST_SECRET_{name}": value for name, value in secrets.items()}}
    async with outside() as world:
        world.respond = respond
        pipelines, connections = make_files(world.url)
        write(tmp_path, connections)
        connectors = [make_shop(world.url), make_talkative()]
        with caplog.at_level(logging.DEBUG):
            async with running(tmp_path, pipelines, environment, connectors) as service:
                shown = await read_everything(service, pipelines)
        requests = world.requests
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    printed = capfd.readouterr()
    everything = f"{shown}{printed.out}{printed.err}{files.decode(errors='replace')}"
    assert everything.count("***") > 50
    assert not re.findall(r".{60}canary.{30}", everything.replace("canary-user", ""))
    key = "".join(ANN_KEY.splitlines()[1:-1])
    assert key[:40] not in everything.replace("\\n", "")
    sent = [each["headers"].get(name, "") for each in requests for name in DERIVED]
    sent += [hmac.digest(CANARY.encode(), b"GET", "sha256").hex()]  # by the connector that talks
    made = {each.rpartition(" ")[2].removeprefix("Signature=") for each in sent} - {""}
    assert len(made) > 5
    assert not [each for each in made if each in everything]
