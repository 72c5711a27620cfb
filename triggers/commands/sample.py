"""A delivery that a webhook's pipeline accepts, made from what its expressions read and from its inputs' schemas."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from durable.expressions.expression import Expression
from durable.values import JSON
from triggers.trigger import EventFiltered, build_trigger_document
from triggers.webhooks.trigger import WebhookTrigger

Key: TypeAlias = tuple[str, ...]

_WORDS: Mapping[str, JSON] = {
    "name": "Ada",
    "email": "ada@example.com",
    "url": "https://example.com",
    "currency": "eur",
    **dict.fromkeys(("id", "number"), 42),
    **dict.fromkeys(("total", "amount", "price"), 12.5),
    **dict.fromkeys(("count", "quantity", "qty"), 1),
}
_FORMATS: Mapping[str, JSON] = {
    "email": "ada@example.com",
    "date": "2027-01-31",
    "time": "09:00:00Z",
    "date-time": "2027-01-31T09:00:00Z",
    "uuid": "3f2b8f0e-8d0f-4c57-9f2c-7a1f0a7c9d11",
    "uri": "https://example.com",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


@dataclass(frozen=True, slots=True)
class SampleDelivery:
    """What to send: the path below /hooks, the query, headers that expressions read, the kind of event, the body."""

    path: str
    body: JSON
    type: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def make_sample(hook: WebhookTrigger, id: str) -> SampleDelivery | None:
    """A delivery with that id; None where none is found that starts a run."""
    for is_bare in (False, True):
        sample = _make_sample(hook, id, is_bare=is_bare)
        if _is_accepted(hook, sample, id):
            return sample
    return None


def _make_sample(hook: WebhookTrigger, id: str, *, is_bare: bool) -> SampleDelivery:
    """A sample with everything that expressions read; a bare one leaves out what only the filter reads."""
    path, _ = _make_path(hook.path)
    constants = dict(hook.when.comparisons) if hook.when else {}
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


def _is_accepted(hook: WebhookTrigger, sample: SampleDelivery, id: str) -> bool:
    """Whether the sample passes the filter and fits the pipeline's inputs."""
    document = build_trigger_document(
        id,
        hook.name,
        0,
        type=sample.type,
        method="POST",
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


def make_sample_value(schema: JSON, name: str) -> JSON:
    """A value that fits a JSON Schema, as far as its plain words say; without one, a value that suits the name."""
    found: Mapping[str, JSON] = schema if isinstance(schema, dict) else {}
    for word in ("const", "default"):
        if word in found:
            return found[word]
    for word in ("examples", "enum"):
        if isinstance(listed := found.get(word), list) and listed:
            return listed[0]
    kind = found.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object":
            return _make_object(found)
        case "array":
            return [make_sample_value(found["items"], name)] if isinstance(found.get("items"), dict) else []
        case "integer":
            return _make_number(found, value if isinstance(value := _WORDS.get(name), int) else 1)
        case "number":
            return _make_number(found, _WORDS.get(name, 1))
        case "boolean":
            return True
        case "null":
            return None
        case "string":
            return _make_text(found, name)
    return _WORDS.get(name, f"a {name}" if name.isalpha() else "text")


def _make_object(schema: Mapping[str, JSON]) -> JSON:
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    names = [*known, *(each for each in (required if isinstance(required, list) else ()) if each not in known)]
    return {str(name): make_sample_value(known.get(str(name)), str(name)) for name in names}


def _make_number(schema: Mapping[str, JSON], usual: JSON) -> JSON:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    value = usual if isinstance(usual, int | float) else 1
    if isinstance(least, int | float) and value <= least:
        return least + ("minimum" not in schema)
    return most if isinstance(most, int | float) and value > most else value


def _make_text(schema: Mapping[str, JSON], name: str) -> str:
    usual = _FORMATS.get(str(schema.get("format"))) or _WORDS.get(name, "text")
    text = usual if isinstance(usual, str) else str(usual)
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    text = text.ljust(least, "x") if isinstance(least, int) else text
    return text[:most] if isinstance(most, int) else text


def _put_at(value: JSON, keys: Sequence[str], part: JSON) -> JSON:
    """The value with a part where the keys lead; what is there already stays."""
    if not keys:
        return part if value in ({}, None) else value
    key, *rest = keys
    if key.isdigit():
        return [_put_at(value[0] if isinstance(value, list) and value else {}, rest, part)]
    known = value if isinstance(value, dict) else {}
    return {**known, key: _put_at(known.get(key, {}), rest, part)}
