"""Explains YAML syntax errors: where and what the error is, and what to write instead."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from durable.problem import LineColumn, Problem
from durable.wording import make_printable, quote
from durable.yaml.scalars import is_text


@dataclass(frozen=True, slots=True)
class Words:
    """The keys that hints mention: those of expressions without braces, and those of loops."""

    conditions: frozenset[str] = frozenset()
    loops: frozenset[str] = frozenset()


NO_WORDS = Words()

_Explained: TypeAlias = tuple[LineColumn, str, str]
"""The position, message and hint of a problem."""

_SHOWN_LIMIT = 80


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of a text, its file, and the keys of its language."""

    file: str
    lines: Sequence[str] = ()
    words: Words = NO_WORDS

    def get_line(self, number: int) -> str:
        """Return a line, counted from 1; empty if it does not exist."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def make_problem(self, place: LineColumn, message: str, hint: str | None = None) -> Problem:
        """Return a problem at a position of the text."""
        return Problem(self.file, *place, message, hint)


def quote_value(text: str) -> str:
    """Quote a value, with a kind of quotes that it does not contain."""
    shown = make_printable(text if len(text) <= 80 else f"{text[:79]}…")
    if '"' not in shown and "\\" not in shown:
        return f'"{shown}"'
    return "'{}'".format(shown.replace("'", "''"))


def unwrap_expression(value: str) -> str:
    """Return how to write a condition that is wrapped in `${{ }}`."""
    written = value.strip()
    inner = written.removeprefix("${{").removesuffix("}}").strip()
    is_whole = written.startswith("${{") and written.endswith("}}") and "}}" not in inner
    if not is_whole or len(inner) > _SHOWN_LIMIT:
        return "it without braces"
    is_plain = is_text(inner) and re.fullmatch(r"[A-Za-z_][^,\[\]{}#:\n]*", inner)
    return f"it without braces: {make_printable(inner) if is_plain else quote_value(inner)}"


def explain_braces(source: Source, number: int, column: int) -> _Explained | None:
    """Explain unquoted braces that begin a value at or before `column`: YAML reads a mapping."""
    line = source.get_line(number)
    begins = [match.end() for match in re.finditer(r"(?:^|[:,-]\s+|[{\[]\s*)(?=\$?\{\{)", line[: column + 2])]
    if not begins:
        return None
    value = strip_comment(line[begins[-1] :])
    if re.search(r"[{\[]", line[: begins[-1]]):  # inside brackets, the value ends with its braces
        value = value.partition("}}")[0] + "}}"
    hint = f"quote it: {quote_value(value.removeprefix('$'))}"
    if value.startswith("$"):
        key = re.search(r"(\w+):\s+$", line[: begins[-1]])
        is_condition = key is not None and key[1] in source.words.conditions
        hint = f"write {unwrap_expression(value)}" if is_condition else f"{hint}, without the '$'"
    return (number, begins[-1] + 1), "'{{' begins a mapping in YAML", hint


def explain_syntax(error: yaml.YAMLError, source: Source, opened: LineColumn) -> Problem:
    """Explain the error at which the parser stopped, inside the list or mapping that begins at `opened`."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return source.make_problem((1, 1), f"this is not YAML: {make_printable(str(error).partition(chr(10))[0])}")
    since = error.context_mark or mark
    here = (mark.line + 1, mark.column + 1)
    start = opened if error.context == "while parsing a flow node" else (since.line + 1, since.column + 1)
    stop = _Stop(error.problem or "", error.context or "", here, start, opened, source)
    found = next(filter(None, (explain(stop) for explain in _EXPLANATIONS)), None)
    return source.make_problem(*(found or (stop.here, f"this is not YAML: {stop.problem}", None)))


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where and why the parser stopped, what it was parsing and where that begins, and the enclosing list or
    mapping."""

    problem: str
    context: str
    here: LineColumn
    since: LineColumn
    opened: LineColumn
    source: Source

    def line(self, number: int) -> str:
        return self.source.get_line(number)

    def rest(self, place: LineColumn) -> str:
        return self.line(place[0])[place[1] - 1 :]

    def value(self, place: LineColumn) -> str:
        """Return the value that begins at a position, to the end of the line or, inside brackets, of the entry."""
        value = strip_comment(self.rest(place))
        before = self.line(place[0])[: place[1] - 1]
        is_inside = self.rest(self.opened)[:1] in _CLOSING or any(
            before.count(opening) > before.count(closing) for opening, closing in _CLOSING.items()
        )
        return re.split(r",\s|[}\]]", value, maxsplit=1)[0].rstrip() if is_inside else value


def _explain_expression(stop: _Stop) -> _Explained | None:
    if not stop.context.startswith(("while parsing a block", "while parsing a flow")):
        return None
    problem = explain_braces(stop.source, *stop.here)
    return problem or explain_braces(stop.source, *stop.since)


def _explain_alias(stop: _Stop) -> _Explained | None:
    if stop.context not in {"while scanning an alias", "while scanning an anchor"}:
        return None
    what, value = stop.context.split()[-1], stop.value(stop.since)
    return (
        stop.since,
        f"{quote(value[:1])} begins an {what} in YAML, which Waypost does not support",
        f"quote it: {quote_value(value)}",
    )


def _explain_tab(stop: _Stop) -> _Explained | None:
    if "tab character" in stop.problem or (
        "cannot start any token" in stop.problem and stop.rest(stop.here).startswith("\t")
    ):
        return stop.here, "a tab cannot indent YAML", "use spaces, two for each level"
    return None


def _explain_character(stop: _Stop) -> _Explained | None:
    if "cannot start any token" not in stop.problem:
        return None
    value = stop.value(stop.here)
    return (stop.here, f"{quote(value[:1])} cannot begin a value in YAML", f"quote it: {quote_value(value)}")


def _explain_joined_quote(stop: _Stop) -> _Explained | None:
    """A key inside braces without a space between its colon and a quoted text."""
    is_quote = "quoted scalar" in stop.context
    if not is_quote and not stop.context.startswith("while parsing a flow"):
        return None
    number, column = stop.since if is_quote else stop.here
    line = stop.line(number)
    for token in _QUOTED_OR_JOINED.finditer(line[: column - 1] if is_quote else line):
        if token["key"]:
            return _explain_blank(number, token.start("key") + 1, token["key"], line[token.end() :])
    return None


def _explain_open_quote(stop: _Stop) -> _Explained | None:
    if "quoted scalar" not in stop.context or "end of stream" not in stop.problem:
        return None
    return stop.since, "the quoted text that begins here has no end", "close it with the quote that opened it"


def _explain_escape(stop: _Stop) -> _Explained | None:
    if "escape" not in stop.problem:
        return None
    return stop.here, "an escape that YAML does not know", "double the backslash, or use single quotes for this text"


def _explain_glued_bracket(stop: _Stop) -> _Explained | None:
    """A bracket inside an unquoted value inside brackets, such as `{get: /items/{id}}`."""
    number, column = stop.here
    line = stop.line(number)
    opening = line[column - 1 : column]
    before = re.match(r".*(?:[,:{\[]\s+|[{\[])([^\s,:{\[\]}\"'][^,{\[\]}\"']*)$", line[: column - 1])
    if not stop.context.startswith("while parsing a flow") or opening not in _CLOSING or before is None:
        return None
    begin = before.start(1)
    value = line[begin : column - 1] + _take_balanced(line[column - 1 :])
    what = "mapping" if opening == "{" else "list"
    return (number, begin + 1), f"{quote(opening)} begins a {what} in YAML", f"quote it: {quote_value(value)}"


def _take_balanced(text: str) -> str:
    """Return the text until the end of an entry: a comma, or a bracket that was not opened in it."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in _CLOSING) - (character in _CLOSING.values())
        if depth < 0 or (depth == 0 and character == "," and text[at + 1 : at + 2] in {" ", ""}):
            return text[:at].rstrip()
    return strip_comment(text)


