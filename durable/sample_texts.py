"""Sample texts that match the patterns of JSON Schemas, as far as those are simple."""

import re
from collections.abc import Iterator

_LETTERS = "a1A-_ .0"
_CLASSES = {"d": "1", "w": "a", "s": " ", "S": "a", "D": "a", "W": "-"}
_COUNT = re.compile(r"\{(\d+)(?:,\d*)?\}")


_LONGEST = 256


def make_matching_text(pattern: str) -> str | None:
    """Return a text that matches a regular expression; None if none is found."""
    try:
        compiled = re.compile(pattern)
        text = "".join(_read_sequence(_Characters(pattern)))
    except (re.error, IndexError, ValueError):
        return None
    return text if len(text) <= _LONGEST and compiled.search(text) else None


class _Characters:
    """The characters of a pattern, and the place that is reached."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        self.at += 1
        return self.text[self.at - 1]


def _read_sequence(pattern: _Characters) -> Iterator[str]:
    """Return a text for a sequence, up to its end or to `)`; of alternatives, for the first."""
    is_first = True
    while pattern.peek() and pattern.peek() != ")":
        if pattern.peek() == "|":
            pattern.take()
            is_first = False
            continue
        part, count = _read_part(pattern), _read_count(pattern)
        if len(part) * count > _LONGEST:
            raise ValueError("the text is too long")
        text = part * count
        if is_first:
            yield text


def _read_part(pattern: _Characters) -> str:
    match pattern.take():
        case "^" | "$":
            return ""
        case "\\":
            escaped = pattern.take()
            if escaped in "bBAZz":
                return ""
            return _CLASSES.get(escaped, escaped)
        case "[":
            return _read_class(pattern)
        case "(":
            return _read_group(pattern)
        case ".":
            return "a"
        case character:
            return character


def _read_group(pattern: _Characters) -> str:
    """Return a text for a group; raises `ValueError` for what looks ahead or behind."""
    if pattern.peek() == "?":
        pattern.take()
        if pattern.take() != ":":
            raise ValueError("only plain groups are understood")
    text = "".join(_read_sequence(pattern))
    pattern.take()
    return text


def _read_class(pattern: _Characters) -> str:
    """Return a character of a class."""
    start = pattern.at
    if pattern.peek() == "^":
        pattern.take()
    if pattern.peek() == "]":
        pattern.take()
    while pattern.take() != "]":
        if pattern.text[pattern.at - 1] == "\\":
            pattern.take()
    members = re.compile(f"[{pattern.text[start : pattern.at]}")
    own = pattern.text[start : pattern.at]
    likely = own[:1] if own[:1] not in {"^", "\\"} else ""
    found = next((each for each in f"{likely}{_LETTERS}!/{own}" if members.match(each)), None)
    if found is None:
        raise ValueError("no member of the class is known")
    return found


def _read_count(pattern: _Characters) -> int:
    """Return how often the last part is repeated."""
    count = 1
    if pattern.peek() in {"*", "+", "?"} and pattern.peek():
        count = 1 if pattern.take() == "+" else 0
    elif found := _COUNT.match(pattern.text, pattern.at):
        pattern.at = found.end()
        count = int(found[1])
    if pattern.peek() in {"?", "+"} and pattern.peek():  # not greedy, or possessive
        pattern.take()
    return count
