"""Compiles a valid connector file: its actions to their compiled form, and the whole to a `Connector`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from connectors.declared.action import make_action
from connectors.declared.compiled import (
    BodyKind,
    DeclaredAction,
    ErrorMatch,
    ErrorRules,
    KeyRule,
    PageRules,
    PageSize,
    RetryAfter,
)
from connectors.yaml_form.merge import InputPlaces, list_methods, merge_request, place_inputs, read_input, strip_braces
from connectors.yaml_form.schemas import make_schema_of_inputs, make_schema_of_output, name_notes, remove_notes
from connectors.yaml_form.signature import Signature, find_output_schema, list_inputs
from connectors.yaml_form.spec import (
    BytesSpec,
    ConnectorSpec,
    DeclaredActionSpec,
    ErrorMatchSpec,
    ErrorsSpec,
    KeySpec,
    PageSpec,
    RequestSpec,
    RetryAfterSpec,
)
from durable.action import Action, Connector, Undo
from durable.expressions.template import Template
from durable.limit import NO_LIMIT
from durable.schema_model import make_inputs_schema, make_model
from durable.spec_model import Mapped, get_list, get_mapping
from durable.values import JSON


class UncompilableAction(ValueError):
    """The keys of an action exclude each other; the message says why."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def compile_connector(
    spec: ConnectorSpec, data: Mapped, signatures: Mapping[str, Signature], more: Iterable[Action] = ()
) -> Connector:
    """Compile a file without errors; `data` is what `spec` was made from, `signatures` what the actions take, and
    `more` the actions of its Python file. Raises `UncompilableAction`."""
    connection = spec.connection
    fields = {name: name_notes(schema) for name, schema in connection.fields.items()} if connection else {}
    secrets = frozenset(name for name, schema in fields.items() if schema.get("secret"))
    http = get_mapping(data.get("http"))
    written = get_mapping(data.get("actions"))
    actions = [
        _compile_action(name, merge_request(http, get_mapping(action)), signatures[name].input, secrets)
        for name, action in written.items()
    ]
    return Connector(
        spec.id,
        spec.about,
        [*actions, *more],
        make_model(f"{spec.id}_connection", make_inputs_schema(fields)) if connection else None,
        auth=connection.auth if connection else (),
        test=connection.test if connection else None,
        limit=spec.http.limit or NO_LIMIT,
        tests=[get_mapping(test) for test in get_list(data.get("tests"))],
    )


def _compile_action(name: str, merged: Mapped, input: type[BaseModel], secrets: frozenset[str]) -> Action:
    """Compile an action that is merged with what all actions share; `secrets` are the secret fields of connections."""
    spec = DeclaredActionSpec.model_validate(merged)
    declared = _compile_request(spec, merged, secrets)
    undo = Undo(spec.undo.use, spec.undo.with_ or {}) if spec.undo else None
    try:
        made = make_action(name, declared, summary=spec.about, idempotent=spec.idempotent, undo=undo)
    except ValueError as error:
        raise UncompilableAction(name, str(error)) from None
    output = made.output
    if spec.returns:  # with its descriptions, which the stored form omits
        returned = make_schema_of_output(spec.returns, is_listed=spec.page is not None)
        output = make_model(f"{name}_output", name_notes(returned))
    if output is None and (schema := find_output_schema(merged)):
        output = make_model(f"{name}_output", allow_null(schema) if spec.errors and spec.errors.ok else schema)
    return replace(made, input=input, output=output)


