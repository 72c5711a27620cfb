"""What a connector's file adds to the operations of its document: `http`, and the keys of single actions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from connectors.declared.compiled import DeclaredAction, PageRules
from connectors.openapi.operations import CompiledOperation
from connectors.openapi.servers import make_base_url
from connectors.openapi.spec import ImportedActionSpec
from connectors.yaml_form.compile import allow_null, compile_rules
from connectors.yaml_form.merge import LIMIT, merge_request
from connectors.yaml_form.schemas import is_schema, make_schema_of_output, name_notes, remove_notes
from connectors.yaml_form.signature import find_output_schema, list_inputs
from durable.action import Undo
from durable.expressions.template import Template
from durable.known_values import is_template
from durable.schema_model import make_model
from durable.spec_model import Mapped, get_mapping


def add_to_operation(compiled: CompiledOperation, http: Mapped, added: Mapped) -> CompiledOperation:
    """Return an operation with what the file adds to all operations (`http`) and to this one. A parameter that the
    file sets is no input any more."""
    declared = compiled.declared
    merged = merge_request(http, {declared.method.lower(): declared.path, **added})
    merged = {key: value for key, value in merged.items() if key in _KEYS}
    if not merged:
        return compiled
    spec = ImportedActionSpec.model_validate(merged)
    rules = compile_rules(spec, is_in_body=isinstance(declared.body, dict))
    key = rules.get("idempotency")
    if key and (key.json or key.with_) and not compiled.has_fields:
        del rules["idempotency"]  # of all operations; it does not fit this one
    declared = _add_request(declared, spec, rules.get("page"))
    declared = msgspec.structs.replace(declared, inputs=_add_notes(declared.inputs, get_mapping(added.get("inputs"))))
    if "output" in merged:
        rules["output"] = spec.output
    if spec.returns:
        rules["returns"] = remove_notes(make_schema_of_output(spec.returns, is_listed=spec.page is not None))
    schema = find_output_schema(merged)
    if schema and not is_schema(schema):
        raise ValueError("'returns' is not a JSON Schema")
    if schema and spec.errors and spec.errors.ok:
        schema = allow_null(schema)
    return replace(
        compiled,
        declared=msgspec.structs.replace(declared, **rules),
        summary=spec.about or compiled.summary,
        idempotent=spec.idempotent,
        undo=Undo(spec.undo.use, spec.undo.with_ or {}) if spec.undo else None,
        output=make_model("output", schema) if schema else None,
    )


_KEYS = frozenset(field.alias or name for name, field in ImportedActionSpec.model_fields.items())


def _add_request(declared: DeclaredAction, spec: ImportedActionSpec, page: PageRules | None) -> DeclaredAction:
    headers, params = dict(declared.headers or {}), dict(declared.params or {})
    body = dict(declared.body) if isinstance(declared.body, dict) else declared.body
    set_headers = {name.lower() for name in spec.headers or {}}
    replaced = [headers.pop(name) for name in [*headers] if name.lower() in set_headers]
    controlled = _list_controlled(page)
    replaced += [params.pop(name) for name in [*params] if name in {*(spec.params or {}), *controlled}]
    if isinstance(body, dict) and page and page.is_in_body:
        replaced += [body.pop(name) for name in [*body] if name in controlled]
    return msgspec.structs.replace(
        declared,
        base_url=_choose_base_url(declared, spec.base_url),
        headers={**headers, **(spec.headers or {})} or None,
        params={**params, **(spec.params or {})} or None,
        body=body,
        styles={**declared.styles, **(spec.styles or {})},
        inputs=_change_inputs(declared.inputs, replaced, has_pages=page is not None),
    )


def _choose_base_url(declared: DeclaredAction, base_url: str | None) -> str:
    if base_url is None:
        return declared.base_url
    return base_url if is_template(base_url) else make_base_url(base_url)


def _add_notes(inputs: Mapping[str, Any], notes: Mapped) -> dict[str, Any]:
    """Return the schema of the inputs with what the file says of them."""
    properties = {
        name: {**each, **name_notes(notes[name])} if name in notes else each
        for name, each in inputs["properties"].items()
    }
    return {**inputs, "properties": properties}


def _list_controlled(page: PageRules | None) -> set[str]:
    """Return the names of the parameters that are set for each page."""
    if page is None:
        return set()
    return {name for name in (page.param, page.offset, page.number, page.size and page.size.param) if name}


def _change_inputs(inputs: Mapping[str, Any], replaced: Iterable[Any], *, has_pages: bool) -> dict[str, Any]:
    """Return the schema of the inputs without those that only these templates read; with `limit` if there are pages."""
    gone = {name[1] for template in replaced for name in Template.parse(template).names if name[:1] == ("inputs",)}
    properties = {name: each for name, each in inputs["properties"].items() if name not in gone}
    if has_pages and LIMIT not in properties:
        limit = list_inputs({"page": {}, "inputs": {}})[LIMIT]
        properties[LIMIT] = name_notes(limit)
    required = [name for name in inputs.get("required", ()) if name in properties]
    plain = {word: part for word, part in inputs.items() if word != "required"}
    return {**plain, "properties": properties, **({"required": required} if required else {})}
