"""HTTP headers in expressions, whose names are case-insensitive (RFC 9110, 5.1).

A mapping under the key `headers` is treated as headers, except inside a `body`, which is data. Names are stored in
lower case. Only a name that is not found as written is searched for again, so the common look-up costs nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

HEADERS = "headers"
BODY = "body"

SCAN_LIMIT = 200
"""The names of larger mappings are not compared one by one; a request or response has fewer headers."""

_Key = TypeVar("_Key")


class HeaderName(str):
    """A key for a look-up in headers."""

    __slots__ = ()


class Headers(dict[str, object]):
    """A mapping of headers, for operators and filters."""

    __slots__ = ()

    def __missing__(self, name: str) -> object:
        found = find_spelling(self, name)
        if found is None:
            raise KeyError(name)
        return self[found]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and find_spelling(self, name) is not None


def find_spelling(headers: Mapping[str, object], name: str) -> str | None:
    """Return a header name as the mapping spells it; None if it is missing."""
    names, lower = headers.keys(), name.lower()
    for each in (str(name), lower):  # `in` of a dict's keys does not ask `Headers.__contains__`
        if each in names:
            return each
    if len(names) > SCAN_LIMIT:
        return None
    return next((each for each in names if each.lower() == lower), None)


def leads_to_headers(keys: Sequence[object]) -> bool:
    """Whether a path of constant keys ends at headers."""
    return keys[-1:] == [HEADERS] and BODY not in keys[:-1]


def mark_header_names(keys: Sequence[_Key]) -> "list[_Key | HeaderName]":
    """Return the keys of a path, with keys of headers as `HeaderName`."""
    marked: list[_Key | HeaderName] = []
    for key in keys:
        is_name = isinstance(key, str) and leads_to_headers(marked)
        marked.append(HeaderName(key) if is_name else key)
    return marked
