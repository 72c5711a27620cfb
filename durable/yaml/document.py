"""Reads YAML text into data, with the position of every value.

The data is built from the parser's events, so that deep nesting cannot exhaust the stack. Scalars follow the YAML 1.2
core schema (`no`, `on`, `12:30`, `1_000` and dates are text). Surprising features are rejected with their line:
duplicate keys, anchors, aliases, tags, merge keys, several documents, keys that are not text, numbers with leading
zeros.
"""

import re
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NoReturn

import yaml

from durable.problem import LineColumn, Pointer, Problem
from durable.values import JSON
from durable.wording import make_printable, quote
from durable.yaml.scalars import MisleadingScalar, is_text, parse_scalar
from durable.yaml.syntax import (
    NO_WORDS,
    Source,
    Words,
    explain_braces,
    explain_syntax,
    quote_value,
    strip_comment,
)

FASTEST_LOADER: type = getattr(yaml, "CLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The maximum number of bytes, nesting levels, values and reported problems of a document."""

    size: int = 1024 * 1024
    depth: int = 64
    nodes: int = 50_000
    problems: int = 100


LIMITS = DocumentLimits()


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The data of a YAML text. `is_whole`: the text was read to its end."""

    source: Source
    data: JSON
    problems: tuple[Problem, ...]
    is_whole: bool
    _values: dict[Pointer, LineColumn] = field(repr=False)
    _keys: dict[Pointer, LineColumn] = field(repr=False)

    @classmethod
    def read(
        cls,
        text: str | bytes,
        file: str,
        limits: DocumentLimits = LIMITS,
        *,
        words: Words = NO_WORDS,
        loader: type = FASTEST_LOADER,
    ) -> "YamlDocument":
        """Read any text or bytes. Never raises: all errors are in `problems`."""
        reading = _EventReader(Source(file, words=words), limits, loader)
        try:
            reading.read(text)
        except _StopReading:
            reading.is_whole = False
        problems = tuple(reading.problems)
        return cls(reading.source, reading.data, problems, reading.is_whole, reading.values, reading.keys)

    def position(self, pointer: Pointer, *, key: bool = False) -> LineColumn:
        """Return the position of a value, or of its key; if it does not exist, that of its nearest ancestor."""
        while pointer:
            found = self._keys.get(pointer) if key else None
            found = found or self._values.get(pointer)
            if found:
                return found
            pointer, key = pointer[:-1], False
        return self._values.get((), (1, 1))

    def position_in(self, pointer: Pointer, line: int, column: int) -> LineColumn:
        """Return the position of a character inside a text, given its line and column there.

        For a text with escapes or folded lines, return the position of the text itself.
        """
        start, first = self.position(pointer)
        text = self._text(pointer)
        lines = text.split("\n")
        if not 0 < line <= len(lines):
            return start, first
        line_of_start = self.source.get_line(start)
        style = line_of_start[first - 1 : first]
        if style in {"|", ">"}:
            row = start + line
            offset = self.source.get_line(row).find(lines[line - 1]) if lines[line - 1] else -1
        else:
            row, offset = start, first - 1 + (style in {"'", '"'})
            if len(lines) > 1 or not line_of_start.startswith(text, offset):
                offset = -1
        return (row, offset + column) if offset >= 0 else (start, first)

    def _text(self, pointer: Pointer) -> str:
        value: object = self.data
        for part in pointer:
            match value:
                case dict() if part in value:
                    value = value[part]
                case list() if isinstance(part, int) and part < len(value):
                    value = value[part]
                case _:
                    return ""
        return value if isinstance(value, str) else ""


# -- from events to data ----------------------------------------------------------------------------------------

# Characters that libyaml rejects, and those that it treats as line ends although no editor does.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LINE_END = re.compile("\r\n|\r|\n")


class _StopReading(Exception):
    """The rest of the text cannot be read; the problems say why."""


class _Frame:
    """A list or mapping that is being read. `pointer` is None if its contents are discarded."""

    __slots__ = ("container", "key", "key_place", "place", "pointer", "wants_key")

    def __init__(self, container: list[JSON] | dict[str, JSON], pointer: Pointer | None, place: LineColumn) -> None:
        self.container = container
        self.pointer = pointer
        self.place = place
        self.wants_key = isinstance(container, dict)
        self.key: str | None = None
        self.key_place: LineColumn = (1, 1)


class _EventReader:
    """Makes one pass over the events of a text."""

    def __init__(self, source: Source, limits: DocumentLimits, loader: type) -> None:
        self.limits = limits
        self.loader = loader
        self.problems: list[Problem] = []
        self.source = source
        self.data: JSON = None
        self.values: dict[Pointer, LineColumn] = {}
        self.keys: dict[Pointer, LineColumn] = {}
        self.is_whole = True
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    def read(self, text: str | bytes) -> None:
        content = self._decode(text)
        self.source = replace(self.source, lines=_LINE_END.split(content))
        for found in islice(_FORBIDDEN.finditer(content), 10):
            self._refuse(
                _find_position(content, found.start()),
                f"the character U+{ord(found[0]):04X} is not allowed here",
                'remove it, or write it as "\\uXXXX" in double quotes',
            )
        if self.problems:
            raise _StopReading
        try:
            for event in yaml.parse(content, Loader=self.loader):
                self._take(event)
        except yaml.YAMLError as error:
            problem = explain_syntax(error, self.source, self._stack[-1].place if self._stack else (1, 1))
            if all(problem.line != known.line for known in self.problems):
                self.problems.append(problem)
            raise _StopReading from None

    def _decode(self, text: str | bytes) -> str:
        if len(text) > self.limits.size:
            self._end((1, 1), f"the file is larger than {self.limits.size // 1024} KiB", "split the file")
        if isinstance(text, str):
            return text.removeprefix("\ufeff")
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            readable = text[: error.start].decode("utf-8-sig", "replace")
            self.source = replace(self.source, lines=_LINE_END.split(readable))
            place = _find_position(readable, len(readable))
            self._end(place, f"the byte 0x{text[error.start]:02X} is not UTF-8", "save the file as UTF-8")

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._check_node(event)
                self._take_scalar(event)
            case yaml.MappingStartEvent():
                self._check_node(event)
                self._open({}, event)
            case yaml.SequenceStartEvent():
                self._check_node(event)
                self._open([], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
            case yaml.AliasEvent():
                what = f"'*{event.anchor}' is an alias, which Waypost does not support"
                self._refuse(_position_of(event), what, f'quote it if it is text: "*{event.anchor}"')
                self._put_or_key(None, event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._end(
                        _position_of(event), "a second document begins here", "put each document into a file of its own"
                    )

    def _check_node(self, event: yaml.NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > self.limits.nodes:
            self._end(_position_of(event), f"more than {self.limits.nodes} values", "split the file")
        if event.anchor is not None:
            self._refuse(
                _position_of(event), f"'&{event.anchor}' is an anchor, which Waypost does not support", _NO_REUSE
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = quote(tag.replace("tag:yaml.org,2002:", "!!"))
            hint = self._suggest_not(event, tag) or "remove it, or quote the text"
            self._refuse(_position_of(event), f"{shown} is a tag, which Waypost does not support", hint)

    def _suggest_not(self, event: yaml.NodeEvent, tag: str) -> str | None:
        """Return a hint for a condition that begins with `!`."""
        frame = self._stack[-1] if self._stack else None
        if frame is None or frame.wants_key or frame.key not in self.source.words.conditions or not tag.startswith("!"):
            return None
        negated = tag[1:].rstrip(",") or getattr(event, "value", "")
        return f"write 'not' for the '!': not {make_printable(negated)[:80]}"

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        if self._stack and self._stack[-1].wants_key:
            self._take_key(event)
            return
        value: JSON = event.value
        if event.implicit[0]:
            try:
                value = parse_scalar(event.value)
            except MisleadingScalar as unfit:
                self._refuse(_position_of(event), str(unfit), f"quote it if it is text: {quote_value(event.value)}")
        self._put(value, event)

    def _take_key(self, event: yaml.ScalarEvent) -> None:
        frame = self._stack[-1]
        frame.wants_key = False
        frame.key, frame.key_place = event.value, _position_of(event)
        if event.implicit[0] and event.value == "<<":
            self._refuse(_position_of(event), "'<<' is a merge key, which Waypost does not support", _NO_REUSE)
            frame.key = None
        elif event.implicit[0] and not is_text(event.value):
            self._refuse(_position_of(event), f"the key {quote(event.value)} is not a text in YAML", "quote it")
            frame.key = None
        elif event.value in frame.container:
            if frame.pointer is not None:
                first = self.keys[(*frame.pointer, event.value)]
                what = f"the key {quote(event.value)} is set twice"
                self._refuse(
                    _position_of(event), what, f"the first is on line {first[0]}; {self._suggest_removal(event.value)}"
                )
            frame.key = None

    def _suggest_removal(self, key: str) -> str:
        """Return a hint for a duplicate key. The first key of an item may be meant to start another item."""
        frame = self._stack[-1]
        is_in_list = len(self._stack) > 1 and isinstance(self._stack[-2].container, list)
        is_first = next(iter(frame.container)) == key
        return "remove one, or begin another item with '- ' here" if is_in_list and is_first else "remove one"

    def _open(self, container: list[JSON] | dict[str, JSON], event: yaml.NodeEvent) -> None:
        if len(self._stack) >= self.limits.depth:
            self._end(_position_of(event), f"nested deeper than {self.limits.depth} levels", "flatten it")
        pointer = self._put_or_key(container, event)
        self._stack.append(_Frame(container, pointer, _position_of(event)))

    def _put_or_key(self, value: JSON, event: yaml.Event) -> Pointer | None:
        """Attach a value. In the position of a key, a list or mapping is rejected and discarded."""
        if not self._stack or not self._stack[-1].wants_key:
            return self._put(value, event)
        frame = self._stack[-1]
        frame.wants_key, frame.key = False, None
        if not isinstance(event, yaml.AliasEvent):
            self._refuse_key(event)
        return None

    def _refuse_key(self, event: yaml.Event) -> None:
        line, column = _position_of(event)
        is_braced = self.source.get_line(line)[column - 2 : column] == "{{"
        braces = explain_braces(self.source, line, column) if is_braced else None
        if braces:
            self._refuse(*braces)
        else:
            self._refuse((line, column), "a list or mapping cannot be a key", "write the key as text")

    def _put(self, value: JSON, event: yaml.Event) -> Pointer | None:
        """Attach a value to its list or mapping; returns None if it is discarded."""
        if not self._stack:
            self.data, self.values[()] = value, _position_of(event)
            return ()
        frame = self._stack[-1]
        place = _position_of(event)
        match frame.container:
            case list() as items:
                pointer = None if frame.pointer is None else (*frame.pointer, len(items))
                items.append(value)
            case dict() as entries:
                frame.wants_key = True
                if frame.key is None or frame.pointer is None:
                    return None
                pointer = (*frame.pointer, frame.key)
                entries[frame.key] = value
                self.keys[pointer] = frame.key_place
        if pointer is not None:
            self.values[pointer] = place if value is not None else self._locate_empty(frame, event)
        return pointer

    def _locate_empty(self, frame: _Frame, event: yaml.Event) -> LineColumn:
        """Return the position of an empty value: that of its key, or of a comment in its place."""
        line, column = _position_of(event)
        if not (isinstance(event, yaml.ScalarEvent) and event.value == ""):
            return line, column
        comment = re.compile(r"\s+(#(\w\S*)?.*)").match(self.source.get_line(line), column - 1)
        if comment is None:
            return frame.key_place if frame.key is not None else (line, column)
        place = line, comment.start(1) + 1
        if comment[2]:
            hint = f"quote it: {quote_value(strip_comment(comment[1]))}; or put a space after '#' if it is a comment"
            self._refuse(place, f"there is no value: {quote(comment[1])} is a comment in YAML", hint)
        return place

    def _refuse(self, place: LineColumn, message: str, hint: str | None) -> None:
        self.problems.append(self.source.make_problem(place, message, hint))
        if len(self.problems) >= self.limits.problems:
            raise _StopReading

    def _end(self, place: LineColumn, message: str, hint: str) -> NoReturn:
        self._refuse(place, message, hint)
        raise _StopReading


_NO_REUSE = "repeat the value where it is needed"


def _position_of(event: yaml.Event) -> LineColumn:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _find_position(text: str, index: int) -> LineColumn:
    before = _LINE_END.split(text[:index])
    return len(before), len(before[-1]) + 1
