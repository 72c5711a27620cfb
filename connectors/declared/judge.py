"""Judges the responses of a declarative action: which are errors, and what the errors say."""

import math
from http import HTTPStatus

import msgspec

from connectors.declared.compiled import DeclaredAction, RetryAfter
from connectors.declared.request import Scope, compile_template
from connectors.wire.errors import (
    GATEWAY,
    classify_response,
    count_seconds_until,
    explain_refusal,
    limit_wait,
    parse_wait,
)
from connectors.wire.redirect import is_redirect
from connectors.wire.response import Response
from durable.action import ActionError, ErrorClass
from durable.expressions.expression import Expression, ExpressionError
from durable.expressions.template import Template
from durable.values import JSON

TEXT_LIMIT = 2_000
"""The maximum length of a service's own message or code. A longer one is left out, not cut, because the redactor does
not recognise parts of secrets; the details contain the body."""

_MILLISECONDS = frozenset({"ms", "epoch_ms"})
_TIMESTAMPS = frozenset({"epoch", "epoch_ms"})


class Judge:
    """The compiled rules of an action for errors."""

    def __init__(self, declared: DeclaredAction) -> None:
        """Raise `ValueError` if a rule cannot be compiled."""
        rules = declared.errors
        is_graphql = declared.encode == "graphql"
        self._when = compile_bare(rules.when or ("answer.body.errors" if is_graphql else None), "errors.when")
        code = rules.code or (_GRAPHQL_CODE if is_graphql else None)
        message = rules.message or (_GRAPHQL_MESSAGE if is_graphql else None)
        self._code = None if code is None else compile_template(code, "errors.code")
        self._message = None if message is None else compile_template(message, "errors.message")
        self._ok = frozenset(rules.ok)
        self._classes = [
            (error_class, match.code, compile_bare(match.when, "errors.classes"))
            for error_class, match in rules.classes
        ]
        self._waits = [
            (rule, compile_bare(rule.value, "retry_after"), compile_bare(rule.when, "retry_after"))
            for rule in declared.retry_after
        ]

    def find_error(self, response: Response, scope: Scope, where: str) -> ActionError | None:
        """Return the error that the response is; None if it is a success. `where` describes the request. A name that
        does not exist is null in the rules, because the bodies of errors vary."""
        if response.is_success and not (self._when and _holds(self._when, scope)):
            return None
        if is_redirect(response):
            return explain_refusal(response, where)
        code = None if self._code is None else _read_text(self._code, scope)
        text = None if self._message is None else _read_text(self._message, scope)
        return ActionError(
            f"{where}: {response.status} {_describe(response.status, code, text)}",
            error_class=self._classify(response, code, scope),
            code=code or str(response.status),
            ending="unknown" if response.status in GATEWAY else "answered",
            retry_after=self._find_wait(response, scope),
            details={"status": response.status, "body": response.text()},
        )

    def accepts(self, error: ActionError, response: Response) -> bool:
        """Whether an error counts as success, such as `not_found` when something is deleted."""
        return bool(self._ok) and (error.code in self._ok or str(response.status) in self._ok)

    def _classify(self, response: Response, code: str | None, scope: Scope) -> ErrorClass:
        for error_class, expected, when in self._classes:
            if (expected is not None and expected in {code, str(response.status)}) or (when and _holds(when, scope)):
                return error_class
        return "client" if response.is_success else classify_response(response)

    def _find_wait(self, response: Response, scope: Scope) -> float | None:
        """Return the seconds after which the service wants the next attempt, by the first rule that applies."""
        for rule, value, when in self._waits:
            if when is not None and not _holds(when, scope):
                continue
            seconds = _read_wait(rule, response, None if value is None else evaluate_leniently(value, scope))
            if seconds is not None:
                return limit_wait(seconds)
        return None


_GRAPHQL_CODE = "{{ answer.body.errors[0].extensions.code | default(answer.body.errors[0].type) }}"
_GRAPHQL_MESSAGE = "{{ answer.body.errors[0].message }}"


def compile_bare(text: str | None, what: str) -> Expression | None:
    """Compile an expression without braces; raises `ValueError`."""
    try:
        return None if text is None else Expression.parse(text)
    except ExpressionError as error:
        raise ValueError(f"{what}: {error}") from None


def evaluate_leniently(expression: Expression, scope: Scope) -> JSON:
    """Return the value of an expression that judges a response; null if it cannot be evaluated."""
    try:
        return expression.evaluate_leniently(scope)
    except ExpressionError:
        return None


def _holds(expression: Expression, scope: Scope) -> bool:
    return bool(evaluate_leniently(expression, scope))


def _read_text(template: Template, scope: Scope) -> str | None:
    """Return the service's code or message as text; None if it has none, or an unreasonably long one."""
    try:
        value = template.render(scope, is_lenient=True)[0]
    except ExpressionError:
        return None
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return None if value is None or not text or len(text) > TEXT_LIMIT else text


def _describe(status: int, code: str | None, text: str | None) -> str:
    if text and code and code not in text:
        return f"{text} ({code})"
    return text or code or _name_status(status)


def _name_status(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(unknown status)"


def _read_wait(rule: RetryAfter, response: Response, value: JSON) -> float | None:
    given = response.headers.get(rule.header) if rule.header else value
    if given is None or isinstance(given, bool | dict | list):
        return None
    if rule.unit == "s" and isinstance(given, str):
        return parse_wait(given, response)
    try:
        number = float(given) / (1000 if rule.unit in _MILLISECONDS else 1)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return count_seconds_until(number, response) if rule.unit in _TIMESTAMPS else number