def allow_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of an output that is null where an error counts as success."""
    return {"anyOf": [schema, {"type": "null"}]}


def _compile_request(spec: DeclaredActionSpec, merged: Mapped, secrets: frozenset[str]) -> DeclaredAction:
    [method] = list_methods(merged)
    placement = place_inputs(merged)
    added = {name: read_input(name) for name in placement.added}
    base_url = spec.base_url or ""
    given: dict[str, Any] = {"output": spec.output} if "output" in merged else {}
    if spec.returns:
        given["returns"] = remove_notes(make_schema_of_output(spec.returns, is_listed=spec.page is not None))
    return DeclaredAction(
        method=method.upper(),
        base_url=base_url,
        path=str(merged[method]),
        inputs=remove_notes(make_schema_of_inputs(list_inputs(merged))),
        params={**(spec.params or {}), **(added if placement.place == "params" else {})} or None,
        headers=dict(spec.headers) if spec.headers else None,
        styles=dict(spec.styles or {}),
        media_type=spec.media_type,
        has_secret_url=any(
            name[0] == "connection" and (len(name) == 1 or name[1] in secrets)
            for name in Template.parse(base_url).names
        ),
        **_compile_body(spec, placement, added),
        **compile_rules(spec, is_in_body=placement.place == "body"),
        **given,
    )


def compile_rules(spec: RequestSpec, *, is_in_body: bool) -> dict[str, Any]:
    """Return the fields of the compiled form that describe responses, pages and the idempotency key, as far as the
    file sets them. `is_in_body`: the inputs go to the body."""
    rules: dict[str, Any] = {}
    if spec.errors:
        rules["errors"] = _compile_errors(spec.errors)
    if spec.retry_after:
        rules["retry_after"] = tuple(_compile_retry_after(each) for each in spec.retry_after)
    if spec.page:
        rules["page"] = _compile_page(spec.page, is_in_body=is_in_body)
    if spec.idempotency:
        rules["idempotency"] = _compile_key(spec.idempotency)
    if spec.redirects:
        rules["redirects"] = spec.redirects
    return rules


def _compile_body(spec: DeclaredActionSpec, placement: InputPlaces, added: Mapping[str, JSON]) -> dict[str, Any]:
    """Return the fields of the compiled form that describe the body."""
    kind: BodyKind
    more = added if placement.place == "body" else {}
    match placement.body:
        case None:
            return {}
        case "graphql":
            assert spec.graphql is not None, "it is the body"
            variables = {**(spec.graphql.variables or {}), **more}
            return _make_body("graphql", {"query": spec.graphql.query, "variables": variables})
        case "body":
            if isinstance(spec.body, BytesSpec):
                return _make_body("base64", spec.body.base64)
            return _make_body("text", spec.body)
        case "form" | "multipart" as kind:
            written: JSON = spec.form if kind == "form" else spec.multipart
        case _:
            kind, written = "json", spec.json_
    if placement.place is None:
        return _make_body(kind, written)
    body = {**get_mapping(written), **more}
    is_written = written is not None or bool(spec.idempotency and (spec.idempotency.json_ or spec.idempotency.with_))
    return _make_body(kind, body) if body or is_written else {}


def _make_body(kind: BodyKind, body: JSON) -> dict[str, Any]:
    return {"encode": kind, "body": body, "has_body": True}


def _compile_errors(spec: ErrorsSpec) -> ErrorRules:
    return ErrorRules(
        when=_strip(spec.when),
        code=spec.code,
        message=spec.message,
        ok=tuple(map(str, spec.ok)),
        classes=tuple(
            (error_class, _compile_match(each)) for error_class, matches in spec.classes.items() for each in matches
        ),
    )


def _compile_match(match: ErrorMatchSpec | str | int) -> ErrorMatch:
    return ErrorMatch(when=_strip(match.when)) if isinstance(match, ErrorMatchSpec) else ErrorMatch(code=str(match))


def _compile_retry_after(spec: RetryAfterSpec) -> RetryAfter:
    return RetryAfter(spec.header and spec.header.lower(), _strip(spec.value), spec.unit, _strip(spec.when))


def _compile_page(spec: PageSpec, *, is_in_body: bool) -> PageRules:
    return PageRules(
        items=strip_braces(spec.items or ""),
        more=_strip(spec.more),
        link=spec.link,
        next=_strip(spec.next),
        cursor=_strip(spec.cursor),
        offset=spec.offset.param if spec.offset else None,
        number=spec.number.param if spec.number else None,
        param=spec.param,
        first=spec.number.first if spec.number else 1,
        size=PageSize(spec.size.param, spec.size.value) if spec.size else None,
        max_pages=spec.max_pages,
        max_items=spec.max_items,
        delay=spec.delay,
        is_in_body=is_in_body,
    )


def _compile_key(spec: KeySpec) -> KeyRule:
    return KeyRule(spec.header, spec.json_, spec.param, spec.max, spec.as_, spec.with_)


def _strip(condition: str | None) -> str | None:
    return None if condition is None else strip_braces(condition)
