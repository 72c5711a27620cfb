"""Describes connectors and actions for people and programs: `triggers.documents.connectors`."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from durable import __version__
from durable.action import Action, Connector
from durable.blocks.core_actions import CORE_INPUTS
from durable.language.catalogue import explain_broken
from durable.language.connections import FILE
from durable.sample_values import make_sample_inputs
from durable.values import JSON
from durable.wording import suggest
from durable.yaml.scalars import is_text
from triggers.config.catalogue import Connectors
from triggers.config.connector_files import CORE_NAMES
from triggers.documents.connectors import (
    ActionDocument,
    ActionLineDocument,
    ActionUndoDocument,
    ConnectorDocument,
    ConnectorLineDocument,
    ValueDocument,
)
from triggers.not_found import ConnectorNotFound

Schema: TypeAlias = Mapping[str, Any]

CORE_SUMMARY = "What Waypost itself can do in a step"

_PLAIN = re.compile(r"[A-Za-z][\w./@+-]*( [\w./@+-]+)*")
"""Texts that YAML reads as they are, unless they are numbers, booleans or nulls."""


def list_connectors(connectors: Connectors) -> list[ConnectorLineDocument]:
    """List every connector by name, without loading the installed ones."""
    lines = {name: ConnectorLineDocument(name, f"waypost {__version__}", True) for name in CORE_NAMES}
    for name in connectors.names:
        is_valid = name not in connectors.broken
        lines[name] = ConnectorLineDocument(name, connectors.find_origin(name) or "", is_valid)
    return sorted(lines.values(), key=lambda each: each.name)


# -- finding ----------------------------------------------------------------------------------------------------


def ensure_known(connectors: Connectors, wanted: str) -> None:
    """Raise `ConnectorNotFound` unless `wanted` is a connector, or one of its actions, that can be used."""
    name, dot, action = wanted.partition(".")
    connector = connectors.find(name)
    if name in connectors.broken and (connector is None or (dot and not connector.actions)):
        file = connectors.folder.files.get(name)
        found = [f"\n{problem}" for problem in (file.problems if file else ()) if problem.severity == "error"]
        raise ConnectorNotFound(explain_broken(name, connectors.broken[name]).message + "".join(found))
    if connector and action in connector.skipped:
        raise ConnectorNotFound(f"the operation {wanted!r} cannot be used: {connector.skipped[action]}")
    known = {each.partition(".")[2] for each in CORE_INPUTS if each.startswith(f"{name}.")}
    if (connector or known) and (not dot or action in (connector.actions if connector else known)):
        return
    names = connector.actions if connector else known
    possible = {f"{name}.{each}" for each in names} if names else {*connectors.names, *CORE_NAMES, *connectors.actions}
    hint = suggest(wanted, possible)
    cure = f"`waypost connector show {name}`" if names else "`waypost connectors`"
    raise ConnectorNotFound(f"there is no connector or action {wanted!r}; {hint or f'{cure} lists them'}")


# -- describing -------------------------------------------------------------------------------------------------


def describe_connector(
    connectors: Connectors,
    name: str,
    connections: Collection[str],
    search: str = "",
    pipelines: Collection[str] = (),
) -> ConnectorDocument:
    """Describe a connector that is known, with the actions that contain the words in `search`. `pipelines` use it."""
    connector = connectors.find(name)
    if connector is None:
        actions = [ActionLineDocument(use, summarize(model), None, None) for use, model in list_core(name)]
        return ConnectorDocument(
            name,
            CORE_SUMMARY,
            f"waypost {__version__}",
            None,
            [],
            [],
            None,
            None,
            [],
            _filter(actions, search),
            {},
            [*pipelines],
        )
    actions = [
        ActionLineDocument(f"{name}.{each.name}", each.summary, each.idempotent, each.on_crash)
        for each in connector.actions.values()
    ]
    model = connectors.find_connection_model(name)
    return ConnectorDocument(
        name=name,
        summary=connector.summary,
        origin=connectors.find_origin(name),
        fields=list_values(model.model_json_schema()) if model else None,
        auth=[list(way) for way in connector.auth],
        limit=list(connector.limit.describe()),
        test=connector.test,
        example=make_example_connection(connector),
        connections=[*connections],
        actions=_filter(actions, search),
        skipped=dict(connector.skipped),
        pipelines=[*pipelines],
        problem=connectors.broken.get(name),
    )


def describe_action(connectors: Connectors, use: str, connections: Collection[str]) -> ActionDocument:
    """Describe an action that is known."""
    name, _, wanted = use.partition(".")
    connector = connectors.find(name)
    if connector is None:
        model = CORE_INPUTS[use]
        inputs = list_values(model.model_json_schema())
        example = make_example_step(use, model, None)
        return ActionDocument(use, summarize(model), None, None, None, False, inputs, "any", None, [], example)
    action = connector.actions[wanted]
    output = action.output.model_json_schema() if action.output else {}
    return ActionDocument(
        use=use,
        summary=action.summary,
        idempotent=action.idempotent,
        key=describe_key(action),
        on_crash=action.on_crash,
        is_paged=action.returns_pages is not None,
        inputs=list_values(action.input.model_json_schema()),
        output=list_values(output) or describe_type(output, output.get("$defs", {})),
        undo=ActionUndoDocument(f"{name}.{action.undo.action}", dict(action.undo.given)) if action.undo else None,
        connections=[*connections],
        example=make_example_step(use, action.input, next(iter(connections), name) if connector.connection else None),
    )


def list_core(name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The actions of the core whose names begin so, with their models."""
    return ((use, model) for use, model in CORE_INPUTS.items() if use.startswith(f"{name}."))


