"""An OpenAPI document: its bytes, and an index of its paths and components, which are decoded when they are needed.

GitHub's document has 13 MB. Decoded as a whole it would take 100 MB of memory; the index takes 2 MB beside the bytes.

    DocumentRefused         the whole document cannot be used
    OperationSkipped        one operation cannot be used, and the others can
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote

import msgspec

from connectors.openapi.yaml_reader import UnreadableYaml, read_yaml
from durable.json_errors import explain_json_error
from durable.problem import Explanation
from durable.values import JSON
from durable.wording import describe_value, quote

SIZE_LIMIT = 64 * 1024 * 1024

Part: TypeAlias = Any
"""A decoded part of a document: any JSON, whatever the specification says."""

_HOPS_LIMIT = 20
"""The maximum number of references that follow one another."""

_CACHED = 512


class DocumentRefused(ValueError):
    """The document cannot be used; says what to do, and on which line if that is known."""

    def __init__(self, message: str, hint: str | None = None, line: int = 1) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.explanation = Explanation(message, hint)
        self.line = line


class OperationSkipped(ValueError):
    """An operation cannot be used; the message says why."""


class ImportedDocument:
    """The parts of a document by reference. `is_3_0`: its schemas have the keywords of OpenAPI 3.0."""

    def __init__(self, data: bytes) -> None:
        """Index the JSON text of a document; raises `DocumentRefused`."""
        root = _index(data)
        if root is None:
            raise DocumentRefused(_explain_text(data), "convert the document to JSON or YAML again")
        self._root = root
        self._read_cached = lru_cache(maxsize=_CACHED)(self._decode)
        self.version = _check_version(self.read(("openapi",)), self.read(("swagger",)))
        self.is_3_0 = self.version.startswith("3.0")
        self.paths: Mapping[str, msgspec.Raw] = _index(root.get("paths", b"")) or {}
        self._components = {
            section: _index(raw) or {} for section, raw in (_index(root.get("components", b"")) or {}).items()
        }
        if not self.paths:
            raise DocumentRefused("the document has no paths", "check that it is the description of an HTTP API")

    def read(self, keys: Sequence[str]) -> Part:
        """Return the part at a path of keys; None if it does not exist."""
        part, rest = self._find(keys)
        for key in rest:
            match part:
                case dict():
                    part = part.get(key)
                case list() if key.isdecimal() and int(key) < len(part):
                    part = part[int(key)]
                case _:
                    return None
        return part

    def _find(self, keys: Sequence[str]) -> tuple[Part, Sequence[str]]:
        """Return the decoded part to which the first keys lead, and the remaining keys."""
        length = {"paths": 2, "components": 3}.get(keys[0], 1) if keys else 0
        return self._read_cached(tuple(keys[:length])), keys[length:]

    def _decode(self, keys: tuple[str, ...]) -> Part:
        match keys:
            case ("paths", path):
                raw = self.paths.get(path)
            case ("components", section, name):
                raw = self._components.get(section, {}).get(name)
            case _:
                raw = self._root.get(keys[0]) if keys else None
        return None if raw is None else decode_part(raw)

    def list_components(self, section: str) -> Iterator[tuple[str, Part]]:
        """Return the components of a section, such as `securitySchemes`, with their names."""
        for name in self._components.get(section, {}):
            yield name, self.resolve(self.read(("components", section, name)))

    def locate(self, reference: str) -> tuple[str, ...]:
        """Return the keys of the part to which a reference leads in the end; raises `OperationSkipped`."""
        for _ in range(_HOPS_LIMIT):
            keys = split_reference(reference)
            part = self.read(keys)
            if not isinstance(part, dict) or not isinstance(part.get("$ref"), str):
                return keys
            reference = part["$ref"]
        raise OperationSkipped("a reference leads to itself")

    def resolve(self, part: Part) -> Part:
        """Follow the references of a part until it has none; raises `OperationSkipped` for one that leads out of the
        document or to nothing."""
        for _ in range(_HOPS_LIMIT):
            if not isinstance(part, dict) or not isinstance(part.get("$ref"), str):
                return part
            reference = part["$ref"]
            part = self.read(split_reference(reference))
            if part is None:
                raise OperationSkipped(f"the reference {quote(reference)} leads to nothing")
        raise OperationSkipped("a reference leads to itself")


def split_reference(reference: str) -> tuple[str, ...]:
    """Return the keys of a reference to a part of the same document; raises `OperationSkipped` for any other."""
    if not reference.startswith("#/"):
        raise OperationSkipped(f"it refers to another document, {quote(reference)}; bundle them into one document")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in unquote(reference[2:]).split("/"))


def read_document(data: bytes) -> ImportedDocument:
    """Read a document, JSON or YAML; raises `DocumentRefused`."""
    if len(data) > SIZE_LIMIT:
        raise DocumentRefused(f"the document is larger than {SIZE_LIMIT // 1024**2} MiB", "remove what you do not use")
    text = data.removeprefix(b"\xef\xbb\xbf")
    return ImportedDocument(text if text.lstrip()[:1] == b"{" else _convert_yaml(text))


def _convert_yaml(data: bytes) -> bytes:
    try:
        read = read_yaml(data.decode())
        if not isinstance(read, dict):
            raise DocumentRefused(f"an OpenAPI document must be a mapping, not {describe_value(read)}")
        return msgspec.json.encode(read)
    except UnreadableYaml as error:
        raise DocumentRefused(str(error), "correct it, or convert the document to JSON", error.line) from None
    except UnicodeError:
        raise DocumentRefused("the document is not UTF-8", "save it as UTF-8") from None
    except (OverflowError, msgspec.MsgspecError, ValueError) as error:
        if isinstance(error, DocumentRefused):
            raise
        raise DocumentRefused(f"the document has a value that JSON cannot express: {error}") from None


def _check_version(openapi: Part, swagger: Part) -> str:
    if swagger is not None or (openapi is not None and str(openapi).startswith("2")):
        hint = "convert it to OpenAPI 3 first, for example with `npx swagger2openapi FILE -o openapi.json`"
        raise DocumentRefused(f"this is a Swagger {swagger or openapi} document", hint)
    version = str(openapi)
    if not version.startswith("3."):
        found = "has no key 'openapi'" if openapi is None else f"has the version {quote(version)}"
        raise DocumentRefused(f"the document {found}", "use a document of OpenAPI 3.0 or 3.1")
    return version


def decode_part(raw: bytes | msgspec.Raw) -> Part:
    """Decode a part of a document; None if it is malformed."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _index(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """Return the entries of a mapping, not decoded; None if it is not a mapping."""
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _explain_text(data: bytes) -> str:
    try:
        read: JSON = msgspec.json.decode(data)
    except RecursionError:
        return "the document is nested too deeply"
    except (msgspec.MsgspecError, UnicodeError) as error:
        return f"the document is not JSON: {explain_json_error(data, str(error))}"
    return f"an OpenAPI document must be a mapping, not {describe_value(read)}"


def index_part(raw: bytes | msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """Return the entries of a mapping of the document, not decoded; empty if it is not a mapping."""
    return _index(raw) or {}
