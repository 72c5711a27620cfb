"""Checks the actions of a connector's file: method and path, body, inputs, and the choices for them."""

import re
from collections.abc import Mapping
from typing import Any

from connectors.declared.paths import PathTemplate
from connectors.yaml_form.merge import (
    LIMIT,
    PARAMETER,
    find_path_names,
    has_pages,
    list_bodies,
    list_methods,
    merge_request,
    place_inputs,
)
from connectors.yaml_form.request_check import RequestCheck
from connectors.yaml_form.rules_check import RequestForm, RulesCheck, check_schemas, check_whole
from connectors.yaml_form.schemas import is_schema, make_schema_of_inputs
from connectors.yaml_form.signature import Signature
from connectors.yaml_form.spec import METHODS, DeclaredActionSpec
from durable.language.report import Report
from durable.problem import Pointer
from durable.spec_model import Mapped, get_mapping
from durable.wording import quote, suggest

_KEYS = frozenset(field.alias or name for name, field in DeclaredActionSpec.model_fields.items())
_READ = frozenset({"get", "head"})


class ActionCheck:
    """Checks each action. `signatures` are the inputs and outputs of all actions of the connector, by name."""

    def __init__(
        self, report: Report, requests: RequestCheck, http: Mapped, signatures: Mapping[str, Signature]
    ) -> None:
        self._report = report
        self._requests = requests
        self._http = http
        self._signatures = signatures
        self._rules = RulesCheck(report, requests, signatures)

    def check(self, name: str, action: Mapped, pointer: Pointer) -> None:
        own = self._signatures[name]
        merged = merge_request(self._http, action)
        self._check_method(action, pointer)
        self._check_inputs(get_mapping(action.get("inputs")), (*pointer, "inputs"), own)
        self._check_limit(action, pointer)
        self._check_body(action, pointer, own)
        if len(list_methods(action)) == 1:
            self._check_request(merged, action, pointer)
        placement = place_inputs(merged)
        form = RequestForm(
            method=next(iter(list_methods(action)), ""),
            has_body=placement.body is not None,
            has_fields=placement.place == "body",
        )
        self._rules.check(name, action, merged, form, pointer, own)

    # -- the request

    def _check_method(self, action: Mapped, pointer: Pointer) -> None:
        methods = list_methods(action)
        if not methods and _KEYS.issuperset(action):  # an unknown key is reported, and is probably a misspelt method
            hint = f"give it one of {', '.join(METHODS)}, with its path: 'get: /items'"
            self._report.add(pointer, "the action sends no request", hint, is_key=True)
        for other in methods[1:]:
            what = f"an action sends one request, and this one already has '{methods[0]}'"
            self._report.add((*pointer, other), what, f"move '{other}' to an action of its own", is_key=True)
        for method in methods:
            if isinstance(path := action[method], str):
                self._check_path(path, (*pointer, method), get_mapping(action.get("inputs")))

    def _check_path(self, path: str, pointer: Pointer, inputs: Mapped) -> None:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
            self._report.add(pointer, "this is a URL, not a path", "put the part before the path under 'base_url'")
        elif path and not path.startswith(("/", "{")):
            self._report.add(pointer, f"the path {quote(path)} does not begin with '/'", f"write '/{path}'")
        elif found := re.search(r"[?#]", path):
            what = f"a path cannot contain {quote(found[0])}"
            self._report.add(pointer, what, "put parameters under 'params'; write '%3F' or '%23' for the character")
        for name in dict.fromkeys(find_path_names(path)):
            if name not in inputs:
                what = f"the path reads {quote(f'{{{name}}}')}, which is not an input"
                hint = suggest(name, inputs)
                self._report.add(pointer, what, hint if hint and "did you" in hint else "declare it under 'inputs'")
            elif problem := _find_path_problem(get_mapping(inputs[name])):
                self._report.add(pointer, f"the path reads {quote(f'{{{name}}}')}, which {problem[0]}", problem[1])
        if found := re.search(r"/:([A-Za-z_]\w*)", path):
            self._report.add(pointer, f"{quote(found[0])} is text here", f"write '/{{{found[1]}}}'", severity="warning")
        self._check_braces(path, pointer)

    def _check_braces(self, path: str, pointer: Pointer) -> None:
        """Report braces in a path that are not those of an input."""
        rest = PARAMETER.sub("", path)
        if not re.search(r"[{}]", rest):
            self._check_segments(path, pointer)
            return
        if found := re.search(r"\{+\s*(?:inputs\.)?([A-Za-z_]\w*)\s*\}+", rest):
            what = f"a path cannot read an input as {quote(found[0])}"
            self._report.add(pointer, what, f"write '{{{found[1]}}}', which is percent-encoded")
        else:
            self._report.add(pointer, "braces in a path must enclose the name of an input", "write '/items/{id}'")

    def _check_segments(self, path: str, pointer: Pointer) -> None:
        try:
            PathTemplate(path)
        except ValueError as error:
            self._report.add(pointer, str(error), "write the path to which they lead")

    def _check_body(self, action: Mapped, pointer: Pointer, own: Signature) -> None:
        bodies = list_bodies(action)
        for other in bodies[1:]:
            what = f"a request has one body, and this one already has '{bodies[0]}'"
            self._report.add((*pointer, other), what, "remove one of them", is_key=True)
        names = self._requests.names_of(own.known_inputs)
        for body in bodies:
            value, where = action[body], (*pointer, body)
            if body == "graphql":  # its braces are not those of expressions
                given = get_mapping(value)
                self._requests.check_sent(given.get("variables"), (*where, "variables"), names)
            else:
                self._requests.check_sent(value, where, names)
        if bodies and "head" in action:
            self._report.add((*pointer, bodies[0]), "a HEAD request has no body", "remove it", is_key=True)

    def _check_request(self, merged: Mapped, action: Mapped, pointer: Pointer) -> None:
        """Check what depends on the whole request."""
        [method] = list_methods(action)
        if "base_url" not in merged:
            hint = "add 'base_url: https://api.example.com' under 'http'"
            self._report.add((*pointer, method), "the action has no base URL", hint, is_key=True)
        placement = place_inputs(merged)
        for name in placement.added if placement.place is None else ():
            what = f"the input {quote(name)} is not sent: no expression reads it"
            hint = f"read it in '{placement.body}' as {{{{ inputs.{name} }}}}, or remove it"
            self._report.add((*pointer, "inputs", name), what, hint, is_key=True)
        if "media_type" in action and placement.body is None:
            self._report.add((*pointer, "media_type"), "the request has no body", "remove it", is_key=True)

    # -- inputs and output

    def _check_inputs(self, inputs: Mapped, pointer: Pointer, own: Signature) -> None:
        check_schemas(inputs, pointer, self._report)
        parts: dict[str, Any] = {name: schema for name, schema in inputs.items() if is_schema(schema)}
        check_whole(make_schema_of_inputs(parts), pointer, self._report)
        for name, schema in inputs.items():
            self._rules.check_options(get_mapping(schema), name, (*pointer, name), own)

    def _check_limit(self, action: Mapped, pointer: Pointer) -> None:
        limit = get_mapping(action.get("inputs")).get(LIMIT)
        if has_pages(action) and isinstance(limit, dict) and limit.get("type", "integer") != "integer":
            what = "'limit' is the number of items after which the list ends"
            self._report.add((*pointer, "inputs", LIMIT), what, "give it 'type: integer', or another name")


def _find_path_problem(schema: Mapped) -> tuple[str, str] | None:
    """Return why an input cannot be part of a path, and what to do."""
    if schema.get("type") in ("array", "object"):
        return (
            f"is {'a list' if schema['type'] == 'array' else 'a mapping'}",
            "give it 'type: string' or 'type: integer'",
        )
    if "default" in schema and schema["default"] in (None, ""):
        return "may be empty", "remove its default"
    return None