def _explain_open_brackets(stop: _Stop) -> _Explained | None:
    if not stop.context.startswith("while parsing a flow"):
        return None
    for number in range(stop.since[0], stop.here[0] + 1):
        comment = re.search(r"\s(#\w[\w-]*)", stop.line(number))
        if comment:
            return (
                (number, comment.start(1) + 1),
                "'#' begins a comment, so the brackets before it are not closed",
                f"quote it: {quote_value(comment[1])}",
            )
    opening = stop.rest(stop.since)[:1]
    if opening in {"{", "["} and (not stop.rest(stop.here) or stop.here[0] != stop.since[0]):
        return stop.since, f"the '{opening}' that begins here has no end", f"close it with '{_CLOSING[opening]}'"
    return stop.here, "this is unexpected inside the brackets", "separate the entries with commas, and quote texts"


def _explain_colon(stop: _Stop) -> _Explained | None:
    if "mapping values are not allowed" not in stop.problem:
        return None
    line = stop.line(stop.here[0])
    before = line[: stop.here[1] - 1]
    key = re.match(r"\s*(?:- +)*[\w.-]+: +", before)
    if key:
        return (
            (stop.here[0], key.end() + 1),
            "a text that contains ': ' is a mapping in YAML",
            f"quote it: {quote_value(strip_comment(line[key.end() :]))}",
        )
    problem = _explain_blank_above(stop.source, stop.here[0]) or _explain_missing_steps(stop)
    if problem:
        return problem
    column = len(line) - len(line.lstrip()) + 1
    if "\u00a0" in line[: column - 1]:
        return (stop.here[0], 1), "a no-break space cannot indent YAML", "use plain spaces, two for each level"
    if item := re.match(r" *-(?=[^\s-])", line):
        return (stop.here[0], item.end()), "there is no space after the '-'", "write '- ' before the item"
    return (stop.here[0], column), "a key is not allowed here", "align this line with its neighbours; is a ':' missing?"


