"""Redaction: replaces secret values in texts and JSON, in every spelling in which services are likely to return them.

A text is searched unchanged, without its white space, and with all its escapes undone: percent-encoding, the escapes of
JSON, Python, JavaScript and C, and HTML entities, nested or letter by letter. A match is replaced at its position in
the original text. The cost is therefore linear in the text, and does not depend on how a secret is written.
"""

import base64
import binascii
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from html.entities import html5
from typing import TypeVar

import msgspec

from durable.values import JSON

MARK = "***"
"""The replacement for a secret."""

SHORTEST = 4
"""A shorter secret is replaced only if it is the whole text, because it would match parts of many other texts."""

LONG_LINE = 16
"""The minimum length of a line of a multi-line secret (a private key) that is searched for separately."""

LONGEST_WORD = 11
"""Secrets up to this length are not searched for across white space, where they may occur by chance."""

LONG = 12
"""The minimum length of a secret that is searched for in decoded base64 and hex; shorter ones may occur by chance."""

LEAST_RUN = 32
"""The minimum number of base64 or hex digits to decode; `LONG` characters that were encoded twice have at least as
many."""

LAYERS = 3
"""How many nested encodings are undone, in addition to that of the secret itself, in text that pipelines encode."""

WINDOW = 64 * 1024
"""The number of characters that one slice searches, in less than 30 ms however they are escaped."""

NODES = 2_000
"""The number of values that one slice redacts."""

_LONGEST_ESCAPE = 16  # of one character, as a rule: three backslashes over each other, `&#x0000041;`
_ROUNDS = 6
_PERCENT = re.compile("%(?:25)*(?:(?P<percent>[0-9A-Fa-f]{2})|u(?P<wide>[0-9A-Fa-f]{4}))")
_ENTITY = re.compile(
    "&(?:#(?P<decimal>[0-9]{1,10});?|#[xX](?P<hex>[0-9A-Fa-f]{1,10});?|(?P<entity>[A-Za-z][A-Za-z0-9]{1,31};))"
)
_NUMBERED = re.compile(
    r"(?<!\\)\\++(?:u(?P<high>[Dd][89ABab][0-9A-Fa-f]{2})\\++u(?P<low>[Dd][C-Fc-f][0-9A-Fa-f]{2})"
    r"|u(?P<u>[0-9A-Fa-f]{4})|u\{(?P<braced>[0-9A-Fa-f]{1,6})\}|U(?P<long>[0-9A-Fa-f]{8})|x(?P<x>[0-9A-Fa-f]{2})"
    r"|(?P<octal>[0-3][0-7]{2}))"
)
_BACKSLASHES = re.compile(r"\\+")
_ESCAPES = (
    (_PERCENT, ("%",)),
    (_ENTITY, ("&",)),
    (_NUMBERED, ("\\u", "\\x", "\\U", "\\0", "\\1", "\\2", "\\3")),
)
"""Each pattern with texts of which it must contain one to match; searching for these is much faster."""
_ESCAPED_BREAKS = re.compile(r"(?<!\\)\\++[nrt]")
_BREAKS = re.compile(r"(?:\s|(?<!\\)\\++[nrt])+")
_CONTINUATIONS = bytes(range(0x80, 0xC0))  # the bytes of a UTF-8 character after the first
_ALIKE = str.maketrans("+\n\r\t\b\f", " nrtbf")
_RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}+=*+")
_HEX = re.compile("[0-9a-fA-F]+")
_PRINTABLE = bytes(range(0x20, 0x7F))
_STANDARD = str.maketrans("-_", "+/")
_DIGITS = str.maketrans("+-_", "  /")  # both alphabets of base64, after '+' was decoded as a space

Result = TypeVar("Result")
Spans = list[tuple[int, int]]
Slices = Generator[None, None, Result]
"""Work that pauses after each slice, so that other tasks can run."""


