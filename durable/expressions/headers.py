"""HTTP headers in expressions: their names match in any case (RFC 9110, 5.1).

A mapping under the key `headers` is taken for headers, except inside a `body`, which is data. Names are stored in lower
case, and only a name that is not found as it is written is looked for again, so that the common look-up costs nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

HEADERS = "headers"
BODY = "body"

SCAN_LIMIT = 200
"""Names in a mapping up to which they are compared one by one; a request or an answer has fewer headers."""

_Key = TypeVar("_Key")


class HeaderName(str):
    """A key that is looked up among headers."""

    __slots__ = ()


class Headers(dict[str, object]):
    """Headers as a whole, for operators and filters."""

    __slots__ = ()

    def __missing__(self, name: str) -> object:
        found = find_spelling(self, name)
        if found is None:
            raise KeyError(name)
        return self[found]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and find_spelling(self, name) is not None


def find_spelling(headers: Mapping[str, object], name: str) -> str | None:
    """How a mapping spells a name; None if it does not have it."""
    names, lower = headers.keys(), name.lower()
    for each in (str(name), lower):  # `in` of a dict's keys does not ask `Headers.__contains__`
        if each in names:
            return each
    if len(names) > SCAN_LIMIT:
        return None
    return next((each for each in names if each.lower() == lower), None)


def leads_to_headers(keys: Sequence[object]) -> bool:
    """Whether constant keys lead to headers."""
    return keys[-1:] == [HEADERS] and BODY not in keys[:-1]


def mark_header_names(keys: Sequence[_Key]) -> "list[_Key | HeaderName]":
    """The keys of a path; those that are looked up among headers as `HeaderName`."""
    marked: list[_Key | HeaderName] = []
    for key in keys:
        is_name = isinstance(key, str) and leads_to_headers(marked)
        marked.append(HeaderName(key) if is_name else key)
    return marked
