"""Parses an expression with Jinja's lexer and grammar; adds positions and helpful messages."""

import re
from collections.abc import Iterator

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from durable.expressions import hints
from durable.expressions.bounds import EvaluationError

SOURCE_LIMIT = 10_000
"""The maximum length of an expression."""

_BRACKET_LIMIT = 30
_ESCAPES = re.compile(r"""(?:[^\\]|\\(?:[\\'"abfnrtv0]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]+\}))*""")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_environment = Environment(autoescape=False)  # only its lexer and grammar are used


def parse(text: str) -> nodes.Expr:
    """Return Jinja's node of an expression without braces; raises `EvaluationError`."""
    if len(text) > SOURCE_LIMIT:
        raise EvaluationError(f"the expression is longer than {SOURCE_LIMIT:,} characters", 0)
    if not text.strip():
        raise EvaluationError("there is no expression", 0)
    try:
        parser = Parser(_environment, "")
        parser.stream = TokenStream(_environment.lexer.wrap(_read_tokens(text, 0)), None, None)
        node = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail(f"unexpected {str(parser.stream.current.value)!r}")
    except TemplateSyntaxError as error:
        raise _explain_start(text) or _explain_syntax(text, error.message or "", error.lineno) from None
    except RecursionError:
        raise EvaluationError("the expression is nested too deeply", 0) from None
    return node


def find_closing(text: str, start: int) -> int | None:
    """Return the offset of the `}}` that ends the expression at `start`; None if there is none."""
    for offset, kind, _ in _read_tokens(text, start):
        if kind == "variable_end":
            return offset
    return None


def read_secret_name(text: str) -> str | None:
    """Return NAME if the expression is exactly `secrets.NAME`."""
    match parse(text):
        case nodes.Getattr(node=nodes.Name(name="secrets"), attr=str(name)):
            return _check_secret_name(name)
        case nodes.Getitem(node=nodes.Name(name="secrets"), arg=nodes.Const(value=str(name))):
            return _check_secret_name(name)
        case _:
            return None


def _check_secret_name(name: str) -> str:
    if not _SECRET.fullmatch(name):
        raise EvaluationError(f"{name!r} is not the name of a secret: use letters, digits and '_'")
    return name


def _read_tokens(text: str, start: int) -> Iterator[tuple[int, str, str]]:
    """Return Jinja's tokens of an expression, with its offset in place of the line number, so that every node and error
    has a position."""
    source = text[start : start + SOURCE_LIMIT + 2].replace("\r", " ")  # replacing "\r\n" by "\n" would shift offsets
    offset, depth = start, 0
    try:
        for _, kind, value in _environment.lexer.tokeniter(source, None, state="variable"):
            depth += (value in {"(", "[", "{"}) - (value in {")", "]", "}"}) if kind == "operator" else 0
            _check_token(kind, value, offset, depth)
            yield offset, kind, value
            offset += len(value)
            if kind == "variable_end":
                return
    except TemplateSyntaxError as error:
        message = (error.message or "").partition(" at ")[0].replace("unexpected char", "unexpected")
        raise _explain_syntax(text, message, offset) from None


def _check_token(kind: str, value: str, offset: int, depth: int) -> None:
    if depth > _BRACKET_LIMIT:
        raise EvaluationError("the expression is nested too deeply", offset)
    if kind == "variable_end" and value.startswith("-"):
        raise EvaluationError("there is no whitespace control; write '}}' without '-'", offset)
    if kind == "string" and not _ESCAPES.fullmatch(value[1:-1]):
        raise EvaluationError("the text has an unknown escape; write '\\\\' for a backslash", offset)
    if kind == "integer" and len(value) > 40:
        raise EvaluationError("the number is too large", offset)


def _explain_start(text: str) -> EvaluationError | None:
    """Explain what is wrong with the beginning of an expression: extra braces, or a statement."""
    start = len(text) - len(text.lstrip())
    if statement := re.match(r"(if|for|set)\s", text[start:]):
        return EvaluationError(f"unexpected '{statement[1]}'; {hints.STATEMENTS[statement[1]]}", start)
    if text.startswith("{{", start):
        return EvaluationError("an expression inside an expression; remove the inner braces", start)
    if text.startswith("{", start) and ":" not in text:
        return EvaluationError("a third brace; write expressions in two: '{{ … }}'", start)
    return None


def _explain_syntax(text: str, message: str, offset: int) -> EvaluationError:
    """Convert a syntax error of Jinja's, and add a hint if the syntax is that of another language."""
    if "end of template" in message:
        return EvaluationError("the expression ends too early", len(text.rstrip()))
    if message == "expected name or number":
        return EvaluationError("a quoted key after a dot; write it in brackets: a['b']", offset)
    if unclosed := re.fullmatch(r"unexpected '(.)', expected '(.)'", message):
        opened = {")": "(", "]": "[", "}": "{"}.get(unclosed[2], unclosed[2])
        return EvaluationError(f"unexpected '{unclosed[1]}'; the '{opened}' before it is not closed", offset)
    if hint := hints.suggest_arguments(text, offset):
        return EvaluationError(f"unexpected ':'; {hint}", offset)
    if message in ('unexpected "\'"', "unexpected '\"'"):
        return EvaluationError(f"the text that begins here is not closed; {hints.QUOTES}", offset)
    if sign := hints.find_sign(text, offset):
        return EvaluationError(f"unexpected '{sign[0]}'; {hints.SIGNS[sign[0]]}", sign[1])
    word = re.compile(r"\w+").match(text, offset)
    hint = hints.WORDS.get(word[0]) if word else None
    message = re.sub(r"expected token (\S+), got (\S+)", r"unexpected \2, expected \1", message)
    return EvaluationError(f"{message}; {hint}" if hint else message, offset)
