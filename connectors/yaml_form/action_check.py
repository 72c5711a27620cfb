"""Checks the actions of a connector's file: method and path, the places of inputs, undo, options."""

import re
from collections.abc import Mapping
from typing import Any

from connectors.yaml_form.merge import (
    LIMIT,
    PARAMETER,
    find_path_names,
    find_read_inputs,
    has_pages,
    list_bodies,
    list_methods,
    merge_request,
    place_inputs,
)
from connectors.yaml_form.names import ConnectorNames
from connectors.yaml_form.request_check import RequestCheck, find_page_problems
from connectors.yaml_form.schemas import is_schema, is_single_schema, make_schema_of_inputs, make_schema_of_output
from connectors.yaml_form.signature import Signature
from connectors.yaml_form.spec import METHODS, DeclaredActionSpec, OptionsSpec
from durable.known_values import KnownMapping, is_template, look_up
from durable.language.json_schemas import compile_schemas
from durable.language.report import Report
from durable.language.step_check import check_filled
from durable.language.validation import find_data_problems
from durable.problem import Pointer
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON
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

    def check(self, name: str, action: Mapped, pointer: Pointer) -> None:
        own = self._signatures[name]
        merged = merge_request(self._http, action)
        self._check_filled(action, pointer)
        self._check_method(action, pointer)
        self._check_inputs(get_mapping(action.get("inputs")), (*pointer, "inputs"), own)
        names = self._requests.check(action, pointer, own.known_inputs)
        self._check_body(action, pointer, own)
        self._requests.check_templates(action.get("output"), (*pointer, "output"), names, "this is the output")
        self._check_returns(action.get("returns"), (*pointer, "returns"))
        if len(list_methods(action)) == 1:
            self._check_request(merged, action, pointer)
        self._check_page(merged, action, pointer)
        self._check_idempotency(merged, action, pointer)
        if isinstance(undo := action.get("undo"), dict):
            self._check_undo(undo, name, (*pointer, "undo"), own)

    def _check_filled(self, action: Mapped, pointer: Pointer) -> None:
        may_be_null = {"json", "output"}
        check_filled({key: each for key, each in action.items() if key not in may_be_null}, pointer, self._report)
        check_filled(get_mapping(action.get("undo")), (*pointer, "undo"), self._report)

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
        for name in find_path_names(path):
            if name not in inputs:
                what = f"the path reads {quote(f'{{{name}}}')}, which is not an input"
                hint = suggest(name, inputs)
                self._report.add(pointer, what, hint if hint and "did you" in hint else "declare it under 'inputs'")
        if found := re.search(r"/:([A-Za-z_]\w*)", path):
            self._report.add(pointer, f"{quote(found[0])} is text here", f"write '/{{{found[1]}}}'", severity="warning")
        self._check_braces(path, pointer)

    def _check_braces(self, path: str, pointer: Pointer) -> None:
        """Report braces in a path that are not those of an input."""
        rest = PARAMETER.sub("", path)
        if not re.search(r"[{}]", rest):
            return
        if found := re.search(r"\{+\s*(?:inputs\.)?([A-Za-z_]\w*)\s*\}+", rest):
            what = f"a path cannot read an input as {quote(found[0])}"
            self._report.add(pointer, what, f"write '{{{found[1]}}}', which is percent-encoded")
        else:
            self._report.add(pointer, "braces in a path must enclose the name of an input", "write '/items/{id}'")

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
        if merged.get("redirects") == "without_credentials" and (method != "get" or list_bodies(action)):
            what = "'without_credentials' is only for GET requests without a body"
            self._report.add((*pointer, "redirects"), what, "write 'same_origin' or 'refuse'")
        if "media_type" in action and placement.body is None:
            self._report.add((*pointer, "media_type"), "the request has no body", "remove it", is_key=True)

    # -- inputs and output

    def _check_inputs(self, inputs: Mapped, pointer: Pointer, own: Signature) -> None:
        check_schemas(inputs, pointer, self._report)
        parts: dict[str, Any] = {name: schema for name, schema in inputs.items() if is_schema(schema)}
        self._check_whole(make_schema_of_inputs(parts), pointer)
        for name, schema in inputs.items():
            if isinstance(schema, dict) and isinstance(options := schema.get("options"), dict):
                self._check_options(options, name, (*pointer, name, "options"), own)
            elif isinstance(schema, dict) and "options" in schema:
                hint = "write for example 'options: {use: list_channels, value: id, label: name}'"
                self._report.add((*pointer, name, "options"), "'options' must be a mapping", hint)

    def _check_options(self, options: Mapped, name: str, pointer: Pointer, own: Signature) -> None:
        self._report.add_all(find_data_problems(OptionsSpec, options), pointer)
        check_filled(options, pointer, self._report)
        others = KnownMapping({key: known for key, known in own.known_inputs.keys.items() if key != name})
        used = self._check_use(options, pointer, ConnectorNames({"inputs": others}))
        if used is None:
            return
        if not used.is_read:
            what, hint = f"the action {quote(str(options['use']))} changes something", "name one that only reads"
            self._report.add((*pointer, "use"), what, hint)
        item = look_up(used.known_output, ["0"])
        for key in ("value", "label"):
            field = options.get(key)
            first = field.partition(".")[0] if isinstance(field, str) else ""
            if first and isinstance(item, KnownMapping) and first not in item.keys:
                self._report.add((*pointer, key), f"an item has no {quote(first)}", suggest(first, item.keys))

    def _check_returns(self, returns: JSON, pointer: Pointer) -> None:
        if not isinstance(returns, dict) or not returns:
            return
        by_name: Mapped = {str(pointer[-1]): returns} if is_single_schema(returns) else returns
        check_schemas(by_name, pointer[:-1] if by_name is not returns else pointer, self._report)
        if all(is_schema(each) for each in by_name.values()):
            self._check_whole(make_schema_of_output(returns, is_listed=False), pointer)

    def _check_whole(self, schema: dict[str, Any], pointer: Pointer) -> None:
        """Check that schemas are still valid as parts of one: `$id` and `$anchor` may then name other places."""
        if not is_schema(schema):
            what = "these JSON Schemas cannot be parts of one schema"
            self._report.add(pointer, what, "refer to '#/$defs/NAME' within a schema, without '$id' and '$anchor'")

    # -- pages, idempotency and undo

    def _check_page(self, merged: Mapped, action: Mapped, pointer: Pointer) -> None:
        if not has_pages(action) or not isinstance(action["page"], dict):
            return
        for key, message, hint in find_page_problems(get_mapping(merged["page"])):
            self._report.add((*pointer, key), message, hint, is_key=True)
        if "output" in action:
            hint = "the output is the list of all items; remove 'output', or shape the list by 'page.items'"
            self._report.add((*pointer, "output"), "'output' does not go with 'page'", hint, is_key=True)
        limit = get_mapping(action.get("inputs")).get(LIMIT)
        if isinstance(limit, dict) and limit.get("type", "integer") != "integer":
            what = "'limit' is the number of items after which the list ends"
            self._report.add((*pointer, "inputs", LIMIT), what, "give it 'type: integer', or another name")

    def _check_idempotency(self, merged: Mapped, action: Mapped, pointer: Pointer) -> None:
        method = next(iter(list_methods(action)), "")
        rule = get_mapping(merged.get("idempotency"))
        if "idempotency" in action and method in _READ:
            what = f"a {method.upper()} request can be repeated without a key"
            self._report.add((*pointer, "idempotency"), what, "remove it", is_key=True)
        elif rule and not rule.keys() & {"header", "json", "param"}:
            hint = "add for example 'header: Idempotency-Key'"
            what = "'idempotency' does not say where the key is sent"
            self._report.add((*pointer, "idempotency"), what, hint, is_key=True)
        elif {"json", "with"} & rule.keys() and place_inputs(merged).place != "body":
            what = "the key cannot be added to the body, which has no fields"
            self._report.add((*pointer, "idempotency"), what, "send it with 'header' or 'param'", is_key=True)
        if action.get("idempotent") == "key" and not rule:
            hint = "add 'idempotency' with the place where it is sent, for example {header: Idempotency-Key}"
            self._report.add((*pointer, "idempotent"), "no key is sent", hint)

    def _check_undo(self, undo: Mapped, name: str, pointer: Pointer, own: Signature) -> None:
        check_filled(undo, pointer, self._report)
        if undo.get("use") == name:
            self._report.add((*pointer, "use"), "an action cannot undo itself", "name the action that reverses it")
            return
        names = ConnectorNames({"inputs": own.known_inputs, "output": own.known_output})
        self._check_use(undo, pointer, names)
        read = find_read_inputs(undo.get("with"))
        for secret in sorted(name for name in own.secret_inputs if name in read or None in read):
            what = f"the input {quote(secret)} is secret, and the inputs of an undo are recorded"
            hint = "read 'output', or let the action that undoes it read a field of the connection"
            self._report.add((*pointer, "with"), what, hint, is_key=True)

    def _check_use(self, owner: Mapped, pointer: Pointer, names: ConnectorNames) -> Signature | None:
        """Check the action that is named under `use`, and its inputs under `with`."""
        self._requests.check_sent(owner.get("with"), (*pointer, "with"), names)
        use = owner.get("use")
        if not isinstance(use, str):
            return None
        return check_use(use, owner.get("with"), pointer, self._signatures, self._report)


