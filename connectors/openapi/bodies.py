"""The body of an operation: its media type, and the inputs that its fields become."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.declared.compiled import BodyKind
from connectors.openapi.document import ImportedDocument, OperationSkipped, Part
from connectors.openapi.inputs import BODY, CollectedInputs, make_template, read_input
from connectors.openapi.names import shorten_text
from connectors.openapi.schemas import DESCRIPTION_LIMIT, Schema, SchemaConverter, list_required

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"

FILE: Schema = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "base64": {"type": "string"},
                "filename": {"type": "string"},
                "content_type": {"type": "string"},
            },
            "additionalProperties": False,
        },
    ]
}
"""The input of a part of a multipart body that is a file: its text, or a mapping."""


@dataclass(frozen=True, slots=True)
class BodyForm:
    """How a body is sent. `media_type` is None if it is that of `encode`."""

    encode: BodyKind
    media_type: str | None = None


@dataclass(slots=True)
class _Fields:
    """The properties of a body's schema, with those of its alternatives."""

    properties: dict[str, list[Part]] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    description: str = ""


class BodyReader:
    """Adds the fields of one operation's body to its inputs."""

    def __init__(self, document: ImportedDocument, converter: SchemaConverter, inputs: CollectedInputs) -> None:
        self._document = document
        self._converter = converter
        self._inputs = inputs

    def read(self, method: str, body: Part) -> BodyForm | None:
        """Read a `requestBody`; returns None if the operation has none. Raises `OperationSkipped`."""
        body = self._document.resolve(body)
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, dict) or not content or method in {"get", "head"}:
            return None
        media_type, media = min(content.items(), key=lambda each: _rank(each[0]))
        schema = media.get("schema") if isinstance(media, dict) else None
        form = self._choose_form(media_type, schema)
        is_required = body.get("required") is True or method != "delete"
        fields = None if form.encode in {"text", "base64"} else self._find_fields(schema)
        if fields is None:
            self._add_whole(form, schema, is_required=body.get("required") is True)
        else:
            self._add_fields(form, fields, is_required=is_required)
            if form.encode == "form":
                self._add_styles(fields, media)
        return form

    def _choose_form(self, media_type: str, schema: Part) -> BodyForm:
        essence = _get_essence(media_type)
        if essence == JSON_TYPE or (essence.endswith("/*") and not self._is_binary(schema)):
            return BodyForm("json")
        if essence.endswith(("+json", "/json")):
            return BodyForm("json", media_type)
        if essence == FORM_TYPE:
            return BodyForm("form")
        if essence == "multipart/form-data":
            return BodyForm("multipart")
        if essence.startswith("multipart/"):
            raise OperationSkipped(f"it sends {essence}, which is not supported")
        is_text = essence.startswith("text/") or essence.endswith(("xml", "yaml", "ndjson", "jsonl", "sdp"))
        return BodyForm("text" if is_text else "base64", None if essence.endswith("*") else media_type)

    # -- bodies that become one input

    def _add_whole(self, form: BodyForm, schema: Part, *, is_required: bool) -> None:
        match form.encode:
            case "text":
                made: Schema = {"type": "string"}
            case "base64":
                made = {"type": "string", "description": "The body in base64"}
            case "form" | "multipart":
                made = {"type": "object", "description": "The fields of the body, by name"}
            case _:
                made = self._converter.convert(schema)
        name = self._inputs.add(BODY, made, "body", is_required=is_required)
        self._inputs.body = make_template(read_input(name))

    # -- bodies whose fields become inputs

    def _add_fields(self, form: BodyForm, fields: _Fields, *, is_required: bool) -> None:
        required = fields.required if is_required else []
        known = self._inputs.schemas
        colliding = [name for name in fields.properties if name in known]
        if colliding and BODY in fields.properties and BODY not in colliding:
            colliding.append(BODY)
        self._inputs.body = {}
        for name, variants in fields.properties.items():
            schema = self._convert_field(form, variants)
            if name in colliding:
                self._inputs.body[name] = make_template(f"{read_input(BODY, name)} | default(null)")
            else:
                chosen = self._inputs.add(name, schema, "body", is_required=name in required)
                self._inputs.body[name] = make_template(read_input(chosen))
        if colliding:
            inner: Schema = {
                "type": "object",
                "description": "The fields of the body that have the names of other inputs",
                "properties": {name: self._convert_field(form, fields.properties[name]) for name in colliding},
                "additionalProperties": False,
            }
            needed = [name for name in colliding if name in required]
            inner |= {"required": needed} if needed else {}
            self._inputs.add(BODY, inner, "body", is_required=bool(needed))

    def _add_styles(self, fields: _Fields, media: Mapping[str, Any]) -> None:
        """Repeat the names of lists in a form, which is OpenAPI's default, unless the form says otherwise."""
        encoding = media.get("encoding")
        for name, variants in fields.properties.items():
            own = encoding.get(name) if isinstance(encoding, dict) else None
            is_deep = isinstance(own, dict) and own.get("style") == "deepObject"
            if not is_deep and any(self._resolve(part).get("type") == "array" for part in variants):
                self._inputs.styles[name] = "repeat"

    def _convert_field(self, form: BodyForm, variants: list[Part]) -> Schema:
        schemas: list[Schema] = []
        for part in variants:
            schema = self._convert_file(part) if form.encode == "multipart" else self._converter.convert(part)
            if schema not in schemas:
                schemas.append(schema)
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _convert_file(self, part: Part) -> Schema:
        """Convert a part of a multipart body, which may be a file or a list of files."""
        plain = self._resolve(part)
        text = shorten_text(plain.get("description"), DESCRIPTION_LIMIT)
        notes = {"description": text} if text else {}
        if self._is_binary(part):
            return FILE | notes
        if plain.get("type") == "array" and self._is_binary(plain.get("items")):
            return {"type": "array", "items": FILE} | notes
        return self._converter.convert(part)

    def _is_binary(self, part: Part) -> bool:
        schema = self._resolve(part)
        if schema.get("format") == "binary" or "contentMediaType" in schema or schema.get("type") == "file":
            return True
        return any(self._is_binary(each) for word in ("anyOf", "oneOf") for each in _get_parts(schema, word))

    def _find_fields(self, part: Part, depth: int = 0) -> _Fields | None:
        """Return the fields of a mapping; None if the schema may be something else, or if its fields are unknown."""
        schema = self._resolve(part)
        if depth > 10 or schema.get("type", "object") not in ("object", ["object"]) or schema.get("nullable") is True:
            return None
        fields = _Fields()
        properties = schema.get("properties")
        for name, each in properties.items() if isinstance(properties, dict) else ():
            if not (isinstance(each, dict) and each.get("readOnly") is True):
                fields.properties.setdefault(name, []).append(each)
        fields.required += list_required(schema)
        for each in _get_parts(schema, "allOf"):
            found = self._find_fields(each, depth + 1)
            if found is None:
                return None
            _merge(fields, found)
        alternatives = [
            self._find_fields(each, depth + 1) for word in ("anyOf", "oneOf") for each in _get_parts(schema, word)
        ]
        for found in alternatives:
            if found is not None:
                _merge(fields, _Fields(found.properties))
        if not fields.properties or (alternatives and not properties and None in alternatives):
            return None
        common = [set(found.required) for found in alternatives if found is not None]
        fields.required += sorted(set.intersection(*common)) if len(common) == len(alternatives) > 0 else []
        return fields

    def _resolve(self, part: Part) -> Mapping[str, Any]:
        resolved = self._document.resolve(part)
        return resolved if isinstance(resolved, dict) else {}


def _merge(fields: _Fields, more: _Fields) -> None:
    for name, variants in more.properties.items():
        fields.properties.setdefault(name, []).extend(variants)
    fields.required += more.required


def _get_parts(schema: Mapping[str, Any], word: str) -> list[Part]:
    parts = schema.get(word)
    return parts if isinstance(parts, list) else []


def _get_essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _rank(media_type: str) -> int:
    """Return the order in which media types are preferred: JSON, forms, multipart, text, bytes."""
    match _get_essence(media_type):
        case "application/json":
            return 0
        case "application/merge-patch+json":
            return 1
        case "application/json-patch+json":
            return 3
        case essence if essence.endswith(("+json", "/json")):
            return 2
        case "application/*" | "*/*":
            return 4
        case "application/x-www-form-urlencoded":
            return 5
        case "multipart/form-data":
            return 6
        case essence if essence.startswith("text/"):
            return 7
        case _:
            return 8
