"""What an action sends: the keys that it shares with others merged with its own, and the places of its inputs.

These functions work on the data of a file, which may have errors elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from connectors.yaml_form.spec import BODIES, METHODS, WAYS, RequestSpec
from durable.expressions.expression import Expression, ExpressionError
from durable.expressions.template import Template
from durable.language.scope import SYNTAX
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON

Place: TypeAlias = Literal["params", "body"]

SHARED = tuple(field.alias or name for name, field in RequestSpec.model_fields.items())
PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.|%2F)?\}")
"""An input in a path: `{id}`, `{project%2F}` with an encoded `/`, or `{path...}` with several segments."""

LIMIT = "limit"
"""The input of an action with pages that says after how many items the list ends. It is not sent."""

_WITH_BODY = frozenset({"post", "put", "patch"})


def list_methods(action: Mapped) -> list[str]:
    """Return the methods that an action names; a valid action names one."""
    return [method for method in METHODS if method in action]


def list_bodies(action: Mapped) -> list[str]:
    """Return the bodies that an action names; a valid action names at most one."""
    return [body for body in BODIES if body in action]


def merge_request(http: Mapped, action: Mapped) -> Mapped:
    """Return an action merged with what all actions share. Its own keys take precedence, one level deep.

    Some keys are shared only by the actions that they fit: `page` by those that have the key too, `idempotency` by
    POST and PATCH, and `redirects: without_credentials` by GET.
    """
    method = next(iter(list_methods(action)), "")
    shared = {key: http[key] for key in SHARED if key in http and _fits(key, http[key], method, action)}
    merged = {**shared, **action}
    for key in shared.keys() & action.keys():
        common, own = shared[key], action[key]
        if isinstance(common, dict) and isinstance(own, dict):
            merged[key] = {**_drop_replaced(key, common, own), **own}
    return merged


def _fits(key: str, value: JSON, method: str, action: Mapped) -> bool:
    match key:
        case "page":
            return key in action
        case "idempotency":
            return method in {"post", "patch"}
        case "redirects":
            return method == "get" or value != "without_credentials"
    return True


def _drop_replaced(key: str, common: Mapped, own: Mapped) -> Mapped:
    """Remove what the action's own value replaces under another name."""
    if key == "headers":
        names = {name.lower() for name in own}
        return {name: value for name, value in common.items() if name.lower() not in names}
    if (key == "page" and not own.keys().isdisjoint(WAYS)) or (key == "idempotency" and own.keys() & _KEY_PLACES):
        return {name: value for name, value in common.items() if name not in {*WAYS, "param", *_KEY_PLACES}}
    return common


_KEY_PLACES = frozenset({"header", "json", "param"})


def has_pages(action: Mapped) -> bool:
    return "page" in action


# -- the places of the inputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputPlaces:
    """Where the inputs of a merged action go.

    `body`: the kind of body: a key of the file.
    `place`: where inputs go that nothing else reads; None if there is no such place, because the body is a text.
    `added`: these inputs.
    """

    body: str | None
    place: Place | None
    added: tuple[str, ...]


def place_inputs(action: Mapped) -> InputPlaces:
    """Return the places of the inputs. An input that neither the path nor an expression reads goes to the query of GET,
    HEAD and DELETE, and otherwise to the body."""
    method = next(iter(list_methods(action)), "")
    bodies = list_bodies(action)
    has_body = bool(bodies) or method in _WITH_BODY
    kind = bodies[0] if bodies else str(action.get("encode", "json")) if has_body else None
    place: Place | None = "body" if has_body else "params"
    written: Mapping[str, Any] = get_mapping(action.get("params"))
    if has_body:
        body = action.get(kind or "")
        body = body.get("variables") if kind == "graphql" and isinstance(body, dict) else body
        written = get_mapping(body)
        if kind == "body" or (kind in bodies and kind != "graphql" and not isinstance(body, dict)):
            place = None
    in_expressions = (find_read_inputs(action.get(key)) for key in ("params", "headers", *BODIES))
    read = frozenset(find_path_names(action.get(method))).union(*in_expressions)
    added = [
        name
        for name in get_mapping(action.get("inputs"))
        if name not in read and name not in written and not (name == LIMIT and has_pages(action))
    ]
    return InputPlaces(kind, place, () if None in read else tuple(added))


def find_path_names(path: JSON) -> list[str]:
    """Return the inputs in a path."""
    return [found[1] for found in PARAMETER.finditer(path)] if isinstance(path, str) else []


def find_read_inputs(value: JSON) -> frozenset[str | None]:
    """Return the inputs that the expressions in a value read; with None if one reads all of them."""
    try:
        names = Template.parse(value).names
    except ExpressionError:  # reported by the check of expressions
        return frozenset({None})
    return frozenset(name[1] if len(name) > 1 else None for name in names if name[0] == "inputs")


def read_input(name: str) -> str:
    """Return the template that reads an input."""
    return f"{{{{ inputs['{name}'] }}}}" if name in SYNTAX else f"{{{{ inputs.{name} }}}}"


def strip_braces(condition: str) -> str:
    """Return an expression without the braces that may enclose it; raises `ExpressionError`."""
    return Expression.parse(condition).source