class Redactor:
    """Replaces the values that it has learnt in texts and JSON with `MARK`. `knows_any`: whether it has learnt any.

    It finds a value in upper or lower case, percent-encoded (completely, partly, or repeatedly), with the escapes of
    JSON, Python, JavaScript, C and HTML, in base64 at any alignment inside a longer text, in hex, and reversed; a value
    of more than `LONGEST_WORD` characters also if it is split by spaces or line breaks. Non-ASCII letters may be
    encoded as UTF-8, as Latin-1, or as one misread as the other. It does not find other encodings (base32, UTF-16,
    quoted-printable), nor compressed or encrypted values. Redacting a redacted text changes nothing, unless a secret
    contains the mark's asterisk.

    Nested base64 and hex are undone `layers` times. The default is none: it takes a millisecond for each 64 KB, which
    is too slow for responses of services. With layers, base64 is also found reversed and in any case.
    """

    def __init__(self, values: Iterable[str] = (), *, layers: int = 0) -> None:
        self.knows_any = False
        self._layers = layers
        self._known: frozenset[str] = frozenset()
        self._needles: tuple[_SecretNeedle, ...] = ()
        self._long_needles: tuple[_SecretNeedle, ...] = ()
        self._overlap = 0
        for value in values:
            self.learn(value)

    def learn(self, value: str) -> None:
        """Redact this value from now on."""
        if not value or value in self._known:
            return
        self.knows_any = True
        self._known |= {value}
        self._needles += tuple(
            _SecretNeedle(part, is_layered=self._layers > 0) for part in sorted(_split_secret(value))
        )
        if self._layers:
            self._long_needles = tuple(needle for needle in self._needles if len(needle.plain) >= LONG)
        self._overlap = max((_LONGEST_ESCAPE * len(needle.plain) + 64 for needle in self._needles), default=0)

    def forget(self, values: Iterable[str]) -> None:
        """Redact these values no longer: they have been replaced, and cannot be used any more."""
        left = self._known - set(values)
        if left != self._known:
            self._known, self._needles, self._long_needles = frozenset(), (), ()
            for value in left:
                self.learn(value)

    def redact_text(self, text: str) -> str:
        """Return the text with every secret replaced."""
        if not self.knows_any:
            return text
        if len(text) > WINDOW:
            return run_slices(self.redact_text_in_slices(text))
        if text in self._known:
            return MARK
        spans = self._find(text)
        return _cut_out(text, sorted(spans)) if spans else text

    def redact(self, value: JSON) -> JSON:
        """Return the JSON with every secret replaced, including in keys; a number that is a secret becomes the mark."""
        return self.redact_text(value) if isinstance(value, str) else run_slices(self.redact_in_slices(value))

    def redact_text_in_slices(self, text: str) -> Slices[str]:
        """Like `redact_text`, in slices."""
        if text in self._known:
            return MARK
        spans: Spans = []
        for start, piece in self._windows(text):
            spans += [(start + begin, start + end) for begin, end in self._find(piece)]
            if len(piece) < len(text):
                yield
        return _cut_out(text, sorted(spans)) if spans else text

    def redact_in_slices(self, value: JSON) -> Slices[JSON]:
        """Like `redact`, in slices."""
        if not self.knows_any:
            return value
        return (yield from self._walk(value, [0]))

    def may_contain_secret(self, encoded: str) -> Slices[bool]:
        """Whether encoded JSON may contain a secret, in slices; if not, its values need not be searched
        individually."""
        if any(msgspec.json.encode(value).decode() in encoded for value in self._known if len(value) < SHORTEST):
            return True
        for _, piece in self._windows(encoded):
            if self._find(piece):
                return True
            yield
        return False

    def _walk(self, value: JSON, count: list[int]) -> Slices[JSON]:
        count[0] += 1
        if count[0] % NODES == 0:
            yield
        match value:
            case str():
                if len(value) > WINDOW:
                    return (yield from self.redact_text_in_slices(value))
                return self.redact_text(value)
            case None | bool():
                return value
            case int() | float():
                return MARK if len(text := _spell_number(value)) >= SHORTEST and text in self._known else value
            case dict():
                made: dict[str, JSON] = {}
                for key, item in value.items():
                    made[self.redact_text(key)] = yield from self._walk(item, count)
                return made
            case _:
                items: list[JSON] = []
                for item in value:
                    redacted = yield from self._walk(item, count)
                    items.append(redacted)
                return items

    def _windows(self, text: str) -> Iterator[tuple[int, str]]:
        """Split the text into overlapping pieces, so that every secret is complete in one of them."""
        if not self._needles:
            return
        size = max(WINDOW, 2 * self._overlap)
        if len(text) <= size:
            yield 0, text
            return
        for start in range(0, len(text) - self._overlap, size - self._overlap):
            yield start, text[start : start + size]

    def _find(self, text: str) -> Spans:
        """Return the positions of secrets in a text."""
        spans = self._find_spelled(text, self._needles)
        if not self._long_needles or len(text) < LEAST_RUN:
            return spans
        starts = sorted(start for start, _ in spans)
        for run in _RUN.finditer(text):
            following = bisect_left(starts, run.start())
            is_found = following < len(starts) and starts[following] < run.end()
            if not is_found and self._is_within(run[0], self._layers):
                spans.append(run.span())
        return spans

    def _is_within(self, run: str, layers: int) -> bool:
        """Whether a run of base64 or hex contains a secret that was encoded twice: base64 of base64, of hex, or of
        upper case. A secret encoded once is found by its spelling."""
        for decoded in _decode_run(run):
            if self._find_spelled(decoded, self._long_needles):
                return True
            if layers > 1 and any(self._is_within(inner[0], layers - 1) for inner in _RUN.finditer(decoded)):
                return True
        return False

    def _find_spelled(self, text: str, needles: "Sequence[_SecretNeedle]") -> Spans:
        """Return the positions of secrets in a text that are encoded at most once, with any number of escapes."""
        lowered = text.lower() if text.isascii() else _to_lower(text)
        spans: Spans = []
        for needle in needles:
            for spelling in needle.spellings:
                if spelling in lowered:
                    spans += _find_occurrences(spelling, lowered)
            for literal in needle.literals:
                if literal in text:
                    spans += needle.find_base64(text)
                    break
        spans += _find_broken(text, needles)
        if "%" not in text and "\\" not in text and "&" not in text and "+" not in text:
            return spans
        plain = _UnescapedText(text)
        lowered = plain.text.lower()
        return spans + [plain.origin(span) for needle in needles for span in needle.find_unescaped(plain.text, lowered)]


