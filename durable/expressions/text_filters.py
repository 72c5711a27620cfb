"""The filters that create and change text."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from urllib.parse import quote

from durable.expressions.arguments import (
    Function,
    require_integer,
    require_list,
    require_mapping,
    require_text,
    require_values,
)
from durable.expressions.bounds import (
    ITEM_LIMIT,
    Evaluation,
    EvaluationError,
    cost_of,
    ensure_count,
    ensure_length,
    join_texts,
    to_text,
)
from durable.values import NotJSON, decode
from durable.wording import name_kind

URL_LIMIT = 65_536
"""The maximum length of a text to URL-encode."""


def make_text_filter(change: Callable[[str], str]) -> Function:
    def text_filter(evaluation: Evaluation, value: object) -> str:
        made = change(require_text(evaluation, value))
        ensure_length(len(made))
        return made

    return text_filter


def trim(evaluation: Evaluation, value: object, chars: object = None) -> str:
    text = require_text(evaluation, value)
    if chars is None:
        return text.strip()
    strange = require_text(evaluation, chars)
    evaluation.charge(len(text) * cost_of(strange))
    return text.strip(strange)


def replace(evaluation: Evaluation, value: object, old: object, new: object, count: object = None) -> str:
    text, before, after = (require_text(evaluation, each) for each in (value, old, new))
    if not before:
        raise EvaluationError("an empty text cannot be replaced")
    limit = -1 if count is None else require_integer(count)
    found = text.count(before)
    ensure_length(len(text) + (min(found, limit) if limit >= 0 else found) * (len(after) - len(before)))
    return text.replace(before, after, limit)


def truncate(evaluation: Evaluation, value: object, length: object, end: object = "…") -> str:
    text, tail, room = require_text(evaluation, value), require_text(evaluation, end), require_integer(length)
    if room < len(tail):
        raise EvaluationError(f"a text cannot be truncated to {room} characters with {tail!r} at its end")
    return text if len(text) <= room else text[: room - len(tail)] + tail


def split(evaluation: Evaluation, value: object, separator: object = None) -> list[str]:
    text = require_text(evaluation, value)
    if separator == "":
        raise EvaluationError("a text cannot be split at an empty text")
    parts = text.split(None if separator is None else require_text(evaluation, separator), ITEM_LIMIT)
    ensure_count(len(parts))
    return parts


def join(evaluation: Evaluation, value: object, separator: object = "", attribute: object = None) -> str:
    items, between = require_list(evaluation, value), require_text(evaluation, separator)
    return join_texts(evaluation, items if attribute is None else require_values(evaluation, items, attribute), between)


def from_json(evaluation: Evaluation, value: object) -> object:
    text = require_text(evaluation, value)
    evaluation.charge(2 * sum(map(text.count, ",[{")))
    try:
        return decode(text.removeprefix("\ufeff"))
    except NotJSON as error:
        raise EvaluationError(f"this is not JSON: {error}") from None


def url_encode(evaluation: Evaluation, value: object) -> str:
    if isinstance(value, Mapping):
        pairs = require_mapping(evaluation, value).items()
        made = "&".join(
            f"{percent_encode(evaluation, name)}={percent_encode(evaluation, item)}" for name, item in pairs
        )
    else:
        made = percent_encode(evaluation, require_url_text(evaluation, value))
    ensure_length(len(made))
    return made


def encode_path(evaluation: Evaluation, value: object) -> str:
    made = percent_encode(evaluation, require_url_text(evaluation, value), safe="/")
    ensure_length(len(made))
    return made


def require_url_text(evaluation: Evaluation, value: object) -> str:
    """Return the value as text; only texts, numbers and booleans are allowed in a URL."""
    if value is None or isinstance(value, list | Mapping):
        raise EvaluationError(f"this is {name_kind(value)}, but a URL can contain only texts and numbers", 0)
    return to_text(evaluation, value)


def percent_encode(evaluation: Evaluation, value: object, safe: str = "") -> str:
    """Percent-encode a value as UTF-8, except letters, digits, `-._~` and the characters in `safe`."""
    text = to_text(evaluation, value)
    if len(text) > URL_LIMIT:
        raise EvaluationError(f"a text of more than {URL_LIMIT:,} characters is too long to be URL-encoded")
    evaluation.charge(1 + len(text))
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError:
        raise EvaluationError("a lone surrogate cannot stand in a URL") from None


def to_base64(evaluation: Evaluation, value: object) -> str:
    data = require_text(evaluation, value).encode()
    ensure_length((len(data) + 2) // 3 * 4)
    return base64.b64encode(data).decode()


def from_base64(evaluation: Evaluation, value: object) -> str:
    text = require_text(evaluation, value)
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):  # includes UnicodeDecodeError
        raise EvaluationError("this is not the base64 of a UTF-8 text") from None


def sha256(evaluation: Evaluation, value: object) -> str:
    return hashlib.sha256(require_text(evaluation, value).encode()).hexdigest()