def _explain_missing_steps(stop: _Stop) -> _Explained | None:
    """A list directly below the keys of a loop, without the `steps:` before it."""
    item = re.match(r" *(?=- )", stop.line(stop.here[0]))
    width, keys = _find_keys_above(stop.source, stop.here[0])
    loops = keys & stop.source.words.loops
    if item is None or not loops or "steps" in keys or width > len(item[0]):
        return None
    what = f"the {min(loops)} has no 'steps' for this list"
    return (stop.here[0], len(item[0]) + 1), what, "write 'steps:' on a line of its own before it"


def _find_keys_above(source: Source, number: int) -> tuple[int, set[str]]:
    """Return the keys with values directly above a line, and their indentation."""
    width, keys = 0, set[str]()
    for each in range(number - 1, 0, -1):
        line = source.get_line(each)
        key = re.match(r"( *(?:- +)*)([\w-]+): +\S", line)
        if line.strip() and (key is None or (keys and len(key[1]) != width)):
            break
        if key:
            width = len(key[1])
            keys.add(key[2])
            if "-" in key[1]:
                break
    return width, keys


def _explain_blank_above(source: Source, number: int) -> _Explained | None:
    """A missing space after a colon or '-' in the line above: YAML reads a text, which fails only on the next line."""
    above = next((each for each in range(number - 1, 0, -1) if source.get_line(each).strip()), 0)
    line = source.get_line(above)
    joined = re.match(r"\s*(?:- +)*(?=([A-Za-z_][\w-]*):[^\s/])", line)
    if joined:
        return _explain_blank(above, joined.end() + 1, joined[1], line[joined.end() + len(joined[1]) + 1 :])
    dash = re.match(r"\s*(?=-(\w[\w-]*):(\s|$))", line)
    if dash:
        return (above, dash.end() + 1), "there is no space after the '-'", f"write '- {dash[1]}: …'"
    return None


