"""What `waypost serve` prints when it has started: the address, the webhooks, and a request to try."""

import json
import shlex
import sys
from urllib.parse import urlencode
from uuid import uuid4

from rich.text import Text

from durable import __version__
from durable.durations import format_duration
from durable.secrets import SecretMissing, fill_secrets
from triggers.commands.output import open_console
from triggers.commands.problems import CheckedFile, print_problems
from triggers.commands.sample import SampleDelivery, make_sample
from triggers.service import Service
from triggers.webhooks.scheme import Ref
from triggers.webhooks.signature import sign_request
from triggers.webhooks.trigger import WebhookTrigger


def announce(service: Service) -> None:
    """Print it on standard output, and the problems of connections and pipelines on standard error."""
    out = open_console()
    out.print(Text.assemble(f"Waypost {__version__} listens on ", (service.local_url, "bold")))
    if service.settings.public_url:
        out.print(f"  public    {service.url}   (public_url: a proxy must forward requests from there)", soft_wrap=True)
    hooks = service.folder.find_triggers(WebhookTrigger)
    for hook in hooks:
        methods = " ".join(sorted(hook.methods))
        where = f"{service.url}/hooks{hook.path}"
        out.print(f"  webhook   {methods} {where}   (pipeline {hook.definition.id})", soft_wrap=True)
    out.print(f"  API key   {service.key_file or 'WAYPOST_API_KEY'}", soft_wrap=True)
    connections = [service.folder.connections] if service.folder.connections else []
    checked: list[CheckedFile] = [*connections, service.folder.unread, *service.folder.files]
    print_problems(checked, open_console(err=True), is_in_shell=False)
    if example := next(filter(None, (_make_example(service, hook) for hook in hooks)), None):
        out.print(f"Try it:\n  {example}", soft_wrap=True)
    sys.stdout.flush()


def _make_example(service: Service, hook: WebhookTrigger) -> str | None:
    """A request that the webhook takes, and below it what a second one is; None for schemes whose signature ages and
    for those that send the secret itself."""
    scheme = hook.verifier.scheme
    if "POST" not in hook.methods or (scheme and (scheme.kind == "token" or getattr(scheme, "ts", None))):
        return None
    id = f"try-{uuid4().hex[:8]}"
    sample = make_sample(hook, id)
    if sample is None:
        return None
    body = json.dumps(sample.body, ensure_ascii=False)
    try:
        headers = _make_headers(service, hook, sample, body, id)
    except SecretMissing:
        return None
    query = f"?{urlencode(sample.query)}" if sample.query else ""
    given = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    where = shlex.quote(f"{service.local_url}/hooks{sample.path}{query}")
    command = " ".join(["curl", "-X POST", where, *given, "-d", shlex.quote(body)])
    return f"{command}\n{_explain_duplicates(hook)}"


def _make_headers(service: Service, hook: WebhookTrigger, sample: SampleDelivery, body: str, id: str) -> dict[str, str]:
    """The headers of the request with its signature; raises `SecretMissing`."""
    scheme = hook.verifier.scheme
    headers = {"content-type": "application/json", **sample.headers}
    if scheme is None:
        return headers
    secret = str(fill_secrets(None, hook.secrets[0], service.secrets)[0])
    signed = sign_request(
        scheme,
        secret,
        body.encode(),
        0,
        id=id,
        type=sample.type or "",
        path=f"/hooks{sample.path}",
        query_string=urlencode(sample.query),
        public_url=hook.verifier.public_url,
    )
    return {**{name: value for name, value in headers.items() if name.lower() not in signed}, **signed}


def _explain_duplicates(hook: WebhookTrigger) -> str:
    """What happens if the same request is sent again."""
    within = f"within {format_duration(hook.dedupe_milliseconds)}"
    if not (key := _describe_key(hook)):
        return "  Each such request starts a run. To recognize duplicates, add 'dedupe: {key: …}' to the trigger."
    answer = "it starts no run, and the response has the ids of the first"
    return f"  The same request {within} is a duplicate: {answer}. For a new delivery, change {key}."


def _describe_key(hook: WebhookTrigger) -> str | None:
    """What distinguishes the deliveries of the webhook."""
    scheme = hook.verifier.scheme
    if hook.dedupe is not None:
        read = ", ".join(f"{{{{ {expression.source.strip()} }}}}" for _, expression in hook.dedupe.expressions)
        return f"its 'dedupe' key {read}".rstrip()
    if scheme and scheme.replay == "body":
        return "its body"
    if scheme and isinstance(ref := scheme.dedupe, Ref):
        return f"the {ref.place} {ref.name}" if ref.place == "header" else f"{ref.name} in its {ref.place}"
    return "what is signed" if scheme and scheme.replay else None
