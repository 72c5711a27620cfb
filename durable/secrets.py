"""Secrets: looked up by name, put into an input at the last moment, taken out of whatever is kept or shown.

A value is read when it is asked for, so a rotated one counts from the next attempt on. It stands in no history: a
step's input carries slots beside its JSON, and only `fill` reads them; a payload that imitates a reference stays data.

    SecretMissing        a secret is not set, is empty, or its file cannot be read
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from durable.history import SecretName, Slot
from durable.values import JSON

PREFIX = "WAYPOST_SECRET_"

MARK = "***"
"""What stands where a secret stood."""

SHORTEST = 4
"""Characters from which a secret is looked for inside texts; a shorter one is replaced only where it is the whole text,
since it would tear holes into everything else."""

LONG_LINE = 16
"""Characters from which a line of a secret with several lines (a private key) is looked for by itself."""


class SecretMissing(LookupError):
    """A secret that something needs cannot be had; `name` is the secret's."""

    def __init__(self, name: str, problem: str = "is not set") -> None:
        super().__init__(f"secret {name} {problem}: set {PREFIX}{name}, or {PREFIX}{name}_FILE to a file that holds it")
        self.name = name


class Secrets:
    """The secrets of an environment: `WAYPOST_SECRET_<NAME>`, or the file that `WAYPOST_SECRET_<NAME>_FILE` names.

    A variable whose name ends in `_FILE` always names a file. `redactor` knows every value that was ever read here.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.redactor = Redactor()
        for name in self.names():
            self.has(name)  # reads it, so that the redactor knows it from the first log line on

    def get(self, name: str) -> str:
        """The value as of now; raises `SecretMissing`."""
        value = self._read(name)
        if not value:
            raise SecretMissing(name, "is empty")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise SecretMissing(name, "is not UTF-8 text")
        self.redactor.learn(value)
        return value

    def has(self, name: str) -> bool:
        """Whether `get` would answer."""
        try:
            self.get(name)
        except SecretMissing:
            return False
        return True

    def names(self) -> tuple[str, ...]:
        """The names that are set, in order, whether or not their files can be read."""
        variables = (name.removeprefix(PREFIX) for name in self._environment if name.startswith(PREFIX))
        return tuple(sorted({name.removesuffix("_FILE") for name in variables} - {""}))

    def _read(self, name: str) -> str:
        variable = PREFIX + name
        if variable in self._environment and not name.endswith("_FILE"):
            return self._environment[variable]
        if f"{variable}_FILE" in self._environment:
            return _read_file(name, Path(self._environment[f"{variable}_FILE"]))
        raise SecretMissing(name)


def _read_file(name: str, path: Path) -> str:
    """A file's text without its final newline. A pipe is refused: it answers once, and then blocks for ever."""
    try:
        if path.exists() and not path.is_file():
            raise SecretMissing(name, f"cannot be read ({path} is not a regular file)")
        text = path.read_bytes().decode()
    except OSError as error:
        raise SecretMissing(name, f"cannot be read ({path}: {error.strerror})") from None
    except UnicodeDecodeError:
        raise SecretMissing(name, f"is not UTF-8 text (in {path})") from None
    return re.sub(r"\r?\n\Z", "", text)


# -- filling ----------------------------------------------------------------------------------------------------


def fill(value: JSON, slots: Sequence[Slot], secrets: Secrets) -> tuple[JSON, frozenset[str]]:
    """The JSON, copied if there are slots, with the secrets in them, and their values; raises `SecretMissing`.

    Nothing but the slots is looked at: what the JSON itself says is data. In a mapping a slot's place need not exist.
    """
    if not slots:
        return value, frozenset()
    filled = _copied(value)
    used: set[str] = set()
    for slot in slots:
        known = {part.secret: secrets.get(part.secret) for part in slot.parts if isinstance(part, SecretName)}
        used.update(known.values())
        text = "".join(part if isinstance(part, str) else _spell(known[part.secret], part) for part in slot.parts)
        filled = _placed(filled, slot.pointer, text)
    return filled, frozenset(used)


def _spell(value: str, reference: SecretName) -> str:
    return quote(value, safe="") if reference.is_encoded else value


def _copied(value: JSON) -> JSON:
    match value:
        case dict():
            return {key: _copied(item) for key, item in value.items()}
        case list():
            return [_copied(item) for item in value]
        case _:
            return value


def _placed(value: JSON, pointer: Sequence[str | int], text: str) -> JSON:
    """Put the text into the value, in place, and return what then stands there."""
    if not pointer:
        return text
    key, *rest = pointer
    match value, key:
        case dict(), str():
            value[key] = _placed(value.get(key), rest, text)
        case list(), int() if 0 <= key < len(value):
            value[key] = _placed(value[key], rest, text)
        case _:
            raise LookupError(f"the input has no {key!r} in which a secret could stand")
    return value


# -- redacting --------------------------------------------------------------------------------------------------


