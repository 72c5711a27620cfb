"""The filters that make and change texts."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from urllib.parse import quote

from durable.expressions.arguments import Function, items_of, mapping_of, pick, text_of, whole_of
from durable.expressions.bounds import (
    ITEM_LIMIT,
    Evaluation,
    Refused,
    cost,
    ensure_count,
    ensure_length,
    kind_of,
    written,
)
from durable.values import NotJSON, decode

URL_LIMIT = 65_536
"""Characters that may be URL-encoded at once."""


def changed(change: Callable[[str], str]) -> Function:
    def text_filter(evaluation: Evaluation, value: object) -> str:
        made = change(text_of(evaluation, value))
        ensure_length(len(made))
        return made

    return text_filter


def trimmed(evaluation: Evaluation, value: object, chars: object = None) -> str:
    text = text_of(evaluation, value)
    if chars is None:
        return text.strip()
    strange = text_of(evaluation, chars)
    evaluation.charge(len(text) * cost(strange))
    return text.strip(strange)


def replaced(evaluation: Evaluation, value: object, old: object, new: object, count: object = None) -> str:
    text, before, after = (text_of(evaluation, each) for each in (value, old, new))
    if not before:
        raise Refused("an empty text cannot be replaced")
    limit = -1 if count is None else whole_of(count)
    found = text.count(before)
    ensure_length(len(text) + (min(found, limit) if limit >= 0 else found) * (len(after) - len(before)))
    return text.replace(before, after, limit)


def truncated(evaluation: Evaluation, value: object, length: object, end: object = "…") -> str:
    text, tail, room = text_of(evaluation, value), text_of(evaluation, end), whole_of(length)
    if room < len(tail):
        raise Refused(f"a text cannot be truncated to {room} characters with {tail!r} at its end")
    return text if len(text) <= room else text[: room - len(tail)] + tail


def split(evaluation: Evaluation, value: object, separator: object = None) -> list[str]:
    text = text_of(evaluation, value)
    if separator == "":
        raise Refused("a text cannot be split at an empty text")
    parts = text.split(None if separator is None else text_of(evaluation, separator), ITEM_LIMIT)
    ensure_count(len(parts))
    return parts


def joined(evaluation: Evaluation, value: object, separator: object = "", attribute: object = None) -> str:
    items, between = items_of(evaluation, value), text_of(evaluation, separator)
    parts: list[str] = []
    length = 0
    for item in items if attribute is None else pick(evaluation, items, attribute):
        part = written(evaluation, item)
        length += len(part) + len(between)
        ensure_length(length - len(between))
        parts.append(part)
    return between.join(parts)


def from_json(evaluation: Evaluation, value: object) -> object:
    text = text_of(evaluation, value)
    evaluation.charge(2 * sum(map(text.count, ",[{")))
    try:
        return decode(text.removeprefix("\ufeff"))
    except NotJSON as error:
        raise Refused(f"this is not JSON: {error}") from None


def url_encoded(evaluation: Evaluation, value: object) -> str:
    if isinstance(value, Mapping):
        pairs = mapping_of(evaluation, value).items()
        made = "&".join(f"{quoted(evaluation, name)}={quoted(evaluation, item)}" for name, item in pairs)
    else:
        made = quoted(evaluation, text_for_url(evaluation, value))
    ensure_length(len(made))
    return made


def path_encoded(evaluation: Evaluation, value: object) -> str:
    made = quoted(evaluation, text_for_url(evaluation, value), safe="/")
    ensure_length(len(made))
    return made


def text_for_url(evaluation: Evaluation, value: object) -> str:
    """A value as it stands in a text; only texts, numbers, true and false can stand in a URL."""
    if value is None or isinstance(value, list | Mapping):
        raise Refused(f"this is {kind_of(value)}, but a URL can contain only texts and numbers", 0)
    return written(evaluation, value)


def quoted(evaluation: Evaluation, value: object, safe: str = "") -> str:
    """A value percent-encoded as UTF-8, all but letters, digits, `-._~` and what is safe."""
    text = written(evaluation, value)
    if len(text) > URL_LIMIT:
        raise Refused(f"a text of more than {URL_LIMIT:,} characters is too long to be URL-encoded")
    evaluation.charge(1 + len(text))
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise Refused("a lone surrogate cannot stand in a URL") from None


def to_base64(evaluation: Evaluation, value: object) -> str:
    data = text_of(evaluation, value).encode()
    ensure_length((len(data) + 2) // 3 * 4)
    return base64.b64encode(data).decode()


def from_base64(evaluation: Evaluation, value: object) -> str:
    text = text_of(evaluation, value)
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):  # a UnicodeDecodeError is one of these
        raise Refused("this is not the base64 of a UTF-8 text") from None


def sha256(evaluation: Evaluation, value: object) -> str:
    return hashlib.sha256(text_of(evaluation, value).encode()).hexdigest()
