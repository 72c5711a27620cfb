"""The description of the API: an OpenAPI 3.1 document made of the operations, and a page that shows it.

https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from pydantic import Field
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from durable import __version__
from triggers.api.cached_text import CachedText
from triggers.api.operation import HEADER, Answer, ApiRequest, Nothing, Operation, Parameters
from triggers.api.page import render
from triggers.api.problem import MEDIA_TYPE
from triggers.documents.fields import COMPONENTS
from triggers.documents.runs import EntryDocument
from triggers.html.headers import PAGE_HEADERS
from triggers.problem_details import ProblemDetails

OpenApi: TypeAlias = dict[str, Any]
"""A part of an OpenAPI document, as JSON."""

Operations: TypeAlias = Sequence[Operation[Any, Any]]
Describe: TypeAlias = Callable[[ApiRequest[Any, Nothing]], Awaitable[Response]]

WHERE = "/api"

ABOUT = (
    "Start runs of pipelines and read what became of them. Times are ISO 8601 in UTC, durations are text such as `30s`,"
    " `5m` or `7d`. Errors are problem details (RFC 9457)."
)

PROBLEMS = {
    400: "The request cannot be read",
    401: "No key, or one that is not known",
    403: "The key's scope does not suffice",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is compressed",
    422: "A parameter or a key of the body is wrong; the problem names it",
    429: "Too many wrong keys, or requests without a valid one, came from this address",
    503: "Not now: the disk is full, or too much is under way; `Retry-After` says when",
}
HEADERS = {401: "WWW-Authenticate", 403: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

EVENT_STREAM = "text/event-stream"

EVENT_SCHEMA = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("event", "id", "data")},
}
"""The schema of an event of a stream; its data is JSON."""


class OpenApiDocument(Struct):
    """This document."""

    openapi: str


OPEN: Sequence[type] = (EntryDocument, OpenApiDocument)
"""The documents with more keys than their types name."""


class DescriptionParameters(Parameters):
    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="The `ETag` of an earlier answer", json_schema_extra=HEADER
    )


class DocumentOperations:
    """Answers what is asked about the API itself."""

    def __init__(self, described: Operations) -> None:
        self.operations: list[Operation[Any, Any]] = [
            *described,
            self._make_operation("/openapi.json", self.get_document, OpenApiDocument),
            self._make_operation("/docs", self.get_page, "text/html"),
        ]
        """All of them: those that are described, and these."""
        self._json = CachedText(lambda: msgspec.json.encode(self._document), "application/json")
        self._html = CachedText(lambda: render(self._document).encode(), "text/html", PAGE_HEADERS)

    @staticmethod
    def _make_operation(path: str, perform: Describe, answer: Answer) -> Operation[Any, Any]:
        answers: dict[int, Answer] = {200: answer, 304: None}
        return Operation("GET", path, perform, None, DescriptionParameters, Nothing, answers)

    @cached_property
    def _document(self) -> OpenApi:
        """Made on the first request: it takes a tenth of a second, which every start would pay for."""
        return make_document(self.operations)

    async def get_document(self, asked: ApiRequest[DescriptionParameters, Nothing]) -> Response:
        """Describe the API for programs."""
        return await self._json.respond(asked.parameters.if_none_match)

    async def get_page(self, asked: ApiRequest[DescriptionParameters, Nothing]) -> Response:
        """Describe the API for people."""
        return await self._html.respond(asked.parameters.if_none_match)


def make_document(operations: Operations) -> OpenApi:
    """The OpenAPI document of the operations."""
    paths: dict[str, OpenApi] = {}
    for operation in operations:
        paths.setdefault(WHERE + operation.path, {})[operation.method.lower()] = _describe_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Waypost", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": _describe_bodies(operations) | _describe_documents(operations),
            "responses": {str(status): _describe_problem(status, text) for status, text in PROBLEMS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe_bodies(operations: Operations) -> OpenApi:
    """The schemas of what requests hold."""
    models = dict.fromkeys(operation.body for operation in operations if operation.body is not Nothing)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=f"{COMPONENTS}/{{model}}")
    return dict(schemas["$defs"])


def _describe_documents(operations: Operations) -> OpenApi:
    """The schemas of the answers, named as `_find_name` does."""
    answers = (answer for operation in operations for answer in operation.answers.values())
    documents = [ProblemDetails, *dict.fromkeys(each for answer in answers for each in _list_documents(answer))]
    _, schemas = msgspec.json.schema_components(documents, ref_template=f"{COMPONENTS}/{{name}}")
    for each in OPEN:
        schemas[each.__name__]["additionalProperties"] = True
    named = re.sub(rb'(?<=")([^"]*)Document(?=")', rb"\1", msgspec.json.encode(schemas))
    return msgspec.json.decode(named, type=dict[str, Any])


def _list_documents(answer: Answer) -> Sequence[type[Struct]]:
    if answer is None or isinstance(answer, str):
        return ()
    return answer if isinstance(answer, tuple) else (answer,)


def _find_name(document: type) -> str:
    return document.__name__.removesuffix("Document")


def _describe_operation(operation: Operation[Any, Any]) -> OpenApi:
    summary, _, more = operation.description.partition("\n")
    described: OpenApi = {
        "operationId": operation.id,
        "tags": [re.split("[/.]", operation.path)[1]],
        "summary": summary.rstrip("."),
        "parameters": list(_describe_parameters(operation)),
        "responses": dict(_describe_responses(operation)),
    }
    if more.strip():
        described["description"] = more.strip()
    if operation.scope:
        described["security"] = [{"key": []}]
        described["x-scope"] = operation.scope
        described |= {"x-grant": operation.grant} if operation.grant else {}
    if operation.body is not Nothing:
        is_required = any(info.is_required() for info in operation.body.model_fields.values())
        described["requestBody"] = {"required": is_required, "content": _describe_content(operation.body)}
    return described


def _describe_parameters(operation: Operation[Any, Any]) -> Iterator[OpenApi]:
    schema = operation.parameters.model_json_schema()
    for name, place in operation.find_places().items():
        kind = schema["properties"][name]
        yield {
            "name": name,
            "in": place,
            "required": name in schema.get("required", ()),
            "description": kind["description"],
            "schema": _drop_null(kind),
        }


def _drop_null(kind: OpenApi) -> OpenApi:
    """The schema of a parameter without the null that means that it is absent."""
    [given] = [each for each in kind.get("anyOf", [kind]) if each != {"type": "null"}]
    return {key: value for key, value in given.items() if key not in ("title", "description", "in")}


def _describe_responses(operation: Operation[Any, Any]) -> Iterator[tuple[str, OpenApi]]:
    for status, answer in operation.answers.items():
        content = {} if answer is None else {"content": _describe_content(answer)}
        yield str(status), {"description": HTTPStatus(status).phrase, **content}
    for status in _list_statuses(operation):
        yield str(status), {"$ref": f"#/components/responses/{status}"}
    for status, text in operation.problems.items():
        yield str(status), _describe_problem(status, text)


def _list_statuses(operation: Operation[Any, Any]) -> Iterator[int]:
    """The problems that the shape of the operation brings."""
    yield 400
    if operation.scope:
        yield 401
        if operation.scope != "read":
            yield 403
    yield 429
    if "{" in operation.path:
        yield 404
    if operation.body is not Nothing:
        yield from (408, 413, 415)
    yield from (422, 503)


def _describe_content(answer: type | tuple[type, ...] | str) -> OpenApi:
    if answer == EVENT_STREAM:  # tools check a schema against each event, not against the text of all
        return {answer: {"schema": EVENT_SCHEMA}}
    if isinstance(answer, str):
        return {answer: {"schema": {"type": "string"}}}
    refs = [
        {"$ref": f"{COMPONENTS}/{_find_name(each)}"} for each in (answer if isinstance(answer, tuple) else (answer,))
    ]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def _describe_problem(status: int, text: str) -> OpenApi:
    described: OpenApi = {
        "description": text,
        "content": {MEDIA_TYPE: _describe_content(ProblemDetails)["application/json"]},
    }
    if status in HEADERS:
        described["headers"] = {HEADERS[status]: {"schema": {"type": "string"}}}
    return described
