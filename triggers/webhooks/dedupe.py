"""Dedupe keys of a delivery: as they are made, and as they were made before 0.1.0.

A repeat of a delivery counts as one also if the first came under the former rules: names that came several times were
joined by commas, and the white space behind a header's value was a part of it.
"""

import contextlib

from durable.expressions import ExpressionError, Template
from durable.values import JSON, Value
from triggers.http.body import BadRequest
from triggers.http.urlencoded import collect_pairs
from triggers.webhooks.request import WebhookRequest
from triggers.webhooks.scheme import Scheme
from triggers.webhooks.verifier import shorten_identity


def compute_dedupe_key(template: Template, arrival: dict[str, JSON]) -> str:
    """The key that a webhook's `dedupe` gives; raises `BadRequest` where it gives none."""
    try:
        key, _ = template.render({"trigger": arrival})
    except ExpressionError as error:
        raise BadRequest(f"the delivery has no dedupe key: {error}") from None
    if key is None or key == "":
        raise BadRequest("the delivery has no dedupe key: its expression gives nothing")
    return shorten_identity(key if isinstance(key, str) else Value.of(key).text)


def former_keys(template: Template, arrival: dict[str, JSON], received: WebhookRequest, key: str) -> tuple[str, ...]:
    """The key of `dedupe` under the former rules, if it is another one."""
    sent = collect_pairs(pair for pair in received.headers_as_sent if pair[0] in _require_mapping(arrival["headers"]))
    former = {**arrival, "headers": _joined(sent or arrival["headers"]), "query": _joined(arrival["query"])}
    if former == arrival:
        return ()
    with contextlib.suppress(BadRequest):
        former_key = compute_dedupe_key(template, former)
        return () if former_key == key else (former_key,)
    return ()


def former_ids(scheme: Scheme | None, received: WebhookRequest, key: str) -> tuple[str, ...]:
    """The id that the sender gives in a header under the former rules, if it is another one."""
    place = scheme.dedupe if scheme else None
    if place is None or place.place != "header":
        return ()
    return tuple(
        shorten_identity(text) for name, text in received.headers_as_sent if name == place.name and text != key
    )


def _joined(values: JSON) -> JSON:
    return {
        name: ", ".join(map(str, each)) if isinstance(each, list) else each
        for name, each in _require_mapping(values).items()
    }


def _require_mapping(value: JSON) -> dict[str, JSON]:
    assert isinstance(value, dict)
    return value
