"""Checks the keys of an action that do not describe its request: output, pages, idempotency key and undo. The actions
of imported documents can have the same keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.yaml_form.merge import find_read_inputs, has_pages
from connectors.yaml_form.names import ConnectorNames
from connectors.yaml_form.request_check import RequestCheck, find_page_problems
from connectors.yaml_form.schemas import is_schema, is_single_schema, make_schema_of_output
from connectors.yaml_form.signature import Signature
from connectors.yaml_form.spec import OptionsSpec
from durable.known_values import KnownMapping, is_template, look_up
from durable.language.json_schemas import compile_schemas
from durable.language.metaschema import KEYWORDS
from durable.language.report import Report
from durable.language.step_check import check_filled
from durable.language.validation import find_data_problems
from durable.problem import Pointer
from durable.spec_model import Mapped, get_mapping
from durable.values import JSON
from durable.wording import find_nearest, quote, suggest

_READ = frozenset({"get", "head", "options"})
_KEYWORDS = KEYWORDS | {"about", "options", "secret", "url"}
_OPTIONAL = dict.fromkeys(("optional", "nullable"), "add 'default: null', which makes it optional")


@dataclass(frozen=True, slots=True)
class RequestForm:
    """What is known about the request of an action.

    `method`: in lower case; empty if it is unknown.
    `has_fields`: fields can be added to its body.
    """

    method: str
    has_body: bool
    has_fields: bool


class RulesCheck:
    """Checks each action. `signatures` are the inputs and outputs of all actions of the connector, by name."""

    def __init__(self, report: Report, requests: RequestCheck, signatures: Mapping[str, Signature]) -> None:
        self._report = report
        self._requests = requests
        self._signatures = signatures

    def check(
        self, name: str, action: Mapped, merged: Mapped, form: RequestForm, pointer: Pointer, own: Signature
    ) -> None:
        """Check an action; `merged` is the action with what all actions share."""
        may_be_null = {"json", "output"}
        check_filled({key: each for key, each in action.items() if key not in may_be_null}, pointer, self._report)
        names = self._requests.check(action, pointer, own.known_inputs)
        self._requests.check_templates(action.get("output"), (*pointer, "output"), names, "this is the output")
        self._check_returns(action.get("returns"), (*pointer, "returns"))
        if merged.get("redirects") == "without_credentials" and (form.method != "get" or form.has_body):
            what = "'without_credentials' is only for GET requests without a body"
            self._report.add((*pointer, "redirects"), what, "write 'same_origin' or 'refuse'")
        self._check_page(merged, action, pointer)
        self._check_idempotency(merged, action, form, pointer)
        if isinstance(undo := action.get("undo"), dict):
            self._check_undo(undo, name, (*pointer, "undo"), own)

    def _check_returns(self, returns: JSON, pointer: Pointer) -> None:
        if not isinstance(returns, dict) or not returns:
            return
        by_name: Mapped = {str(pointer[-1]): returns} if is_single_schema(returns) else returns
        check_schemas(by_name, pointer[:-1] if by_name is not returns else pointer, self._report)
        if all(is_schema(each) for each in by_name.values()):
            check_whole(make_schema_of_output(returns, is_listed=False), pointer, self._report)

    def _check_page(self, merged: Mapped, action: Mapped, pointer: Pointer) -> None:
        if not has_pages(action) or not isinstance(action["page"], dict):
            return
        for key, message, hint in find_page_problems(get_mapping(merged["page"])):
            self._report.add((*pointer, key), message, hint, is_key=True)
        if "output" in action:
            hint = "the output is the list of all items; remove 'output', or shape the list by 'page.items'"
            self._report.add((*pointer, "output"), "'output' does not go with 'page'", hint, is_key=True)

    def _check_idempotency(self, merged: Mapped, action: Mapped, form: RequestForm, pointer: Pointer) -> None:
        rule = get_mapping(merged.get("idempotency"))
        if "idempotency" in action and form.method in _READ:
            what = f"a {form.method.upper()} request can be repeated without a key"
            self._report.add((*pointer, "idempotency"), what, "remove it", is_key=True)
        elif "idempotency" in merged and not rule.keys() & {"header", "json", "param"}:
            hint = "add for example 'header: Idempotency-Key'"
            what = "'idempotency' does not say where the key is sent"
            self._report.add((*pointer, "idempotency"), what, hint, is_key=True)
        elif {"json", "with"} & rule.keys() and not form.has_fields:
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
        self._check_named(undo, pointer, names)
        read = find_read_inputs(undo.get("with"))
        for secret in sorted(name for name in own.secret_inputs if name in read or None in read):
            what = f"the input {quote(secret)} is secret, and the inputs of an undo are recorded"
            hint = "read 'output', or let the action that undoes it read a field of the connection"
            self._report.add((*pointer, "with"), what, hint, is_key=True)

    def check_options(self, schema: Mapped, name: str, pointer: Pointer, own: Signature) -> None:
        """Check the choices for an input; `schema` is what the file says of it."""
        if "options" not in schema:
            return
        options, pointer = schema["options"], (*pointer, "options")
        if not isinstance(options, dict):
            hint = "write for example 'options: {use: list_channels, value: id, label: name}'"
            self._report.add(pointer, "'options' must be a mapping", hint)
            return
        self._report.add_all(find_data_problems(OptionsSpec, options), pointer)
        check_filled(options, pointer, self._report)
        others = KnownMapping({key: known for key, known in own.known_inputs.keys.items() if key != name})
        used = self._check_named(options, pointer, ConnectorNames({"inputs": others}))
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

    def _check_named(self, owner: Mapped, pointer: Pointer, names: ConnectorNames) -> Signature | None:
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
    used = find_used(use, (*pointer, key), signatures, report)
    given = {} if given is None else given
    if used and isinstance(given, dict):
        for each in find_data_problems(used.input, given, is_open=is_template):
            report.add(
                (*pointer, "with", *each.pointer), each.message, each.hint, is_key=each.is_key or not each.pointer
            )
    return used


def find_used(use: str, pointer: Pointer, signatures: Mapping[str, Signature], report: Report) -> Signature | None:
    """Return an action of the connector that is used, or report that there is none of this name."""
    used = signatures.get(use)
    if used is None:
        hint = suggest(use, signatures) or "declare it under 'actions'"
        inner = use.partition(".")[2]
        hint = f"write {quote(inner)}: it is an action of this connector" if inner in signatures else hint
        report.add(pointer, f"this connector has no action {quote(use)}", hint)
    return used


def check_whole(schema: dict[str, Any], pointer: Pointer, report: Report) -> None:
    """Check that schemas are still valid as parts of one: `$id` and `$anchor` may then name other places."""
    if not is_schema(schema):
        what = "these JSON Schemas cannot be parts of one schema"
        report.add(pointer, what, "refer to '#/$defs/NAME' within a schema, without '$id' and '$anchor'")


def check_test(
    test: Mapped, pointer: Pointer, signatures: Mapping[str, Signature], fields: Iterable[str], report: Report
) -> None:
    """Check what a test names: an action with its inputs, and fields of the connection."""
    action = test.get("action")
    if isinstance(action, str):
        check_use(action, test.get("with"), pointer, signatures, report, key="action")
    for name in get_mapping(test.get("connection")):
        if name not in fields:
            what = f"the connection has no field {quote(name)}"
            report.add((*pointer, "connection", name), what, suggest(name, fields), is_key=True)


def check_schemas(declared: Mapped, pointer: Pointer, report: Report) -> None:
    """Check JSON Schemas by name, and their defaults."""
    for name, compiled in compile_schemas(declared, pointer, report, may_be_open=False):
        schema = get_mapping(declared[name])
        if not isinstance(schema.get("about", ""), str):
            report.add((*pointer, name, "about"), "'about' must be text", "quote it")
        if not isinstance(schema.get("secret", True), bool):
            report.add((*pointer, name, "secret"), "'secret' must be true or false")
        for word in sorted(schema.keys() - _KEYWORDS):
            if hint := _OPTIONAL.get(word) or _suggest_keyword(word):
                what = f"the unknown keyword {quote(word)} has no effect"
                report.add((*pointer, name, word), what, hint, is_key=True, severity="warning")
        if schema.get("default") is None:
            continue
        for where, message in compiled.find_problems(schema["default"]):
            report.add((*pointer, name, "default", *where), f"the default is not valid: {message}", None)


def _suggest_keyword(word: str) -> str | None:
    """Return a hint for an unknown keyword; None for one that was probably not meant to be another."""
    meant = None if word.startswith("x-") else find_nearest(word, _KEYWORDS)
    return f"did you mean {quote(meant)}" if meant else None