def _do_nothing() -> None:
    """The default for the callback between two slices."""


def run_slices(slices: Slices[Result], between: Callable[[], None] = _do_nothing) -> Result:
    """Do all the work; calls `between` between two slices."""
    while True:
        try:
            next(slices)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # typeshed has no type for it
        between()


def _spell_number(value: int | float) -> str:
    return msgspec.json.encode(value).decode()


def _split_secret(value: str) -> set[str]:
    """Return the texts to search for: the secret itself, trimmed, and each of its long lines."""
    lines = {line.strip() for line in value.splitlines()}
    long = {line for line in lines if len(line) >= LONG_LINE and not line.startswith("-----")}
    parts = {part for part in {value, value.strip(), *long} if len(part) >= SHORTEST}
    return parts | {part.encode("utf-8", "surrogatepass").decode("latin-1") for part in parts}


def _to_lower(text: str) -> str:
    """Return the text in lower case, with the same length: `İ` would become two characters."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


def _cut_out(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Replace each group of overlapping spans, which are sorted, with one mark."""
    kept: list[str] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            kept += [text[end:start], MARK]
        end = max(end, stop)
    return "".join([*kept, text[end:]])


def _find_broken(text: str, needles: "Sequence[_SecretNeedle]") -> Spans:
    """Find secrets that contain spaces or line breaks: base64 in a mail, a folded header."""
    # Equivalent to `_BREAKS`, in half the time.
    whole = "".join((_ESCAPED_BREAKS.sub("", text) if "\\" in text else text).split())
    if len(whole) == len(text):
        return []
    lowered = whole.lower() if whole.isascii() else _to_lower(whole)
    found: Spans = []
    for needle in needles:
        for spelling in needle.unbroken:
            if spelling in lowered:
                found += _find_occurrences(spelling, lowered)
        for literal in needle.literals if needle.unbroken else ():
            if literal in whole:
                found += needle.find_base64(whole)
                break
    if not found:
        return []
    origins = _Origins(_BREAKS, text)
    return [(origins.of(start), origins.of(end - 1) + 1) for start, end in found]


