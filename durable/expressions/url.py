"""Renders URLs that contain expressions, so that a value cannot change which resource the URL identifies.

After the authority (RFC 3986, 3.2), a value is percent-encoded, including `/`, unless the last filter of its expression
has encoded it. Inside the authority, it must not contain characters that end or move the authority. An expression at
the very beginning is the base URL, which is used unchanged. A path segment that becomes `.` or `..` is an error,
because clients and services resolve them; so is an empty segment, because the URL would identify another resource.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from durable.expressions.bounds import Evaluation, EvaluationError, ensure_length
from durable.expressions.expression import Expression
from durable.expressions.text_filters import percent_encode, require_url_text
from durable.history.words import SecretName

Part = str | Expression | SecretName

DECODINGS = 3
"""A `..` is detected under this many levels of encoding; no service decodes more."""

_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]{0,2}|[/\\]{2})(?P<authority>[^/?#]*)")
_AUTHORITY_END = re.compile(r"[/?#\\:]")
_PATH_END = re.compile(r"[?#]")
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_USER = "the URL would contain a user or password; write them under `auth: {basic: …}` of a connection"
_STAND_IN = "s"  # for a secret, whose value is not known yet
_UNSEEN = "".join(map(chr, range(0x21)))


@dataclass(slots=True)
class UrlWriter:
    """A partially written URL. `spans` are the positions of values after the authority."""

    text: str = ""
    parts: list[str | SecretName] = field(default_factory=list)
    spans: list[tuple[int, int, Expression]] = field(default_factory=list)

    def add(self, part: str | SecretName) -> None:
        self.text += part if isinstance(part, str) else _STAND_IN
        if self.parts and isinstance(part, str) and isinstance(self.parts[-1], str):
            self.parts[-1] += part
        else:
            self.parts.append(part)


def write_url(parts: Sequence[Part], evaluation: Evaluation) -> list[str | SecretName]:
    """Render a URL; returns its text, with references to its secrets. Raises `ExpressionError`."""
    writer = UrlWriter()
    for index, part in enumerate(parts):
        match part:
            case str():
                writer.add(part)
            case SecretName():
                is_encoded = index > 0 and not _is_in_authority(writer.text)
                writer.add(SecretName(part.secret, is_encoded=is_encoded))
            case Expression():
                _add_value(writer, part, evaluation, is_base=index == 0, rest=parts[index + 1 :])
    _check_user(writer.text, parts)
    for start, end, expression in writer.spans:
        _check_segments(writer.text, start, end, expression)
    return writer.parts


def find_target(parts: Sequence[Part]) -> Expression | None:
    """Return the expression that determines the URL's host, if there is one."""
    text = ""
    for index, part in enumerate(parts):
        if isinstance(part, Expression):
            is_host = text.endswith(("/", ".")) and _is_in_authority(text) and not _is_host_fixed(parts[index + 1 :])
            if index == 0 or is_host:
                return part
        text += part if isinstance(part, str) else _STAND_IN
    return None


def _add_value(
    writer: UrlWriter, expression: Expression, evaluation: Evaluation, *, is_base: bool, rest: Sequence[Part]
) -> None:
    is_in_authority = _is_in_authority(writer.text)
    is_written = is_base or is_in_authority or expression.is_encoded
    value = expression.convert(require_url_text if is_written else _encode_value, evaluation)
    if is_base:
        if not value and not rest:
            raise expression.make_error("this is empty, but a URL is required")
    elif is_in_authority:
        _check_authority(writer.text, value, expression, rest)
    else:
        writer.spans.append((len(writer.text), len(writer.text) + len(value), expression))
    writer.add(value)
    _ensure_length(writer.text, expression)


def _encode_value(evaluation: Evaluation, value: object) -> str:
    return percent_encode(evaluation, require_url_text(evaluation, value))


def _ensure_length(text: str, expression: Expression) -> None:
    try:
        ensure_length(len(text))
    except EvaluationError as error:
        raise expression.make_error(error.message) from None


# -- the authority ----------------------------------------------------------------------------------------------


def _is_in_authority(text: str) -> bool:
    """Whether the next character would be part of the authority."""
    return _AUTHORITY.fullmatch(text) is not None


def _check_user(text: str, parts: Sequence[Part]) -> None:
    """Reject a user or password before the URL is written to the history; no request takes them from a URL."""
    found = _AUTHORITY.match(text)
    if found and "@" in found["authority"]:
        expression = next(part for part in parts if isinstance(part, Expression))
        raise expression.make_error(_USER)


def _check_authority(text: str, value: str, expression: Expression, rest: Sequence[Part]) -> None:
    """Reject a value that would end the authority, or change where it ends."""
    found = _AUTHORITY.fullmatch(text)
    before = found["authority"].rpartition("@")[2] if found else ""
    host, colon, _ = before.partition(":")
    if "@" in value:  # the text before it may be a password, so the message omits it
        raise expression.make_error(_USER)
    if colon:
        if not (value.isascii() and value.isdecimal()):
            raise expression.make_error(f"{value[:60]!r} is not a port number")
        return
    if not value:
        raise expression.make_error("this is empty, so the URL would lead to another host")
    if not _HOST.fullmatch(value):
        cure = "write a '/' before it where a path begins" if value.startswith("/") else "give only the host"
        raise expression.make_error(f"{value[:60]!r} cannot be part of the URL's host; {cure}")
    if host == "" or host.endswith(".") or _is_host_fixed(rest):
        return
    if not (value.isdecimal() if "." in host else "." not in value):
        raise expression.make_error(f"{value[:60]!r} would change the URL's host {host!r}; write '/' between the two")


def _is_host_fixed(rest: Sequence[Part]) -> bool:
    """Whether the following literal text ends the host with a fixed domain."""
    for part in rest:
        if isinstance(part, str):
            host, *end = _AUTHORITY_END.split(part, maxsplit=1)
            if "." in host or end:
                return "." in host
    return False


# -- the path ---------------------------------------------------------------------------------------------------


def _check_segments(text: str, start: int, end: int, expression: Expression) -> None:
    """Reject a value that makes its path segment identify another resource."""
    authority = _AUTHORITY.match(text)
    first = authority.end() if authority else 0
    last = found.start() if (found := _PATH_END.search(text, first)) else len(text)
    if start > last:
        return
    stop = text.find("/", end, last)
    segments = text[max(text.rfind("/", first, start) + 1, first) : last if stop < 0 else stop].split("/")
    if any(map(is_dots, segments)):
        message = f"the URL would have {segments[0]!r} in its path" if len(segments) == 1 else "the URL would climb"
        raise expression.make_error(f"{message}; '.' and '..' lead to another resource")
    if segments == [""] and not expression.is_encoded:
        raise expression.make_error("this is empty, so the URL would name another resource")


def is_dots(segment: str) -> bool:
    """Whether a path segment is `.` or `..`, in any encoding that a service might decode."""
    if "." not in segment and "%" not in segment:
        return False
    for _ in range(DECODINGS + 1):
        if segment.partition(";")[0].strip(_UNSEEN) in {".", ".."}:
            return True
        segment = unquote(segment)
    return False
