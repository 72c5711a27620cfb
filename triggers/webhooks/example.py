"""An example of a request to a webhook: one that starts a run, signed as its sender signs it, as a command for a shell.

The secret itself is never part of it, so there is none for senders that send their secret.

ExampleUnavailable   no such request can be made; the message says why, and what to do instead
"""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import uuid4

from durable.durations import format_duration
from durable.secrets import SecretMissing, Secrets, fill_secrets
from triggers.webhooks.route import PREFIX
from triggers.webhooks.sample import SampleDelivery, make_sample
from triggers.webhooks.scheme import Ref, Signed, Token
from triggers.webhooks.sender import sign_delivery
from triggers.webhooks.trigger import WebhookTrigger

_WITH_BODY = ("POST", "PUT", "PATCH")


class ExampleUnavailable(ValueError):
    """No example can be made; the message says why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """A request that a webhook takes. `seconds`: how long its signature is valid; None if it does not age."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    seconds: float | None

    def format_curl(self) -> str:
        """The request as a command."""
        given = [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        return " ".join(["curl", f"-X {self.method}", shlex.quote(self.url), *given, "-d", shlex.quote(self.body)])


def find_example(
    hooks: Iterable[WebhookTrigger], secrets: Secrets, url: str, now: float
) -> tuple[WebhookTrigger, ExampleRequest] | None:
    """Find the first of these webhooks for which a request can be made whose signature does not age; None for schemes
    whose signature ages and for those that send the secret itself."""
    for hook in hooks:
        try:
            example = make_example(hook, secrets, url, now)
        except ExampleUnavailable:
            continue
        if example.seconds is None:
            return hook, example
    return None


def make_example(hook: WebhookTrigger, secrets: Secrets, url: str, now: float) -> ExampleRequest:
    """Make a request to a service at `url`, signed at a time (s since 1970); raises `ExampleUnavailable`."""
    scheme = hook.verifier.scheme
    method = next((each for each in _WITH_BODY if each in hook.methods), None)
    if method is None:
        raise ExampleUnavailable(f"it takes only {' and '.join(sorted(hook.methods))}, which have no body")
    if isinstance(scheme, Token):
        what = "its sender sends the secret itself, which is not shown"
        raise ExampleUnavailable(f"{what}: `waypost send scheme FILE --to {hook.path}` sends it from a shell")
    if isinstance(scheme, Signed) and scheme.kind == "ed25519":
        raise ExampleUnavailable("its sender signs with a private key, and the service has only the public one")
    id = f"try-{uuid4().hex[:8]}"
    sample = make_sample(hook, id, method)
    if sample is None:
        what = "no body was found that passes `when` and fits the pipeline's inputs"
        raise ExampleUnavailable(f"{what}: `waypost send` sends one that you write")
    headers, body = _sign(hook, secrets, sample, method, id, now)
    query = f"?{urlencode(sample.query)}" if sample.query else ""
    seconds = scheme.ts.tolerance if scheme and scheme.ts else None
    return ExampleRequest(method, f"{url}{PREFIX}{sample.path}{query}", headers, body, seconds)


def _sign(
    hook: WebhookTrigger, secrets: Secrets, sample: SampleDelivery, method: str, id: str, now: float
) -> tuple[dict[str, str], str]:
    """The headers and the body of a request, with its signature."""
    scheme, headers = hook.verifier.scheme, {"content-type": "application/json", **sample.headers}
    body = json.dumps(sample.body, ensure_ascii=False)
    if scheme is None:
        return headers, body
    try:
        signed = sign_delivery(
            scheme,
            str(fill_secrets(None, hook.secrets[0], secrets)[0]),
            body.encode(),
            now,
            id=id,
            type=sample.type or "",
            method=method,
            path=f"{PREFIX}{sample.path}",
            query_string=urlencode(sample.query),
            public_url=hook.verifier.public_url,
        )
    except SecretMissing as missing:
        raise ExampleUnavailable(str(missing)) from None
    except ValueError as error:
        raise ExampleUnavailable(f"a sample cannot be signed: {error}") from None
    kept = {name: value for name, value in headers.items() if name.lower() not in signed.headers}
    return {**kept, **signed.headers}, signed.body.decode()


def explain_duplicates(hook: WebhookTrigger) -> str:
    """Say what happens if the same request is sent again."""
    within = f"within {format_duration(hook.dedupe_milliseconds)}"
    if not (key := _describe_key(hook)):
        return "Each such request starts a run. To recognize duplicates, add 'dedupe: {key: …}' to the trigger."
    answer = "it starts no run, and the response has the ids of the first"
    return f"The same request {within} is a duplicate: {answer}. For a new delivery, change {key}."


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