def _decode_run(run: str) -> Iterator[str]:
    """Decode a run of hex or base64 to Latin-1; base64 from each digit at which it may begin."""
    if _HEX.fullmatch(run):
        decoded = bytes.fromhex(run[: len(run) // 2 * 2])
        if _begins_as_text(decoded):
            yield decoded.decode("latin-1")
    digits = run.translate(_STANDARD).rstrip("=")
    for start in range(4):
        whole = digits[start : start + (len(digits) - start) // 4 * 4]
        if _begins_as_text(binascii.a2b_base64(whole[:LEAST_RUN])):
            yield binascii.a2b_base64(whole).decode("latin-1")


def _begins_as_text(data: bytes) -> bool:
    """Whether bytes may be text. Most base64-like runs are ids, hashes or files, which are skipped."""
    head = data[:LEAST_RUN]
    return len(head.translate(None, _PRINTABLE)) * 4 <= len(head)


# -- needles ---------------------------------------------------------------------------------------------------


class _SecretNeedle:
    """The spellings of a secret that are searched for.

    `spellings`: in lower-case text.
    `unbroken`: in lower-case text without white space.
    `literals`: for base64; every text that contains the secret contains one of them.
    """

    def __init__(self, value: str, *, is_layered: bool = False) -> None:
        data = value.encode("utf-8", "surrogatepass")
        self.plain = _to_lower(value)
        self.spellings: tuple[str, ...] = (self.plain, self.plain[::-1], data.hex())
        whole, backward = (_to_lower(_BREAKS.sub("", each)) for each in (value, value[::-1]))
        self.unbroken = (whole, backward, data.hex()) if len(whole) > LONGEST_WORD else ()
        unescaped = _UnescapedText(value).text
        self._unescaped = unescaped.lower()
        latin = "" if value.isascii() else unescaped.encode("latin-1").decode(errors="ignore")
        self._latin = latin.lower() if latin and max(latin) <= "ÿ" else ""
        self._cores = tuple(_make_base64_core(data, alignment) for alignment in range(3))
        self.literals = tuple(max(re.split("[+/]", core), key=len) for core in self._cores)
        if is_layered and len(value) >= LONG:
            folded = [core.lower() for core in self._cores]
            self.spellings += (*folded, *(core[::-1] for core in folded))

    def find_unescaped(self, text: str, lowered: str) -> Iterator[tuple[int, int]]:
        """Where it is in a text without escapes."""
        if self._latin and self._latin in lowered:
            yield from _find_occurrences(self._latin, lowered)
        if len(self._unescaped) >= SHORTEST and self._unescaped in lowered:
            yield from _find_occurrences(self._unescaped, lowered)
        yield from self.find_base64(text)

    def find_base64(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it is in base64, with the padding and the digit before it that holds the last bits."""
        for core, literal in zip(self._cores, self.literals, strict=True):
            if literal in text:
                digits = text.translate(_DIGITS)
                for start, end in _find_occurrences(core.translate(_DIGITS), digits):
                    padding = _PADDING.match(text, end)
                    yield start, padding.end() if padding else end


_PADDING = re.compile("[A-Za-z0-9+/_-]?(?:=|%3[dD]){1,2}")


def _find_occurrences(needle: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(needle) if needle else -1
    while start >= 0:
        yield start, start + len(needle)
        start = text.find(needle, start + 1)


def _make_base64_core(data: bytes, alignment: int) -> str:
    """Return the base64 digits that depend only on the value, if it begins `alignment` bytes (modulo 3) into the
    data."""
    data = bytes(alignment) + data
    return base64.b64encode(data).decode()[-(-8 * alignment // 6) : 8 * len(data) // 6]


# -- escapes ----------------------------------------------------------------------------------------------------


class _UnescapedText:
    """A text without its escapes, as UTF-8 bytes (each a character, up to `ÿ`).

    A '+' becomes a space, as in a form, and a line end becomes the 'n' of its escape: a literal backslash and one that
    begins an escape cannot be distinguished. The origin of characters is computed only when `origin` is called.
    """

    def __init__(self, text: str) -> None:
        self._source = text
        self._steps: list[tuple[re.Pattern[str], str]] = []
        self.text = self._undo_all(_to_bytes(text)).translate(_ALIKE)
        self._origins: list[_Origins] = []

    def origin(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return the span in the original text of a span in this one."""
        if not self._origins:
            self._origins = [_Origins(escape, before) for escape, before in reversed(self._steps)]
        start, end = span
        for origins in self._origins:
            start, end = origins.of(start), origins.of(end)
        if self._source.isascii():
            return start, end
        data = self._source.encode("utf-8", "surrogatepass")
        start, end = (len(data[:place].translate(None, _CONTINUATIONS)) for place in (start, end))
        return start, end

    def _undo_all(self, text: str) -> str:
        """Undo one kind of escape repeatedly until none is left."""
        for _ in range(_ROUNDS):
            before = text
            for escape, beginnings in _ESCAPES:
                if not any(beginning in text for beginning in beginnings):
                    continue
                made = escape.sub(_unescape, text)
                if made != text:
                    self._steps.append((escape, text))
                    text = made
            if "\\" in text:
                self._steps.append((_BACKSLASHES, text))
                text = text.replace("\\", "")
            if text == before:
                break
        return text


def _to_bytes(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def _unescape(escape: re.Match[str]) -> str:
    """Return the character that an escape stands for, as bytes of UTF-8."""
    kind = escape.lastgroup
    match kind:
        case None:
            return ""  # backslashes
        case "percent":
            return chr(int(escape[kind], 16))
        case "octal":
            return chr(int(escape[kind], 8))
        case "low":
            pair = 0x10000 + ((int(escape["high"], 16) - 0xD800) << 10) + int(escape["low"], 16) - 0xDC00
            return _to_bytes(chr(pair))
        case "entity":
            return _to_bytes(html5.get(escape[kind], escape[0]))
    number = int(escape[kind], 10 if kind == "decimal" else 16)
    return _to_bytes(chr(number)) if number <= sys.maxunicode else escape[0]


class _Origins:
    """Maps positions in a text whose escapes were undone to positions in the original text."""

    def __init__(self, escapes: re.Pattern[str], text: str) -> None:
        self._starts: list[int] = []
        self._escapes: list[tuple[int, int, int]] = []
        gone = 0
        for escape in escapes.finditer(text):
            start = escape.start() - gone
            end = start + len(_unescape(escape))
            self._starts.append(start)
            self._escapes.append((end, escape.start(), escape.end()))
            gone = escape.end() - end

    def of(self, place: int) -> int:
        """Return the position in the original text."""
        index = bisect_right(self._starts, place) - 1
        if index < 0:
            return place
        made_end, start, end = self._escapes[index]
        return start if place < made_end else end + place - made_end
