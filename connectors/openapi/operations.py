"""The operations of a document: their names at first, and each one's compiled form when it is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connectors.declared.compiled import DeclaredAction, KeyRule
from connectors.declared.paths import PathTemplate
from connectors.openapi.bodies import BodyReader
from connectors.openapi.document import ImportedDocument, OperationSkipped, Part, decode_part, index_part
from connectors.openapi.inputs import CollectedInputs
from connectors.openapi.names import make_name, shorten_text
from connectors.openapi.parameters import Credentials, ParameterReader
from connectors.openapi.schemas import SchemaConverter
from connectors.openapi.servers import choose_server, make_base_url
from durable.action import Idempotent, Undo
from durable.schema_model import SchemaModel
from durable.wording import quote

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_OTHER_METHODS = ("query", "trace")
"""Methods of operations that are skipped."""

SUMMARY_LIMIT = 200


@dataclass(frozen=True, slots=True)
class ListedOperation:
    """An operation in the list of all: by the keys that lead to it in its document.

    `problem`: why it cannot be used, if that is known without compiling it.
    """

    name: str
    method: str
    path: str
    keys: tuple[str, ...]
    tags: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CompiledOperation:
    """An operation as an action, with what the connector's file adds to it. The schemas in `declared` have
    descriptions."""

    declared: DeclaredAction
    summary: str
    idempotent: Idempotent | None = None
    undo: Undo | None = None
    output: type[SchemaModel] | None = None

    @property
    def has_fields(self) -> bool:
        """Whether fields can be added to its body."""
        declared = self.declared
        is_new = not declared.has_body and declared.method in {"POST", "PUT", "PATCH"}
        return isinstance(declared.body, dict) or is_new


class _Head(msgspec.Struct, rename={"operation_id": "operationId"}):
    """The part of an operation that the list needs."""

    operation_id: Any = None
    tags: Any = None


def list_operations(document: ImportedDocument) -> Iterator[ListedOperation]:
    """Return all operations in the order of the document, with names that are unique."""
    taken: set[str] = set()
    for path, raw in document.paths.items():
        if path.startswith("x-"):
            continue
        keys: tuple[str, ...] = ("paths", path)
        entries, problem = index_part(raw), None
        if "$ref" in entries:
            try:
                keys, entries = _follow(document, decode_part(entries["$ref"]), entries)
            except OperationSkipped as skipped:
                problem = str(skipped)
                entries = entries or {"get": msgspec.Raw(b"{}")}
        for method in entries:
            if method not in METHODS and method not in _OTHER_METHODS:
                continue
            head, wrong = _read_head(entries[method])
            name = make_name(head.operation_id, method, path, taken)
            taken.add(name)
            if method in _OTHER_METHODS:
                wrong = f"the method {method.upper()} is not supported"
            tags = tuple(tag for tag in head.tags if isinstance(tag, str)) if isinstance(head.tags, list) else ()
            yield ListedOperation(name, method, path, keys, tags, problem or wrong)


def _follow(
    document: ImportedDocument, reference: Part, entries: Mapping[str, msgspec.Raw]
) -> tuple[tuple[str, ...], Mapping[str, msgspec.Raw]]:
    """Return the keys and the entries of the path item that another refers to."""
    found = document.resolve({"$ref": reference})
    if not isinstance(found, dict) or not isinstance(reference, str):
        raise OperationSkipped("its path is not a mapping")
    keys = document.locate(reference)
    return keys, {name: msgspec.Raw(msgspec.json.encode(part)) for name, part in found.items()}


def _read_head(raw: msgspec.Raw) -> tuple[_Head, str | None]:
    try:
        return msgspec.json.decode(raw, type=_Head), None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Head(), "it is not a mapping"


@dataclass(frozen=True, slots=True)
class OperationCompiler:
    """Compiles operations of a document.

    `credentials`: the names in which the connection's credentials are sent.
    `has_base_url`: the connector's file says where the service is, whatever the document says; it is added later.
    """

    document: ImportedDocument
    credentials: Credentials
    has_base_url: bool = False

    def compile(self, operation: ListedOperation) -> CompiledOperation:
        """Compile an operation; raises `OperationSkipped`."""
        if operation.problem:
            raise OperationSkipped(operation.problem)
        item = self.document.read(operation.keys)
        part = item.get(operation.method) if isinstance(item, dict) else None
        if not isinstance(part, dict):
            raise OperationSkipped("it is not a mapping")
        inputs, converter = CollectedInputs(), SchemaConverter(self.document)
        parameters = ParameterReader(self.document, converter, inputs, self.credentials)
        path, _, query = operation.path.partition("#")[0].partition("?")
        path = parameters.read(path, item.get("parameters"), part.get("parameters"))
        _add_constants(inputs, query)
        _check_path(path)
        body = BodyReader(self.document, converter, inputs).read(operation.method, part.get("requestBody"))
        self._add_accept(inputs, part)
        declared = DeclaredAction(
            method=operation.method.upper(),
            base_url=make_base_url("" if self.has_base_url else choose_server(self.document, item, part)),
            path=path,
            inputs=inputs.make_schema(converter.definitions),
            params=inputs.params or None,
            headers=inputs.headers or None,
            body=inputs.body,
            encode=body.encode if body else "json",
            has_body=body is not None,
            styles=inputs.styles,
            media_type=body.media_type if body else None,
            idempotency=_choose_key(operation.method, parameters.key),
        )
        return CompiledOperation(declared, _make_summary(operation, part))

    def _add_accept(self, inputs: CollectedInputs, part: Part) -> None:
        """Ask for the media type of the response, if the service has JSON under another name only."""
        responses = part.get("responses")
        if not isinstance(responses, dict) or "accept" in inputs.headers:
            return
        for status in ("200", "201", "202", "2XX", "default"):
            response = self.document.resolve(responses.get(status))
            content = response.get("content") if isinstance(response, dict) else None
            if isinstance(content, dict) and content:
                offered = [each for each in content if "json" in each.lower()]
                if offered and not any(each.lower().startswith("application/json") for each in offered):
                    inputs.headers["accept"] = offered[0]
                return


def _check_path(path: str) -> None:
    try:
        PathTemplate(path)
    except ValueError as error:
        raise OperationSkipped(f"its path cannot be used: {error}") from None


def _add_constants(inputs: CollectedInputs, query: str) -> None:
    """Add the parameters that are part of a path in the document: `/items?type=book`."""
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if "{" not in pair:
            inputs.params.setdefault(name, value)


def _choose_key(method: str, rule: KeyRule | None) -> KeyRule | None:
    return rule if method in {"post", "patch", "put", "delete"} else None


def _make_summary(operation: ListedOperation, part: Part) -> str:
    text = shorten_text(part.get("summary"), SUMMARY_LIMIT) or shorten_text(part.get("description"), SUMMARY_LIMIT)
    return text or f"{operation.method.upper()} {quote(operation.path)}"
