"""Checks the parts of a request, both those that the actions share and those of one action: expressions, the base URL,
headers, pages and the idempotency key."""

from collections.abc import Iterator

from connectors.declared.keys import SHORTEST, UUID_LENGTH
from connectors.wire.request import find_header_problem
from connectors.wire.url import USERINFO, MalformedURL, ensure_written, parse_url
from connectors.yaml_form.names import ANSWER, ConnectorNames
from connectors.yaml_form.spec import WAYS
from durable.action import LiteralError
from durable.known_values import KnownList, KnownMapping, KnownValue, has_template, is_template
from durable.language.expression_check import ExpressionCheck
from durable.language.report import Report
from durable.language.step_check import check_filled
from durable.model_shape import walk_leaves
from durable.problem import Pointer
from durable.spec_model import Mapped, get_list, get_mapping
from durable.values import JSON
from durable.wording import quote

_AUTH = "put credentials under 'connection.auth', for example 'auth: [{basic: {…}}]'"
_URL_HINTS = {
    "inputs": "the connection's credentials go to this URL, so only fields of the connection can be part of it"
}
_SENT = "the text itself is sent"
_FIXED_HEADERS = {
    "host": ("the host of a request is that of its URL", "write it in 'base_url'"),
    "idempotency-key": ("each step has a key of its own", "write 'idempotency: {header: Idempotency-Key}'"),
}


