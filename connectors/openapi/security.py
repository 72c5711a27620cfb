"""The credentials of a document's connections: their fields, and the schemes that send them.

`security` may be malformed, since few tools read it: what is not understood is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.openapi.document import ImportedDocument, OperationSkipped
from connectors.openapi.names import shorten_text, to_snake_case
from connectors.openapi.parameters import Credentials
from connectors.openapi.schemas import DESCRIPTION_LIMIT, Schema
from connectors.openapi.servers import BASE_URL
from connectors.yaml_form.schemas import name_notes
from connectors.yaml_form.spec import ConnectionFieldsSpec
from durable.expressions.expression import ExpressionError
from durable.expressions.template import Template

_UNKNOWN = "A token, sent as `Authorization: Bearer TOKEN`; the document does not say what the service expects"


@dataclass(frozen=True, slots=True)
class ConnectionFields:
    """What a connection of an imported document has. `fields` are JSON Schemas by name; the first entry of `auth`
    applies whose fields a connection gives."""

    fields: Mapping[str, Schema]
    auth: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class _Entry:
    """An entry of `auth`, with the fields that it reads."""

    settings: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Schema] = field(default_factory=dict)


def find_credentials(document: ImportedDocument) -> Credentials:
    """Return the names of the headers and parameters in which credentials are sent."""
    schemes = [scheme for _, scheme in _list_schemes(document) if scheme.get("type") == "apiKey"]
    named = [(scheme.get("in"), str(scheme.get("name"))) for scheme in schemes]
    return Credentials(
        headers=frozenset(name.lower() for place, name in named if place == "header"),
        query=frozenset(name for place, name in named if place == "query"),
    )


def read_security(document: ImportedDocument, server: str | None) -> ConnectionFields:
    """Return the fields and the schemes of a document's connections. `server` is its main server."""
    schemes = dict(_list_schemes(document))
    requirements, is_optional = _list_requirements(document, schemes)
    entries: list[_Entry] = []
    for names in requirements:
        entry = _make_entry({name: schemes[name] for name in names})
        if entry.settings and entry.settings not in [each.settings for each in entries]:
            entries.append(entry)
    if not schemes:
        entries, is_optional = [_Entry({"bearer": "{{ connection.token }}"}, {"token": _secret(_UNKNOWN)})], True
    is_required = len(entries) == 1 and not is_optional
    fields = {name: each for entry in entries for name, each in entry.fields.items()}
    where = f"default: {server}" if server else "the document names none"
    address: Schema = {"type": "string", "secret": True, "url": True, "description": f"The service's base URL; {where}"}
    return ConnectionFields(
        {
            **(fields if is_required else {name: _make_optional(each) for name, each in fields.items()}),
            BASE_URL: _make_optional(address) if server else address,
        },
        [entry.settings for entry in entries],
    )


def combine_connection(found: ConnectionFields, given: ConnectionFieldsSpec | None) -> ConnectionFields:
    """Return the document's fields and schemes with what the file says: its `auth` takes the place of the document's,
    and its `fields` are added to the base URL and to those that `auth` reads."""
    if given is None:
        return found
    auth = given.auth or found.auth
    kept = {name: each for name, each in found.fields.items() if name == BASE_URL or name in _find_fields(auth)}
    return ConnectionFields(kept | {name: name_notes(schema) for name, schema in given.fields.items()}, auth)


def _find_fields(auth: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the fields of the connection that schemes read."""
    try:
        names = Template.parse([dict(each) for each in auth]).names
    except ExpressionError:  # reported by the check of expressions
        return set()
    return {name[1] for name in names if name[0] == "connection" and len(name) > 1}


def _list_schemes(document: ImportedDocument) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        for name, scheme in document.list_components("securitySchemes"):
            if isinstance(scheme, dict):
                yield name, scheme
    except OperationSkipped:
        return


def _list_requirements(
    document: ImportedDocument, schemes: Mapping[str, Mapping[str, Any]]
) -> tuple[list[list[str]], bool]:
    """Return the alternatives of the document, each with the names of its schemes, and whether none of them is
    required. Without `security`, each scheme is an alternative."""
    listed = document.read(("security",))
    alternatives = listed if isinstance(listed, list) else [listed]
    found = [[name for name in each if name in schemes] for each in alternatives if isinstance(each, dict)]
    if any(found):
        return [names for names in found if names], not all(found)
    return [[name] for name in schemes], True


def _make_entry(schemes: Mapping[str, Mapping[str, Any]]) -> _Entry:
    """Make an entry of `auth` that sends the credentials of all these schemes."""
    entry = _Entry()
    for name, scheme in schemes.items():
        about = shorten_text(scheme.get("description"), DESCRIPTION_LIMIT)
        match scheme:
            case {"type": "http", "scheme": str(kind)} if kind.lower() == "basic":
                entry.fields["username"] = {"type": "string", "description": about or "The user name"}
                entry.fields["password"] = _secret("The password") | {"default": ""}
                entry.settings["basic"] = {
                    "username": "{{ connection.username }}",
                    "password": "{{ connection.password }}",
                }
            case {"type": "http", "scheme": str(kind)} if kind.lower() != "bearer":
                continue
            case {"type": "http" | "oauth2" | "openIdConnect"}:
                entry.fields["token"] = _secret(about or "An access token")
                entry.settings["bearer"] = "{{ connection.token }}"
            case {"type": "apiKey", "in": "header" | "query" as place, "name": str(sent)}:
                chosen = _choose_field(name, sent, entry)
                entry.fields[chosen] = _secret(about or f"The value of the {place} parameter {sent}")
                entry.settings.setdefault(place, {})[sent] = f"{{{{ connection.{chosen} }}}}"
    return entry


def _choose_field(name: str, sent: str, entry: _Entry) -> str:
    """Return the name of the field of an API key: that of its scheme, if it is a name."""
    wanted = to_snake_case(name) or to_snake_case(sent) or "key"
    wanted = "key" if wanted == BASE_URL else wanted
    return wanted if wanted not in entry.fields else f"{wanted}_{len(entry.fields)}"


def _secret(about: str) -> Schema:
    return {"type": "string", "secret": True, "description": about}


def _make_optional(schema: Schema) -> Schema:
    return schema if "default" in schema else {**schema, "type": [schema["type"], "null"], "default": None}