class Redactor:
    """Takes secret values out of texts and JSON, in every spelling in which they are likely to come back.

    It knows a value as it is, percent-encoded (once or twice, wholly or in part), with escapes as JSON, Python and HTML
    write them, and in base64, at any alignment inside a longer text. The cost is linear in the text. What was redacted
    does not change when it is redacted again, unless a secret contains the mark's own asterisk.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: frozenset[str] = frozenset()
        self._whole: frozenset[str | int] = frozenset()
        self._sought: tuple[tuple[str, re.Pattern[str]], ...] = ()
        for value in values:
            self.learn(value)

    def learn(self, value: str) -> None:
        """Redact this value too, from now on."""
        if not value or value in self._known:
            return
        self._known |= {value}
        self._whole |= {value, *_as_number(value)}
        self._sought += tuple(spelling for part in sorted(_parts(value)) for spelling in _spellings(part))

    def text(self, text: str) -> str:
        """The text with the mark in place of every secret."""
        if text in self._whole:
            return MARK
        found = (pattern.finditer(text) for literal, pattern in self._sought if literal in text)
        spans = sorted(match.span() for matches in found for match in matches)
        return _marked(text, spans) if spans else text

    def value(self, value: JSON) -> JSON:
        """The JSON with the mark in place of every secret, in its keys too; a number that is one becomes the mark."""
        if not self._known:
            return value
        match value:
            case str():
                return self.text(value)
            case None | bool():
                return value
            case int() | float():
                return MARK if value in self._whole else value
            case dict():
                return {self.text(key): self.value(item) for key, item in value.items()}
            case _:
                return [self.value(item) for item in value]


@lru_cache(maxsize=1024)
def _spellings(value: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """How a value may be written: each pattern with a literal that must be in a text for the pattern to match.

    Looking for the literals first is what makes the usual text, which holds no secret, cheap.
    """
    cores = [_base64_core(value, alignment) for alignment in range(3)]
    written = [(value, _escaped(value)), *((core, _base64_pattern(core)) for core in cores)]
    return tuple((_longest_literal(text), re.compile(pattern)) for text, pattern in written)


def _longest_literal(text: str) -> str:
    return max(re.findall("[A-Za-z0-9]+", text), key=len, default="")


def _parts(value: str) -> set[str]:
    """What to look for inside texts because of a value: itself, trimmed, and its long lines by themselves."""
    lines = {line.strip() for line in value.splitlines()}
    long = {line for line in lines if len(line) >= LONG_LINE and not line.startswith("-----")}
    return {part for part in {value, value.strip(), *long} if len(part) >= SHORTEST}


def _as_number(value: str) -> set[int]:
    """The number that a value would be in JSON, if it is one that is long enough to be looked for."""
    is_number = value.isascii() and value.isdecimal() and not value.startswith("0")
    return {int(value)} if is_number and SHORTEST <= len(value) <= 100 else set()


def _escaped(value: str) -> str:
    """A pattern for the value in which every special character may stand as itself or escaped.

    Where backslashes stand before something, its escapes begin like theirs: an atomic group tries each split only once.
    """
    pairs = re.findall(r"(\\*)([A-Za-z0-9]+|[^\\]|\Z)", value)
    return "".join(
        f"(?>{_any_spelling(backslashes)}{_any_spelling(piece)})" if backslashes else _any_spelling(piece)
        for backslashes, piece in pairs
    )


def _any_spelling(piece: str) -> str:
    if re.fullmatch("[A-Za-z0-9]*", piece):
        return piece
    longest_first = sorted(_escapes(piece) - {piece}, key=lambda escape: (-len(escape), escape))
    return f"(?:(?i:{'|'.join(map(re.escape, longest_first))})|{re.escape(piece)})"


def _escapes(piece: str) -> set[str]:
    """What URLs, HTML, Python and JSON (up to three times over) make of a special character, or of some backslashes."""
    percent = "".join(f"%{byte:02x}" for byte in piece.encode("utf-8", "surrogatepass"))
    entities = "".join(f"&#{ord(char)};" for char in piece)
    once = json.dumps(piece)[1:-1]
    twice = json.dumps(once)[1:-1]
    thrice = json.dumps(twice)[1:-1]
    python = ascii(piece)[1:-1]
    special = {" ": "+", "/": r"\/", "'": r"\'"}.get(piece, percent)
    return {percent, percent.replace("%", "%25"), html.escape(piece), entities, once, twice, thrice, python, special}


def _base64_core(value: str, alignment: int) -> str:
    """The digits that the value alone decides when it stands `alignment` bytes (modulo 3) into what is encoded."""
    data = bytes(alignment) + value.encode("utf-8", "surrogatepass")
    return base64.b64encode(data).decode()[-(-8 * alignment // 6) : 8 * len(data) // 6]


def _base64_pattern(core: str) -> str:
    """Both alphabets, percent-encoded or not, with the padding and the digit before it that holds the last bits."""
    digits = "".join({"+": r"(?:[+-]|%2[bB])", "/": r"(?:[/_]|\\/|%2[fF])"}.get(digit, digit) for digit in core)
    return digits + r"(?:[A-Za-z0-9+/_-]?(?:=|%3[dD]){1,2})?"


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with one mark for each group of overlapping spans, which come in order."""
    kept: list[str] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            kept += [text[end:start], MARK]
        end = max(end, stop)
    return "".join([*kept, text[end:]])
