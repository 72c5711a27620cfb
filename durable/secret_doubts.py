"""Warnings about a secret's value: invisible characters that editors, shells and other systems add.

The value is used unchanged, because a secret may contain any character; the operator gets a warning.
"""

import re
from collections.abc import Iterator

_UNSEEN = re.compile("[\u00a0\u00ad\u200b-\u200f\u2028\u2029\u2060\ufeff]")
_PADDED = {" ": "a space", "\t": "a tab", "\n": "a newline", "\r": "a carriage return"}


def check_value(value: str) -> Iterator[str]:
    """Return what may be wrong with a secret's value, as ends of sentences that begin with the secret's name."""
    if value.startswith("\ufeff"):
        yield "begins with a byte order mark"
    elif value[:1] in _PADDED:
        yield f"begins with {_PADDED[value[0]]}"
    if value[1:] and value[-1] in _PADDED:
        yield f"ends with {_PADDED[value[-1]]}"
    elif value.endswith(("\\n", "\\r")):
        yield f"ends with a backslash and '{value[-1]}', which are not a newline"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'`":
        yield "is in quotes, which are part of the value"
    if re.fullmatch(r"\s*\{\{.*\}\}\s*|\s*\$\{?\w+\}?\s*|\s*<[\w -]+>\s*", value):
        yield "looks like a placeholder"
    if _UNSEEN.search(value.removeprefix("\ufeff")):
        yield "contains an invisible character"
