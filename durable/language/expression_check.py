"""Checks expressions: parses every expression in a file, and looks up every name in its scope."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from durable.expressions.expression import Expression, ExpressionError
from durable.expressions.template import Template
from durable.language.braces import doubt_braces
from durable.language.headers import doubt_underscore
from durable.language.report import Report
from durable.problem import Explanation, LineColumn, Pointer, Severity
from durable.values import JSON
from durable.wording import describe_value, make_printable, name_kind, quote
from durable.yaml.syntax import unwrap_expression

DottedName: TypeAlias = tuple[str, ...]

_SECRET_HINT = "use it in a value that may hold a secret: a header, 'verify' or a connection"


class Names(Protocol):
    """The names that an expression can read at its place."""

    @property
    def roots(self) -> frozenset[str]: ...

    def explain_unreadable(self, name: DottedName, /) -> Explanation | None:
        """Explain why a name cannot be read."""
        ...

    def explain_comparison(self, name: DottedName, value: JSON, /) -> Explanation | None:
        """Explain why a comparison of a name with a constant makes no sense."""
        ...

    def doubt_name(self, name: DottedName, /) -> Explanation | None:
        """Warn about a name that probably never exists."""
        ...

    def doubt_comparison(self, name: DottedName, value: JSON, /) -> Explanation | None:
        """Warn about a comparison with a constant that the name probably never equals."""
        ...


def anywhere(pointer: Pointer) -> bool:
    """For inputs of an unknown action: secrets are allowed anywhere."""
    return True


def never(pointer: Pointer) -> bool:
    """For inputs that cannot contain secrets."""
    return False


class ExpressionCheck:
    """Checks the expressions of a file.

    `has_secret`: whether a secret has a value; None if that is unknown.
    `examine_secret`: returns what is doubtful about a secret.
    `secret_hint`: what to do about a secret where none is allowed.
    """

    def __init__(
        self,
        report: Report,
        has_secret: Callable[[str], bool] | None,
        examine_secret: Callable[[str], Sequence[str]] | None = None,
        secret_hint: str = _SECRET_HINT,
    ) -> None:
        self._report = report
        self._has_secret = has_secret
        self._examine_secret = examine_secret
        self._secret_hint = secret_hint

    def check_condition(self, value: JSON, pointer: Pointer, scope: Names) -> Expression | None:
        """Check an expression without braces."""
        if not isinstance(value, str) or not value:
            return None  # the model rejects it
        try:
            expression = Expression.parse(value)
        except ExpressionError as error:
            if value.lstrip().startswith("${{"):
                self._report.add(
                    pointer, "the '$' before '{{' is not part of an expression", f"write {unwrap_expression(value)}"
                )
            else:
                self._refuse(pointer, error)
            return None
        self._check_names(expression, pointer, scope)
        return expression

    def check_items(self, value: JSON, pointer: Pointer, scope: Names) -> None:
        """Check an expression without braces that returns a list. If it reads no names, it is evaluated."""
        expression = self.check_condition(value, pointer, scope)
        if expression is None or expression.names:
            return
        try:
            items = expression.evaluate({})
        except ExpressionError as error:
            self._refuse(pointer, error)
            return
        if not isinstance(items, list):
            kind = describe_value(items) if isinstance(items, str | int | float) else name_kind(items)
            kind = "true or false" if isinstance(items, bool) else kind
            what = f"'{pointer[-1]}' needs a list, but this is {kind}"
            self._report.add(pointer, what, "name a list, such as inputs.lines; for a mapping add '| items'")

    def check_templates(
        self, value: JSON, pointer: Pointer, scope: Names, is_secret: Callable[[Pointer], bool] = never
    ) -> None:
        """Check every text in a value. `is_secret` says where secrets are allowed."""
        whole = len(pointer)

        def walk(value: JSON, pointer: Pointer) -> None:
            match value:
                case str():
                    if "{{" in value:
                        self._check_template(value, pointer, scope, is_secret(pointer[whole:]))
                    self._check_braces(value, pointer, scope)
                case list():
                    for index, item in enumerate(value):
                        walk(item, (*pointer, index))
                case dict():
                    for key, item in value.items():
                        if "{{" in key:
                            what, cure = (
                                "expressions in keys are not evaluated",
                                "write one expression that returns the whole mapping",
                            )
                            self._report.add((*pointer, key), what, cure, is_key=True, severity="warning")
                        walk(item, (*pointer, key))

        walk(value, pointer)

    def doubt_constant(self, value: JSON, pointer: Pointer, scope: Names, effect: str) -> bool:
        """Warn about a text that looks like a name without braces; returns whether it does."""
        if not isinstance(value, str) or not re.fullmatch(r"[a-z]+(\.[A-Za-z_]\w*)+", value):
            return False
        if value.partition(".")[0] not in scope.roots:
            return False
        what, hint = f"{quote(value)} is text here, so that {effect}", f'write "{{{{ {value} }}}}"'
        self._report.add(pointer, what, hint, severity="warning")
        return True

    def _check_template(self, text: str, pointer: Pointer, scope: Names, may_be_secret: bool) -> None:
        if self._report.is_full:
            return
        try:
            template = Template.parse(text)
        except ExpressionError as error:
            self._refuse(pointer, error)
            return
        for _, expression in template.expressions:
            self._check_names(expression, pointer, scope)
        self._check_dollar(text, pointer, is_error=bool(template.secrets))
        for name in sorted(template.secrets):
            self._check_secret(text, name, pointer, may_be_secret)

    def _check_braces(self, text: str, pointer: Pointer, scope: Names) -> None:
        """Report text that looks like an expression but is sent unchanged."""
        try:
            found = doubt_braces(text, scope.roots)
        except ExpressionError:  # reported elsewhere
            return
        if found:
            offset, what, hint = found
            self._report.add(pointer, what, hint, place=self._locate(text, offset, pointer), severity="warning")

    def _check_dollar(self, text: str, pointer: Pointer, *, is_error: bool) -> None:
        """Report `${{ }}`, as in a GitHub workflow, where `$` is literal text."""
        found = text.find("${{")
        if found < 0:
            return
        what, hint = "the '$' before '{{' is text, and is sent with the value", "write '{{' without it"
        severity: Severity = "error"
        if not is_error:
            hint, severity = f"{hint}; for a literal dollar sign write {{{{ '$' }}}}", "warning"
        self._report.add(pointer, what, hint, place=self._locate(text, found, pointer), severity=severity)

    def _check_secret(self, text: str, name: str, pointer: Pointer, may_be_here: bool) -> None:
        found = re.search(rf"secrets\W+{name}\b", text)
        place = self._locate(text, found.start() if found else 0, pointer)
        if not may_be_here:
            self._report.add(pointer, f"the secret {quote(name)} cannot be used here", self._secret_hint, place=place)
        elif self._has_secret:
            for problem in self._find_secret_problems(name, has_value=self._has_secret(name)):
                what = f"the secret {quote(name)} {make_printable(problem)}"
                self._report.add(pointer, what, _explain_secret_cure(name, problem), place=place, severity="warning")

    def _find_secret_problems(self, name: str, *, has_value: bool) -> Sequence[str]:
        if self._examine_secret:
            return self._examine_secret(name)
        return [] if has_value else ["is not set"]

    def _check_names(self, expression: Expression, pointer: Pointer, scope: Names) -> None:
        for name, problem, severity in _find_problems(expression, scope):
            if self._report.is_full:
                return
            there = expression.position_of(name)
            place = self._report.document.position_in(pointer, there.line, there.column)
            self._report.add(pointer, *problem, place=place, severity=severity)

    def _locate(self, text: str, offset: int, pointer: Pointer) -> LineColumn:
        before = text[:offset].split("\n")
        return self._report.document.position_in(pointer, len(before), len(before[-1]) + 1)

    def _refuse(self, pointer: Pointer, error: ExpressionError) -> None:
        place = self._report.document.position_in(pointer, error.line or 1, error.column or 1)
        message, _, hint = error.message.partition("; ")
        self._report.add(pointer, message, hint or None, place=place)


def _explain_secret_cure(name: str, problem: str) -> str:
    if problem.startswith("is not set"):
        return f"set WAYPOST_SECRET_{name}, or run `waypost secrets set {name}`"
    if problem.startswith("is encrypted"):
        return "set WAYPOST_STORE_KEY_FILE to the file of that key"
    return f"correct WAYPOST_SECRET_{name}, its file or its stored value"


def _find_problems(expression: Expression, scope: Names) -> Iterator[tuple[tuple[str, ...], Explanation, Severity]]:
    """Return the problems of the names in an expression, and of their comparisons."""
    names = set(expression.names)
    for parts, hyphen in _find_hyphens(expression, scope):
        yield min(parts, key=expression.offset_of), hyphen, "error"
        names -= parts
    for name in sorted(names):
        if problem := scope.explain_unreadable(name):
            yield name, problem, "error"
        elif doubted := doubt_underscore(name, expression.source):
            yield name, *doubted
        elif problem := scope.doubt_name(name) or _doubt_length(name, expression.source):
            yield name, problem, "warning"
    for name, value in expression.comparisons:
        if problem := scope.explain_comparison(name, value):
            yield name, problem, "error"
        elif problem := scope.doubt_comparison(name, value):
            yield name, problem, "warning"


def _doubt_length(name: DottedName, source: str) -> Explanation | None:
    """Warn about `a.length`, which reads a key in this language."""
    if len(name) < 2 or name[-1] != "length" or not re.search(r"\.\s*length\b", source):
        return None
    whole = ".".join(name[:-1])
    return Explanation("'length' is read as a key here", f"write {whole} | length; or {whole}['length'] if it is a key")


_HYPHENED = re.compile(r"(?<![\w.\]])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[^\]]*\])*)\.([A-Za-z_]\w*(?:-[A-Za-z_]\w*)+)")


def _find_hyphens(expression: Expression, scope: Names) -> Iterator[tuple[frozenset[DottedName], Explanation]]:
    """Find names that are parts of one key with hyphens, such as `trigger.body.order-id`, which the grammar reads as a
    subtraction; return them with what to write instead."""
    if "-" not in expression.source:
        return
    for found in _HYPHENED.finditer(expression.source):
        holder, key = found[1], found[2]
        parts = {name for name in expression.names if found.start() <= expression.offset_of(name) < found.end()}
        tails = {name for name in parts if expression.offset_of(name) > found.start(2)}
        if len(parts) > len(tails) > 0 and all(scope.explain_unreadable(name) for name in tails):
            cure = f"steps.{key.replace('-', '_')}" if holder == "steps" else f"{holder}['{key}']"
            yield frozenset(parts), Explanation(f"'{key}' is a subtraction here", f"write {cure}")
