"""Dedupe keys of a delivery: the first of several equal deliveries starts a run; the others get its answer."""

from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template
from durable.units import DedupeKey
from durable.values import JSON, Value
from triggers.http.body import BadRequest
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.verifier import Verified, shorten_identity


def make_dedupe_keys(hook: WebhookTrigger, verified: Verified, document: dict[str, JSON], at: int) -> list[DedupeKey]:
    """The keys that a delivery takes at a time (ms). Raises `BadRequest` if the webhook's `dedupe` gives none."""
    scope, until = _build_scope(hook, document), at + hook.dedupe_milliseconds
    key = verified.key if hook.dedupe is None else _render_key(hook.dedupe, document)
    keys = [DedupeKey(scope, key, until)] if key is not None else []
    if verified.replay_key is not None:
        keys.append(DedupeKey(f"{scope}#replay", verified.replay_key, until))
    return keys


def _render_key(template: Template, document: dict[str, JSON]) -> str:
    try:
        key, _ = template.render({"trigger": document})
    except ExpressionError as error:
        raise BadRequest(f"the delivery has no dedupe key: {error}") from None
    if key is None or key == "":
        raise BadRequest("the delivery has no dedupe key: its expression gives nothing")
    return shorten_identity(key if isinstance(key, str) else Value.of(key).text)


def _build_scope(hook: WebhookTrigger, document: dict[str, JSON]) -> str:
    """The trigger's name and the values of its path. A slash in a value is doubled, so that no two paths share a
    scope."""
    values = document["path"]
    if not isinstance(values, dict) or not values:
        return hook.name
    return "/".join([hook.name, *(f"{name}={str(value).replace('/', '//')}" for name, value in sorted(values.items()))])