class RequestCheck:
    """Checks the keys that `http` and each action may have.

    `connection`: what is known of the connection's fields.
    """

    def __init__(self, report: Report, expressions: ExpressionCheck, connection: KnownValue) -> None:
        self._report = report
        self._expressions = expressions
        self._connection = ConnectorNames({"connection": connection})

    def check(self, owner: Mapped, pointer: Pointer, inputs: KnownMapping | None) -> ConnectorNames:
        """Check the keys of a mapping; `inputs` is what is known of the action's inputs, None for shared keys, which
        cannot read them. Returns the names that can be read where a response is judged."""
        names = self.names_of(inputs)
        for key in ("errors", "page", "idempotency"):
            check_filled(get_mapping(owner.get(key)), (*pointer, key), self._report)
        self._check_base_url(owner.get("base_url"), (*pointer, "base_url"))
        for key in ("params", "headers"):
            self.check_sent(owner.get(key), (*pointer, key), names)
        self._report_headers(get_mapping(owner.get("headers")), (*pointer, "headers"))
        judging = names.add(answer=ANSWER)
        self._check_errors(get_mapping(owner.get("errors")), (*pointer, "errors"), judging)
        for index, each in enumerate(get_list(owner.get("retry_after"))):
            self._check_retry_after(get_mapping(each), (*pointer, "retry_after", index), judging)
        self._check_page(get_mapping(owner.get("page")), (*pointer, "page"), judging)
        self._check_key(get_mapping(owner.get("idempotency")), (*pointer, "idempotency"))
        return judging

    def names_of(self, inputs: KnownMapping | None) -> ConnectorNames:
        """Return the names that can be read where a request is made."""
        return self._connection if inputs is None else self._connection.add(inputs=inputs)

    def check_sent(self, value: JSON, pointer: Pointer, names: ConnectorNames) -> None:
        """Check a value that is sent."""
        self.check_templates(value, pointer, names, _SENT)

    def check_templates(self, value: JSON, pointer: Pointer, names: ConnectorNames, effect: str) -> None:
        """Check the expressions in a value; `effect` says what a name without braces leads to."""
        self._expressions.check_templates(value, pointer, names)
        for where, leaf in walk_leaves(value):
            self._expressions.doubt_constant(leaf, (*pointer, *where), names, effect)

    def _check_base_url(self, value: JSON, pointer: Pointer) -> None:
        if not isinstance(value, str) or not value:
            return
        self._expressions.check_templates(value, pointer, ConnectorNames(self._connection.known, _URL_HINTS))
        problem = _find_url_problem(value)
        if problem == USERINFO:
            self._report.add(pointer, "the URL contains a user or password", _AUTH)
        elif problem:
            message, _, hint = problem.partition("; ")
            self._report.add(pointer, message, hint or None)
        elif any(mark in value for mark in "?#"):
            self._report.add(pointer, "'base_url' contains more than an address", "put parameters under 'params'")

    def _report_headers(self, headers: Mapped, pointer: Pointer) -> None:
        first: dict[str, str] = {}
        for name, value in headers.items():
            sent = value if isinstance(value, str) and not is_template(value) else ""
            self._report_header(name, sent, (*pointer, name), is_key=True)
            if name.lower() in _FIXED_HEADERS:
                self._report.add((*pointer, name), *_FIXED_HEADERS[name.lower()], is_key=True)
            if name.lower() in first:
                what = f"the header {quote(name)} is set twice"
                self._report.add((*pointer, name), what, f"the other is {quote(first[name.lower()])}", is_key=True)
            first.setdefault(name.lower(), name)

    def _report_header(self, name: str, value: str, pointer: Pointer, *, is_key: bool) -> None:
        if problem := find_header_problem(name, value):
            message, _, hint = problem.partition("; ")
            self._report.add(pointer, message, hint or None, is_key=is_key)

    def _check_errors(self, errors: Mapped, pointer: Pointer, names: ConnectorNames) -> None:
        self._expressions.check_condition(errors.get("when"), (*pointer, "when"), names)
        for key in ("code", "message"):
            self.check_templates(errors.get(key), (*pointer, key), names, f"it is the {key} of every error")
        for name, matches in get_mapping(errors.get("classes")).items():
            for index, each in enumerate(get_list(matches)):
                where = (*pointer, "classes", name, index)
                self._expressions.check_condition(get_mapping(each).get("when"), (*where, "when"), names)

    def _check_retry_after(self, rule: Mapped, pointer: Pointer, names: ConnectorNames) -> None:
        for key in ("value", "when"):
            self._expressions.check_condition(rule.get(key), (*pointer, key), names)
        if len({"header", "value"} & rule.keys()) != 1:
            what = "the time comes either from a header or from an expression"
            self._report.add(pointer, what, "write one of 'header' and 'value'")

    def _check_page(self, page: Mapped, pointer: Pointer, names: ConnectorNames) -> None:
        self._expressions.check_condition(page.get("items"), (*pointer, "items"), names)
        with_items = names.add(items=KnownList())
        for key in ("more", "next", "cursor"):
            self._expressions.check_condition(page.get(key), (*pointer, key), with_items)
        ways = [key for key in page if key in WAYS]
        for other in ways[1:]:
            hint = f"remove it, or remove '{ways[0]}'"
            what = f"the next page is found in one way, and this action already has '{ways[0]}'"
            self._report.add((*pointer, other), what, hint, is_key=True)

    def _check_key(self, rule: Mapped, pointer: Pointer) -> None:
        if has_template(rule.get("with")):
            what = "the fields that are sent with the key must be constant"
            self._report.add((*pointer, "with"), what, "write them without '{{ }}'")
        if isinstance(name := rule.get("header"), str):
            self._report_header(name, "", (*pointer, "header"), is_key=False)
        if (
            rule.get("as") == "uuid"
            and isinstance(longest := rule.get("max"), int)
            and SHORTEST <= longest < UUID_LENGTH
        ):
            hint = f"write {UUID_LENGTH}, or choose another form under 'as'"
            self._report.add((*pointer, "max"), f"a UUID has {UUID_LENGTH} characters", hint)
        places = [key for key in rule if key in {"header", "json", "param"}]
        for other in places[1:]:
            what = f"the key is sent in one place, and '{places[0]}' already names one"
            self._report.add((*pointer, other), what, "remove one of them", is_key=True)


def find_page_problems(page: Mapped) -> Iterator[tuple[str, str, str | None]]:
    """Return what is missing in a merged page: the key at which to report it, a message and a hint."""
    if "items" not in page:
        yield "page", "'page' does not say where the items are", "add for example 'items: answer.body.items'"
    if not page.keys() & set(WAYS):
        hint = "add one of link, next, cursor, offset and number, for example 'link: next'"
        yield "page", "'page' does not say how the next page is found", hint
    if "cursor" in page and "param" not in page:
        yield "page", "'page' does not say where the cursor is sent", "add 'param', the name of the parameter"
    if "param" in page and "cursor" not in page and page.keys() & set(WAYS):
        yield "page", "'param' is only for 'cursor'", "write it as in 'offset: {param: offset}'"


def _find_url_problem(text: str) -> str | None:
    """Return what is wrong with a base URL, which may contain expressions."""
    try:
        if is_template(text):
            ensure_written(text, is_alone=True)
        else:
            parse_url(text)
    except (MalformedURL, LiteralError) as error:
        return str(error).removesuffix("; name a connection, to whose base_url it is joined, or write https://…")
    return None
