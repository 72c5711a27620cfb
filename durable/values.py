"""JSON as the journal stores it: encoded once, and content-addressed if it is large.

A `Value` is one JSON document. Up to `INLINE_LIMIT` bytes it is stored in its entry; a larger one is a payload row
named by the SHA-256 of its bytes, and the entry contains only this name and the size. If its bytes are not in memory,
`load` raises `PayloadMissing`; the caller attaches them and retries.
"""

import hashlib
import math
from typing import Self, TypeAlias

import msgspec

from durable.json_errors import explain_json_error

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

INLINE_LIMIT = 32 * 1024
"""The maximum size, in bytes, of a value that is stored inside its entry."""

NESTING_LIMIT = 200
"""The maximum depth of lists and mappings in a JSON value."""

VALUES_LIMIT = 200_000
"""The maximum number of values in a JSON text from outside: decoding, checking and encoding take under 50 ms each."""

_ABSENT = msgspec.Raw(b"")


class NotJSON(ValueError):
    """A value that JSON cannot express: NaN, an infinity, a lone surrogate, a key that is not text, too deep
    nesting."""


class PayloadMissing(LookupError):
    """The bytes of a stored value are not in memory; the caller loads `value` and retries."""

    def __init__(self, value: "Value") -> None:
        super().__init__(f"payload {value.ref} is not loaded")
        self.value = value


class Value(msgspec.Struct, frozen=True, omit_defaults=True, eq=False, gc=False):
    """One JSON document.

    `data`: its encoded bytes.
    `ref`: its SHA-256 in hex if it is a payload row.
    `size`: in bytes.
    """

    data: msgspec.Raw = _ABSENT
    ref: str | None = None
    size: int = 0

    @classmethod
    def of(cls, value: JSON) -> Self:
        """Encode a JSON value; raises `NotJSON`."""
        return cls.from_json(encode(value))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Wrap bytes that are already JSON."""
        ref = hashlib.sha256(data).hexdigest() if len(data) > INLINE_LIMIT else None
        return cls(data=msgspec.Raw(data), ref=ref, size=len(data))

    @property
    def is_loaded(self) -> bool:
        return len(self.data) > 0

    def load(self) -> JSON:
        """Decode the document; raises `PayloadMissing` if its bytes are not in memory."""
        if not len(self.data):
            raise PayloadMissing(self)
        value: JSON = msgspec.json.decode(self.data)
        return value

    @property
    def text(self) -> str:
        """The JSON text; empty if it is not in memory."""
        return bytes(self.data).decode()

    def attach(self, data: bytes) -> None:
        """Keep a stored payload's bytes in memory."""
        msgspec.structs.force_setattr(self, "data", msgspec.Raw(data))

    def detach(self) -> None:
        """Drop a stored payload's bytes."""
        msgspec.structs.force_setattr(self, "data", _ABSENT)

    def reference(self) -> "Value":
        """Return the value without its bytes, as an entry stores a payload."""
        return Value(ref=self.ref, size=self.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        if self.ref or other.ref:
            return self.ref == other.ref
        return bytes(self.data) == bytes(other.data)

    def __hash__(self) -> int:
        return hash(self.ref or bytes(self.data))


NULL = Value.from_json(b"null")


def encode(value: JSON) -> bytes:
    """Encode to JSON; raises `NotJSON`, with a pointer to the problem, where msgspec would write null or fail.

    Values that JSON cannot express do not survive a round trip: NaN becomes null; dates and numeric keys become text.
    So the check needs no Python code per value.
    """
    try:
        data = msgspec.json.encode(value)
        containers = data.count(b"[") + data.count(b"{")
        is_deep = containers > NESTING_LIMIT and is_deeper(value, NESTING_LIMIT)
        if not is_deep and msgspec.json.decode(data) == value:
            return data
    except (TypeError, ValueError, RecursionError):  # `_find_problem` explains it
        pass
    problem = _find_problem(value, 0)
    if problem:
        where, what = problem
        raise NotJSON(f"{what} at {where or 'the top'} is not JSON")
    return msgspec.json.encode(value)  # a tuple was decoded as a list


def decode(data: bytes | str | msgspec.Raw, *, quotes: bool = True) -> JSON:
    """Decode strict JSON; raises `NotJSON` with the reason. With `quotes`, the reason quotes a few of the bytes."""
    try:
        result: JSON = msgspec.json.decode(data)
    except RecursionError:
        raise NotJSON("JSON is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        sent = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
        raise NotJSON(explain_json_error(sent, str(error), quotes=quotes)) from None
    return result


def has_too_many_values(data: bytes) -> bool:
    """Whether a JSON text has more than `VALUES_LIMIT` values, without decoding it.

    Each value except the first of its list or mapping follows a comma, and each list and mapping has a bracket. Commas
    and brackets inside texts are excluded only if they could make a difference.
    """
    if len(data) <= VALUES_LIMIT or _count_separators(data) <= VALUES_LIMIT:
        return False
    if data.count(b'"') > 4 * VALUES_LIMIT:  # a key and a value have four quotes
        return True
    outside = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    return _count_separators(b"".join(outside)) > VALUES_LIMIT


def is_deeper(value: JSON, levels: int) -> bool:
    """Whether lists and mappings are nested deeper than `levels`."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))  # `dict | list` takes twice as long, and there may be 200,000 items
        ]
        if not level:
            break
    return bool(level)


def _count_separators(data: bytes) -> int:
    return len(data) - len(data.translate(None, b",[{"))  # a single pass, whatever the content


def _find_problem(value: object, depth: int) -> tuple[str, str] | None:
    if depth > NESTING_LIMIT:
        return "", "too deep a nesting"
    match value:
        case None | bool() | int():
            return None
        case str():
            return None if value.isascii() or _is_text(value) else ("", "a lone surrogate")
        case float():
            return None if math.isfinite(value) else ("", str(value))
        case dict():
            return _find_problem_in(value.items(), depth, keys=True)
        case list() | tuple():
            return _find_problem_in(enumerate(value), depth, keys=False)
        case _:
            return "", f"a {type(value).__name__}"


def _find_problem_in(items: object, depth: int, *, keys: bool) -> tuple[str, str] | None:
    for key, item in items:  # type: ignore[attr-defined]  # (key, value) pairs of either container
        if keys and (not isinstance(key, str) or not _is_text(key)):
            return "", f"the key {key!r}"
        problem = _find_problem(item, depth + 1)
        if problem:
            return f"/{key}{problem[0]}", problem[1]
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