def summarize(model: type[BaseModel]) -> str:
    """The first line of a model's docstring."""
    return (model.__doc__ or "").partition("\n")[0]


def describe_key(action: Action) -> str | None:
    """Describe where an action sends its idempotency key, as far as its stored form says."""
    rule = action.stored.get("idempotency") if isinstance(action.stored, Mapping) else None
    if not isinstance(rule, Mapping):
        return None
    place = next(f"{each} {rule[each]}" for each in ("header", "json", "param") if rule.get(each))
    form = f", as {rule['format']}" if rule.get("format", "text") != "text" else ""
    size = f", at most {rule['max']} characters" if rule.get("max") else ""
    return f"{place}{form}{size}"


def list_values(schema: Schema) -> list[ValueDocument]:
    """List the properties of a schema."""
    known, required = schema.get("$defs", {}), schema.get("required", ())
    return [
        ValueDocument(
            name=name,
            type=describe_type(each, known),
            required=name in required,
            default=each.get("default"),
            description=each.get("description", ""),
            options=each.get("options"),
        )
        for name, each in schema.get("properties", {}).items()
    ]


def describe_type(schema: Schema, known: Mapping[str, Schema]) -> str:
    """The type of a JSON Schema in a few words."""
    match schema:
        case {"$ref": str(ref)}:
            return describe_type(known[ref.rpartition("/")[2]], known)
        case {"enum": list(values)}:
            return " | ".join(json.dumps(value) for value in values)
        case {"const": value}:
            return json.dumps(value)
        case {"anyOf": list(kinds)} | {"oneOf": list(kinds)}:
            return " | ".join(dict.fromkeys(describe_type(kind, known) for kind in kinds if kind != {"type": "null"}))
        case {"type": "array", "items": dict(item)}:
            return _describe_items("list", describe_type(item, known))
        case {"type": "object", "additionalProperties": dict(item)}:
            return _describe_items("mapping", describe_type(item, known))
        case {"type": "object"}:
            return "mapping"
        case {"type": "array"}:
            return "list"
        case {"type": list(names)}:
            return " | ".join(describe_type({**schema, "type": name}, known) for name in names if name != "null")
        case {"type": str(name)}:
            return f"{name}, secret" if schema.get("secret") else name
    return "any"


def _describe_items(whole: str, part: str) -> str:
    """`list of integer`; only `list` if the items are of several types."""
    return whole if " | " in part or part == "any" else f"{whole} of {part}"


def _filter(actions: list[ActionLineDocument], search: str) -> list[ActionLineDocument]:
    """The actions that contain every word of the text in their name or summary."""
    words = search.casefold().split()
    return [each for each in actions if all(word in f"{each.use} {each.summary}".casefold() for word in words)]


# -- examples ---------------------------------------------------------------------------------------------------


def make_example_step(use: str, model: type[BaseModel], connection: str | None) -> str:
    """Write a step with sample values for the inputs that an action requires."""
    lines = [f"- id: {use.partition('.')[2]}", f"  use: {use}"]
    lines += [f"  connection: {connection}  # as {FILE} names it"] if connection else []
    given = make_sample_inputs(model.model_json_schema())
    lines += ["  with:"] if given else []
    return "\n".join([*lines, *(f"    {name}: {write_value(value)}" for name, value in given.items())]) + "\n"


def make_example_connection(connector: Connector) -> str | None:
    """Write a connection with sample values for the fields that it requires."""
    if connector.connection is None:
        return None
    schema = connector.connection.model_json_schema()
    lines = [f"{connector.name}:", f"  use: {connector.name}"]
    for name, value in make_sample_inputs(schema).items():
        is_secret = schema["properties"][name].get("secret") and not schema["properties"][name].get("url")
        secret = f"{{{{ secrets.{connector.name}_{name} }}}}".upper().replace("SECRETS.", "secrets.")
        lines.append(f"  {name}: {write_value(secret if is_secret else value)}")
    return "\n".join(lines) + "\n"


def write_value(value: JSON) -> str:
    """Write a value in YAML: a plain text as it is, anything else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and is_text(value):
        return value
    return json.dumps(value, ensure_ascii=False)