def _explain_blank(line: int, column: int, key: str, rest: str) -> _Explained:
    rest = strip_comment(rest[: 2 * _SHOWN_LIMIT])
    value = re.match(r"\"[^\"]*\"|'[^']*'|[^,{}\[\]'\"]+", rest)
    is_shown = value is not None and len(value[0]) <= _SHOWN_LIMIT and rest[value.end() :].lstrip()[:1] in {*",}]", ""}
    hint = f"write '{key}: {make_printable(value[0].rstrip()) if value and is_shown else '…'}'"
    return (line, column), f"there is no space after the colon of {quote(key)}", hint


def _explain_dash(stop: _Stop) -> _Explained | None:
    if "sequence entries are not allowed" not in stop.problem:
        return None
    return stop.here, "a list is not allowed here", "put each '- ' on a line of its own, or quote the text"


def _explain_indentation(stop: _Stop) -> _Explained | None:
    if not stop.context.startswith("while parsing a block"):
        return None
    if problem := _explain_missing_steps(stop):
        return problem
    before = stop.line(stop.here[0])[: stop.here[1] - 1]
    dash = re.match(r"-(\w[\w-]*):(\s|$)", stop.rest(stop.here))
    if dash:
        return stop.here, "there is no space after the '-'", f"write '- {dash[1]}: …'"
    if item := _find_item_above(stop):
        hint = f"align it with the item's other keys: {item} spaces before it"
        return stop.here, f"{quote(_get_key(stop))} is indented less than its item", hint
    if _is_item(stop):
        hint = f"write '- {quote(stop.rest(stop.here))[1:-1]}', or indent it below the item before it"
        return stop.here, "an item of this list has no '- '", hint
    if before.strip(" -"):
        return stop.here, "the value has ended before this", "quote the whole value once, or remove the rest"
    return (
        stop.here,
        "the indentation of this line matches no line above",
        "align it with the key or '-' that it follows",
    )


def _is_item(stop: _Stop) -> bool:
    """Whether there is a key where the open list can only continue with another '-'."""
    is_list = "'-' indicator" in stop.problem and stop.rest(stop.since).startswith("-")
    return is_list and stop.here[1] >= stop.since[1] and re.match(r"[\w-]+:(\s|$)", stop.rest(stop.here)) is not None


def _find_item_above(stop: _Stop) -> int:
    """Return the indentation of an item's keys if the key below it is indented too little; otherwise 0."""
    if not _is_item(stop) or stop.here[1] <= stop.since[1]:
        return 0
    for number in range(stop.here[0] - 1, stop.since[0] - 1, -1):
        dash = re.match(rf" {{{stop.since[1] - 1}}}- +(?=\S)", stop.line(number))
        if dash:
            return dash.end() if stop.here[1] <= dash.end() else 0
    return 0


def _get_key(stop: _Stop) -> str:
    return stop.rest(stop.here).partition(":")[0]


def _explain_no_colon(stop: _Stop) -> _Explained | None:
    if "expected ':'" not in stop.problem:
        return None
    joined = re.match(r"([\w-]+):(?=\S)", stop.rest(stop.since))
    if joined:
        return _explain_blank(*stop.since, joined[1], stop.rest(stop.since)[joined.end() :])
    return stop.since, "a key without ':'", "write 'key: value', or indent the line if it continues a text"


def strip_comment(value: str) -> str:
    """Remove the comment from the rest of a line."""
    return re.split(r"\s+#", value, maxsplit=1)[0].rstrip()


_CLOSING = {"{": "}", "[": "]"}
_QUOTED_OR_JOINED = re.compile(
    r"""(?<=[\s{\[:,])(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|[{,]\s*(?P<key>[A-Za-z_][\w-]*):(?=["'])"""
)
# The first explanation wins, so special cases come before general ones.
_EXPLANATIONS: tuple[Callable[[_Stop], _Explained | None], ...] = (
    _explain_tab,
    _explain_expression,
    _explain_alias,
    _explain_character,
    _explain_joined_quote,
    _explain_open_quote,
    _explain_escape,
    _explain_glued_bracket,
    _explain_open_brackets,
    _explain_colon,
    _explain_dash,
    _explain_indentation,
    _explain_no_colon,
)
