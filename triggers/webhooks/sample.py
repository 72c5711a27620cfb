"""A delivery that a webhook's pipeline accepts, made from what its expressions read and from its inputs' schemas."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias, TypeGuard

from durable.expressions.expression import Expression
from durable.sample_values import make_sample_value
from durable.values import JSON
from triggers.trigger import EventFiltered, build_trigger_document
from triggers.webhooks.trigger import WebhookTrigger

Key: TypeAlias = tuple[str, ...]

STEPPED = 4
"""The numbers in a filter for which also one more and one less is tried: the filter may ask for more, or for less."""


@dataclass(frozen=True, slots=True)
class SampleDelivery:
    """What to send: the path below /hooks, the query, headers that expressions read, the kind of event, the body."""

    path: str
    body: JSON
    type: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def make_sample(hook: WebhookTrigger, id: str, method: str = "POST") -> SampleDelivery | None:
    """A delivery with that id; None where none is found that starts a run."""
    numbers = [name for name, value in _list_constants(hook).items() if _is_number(value)][:STEPPED]
    for is_bare, steps in product((False, True), product((0, 1, -1), repeat=len(numbers))):
        sample = _make_sample(hook, id, dict(zip(numbers, steps, strict=True)), is_bare=is_bare)
        if _is_accepted(hook, sample, id, method):
            return sample
    return None


def _make_sample(hook: WebhookTrigger, id: str, steps: Mapping[Key, int], *, is_bare: bool) -> SampleDelivery:
    """A sample with everything that expressions read; a bare one leaves out what only the filter reads. `steps` are
    added to numbers with which the filter compares."""
    path, _ = _make_path(hook.path)
    constants = _list_constants(hook)
    constants |= {name: value + steps[name] for name, value in constants.items() if name in steps and _is_number(value)}
    read = dict(_list_names(hook, is_bare=is_bare)) | dict.fromkeys(constants)
    parts: dict[str, dict[str, str]] = {"headers": {}, "query": {}}
    body: JSON = {}
    for name, schema in sorted(read.items()):
        match name:
            case ("trigger", ("headers" | "query") as part, key, *_):
                parts[part][key] = str(constants.get(name, id))
            case ("trigger", "body", *keys):
                value = (
                    constants[name] if name in constants else make_sample_value(schema, keys[-1] if keys else "body")
                )
                body = _put_at(body, keys, value)
    kind = constants.get(("trigger", "type"))
    return SampleDelivery(path, body, kind if isinstance(kind, str) else None, parts["query"], parts["headers"])


def _list_constants(hook: WebhookTrigger) -> dict[Key, JSON]:
    """The constants with which the filter compares names."""
    return dict(hook.when.comparisons) if hook.when else {}


def _is_number(value: JSON) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _make_path(path: str) -> tuple[str, dict[str, str]]:
    """A path with a value in the place of each name in braces, and those values."""
    values = {name: "1" if kind in {"int", "float"} else name for name, kind in _PARAMETER.findall(path)}
    return _PARAMETER.sub(lambda found: values[found[1]], path), values


_PARAMETER = re.compile(r"\{([a-zA-Z_]\w*)(?::(\w+))?\}")


def _list_names(hook: WebhookTrigger, *, is_bare: bool) -> Iterator[tuple[Key, JSON]]:
    """The names that are read of a delivery, and the schema of the input to which each is given unchanged."""
    schemas = hook.definition.pipeline.inputs or {}
    expressions = [expression for _, expression in hook.dedupe.expressions] if hook.dedupe else []
    if hook.when and not is_bare:
        expressions.append(hook.when)
    yield from ((name, None) for expression in expressions for name in expression.names)
    for pointer, expression in hook.inputs.expressions if hook.inputs else ():
        schema = schemas.get(str(pointer[0])) if len(pointer) == 1 and _is_one(expression) else None
        yield from ((name, schema) for name in expression.names)


def _is_one(expression: Expression) -> bool:
    return len(expression.names) == 1


def _is_accepted(hook: WebhookTrigger, sample: SampleDelivery, id: str, method: str) -> bool:
    """Whether the sample passes the filter and fits the pipeline's inputs."""
    document = build_trigger_document(
        id,
        hook.name,
        0,
        type=sample.type,
        method=method,
        path=dict(_make_path(hook.path)[1]),
        query=dict(sample.query),
        headers={name.lower(): value for name, value in sample.headers.items()},
        body=sample.body,
    )
    try:
        hook.check_when(document)
    except EventFiltered:
        return False
    return hook.make_start(document).error is None


def _put_at(value: JSON, keys: Sequence[str], part: JSON) -> JSON:
    """The value with a part where the keys lead; what is there already stays."""
    if not keys:
        return part if value in ({}, None) else value
    key, *rest = keys
    if key.isdigit():
        return [_put_at(value[0] if isinstance(value, list) and value else {}, rest, part)]
    known = value if isinstance(value, dict) else {}
    return {**known, key: _put_at(known.get(key, {}), rest, part)}
