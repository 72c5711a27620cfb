"""Values typed on the command line: JSON, from a file, or by name."""

import contextlib
import json
import math
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import typer

from durable.values import NESTING_LIMIT, NotJSON, encode
from durable.yaml.document import YamlDocument
from triggers.commands.failure import explain_cause

SHOWN = 80
"""Characters of a value that a message shows."""


INPUT_LIMIT = 64 * 1024 * 1024
"""The most bytes of a file that is given as a value. No service takes a larger body."""


def parse_json_or_text(text: str, option: str) -> Any:
    """Parse JSON, or return the text if it is not JSON. Raises `typer.BadParameter` for JSON that no service takes."""
    try:
        return _parse(text)
    except NotJSON as error:
        raise typer.BadParameter(f"{_shorten(text)}: {_shorten_error(error)}", param_hint=f"'{option}'") from None
    except ValueError:
        return text


def parse_json(text: str, option: str) -> Any:
    """The JSON of an option, or of the file that it names as `@FILE` (`@-` is standard input); raises
    `typer.BadParameter`."""
    named = f"{text[1:]}: " if text.startswith("@") else ""
    if named:
        try:
            text = _read(text[1:])
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"{named}it is not UTF-8 text: {error}", param_hint=f"'{option}'") from None
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{named}{explain_cause(error)}", param_hint=f"'{option}'") from None
    try:
        return _parse(text.removeprefix("\ufeff"))
    except NotJSON as error:
        raise typer.BadParameter(f"{named}{_shorten_error(error)}", param_hint=f"'{option}'") from None
    except ValueError as error:
        raise typer.BadParameter(f"{named}this is not JSON: {error}", param_hint=f"'{option}'") from None


def _read(name: str) -> str:
    """The text of a file, or of standard input if its name is `-`."""
    if name == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        data = sys.stdin.buffer.read(INPUT_LIMIT + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(INPUT_LIMIT + 1)
    if len(data) > INPUT_LIMIT:
        raise OSError(f"it is larger than {INPUT_LIMIT // 1024 // 1024} MB")
    return data.decode("utf-8")


def _parse(text: str) -> Any:
    """Parse a JSON text. Raises `NotJSON` for JSON that no service takes (a number that is too large, a lone surrogate,
    nesting that is too deep) and another `ValueError` for what is not JSON."""
    try:
        value = json.loads(text, parse_float=_parse_float, parse_constant=_reject_constant)
    except RecursionError:
        raise NotJSON(f"it is nested more than {NESTING_LIMIT} levels deep") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "integer string" in str(error):  # Python's own limit
            raise NotJSON("a whole number has more than 4,300 digits") from None
        raise
    encode(value)  # raises NotJSON
    return value


def _shorten(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _shorten_error(error: NotJSON) -> str:
    """The message. The place of a deeply nested value is long, so its middle is left out."""
    text = str(error)
    return text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]}…{text[-SHOWN:]}"


def check_header_value(text: str | None, option: str) -> str | None:
    """Check a text that is sent in a header; raises `typer.BadParameter`."""
    if text is not None and not re.fullmatch("[ -~]{1,255}", text):
        what = f"{_shorten(text)} should be 1 to 255 printable ASCII characters, since it is sent in a header"
        raise typer.BadParameter(what, param_hint=f"'{option}'")
    return text


def parse_json_object(text: str, option: str) -> dict[str, Any]:
    """Like `parse_json`, for an object only."""
    value = parse_json(text, option)
    if not isinstance(value, dict):
        raise typer.BadParameter("this should be a JSON object", param_hint=f"'{option}'")
    return value


def parse_document(name: str, option: str) -> dict[str, Any]:
    """The mapping in a JSON or YAML file (`-` is standard input); raises `typer.BadParameter`."""
    try:
        text = _read(name)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{name}: {explain_cause(error)}", param_hint=f"'{option}'") from None
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            return dict(_parse(text))
    document = YamlDocument.read(text, name)
    if document.problems:
        raise typer.BadParameter(str(document.problems[0]), param_hint=f"'{option}'")
    if not isinstance(document.data, dict):
        raise typer.BadParameter(f"{name}: it must contain a mapping", param_hint=f"'{option}'")
    return document.data


def parse_named_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Pairs `NAME=VALUE` by name, each value JSON or else text; raises `typer.BadParameter`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{_shorten(pair)} is not NAME=VALUE", param_hint=f"'{option}'")
        if name in values:
            raise typer.BadParameter(f"{name} is given twice", param_hint=f"'{option}'")
        values[name] = parse_json_or_text(text, f"{option} {name}")
    return values


def wants_text(problem: str) -> bool:
    """Whether a problem says that a value should be text."""
    return " is not of type" in problem and '"string"' in problem


def suggest_quotes(pairs: Sequence[str], option: str, names: Collection[str]) -> str | None:
    """How to type the values of those names as texts, which were read as other JSON; None if there are none."""
    given = [(name, text) for name, _, text in (pair.partition("=") for pair in pairs) if name in names]
    shown = [f"{option} {shlex.quote(f'{name}={json.dumps(text, ensure_ascii=False)}')}" for name, text in given]
    return f"put text that looks like other JSON in quotes: {' '.join(shown)}" if shown else None


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJSON(
            f"the number {text if len(text) <= SHOWN else text[:SHOWN] + '…'} is too large; 1.7e308 is the limit"
        )
    return number


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
