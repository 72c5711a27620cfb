"""The parameters of an operation: in the path, the query and the headers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.declared.compiled import KeyRule, ParameterStyle
from connectors.openapi.document import ImportedDocument, OperationSkipped, Part
from connectors.openapi.inputs import CollectedInputs, make_template, read_input
from connectors.openapi.names import shorten_text
from connectors.openapi.schemas import DESCRIPTION_LIMIT, Schema, SchemaConverter
from durable.wording import quote

PATH_NAME = re.compile(r"\{([^{}]*)\}")

_KEY_HEADERS = frozenset({"idempotency-key", "x-idempotency-key", "idempotence-key", "x-request-idempotency-key"})
_CREDENTIALS = frozenset({"authorization", "token", "x-auth-token", "x-access-token"})
"""Headers in which documents describe the credentials of the connection."""

_ENCODED = re.compile(r"(url|percent)[- ]?encoded", re.IGNORECASE)

_SEPARATED: Mapping[str, ParameterStyle] = {"form": "comma", "spaceDelimited": "space", "pipeDelimited": "pipe"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Names of headers, in lower case, and of query parameters that hold the connection's credentials."""

    headers: frozenset[str] = frozenset()
    query: frozenset[str] = frozenset()


class ParameterReader:
    """Adds the parameters of one operation to its inputs. `key` is the rule of its idempotency key, if it has one."""

    def __init__(
        self, document: ImportedDocument, converter: SchemaConverter, inputs: CollectedInputs, credentials: Credentials
    ) -> None:
        self._document = document
        self._converter = converter
        self._inputs = inputs
        self._credentials = credentials
        self.key: KeyRule | None = None

    def read(self, path: str, *listed: Part) -> str:
        """Read lists of parameters, the later ones taking precedence, and return the path with the names of inputs in
        its braces. Raises `OperationSkipped`."""
        found: dict[tuple[str, str], Part] = {}
        for each in listed:
            for part in each if isinstance(each, list) else ():
                parameter = self._document.resolve(part)
                place, name = (parameter.get(key) for key in ("in", "name")) if isinstance(parameter, dict) else (0, 0)
                if isinstance(place, str) and isinstance(name, str) and name:
                    found[place, name] = parameter
                elif isinstance(parameter, dict) and parameter.get("required") is True:
                    raise OperationSkipped("it requires a parameter without a name")
        for (place, name), parameter in found.items():
            match place:
                case "query":
                    self._read_query(name, parameter)
                case "header":
                    self._read_header(name, parameter)
                case "cookie" if parameter.get("required") is True:
                    raise OperationSkipped(f"it requires the cookie {quote(name)}, and Waypost does not send cookies")
                case "querystring":
                    raise OperationSkipped("its query is one text ('in: querystring')")
        return self._read_path(path, {name: each for (place, name), each in found.items() if place == "path"})

    # -- path

    def _read_path(self, path: str, declared: Mapping[object, Part]) -> str:
        names: dict[str, str] = {}
        for name in dict.fromkeys(PATH_NAME.findall(path)):
            parameter = declared.get(name, {})
            schema = self._convert(parameter)
            if schema.get("type") in ("array", "object"):
                raise OperationSkipped(f"the parameter {quote(name)} of its path is {_name_kind(schema)}")
            chosen = self._inputs.add(name, schema, "path", is_required=True)
            names[name] = f"{{{chosen}{_choose_suffix(parameter)}}}"
        return PATH_NAME.sub(lambda found: names[found[1]], path)

    # -- query

    def _read_query(self, name: str, parameter: Part) -> None:
        if name in self._credentials.query:
            return
        schema = self._convert(parameter)
        is_required = parameter.get("required") is True
        style = str(parameter.get("style", "form"))
        is_exploded = parameter.get("explode", style == "form") is not False
        if style == "form" and "style" in parameter and is_exploded and schema.get("type") == "object":
            for inner, each in schema.get("properties", {}).items():
                self._add_param(inner, each, is_required=inner in schema.get("required", ()) and is_required)
            return
        if "content" in parameter:
            chosen = self._inputs.add(name, schema, "query", is_required=is_required)
            value = read_input(chosen)
            self._inputs.params[name] = make_template(f"{value} | tojson if {value} is not none else null")
            return
        self._add_param(name, schema, is_required=is_required)
        if style == "deepObject":
            self._inputs.styles[name] = "deep"
        elif style in _SEPARATED and not is_exploded:
            self._inputs.styles[name] = _SEPARATED[style]

    def _add_param(self, name: str, schema: Schema, *, is_required: bool) -> None:
        chosen = self._inputs.add(name, schema, "query", is_required=is_required)
        self._inputs.params[name] = make_template(read_input(chosen))

    # -- headers

    def _read_header(self, name: str, parameter: Part) -> None:
        lowered = name.lower()
        if lowered in _KEY_HEADERS:
            self.key = self._make_key_rule(name, parameter)
            return
        if lowered in _CREDENTIALS or lowered in self._credentials.headers or lowered == "content-type":
            return
        schema = self._convert(parameter)
        if lowered == "accept":
            if isinstance(schema.get("default"), str):
                self._inputs.headers["accept"] = schema["default"]
            return
        chosen = self._inputs.add(name, schema, "header", is_required=parameter.get("required") is True)
        value = read_input(chosen)
        is_list = schema.get("type") == "array"
        self._inputs.headers[name] = make_template(f"{value} | join(',') if {value} else null" if is_list else value)

    def _make_key_rule(self, name: str, parameter: Part) -> KeyRule:
        schema = self._document.resolve(parameter.get("schema") or {})
        schema = schema if isinstance(schema, dict) else {}
        longest = schema.get("maxLength")
        return KeyRule(
            header=name.lower(),
            max=longest if isinstance(longest, int) and longest >= 16 else None,
            format="uuid" if schema.get("format") == "uuid" else "text",
        )

    # -- schemas

    def _convert(self, parameter: Part) -> Schema:
        """Return the schema of a parameter, with its description, and with a default if one must be sent."""
        part = next(_find_schemas(parameter), None)
        schema = dict(self._converter.convert(part))
        text = shorten_text(parameter.get("description"), DESCRIPTION_LIMIT)
        schema |= {"description": text} if text else {}
        constant = self._find_constant(part)
        return schema | ({"default": constant} if constant is not None and parameter.get("required") is True else {})

    def _find_constant(self, part: Part) -> Any:
        """Return the value that a required parameter has if none is given: its default, or the only one of its enum."""
        schema = self._document.resolve(part)
        if not isinstance(schema, dict):
            return None
        values = schema.get("enum")
        only = values[0] if isinstance(values, list) and len(values) == 1 else schema.get("const")
        return schema.get("default", only)


def _find_schemas(parameter: Part) -> Iterator[Part]:
    """Return the schemas of a parameter: its own, or those of its media types."""
    if "schema" in parameter:
        yield parameter["schema"]
    content = parameter.get("content")
    for media in content.values() if isinstance(content, dict) else ():
        yield media.get("schema") if isinstance(media, dict) else None


def _choose_suffix(parameter: Mapping[str, Any]) -> str:
    """Return how a path reads a parameter whose value may contain `/`. No keyword of OpenAPI says that the service
    decodes `%2F`; descriptions do, as in GitLab's document."""
    if parameter.get("x-multi-segment") is True or parameter.get("allowReserved") is True:
        return "..."
    return "%2F" if _ENCODED.search(str(parameter.get("description"))) else ""


def _name_kind(schema: Schema) -> str:
    return "a list" if schema["type"] == "array" else "a mapping"
