"""Values as a command line gives them: JSON, whole or by name."""

import json
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import typer


def json_or_text(text: str) -> Any:
    """JSON if it is some, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def json_value(text: str, option: str) -> Any:
    """The JSON of an option, or of the file that it names as `@FILE` (`@-` is standard input); raises
    `typer.BadParameter`."""
    if text.startswith("@"):
        try:
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{text[1:]} cannot be read: {error}", param_hint=f"'{option}'") from None
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse)
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON: {error}", param_hint=f"'{option}'") from None


def json_object(text: str, option: str) -> dict[str, Any]:
    """The same, where only an object will do."""
    value = json_value(text, option)
    if not isinstance(value, dict):
        raise typer.BadParameter("this should be a JSON object, by name", param_hint=f"'{option}'")
    return value


def named_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Pairs `NAME=VALUE` by name, each value JSON or else text; raises `typer.BadParameter`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint=f"'{option}'")
        if name in values:
            raise typer.BadParameter(f"{name} is given twice", param_hint=f"'{option}'")
        values[name] = json_or_text(text)
    return values


def wants_text(problem: str) -> bool:
    """Whether what is wrong with a value is that it is no text."""
    return " is not of type" in problem and '"string"' in problem


def as_texts(pairs: Sequence[str], option: str, names: Collection[str]) -> str | None:
    """How to give the values of those names as texts, where they were taken for other JSON."""
    given = [(name, text) for name, _, text in (pair.partition("=") for pair in pairs) if name in names]
    shown = [f"{option} {shlex.quote(f'{name}={json.dumps(text, ensure_ascii=False)}')}" for name, text in given]
    return f"text that looks like other JSON is given in quotes: {' '.join(shown)}" if shown else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
