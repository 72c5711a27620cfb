"""The labels of the WHATWG Encoding Standard on every way in: `python -m tests.triggers.charsets` prints the table."""

from collections.abc import Callable
from urllib.parse import quote_from_bytes

import webencodings  # type: ignore[import-untyped]

from connectors.wire.response import Response
from durable.charsets import UnknownCharset, find_charset
from durable.values import JSON
from triggers.http.body import BadRequest, parse_body

LABELS: tuple[str, ...] = tuple(sorted(webencodings.LABELS))

_LETTERS = "éжאعγĄşไ中あ한€\uf7ff"
"""Each charset has one of these; the last is that of x-user-defined."""


def _is_known(label: str) -> bool:
    try:
        return bool(find_charset(label))
    except UnknownCharset:
        return False


NOT_DECODED = frozenset(label for label in LABELS if not _is_known(label))


def _codec(label: str) -> str:
    """The Python codec for what browsers decode under this label, found without the code under test."""
    special = {"replacement": "utf-8", "gbk": "gb18030", "iso-8859-8-i": "iso8859-8"}
    name = webencodings.LABELS[label]
    by_label = {"hz-gb-2312": "hz", "csiso2022kr": "iso2022_kr", "iso-2022-kr": "iso2022_kr"}
    return by_label.get(label) or special.get(name) or webencodings.lookup(name).codec_info.name


def _encode(label: str, text: str) -> bytes:
    if webencodings.LABELS[label] == "x-user-defined":
        encoded: bytes = webencodings.encode(text, "x-user-defined", "strict")
        return encoded
    return text.encode(_codec(label))


def sample(label: str) -> str:
    """ASCII, and a letter of the charset outside ASCII."""
    for letter in _LETTERS:
        try:
            _encode(label, letter)
        except UnicodeEncodeError:
            continue
        return f"one {letter} two"
    raise AssertionError(label)


def ways(label: str, text: str) -> dict[str, Callable[[], JSON]]:
    """For each way in, a function that decodes a text sent in a charset."""
    encoded = _encode(label, text)
    escaped = quote_from_bytes(encoded).encode() if find_or_none(label) else quote_from_bytes(text.encode()).encode()
    prolog = f"<?xml version='1.0' encoding='{label}'?>"
    header = {"content-type": f"text/plain; charset={label}"}

    def form() -> JSON:
        found = parse_body(b"name=" + escaped, f"application/x-www-form-urlencoded; charset={label}")
        assert isinstance(found, dict)
        return found["name"]

    def xml() -> JSON:
        document = _encode(label, prolog + text)
        found = parse_body(document, "application/xml")
        assert isinstance(found, str)
        return found.removeprefix(prolog)

    return {
        "a text": lambda: parse_body(encoded, f"text/plain; charset={label}"),
        "a form": form,
        "XML": xml,
        "JSON": lambda: parse_body(_encode(label, f'"{text}"'), f"application/json; charset={label}"),
        "an answer": lambda: Response(200, header, encoded).text(),
    }


def find_or_none(label: str) -> bool:
    """Whether a form's escapes use the charset; those of UTF-16 and of no charset are UTF-8."""
    return _is_known(label) and find_charset(label).has_ascii


def _outcome(decode: Callable[[], JSON], text: str) -> str:
    try:
        return "decoded" if decode() == text else "WRONG"
    except BadRequest as unreadable:
        return f"{unreadable.status}: {unreadable}"


if __name__ == "__main__":
    counts: dict[tuple[str, str], int] = {}
    for each in LABELS:
        written = sample(each)
        told = {name: _outcome(decode, written) for name, decode in ways(each, written).items()}
        print(each, "|", " | ".join(f"{name}: {outcome}" for name, outcome in told.items()))
        for name, outcome in told.items():
            counts[name, outcome[:7]] = counts.get((name, outcome[:7]), 0) + 1
    print(counts)
