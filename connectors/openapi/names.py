"""Names of actions: made from operation ids, or from methods and paths."""

import re
from collections.abc import Container

from durable.wording import make_printable

LENGTH_LIMIT = 64

_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a word begins in camel case."""

_OTHER = re.compile(r"[^a-z0-9]+")
_PLACEHOLDER = re.compile(r"[{}]")


_TAG = re.compile(r"</?[A-Za-z][^<>]{0,100}>")


def make_name(operation_id: object, method: str, path: str, taken: Container[str]) -> str:
    """Return a name that no other operation has: the operation's id in snake case, or else its method and path."""
    from_id = to_snake_case(operation_id) if isinstance(operation_id, str) else ""
    if from_id and from_id not in taken:
        return from_id
    from_path = to_snake_case(f"{method} {_PLACEHOLDER.sub(' ', path)}") or method
    if from_path not in taken:
        return from_path
    return next(name for number in range(2, 1_000_000) if (name := f"{from_path}_{number}") not in taken)


def to_snake_case(text: str) -> str:
    """Return a name of lower-case letters, digits and `_` that begins with a letter; empty if there is none."""
    name = _OTHER.sub("_", _BORDER.sub("_", text).lower()).strip("_")
    name = name if name[:1].isalpha() or not name else f"do_{name}"
    return name[:LENGTH_LIMIT].rstrip("_")


def shorten_text(text: object, limit: int) -> str:
    """Return the first paragraph of a description on one line, shortened; empty if it is not a text."""
    if not isinstance(text, str):
        return ""
    begin = text.strip().lstrip("# ").partition("\n\n")[0][: 4 * limit]
    paragraph = " ".join(_TAG.sub("", begin).split())
    return make_printable(paragraph if len(paragraph) <= limit else f"{paragraph[: limit - 1]}…")
