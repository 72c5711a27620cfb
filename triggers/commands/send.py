"""`waypost send`: sign a body as its sender would, and send it to a webhook."""

import contextlib
import json
import mimetypes
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import httpx
import typer

from durable.http_syntax import HEADER_NAME
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.wording import make_printable
from triggers.commands.ask import ask_service
from triggers.commands.failure import FAILED, NOT_READY, WRONG_USE, CommandFailed, explain_cause
from triggers.commands.output import format_json, open_console, print_json
from triggers.commands.parameters import CONFIG, DATA, AsJson, Config, Data
from triggers.instance import Instance
from triggers.not_found import PipelinesMissing
from triggers.reading.client import ServiceClient
from triggers.reading.config_folder import load_folder
from triggers.reading.stored_secrets import load_secrets
from triggers.webhooks.presets import GENERIC, find_scheme
from triggers.webhooks.route import PREFIX, read_path
from triggers.webhooks.scheme import Scheme, Signed
from triggers.webhooks.sender import SignedDelivery, sign_delivery
from triggers.webhooks.trigger import WebhookTrigger

NONE, SCHEME = "none", "scheme"
"""Presets of this command alone: no signature, and the scheme that the trigger at the path writes out."""

SECONDS = 60.0
"""How long an answer is waited for: longer than a webhook with `respond: result` takes."""

UNAUTHORIZED = 401

_OWN = frozenset({*GENERIC, SCHEME})
"""Presets whose options stand in the trigger."""

Preset = Annotated[
    str,
    typer.Argument(help="The sender: a preset such as github; `hmac`, `token` or `scheme` as in the trigger; or none."),
]
File = Annotated[str, typer.Argument(help="The file with the body; - is standard input.")]


def send(
    preset: Preset,
    file: File,
    to: Annotated[str, typer.Option(metavar="PATH", help="The webhook's path below /hooks, with a query if needed.")],
    secret: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sign with WAYPOST_SECRET_NAME instead of the trigger's secret.")
    ] = None,
    secret_value: Annotated[str | None, typer.Option(metavar="TEXT", help="Sign with this secret.")] = None,
    type: Annotated[
        str, typer.Option(metavar="TEXT", help="The kind of event, if the sender has a header for it.")
    ] = "",
    id: Annotated[str | None, typer.Option(metavar="TEXT", help="The delivery's id; default: a new one.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header to add or to replace; repeatable.")
    ] = None,
    method: Annotated[str, typer.Option(help="The HTTP method.")] = "POST",
    url: Annotated[str | None, typer.Option(help="The service's address; default: the running service's.")] = None,
    config: Config = CONFIG,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    if secret is not None and secret_value is not None:
        raise typer.BadParameter("use either --secret or --secret-value", param_hint="'--secret'")
    here = url or ask_service(config, data, _find_url)
    instance = Instance(config, data, os.environ)
    secrets = load_secrets(instance)
    order = SendOrder(_make_target(here, to), method.upper(), id or f"send-{uuid4().hex[:12]}", type)
    webhook = _find_webhook(instance, secrets, order)
    scheme = _find_scheme(preset, webhook, to)
    delivery = SignedDelivery({}, _read_body(file))
    if scheme is not None:
        key = secret_value if secret_value is not None else _find_secret(scheme, webhook, secrets, secret, to)
        public_url = (webhook.verifier.public_url if webhook else "") or here
        delivery = _sign(scheme, key, delivery.body, order, public_url)
    headers = {"content-type": _guess_content_type(file, delivery.body), **delivery.headers, **_parse_headers(header)}
    _print_answer(_send(order, headers, delivery.body), as_json=as_json)


@dataclass(frozen=True, slots=True)
class SendOrder:
    """What to send, besides the body."""

    target: httpx.URL
    method: str
    id: str
    type: str

    @property
    def path(self) -> str:
        return self.target.raw_path.decode("latin-1").partition("?")[0]


async def _find_url(service: ServiceClient) -> str:
    return service.url


def _make_target(url: str, to: str) -> httpx.URL:
    if "://" in to:
        what = "it is the webhook's path below /hooks, such as /orders; --url names another service"
        raise typer.BadParameter(what, param_hint="'--to'")
    path = to if to.startswith("/") else f"/{to}"
    path = path if path.startswith(f"{PREFIX}/") else PREFIX + path
    try:
        return httpx.URL(url.rstrip("/") + path)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(str(error), param_hint="'--to'") from None


# -- the signature ----------------------------------------------------------------------------------------------


