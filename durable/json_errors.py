"""Explains why bytes are not JSON: msgspec's reason, and what the sender has to change."""

import re

_BYTE = re.compile(r" \(byte (\d+)\)$")
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*+\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)
_NOT_JSON = (
    (re.compile(rb"[+-]?(nan|inf(inity)?)\b", re.IGNORECASE), "JSON has no such number; send null or a text"),
    (re.compile(rb"(True|False|None|undefined|nil|NULL)\b"), "JSON spells these true, false and null"),
    (re.compile(rb"//|/\*|#"), "JSON has no comments"),
    (re.compile(rb"'"), "JSON uses double quotes"),
    (re.compile(rb"\xe2\x80[\x98-\x9f]"), "JSON uses straight double quotes"),
    (re.compile(rb"\+[0-9]|\.[0-9]"), "a JSON number begins with a digit or a minus sign"),
    (re.compile(rb"<"), "this looks like XML or HTML"),
)
_EXCERPT = 20


def explain_json_error(data: bytes, reason: str, *, quotes: bool = True) -> str:
    """Explain why msgspec rejected the bytes: what is wrong at which byte, and what to change. With `quotes`, the
    message quotes some of the bytes; the caller must not allow this if they may be part of a secret, since a redactor
    does not recognise parts."""
    if not data.strip():
        return "it is empty"
    if reason.startswith("Invalid UTF-8"):
        return _explain_not_utf_8(data)
    if "surrogate" in reason or reason.startswith("Input data was truncated"):
        return _explain_lone_surrogate(data) or _explain_unended(data, reason)
    if "out of range" in reason:
        where = reason.partition(" - at ")[2].strip("`")
        at = f" at {where}" if where else ""
        limit = "has more than 4300 digits" if reason.startswith("Integer") else "is larger than 1.8e308"
        return f"a number{at} {limit}; send it as a text"
    found = _BYTE.search(reason)
    return _explain_malformed(data, reason, int(found[1]), quotes) if found else reason


def _explain_not_utf_8(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        byte = data[error.start]
        return f"byte {error.start} (0x{byte:02X}) is not UTF-8; send UTF-8, or name the charset in Content-Type"
    return "it is not UTF-8"


def _explain_lone_surrogate(data: bytes) -> str | None:
    found = _LONE_SURROGATE.search(data)
    if found is None:
        return None
    text = found[0][-6:].decode()
    half = "first" if text[3] in "89abAB" else "second"
    return (
        f"{text} at byte {found.end() - 6} is a lone surrogate: the {half} half of a character that is written as two;"
        " send both halves, or the character itself"
    )


def _explain_unended(data: bytes, reason: str) -> str:
    if "surrogate" in reason:
        return reason
    size = f"{len(data)} byte{'' if len(data) == 1 else 's'}"
    return f"it ends after {size}, before it is complete: a quote, bracket or brace is not closed"


def _explain_malformed(data: bytes, reason: str, at: int, quotes: bool) -> str:
    what = _BYTE.sub("", reason).removeprefix("JSON is malformed: ")
    if is_followed := what == "trailing characters":
        at -= 1  # msgspec reports the byte after the first of them
    where = f"byte {at}" + _describe_line(data, at)
    if is_followed:
        cure = "send one value; several, one in each line, are application/x-ndjson"
        follower = f": {_quote_bytes(data, at)}" if quotes else ""
        return f"something follows its end at {where}{follower}; {cure}"
    byte = data[at : at + 1]
    if byte and byte < b" " and what == "invalid character":
        code = byte[0]
        return f"the control character 0x{code:02X} at {where} is not allowed; a text has it as \\u{code:04x}"
    start = max(0, at - 1) if byte and data[at - 1 : at] in (b"+", b"-") and at else at
    for pattern, cure in _NOT_JSON:
        if found := pattern.match(data, start):
            return f"{_quote_bytes(data, found.start()) if quotes else what} at {where}: {cure}"
    return f"{what} at {where}" + (f": {_quote_bytes(data, max(0, at - 1))}" if quotes else "")


def _describe_line(data: bytes, at: int) -> str:
    lines, begins = data.count(b"\n", 0, at), data.rfind(b"\n", 0, at)
    return f", line {lines + 1}, column {at - begins}" if lines else ""


def _quote_bytes(data: bytes, at: int) -> str:
    text = data[at : at + _EXCERPT].decode("utf-8", "replace")
    return f"'{''.join(letter if letter.isprintable() else '·' for letter in text)}'"
