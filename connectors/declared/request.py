"""The request of a declarative action, made from the action's inputs and its connection."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from connectors.auth.request import OutgoingRequest
from connectors.declared.bodies import encode_body
from connectors.declared.compiled import DeclaredAction, Tree
from connectors.declared.keys import check_key_rule, format_key
from connectors.declared.parameters import make_params
from connectors.declared.paths import PathTemplate
from connectors.wire.errors import InvalidRequest
from connectors.wire.request import find_header_problem
from connectors.wire.url import MalformedURL, Params, parse_url
from durable import wording
from durable.expressions.expression import Expression, ExpressionError
from durable.expressions.template import Template
from durable.values import JSON

Scope: TypeAlias = Mapping[str, Any]

_INPUT = re.compile(r"\{\{\s*inputs(?:\.(\w+)|\['([^'\\]+)'\])\s*\}\}")
"""A text that is an input and nothing else."""


class Address(NamedTuple):
    """The URL of a request. `path` is the part after `base_url`; `has_query`: it contains the params of the action."""

    base_url: str
    path: str
    has_query: bool = False

    @property
    def url(self) -> str:
        return f"{self.base_url}{self.path}"


class RequestTemplate:
    """The compiled templates of a request. `fixed_base_url`: the base URL, if it depends on nothing."""

    def __init__(self, declared: DeclaredAction) -> None:
        """Raise `ValueError` if a part of the request cannot be compiled."""
        self._declared = declared
        self._base_url = compile_template(declared.base_url, "base_url", is_url=True)
        self.fixed_base_url = _check_base_url(declared.base_url) if self._base_url.is_constant else None
        self._path = PathTemplate(declared.path)
        self._params = compile_template(declared.params, "params") if declared.params else None
        self._headers = compile_template(declared.headers, "headers") if declared.headers else None
        self._body = compile_template(declared.body, "body") if declared.has_body else None
        self._passed = _find_passed(declared.body) if declared.encode == "json" else {}
        given: Mapping[str, Any] = declared.inputs.get("properties", {})
        self._secret_inputs = {name for name, each in given.items() if isinstance(each, Mapping) and each.get("secret")}
        if declared.idempotency:
            check_key_rule(declared.idempotency)

    def find_base_url(self, scope: Scope) -> str:
        """Return the base URL without a final slash; raises `InvalidRequest`."""
        if self.fixed_base_url is not None:
            return self.fixed_base_url
        try:
            return _check_base_url(str(self._render(self._base_url, scope, "base_url")))
        except ValueError as error:
            raise InvalidRequest(str(error)) from None

    def find_address(self, scope: Scope) -> Address:
        """Return the address of the request; raises `InvalidRequest`."""
        path = self._path.render(scope["inputs"])
        return Address(self.find_base_url(scope), path if not path or path[0] in "/?" else f"/{path}")

    def make_request(
        self, scope: Scope, key: str, address: Address, page: dict[str, JSON], nulls: Collection[str]
    ) -> OutgoingRequest:
        """Return the request to an address, with the idempotency key and the parameters of a page. `nulls` are inputs
        that were given as null, which is sent. Raises `InvalidRequest`."""
        declared, rule = self._declared, self._declared.idempotency
        params: dict[str, JSON] = {}
        if self._params and not address.has_query:
            params = _require_mapping(self._render(self._params, scope, "params"), "params")
        headers: dict[str, str] = {}
        if self._headers:
            headers = _make_headers(_require_mapping(self._render(self._headers, scope, "headers"), "headers"))
        more: dict[str, JSON] = {}
        if rule:
            made = format_key(rule, key)
            headers |= {rule.header.lower(): made} if rule.header else {}
            params = params | ({rule.param: made} if rule.param else {})
            more = (rule.with_ or {}) | ({rule.json: made} if rule.json else {})
        if declared.page and declared.page.is_in_body:
            body = self._render_body(scope, more, page)
        else:
            body = self._render_body(scope, more, {})
            params = params | page
        query: Params = make_params(params, declared.styles, "repeat") if params else {}
        if body is None:
            return OutgoingRequest(declared.method, address.url, headers, query)
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if value is not None or self._passed.get(name) in nulls}
        content, media_type = encode_body(declared, body, key)
        return OutgoingRequest(declared.method, address.url, {"content-type": media_type} | headers, query, content)

    def _render(self, template: Template, scope: Scope, what: str) -> JSON:
        """Render a part of the request; raises `InvalidRequest`, whose message quotes no secret: one of which it shows
        the beginning would not be redacted."""
        try:
            return template.render(scope)[0]
        except ExpressionError as error:
            if scope["connection"] is None and any(name[0] == "connection" for name in template.names):
                raise InvalidRequest(
                    f"the {what} of the action depends on its connection; add 'connection: NAME' to the step"
                ) from None
            why = f"'{error.expression}' cannot be evaluated" if self._reads_secret(error.expression) else error.message
            raise InvalidRequest(f"the {what} of the request cannot be made: {why}") from None

    def _reads_secret(self, expression: str | None) -> bool:
        """Whether an expression reads the connection or a secret input."""
        names = Expression.parse(expression).names if expression else ()
        inputs = [name for name in names if name[0] == "inputs"]
        return len(inputs) < len(names) or any(
            self._secret_inputs and (len(name) == 1 or name[1] in self._secret_inputs) for name in inputs
        )

    def _render_body(self, scope: Scope, more: dict[str, JSON], page: dict[str, JSON]) -> JSON:
        """Return the body with more fields and those of a page; None if there is no body."""
        body = None if self._body is None else self._render(self._body, scope, "body")
        if page and self._declared.encode == "graphql":
            body = _require_mapping(body, "body")
            page = {"variables": _require_mapping(body.get("variables") or {}, "variables") | page}
        if not more and not page:
            return body
        return _require_mapping({} if body is None else body, "body") | more | page


def _check_base_url(base_url: str) -> str:
    """Return a base URL without a final slash; raises `ValueError`."""
    try:
        parse_url(base_url)
    except MalformedURL as error:
        raise ValueError(f"the base_url is not valid: {error}") from None
    if "?" in base_url or "#" in base_url:
        raise ValueError("the base_url contains more than an address; put parameters under 'params'")
    return base_url.rstrip("/")


def compile_template(tree: Tree, what: str, *, is_url: bool = False) -> Template:
    """Compile a part of an action; raises `ValueError`."""
    try:
        template = Template.parse(tree, [()] if is_url else ())
    except ExpressionError as error:
        raise ValueError(f"{what}: {error}") from None
    if template.secrets:
        raise ValueError(f"{what}: secrets belong in the connection")
    return template


def _find_passed(body: Tree) -> dict[str, str]:
    """Return the inputs that are fields of a body as they are, by the names of the fields."""
    texts = {name: value for name, value in body.items() if isinstance(value, str)} if isinstance(body, dict) else {}
    return {name: found[1] or found[2] for name, text in texts.items() if (found := _INPUT.fullmatch(text))}


def _make_headers(given: Mapping[str, JSON]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, dict | list):
            raise InvalidRequest(f"the header {wording.quote(name)} must be text, not {wording.name_kind(value)}")
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if problem := find_header_problem(name, text):
            raise InvalidRequest(problem)
        headers[name.lower()] = text
    return headers


def _require_mapping(value: JSON, what: str) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"the {what} of the request must be a mapping, not {wording.name_kind(value)}")
    return value