def _find_webhook(instance: Instance, secrets: Secrets, order: SendOrder) -> WebhookTrigger | None:
    """The webhook that the config folder has at the path, if it has one."""
    try:
        hooks = load_folder(instance, secrets).find_triggers(WebhookTrigger)
    except PipelinesMissing:
        return None
    path = (read_path(order.path) or order.path).removeprefix(PREFIX)
    found = [hook for hook in hooks if hook.pattern.fullmatch(path)]
    return next((hook for hook in found if order.method in hook.methods), found[0] if found else None)


def _find_scheme(preset: str, webhook: WebhookTrigger | None, to: str) -> Scheme | None:
    """The scheme to sign with; None for no signature."""
    if preset == NONE:
        return None
    if preset not in _OWN:
        try:
            return find_scheme(preset, {}, "PRESET")
        except ValueError as error:
            message = str(error).removeprefix("PRESET.preset: ")
            raise CommandFailed(f"{message}; `{NONE}` sends without a signature", WRONG_USE) from None
    if webhook is None or webhook.verifier.scheme is None:
        what = (
            f"`{preset}` uses the options of the trigger at the path, but no webhook with a signature has the path {to}"
        )
        raise CommandFailed(f"{what}; `waypost pipelines` lists them", WRONG_USE)
    return webhook.verifier.scheme


def _find_secret(scheme: Scheme, webhook: WebhookTrigger | None, secrets: Secrets, name: str | None, to: str) -> str:
    """The secret to sign with: the one of that name, or else that of the trigger at the path."""
    try:
        if name is not None:
            return secrets.get(name)
        if isinstance(scheme, Signed) and scheme.kind == "ed25519":
            what = "this sender signs with a private key, and a webhook knows only the public one"
            raise CommandFailed(f"{what}: give the private key with --secret or --secret-value", WRONG_USE)
        if webhook is None or not webhook.secrets:
            what = f"the config folder has no webhook with a secret at {to}"
            raise CommandFailed(f"{what}: name a secret with --secret or --secret-value", WRONG_USE)
        return str(fill_secrets(None, webhook.secrets[0], secrets)[0])
    except SecretMissing as missing:
        raise CommandFailed(f"{missing}; or name an --env-file, or sign with --secret-value", WRONG_USE) from None


def _sign(scheme: Scheme, secret: str, body: bytes, order: SendOrder, public_url: str) -> SignedDelivery:
    try:
        return sign_delivery(
            scheme,
            secret,
            body,
            time.time(),
            id=order.id,
            type=order.type,
            method=order.method,
            path=order.path,
            query_string=order.target.query.decode("latin-1"),
            public_url=public_url,
        )
    except ValueError as error:
        raise CommandFailed(f"the body cannot be signed: {error}; check the secret and the body", WRONG_USE) from None


# -- the request ------------------------------------------------------------------------------------------------


def _read_body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _guess_content_type(file: str, body: bytes) -> str:
    """The media type of the body: JSON if it is JSON, otherwise as the name of the file says."""
    with contextlib.suppress(ValueError):
        json.loads(body)
        return "application/json"
    return mimetypes.guess_type(file)[0] or "application/octet-stream"


def _parse_headers(given: Sequence[str] | None) -> dict[str, str]:
    headers = {}
    for pair in given or ():
        name, colon, value = pair.partition(":")
        if not colon or not HEADER_NAME.fullmatch(name.strip().lower()):
            raise typer.BadParameter(f"{pair[:60]!r} is not NAME:VALUE", param_hint="'--header'")
        headers[name.strip().lower()] = value.strip()
    return headers


def _send(order: SendOrder, headers: Mapping[str, str], body: bytes) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=SECONDS) as client:
        try:
            return client.request(order.method, order.target, headers=headers, content=body)
        except httpx.TransportError as error:
            raise CommandFailed(f"{order.target} does not answer: {explain_cause(error)}", NOT_READY) from None


def _print_answer(answer: httpx.Response, *, as_json: bool) -> None:
    """Print the status and the body, and exit with 1 unless it is a success."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if as_json:
        print_json({"status": answer.status_code, "body": body if body is not None else answer.text})
    else:
        out = open_console()
        style = "green" if answer.is_success else "red"
        out.print(f"{answer.status_code} {answer.reason_phrase}", style=style)
        if answer.text:
            out.print(make_printable(answer.text) if body is None else format_json(body), soft_wrap=True)
        for name in ("waypost-event", "waypost-runs"):
            if value := answer.headers.get(name):
                out.print(f"{name}: {make_printable(value)}", soft_wrap=True)
    if answer.status_code == UNAUTHORIZED:
        open_console(err=True).print(
            "`waypost deliveries --outcome rejected` shows why; `--unknown` lists paths that no webhook serves",
            soft_wrap=True,
        )
    if not answer.is_success:
        raise typer.Exit(FAILED)