def check_use(
    use: str, given: JSON, pointer: Pointer, signatures: Mapping[str, Signature], report: Report, key: str = "use"
) -> Signature | None:
    """Check that an action of the connector exists, and the inputs that it is given."""
    used = signatures.get(use)
    if used is None:
        hint = suggest(use, signatures) or "declare it under 'actions'"
        inner = use.partition(".")[2]
        hint = f"write {quote(inner)}: it is an action of this connector" if inner in signatures else hint
        report.add((*pointer, key), f"this connector has no action {quote(use)}", hint)
        return None
    given = {} if given is None else given
    if isinstance(given, dict):
        for each in find_data_problems(used.input, given, is_open=is_template):
            report.add(
                (*pointer, "with", *each.pointer), each.message, each.hint, is_key=each.is_key or not each.pointer
            )
    return used


def check_schemas(declared: Mapped, pointer: Pointer, report: Report) -> None:
    """Check JSON Schemas by name, and their defaults."""
    for name, compiled in compile_schemas(declared, pointer, report, may_be_open=False):
        schema = get_mapping(declared[name])
        if not isinstance(schema.get("about", ""), str):
            report.add((*pointer, name, "about"), "'about' must be text", "quote it")
        if not isinstance(schema.get("secret", True), bool):
            report.add((*pointer, name, "secret"), "'secret' must be true or false")
        if schema.get("default") is None:
            continue
        for where, message in compiled.find_problems(schema["default"]):
            report.add((*pointer, name, "default", *where), f"the default is not valid: {message}", None)
