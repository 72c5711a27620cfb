"""Charsets: finds a charset by its label, and decodes and encodes text.

Labels have the same meaning as in browsers (the WHATWG Encoding Standard): `latin1` and `ascii` are windows-1252.
UTF-32 and the other charsets of Python's codecs are also supported. A byte order mark overrides any label, and is not
part of the text.

    Undecodable        the bytes are not valid in their charset
    Unencodable        the charset does not contain a character
    UnknownCharset     the label names no known charset
"""

import codecs
import re
from collections.abc import Callable
from encodings.aliases import aliases
from functools import cache
from typing import NamedTuple, TypeAlias

import webencodings  # type: ignore[import-untyped]

from durable.media_type import MediaType

Decode: TypeAlias = Callable[[bytes], str]
Encode: TypeAlias = Callable[[str], bytes]

UTF_8 = "utf-8"

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK_BYTES = frozenset(mark[0] for mark, _ in _BYTE_ORDER_MARKS)

_OF_PYTHON = re.compile(
    r"(big5|cp|euc_|gb|hp_|hz|iso2022_|iso8859_|johab|koi8_|kz1048|latin_1|mac_|ptcp154|shift_jis|tis_620|utf_16|utf_32"
    r"|utf_8)\w*"
)
"""Python codecs that decode text in linear time. Other codecs (`idna`, `zlib`, `unicode_escape`) are never used."""

_ASCII = b"a=%&<{?"
_HTML_META = re.compile(rb"""<meta\s[^>]{0,200}?charset\s{0,20}=\s{0,20}["']?([A-Za-z0-9._:-]{1,60})""", re.IGNORECASE)
_XML_PROLOG = re.compile(rb"""<\?xml\s[^>]{0,200}?encoding\s{0,20}=\s{0,20}["']([A-Za-z0-9._:-]{1,60})["']""")


class Undecodable(ValueError):
    """The bytes are not valid in their charset; `offset` is that of the first invalid byte."""

    def __init__(self, charset: str, offset: int, data: bytes) -> None:
        self.charset = charset.upper() if charset.startswith("utf") else charset
        self.what = f"byte {offset} (0x{data[offset]:02X}) cannot be decoded"
        super().__init__(f"it is not {self.charset}: {self.what}")


class Unencodable(ValueError):
    """The charset does not contain a character."""

    def __init__(self, charset: str, character: str) -> None:
        super().__init__(f"{charset} has no character {character!r}; send utf-8")


class UnknownCharset(ValueError):
    """The label names no known charset."""

    def __init__(self, label: str) -> None:
        shown = "".join(letter if letter.isprintable() else "·" for letter in label[:60])
        super().__init__(
            f"the charset '{shown}' is not known; send UTF-8, or a charset of https://encoding.spec.whatwg.org"
        )


class Charset(NamedTuple):
    """A charset by its usual name. `has_ascii`: ASCII is encoded as itself."""

    name: str
    codec: Decode
    encode: Encode
    has_ascii: bool = True

    def decode(self, data: bytes) -> str:
        """Decode bytes; raises `Undecodable`."""
        try:
            return self.codec(data)
        except UnicodeDecodeError as error:
            raise Undecodable(self.name, error.start, data) from None


def find_charset(label: str) -> Charset:
    """Return the charset of a label, which is case-insensitive; raises `UnknownCharset`."""
    charset = _find_label(label.strip().lower()) if len(label) <= 60 else None
    if charset is None:
        raise UnknownCharset(label)
    return charset


def decode_text(data: bytes, label: str = UTF_8) -> str:
    """Decode bytes in the charset of a label and remove a byte order mark; raises `Undecodable` and
    `UnknownCharset`."""
    charset = find_marked(data) or find_charset(label)
    if not charset.has_ascii:
        charset = _choose_byte_order(charset, label, data)
    return charset.decode(data).removeprefix("\ufeff")


def encode_text(text: str, label: str) -> bytes:
    """Encode text in the charset of a label, without a byte order mark; raises `Unencodable` and `UnknownCharset`."""
    charset = find_charset(label)
    try:
        return charset.encode(text)
    except UnicodeEncodeError as error:
        raise Unencodable(charset.name, text[error.start]) from None


def convert_json_to_utf_8(data: bytes, label: str = UTF_8) -> bytes:
    """Convert JSON to UTF-8, without a byte order mark; raises `Undecodable`.

    The standard (RFC 8259) requires UTF-8, whatever the label says. An unknown label is ignored, and so is Latin-1,
    which frameworks add on their own, if the bytes are UTF-8.
    """
    # JSON begins with one or two ASCII characters; anything else is a byte order mark, UTF-16 or UTF-32.
    if label.lower() == UTF_8 and data[:1] < b"\x80" and 0 not in data[:2]:
        return data
    try:
        if find_marked(data) is None:
            label = guess_wide(data) or label
            if find_charset(label).name == "windows-1252" and _is_utf_8(data):
                return data
        return decode_text(data, label).encode()
    except UnknownCharset:
        return data


def find_marked(data: bytes) -> Charset | None:
    """Return the charset of a byte order mark; None without one, or if its two bytes are ambiguous."""
    if data[:1] and data[0] in _MARK_BYTES and len(data) > 2:
        return next((_make_charset(name) for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    return None


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def guess_wide(data: bytes) -> str | None:
    """Return the label of UTF-16 or UTF-32 if the zeros around the first ASCII character indicate it (RFC 4627, section
    3)."""
    first = tuple(byte != 0 for byte in data[:4])
    match first:
        case (True, False, False, False):
            return "utf-32-le"
        case (False, False, False, True):
            return "utf-32-be"
        case (True, False, *_):
            return "utf-16-le"
        case (False, True, *_):
            return "utf-16-be"
    return None


def find_inner_charset(data: bytes, media: MediaType) -> str | None:
    """Return the label in an XML declaration or an HTML page's `meta`; None without one. UTF-16 is recognised by its
    zeros: a declaration that is readable as ASCII is not UTF-16, whatever it says."""
    if not (media.is_xml or media.kind == "text/html"):
        return None
    if wide := guess_wide(data[:4]):
        return wide
    found = _XML_PROLOG.match(data[:500].removeprefix(codecs.BOM_UTF8).lstrip()) if media.is_xml else None
    if "html" in media.kind:
        found = found or _HTML_META.search(data[:1024])  # browsers search this far
    label = found[1].decode() if found else None
    return UTF_8 if label and label.lower().startswith("utf-16") else label


@cache
def _make_charset(name: str) -> Charset:
    info = codecs.lookup(name)
    has_ascii = info.decode(_ASCII, "replace")[0] == _ASCII.decode()
    return Charset(name, lambda data: info.decode(data)[0], lambda text: info.encode(text)[0], has_ascii)


def _choose_byte_order(charset: Charset, label: str, data: bytes) -> Charset:
    """Return the charset in the byte order that its zeros indicate, if the label does not specify one."""
    if label.strip().lower().endswith(("le", "be")) or find_marked(data):
        return charset
    guessed = guess_wide(data)
    return _make_charset(guessed) if guessed and guessed[:6] == charset.name[:6] else charset


@cache  # bounded: called only with the standard's 40 names
def _get_charset(encoding: str) -> Charset | None:
    """Return the charset of a name in the WHATWG standard; None for `replacement`, which stands for charsets that
    browsers do not decode."""
    if encoding == "replacement":
        return None
    info = webencodings.lookup(encoding).codec_info
    match info.name.replace("_", "-").lower():
        case "gbk":
            return _make_charset("gb18030")._replace(name=encoding)  # a superset, as in the standard
        case "utf-8" | "utf-16-le" | "utf-16-be" as name:
            return _make_charset(name)
        case name if name.startswith(("cp125", "cp874")):
            return Charset(encoding, _make_decoder(name), lambda text: info.encode(text)[0])
    return Charset(encoding, lambda data: info.decode(data)[0], lambda text: info.encode(text)[0])


def _find_label(label: str) -> Charset | None:
    encoding = webencodings.LABELS.get(label)
    charset = _get_charset(encoding) if encoding else None
    if charset is None and (module := _list_python_labels().get(re.sub(r"[\s_]+", "-", label))):
        return _make_charset(module) if module not in ("latin-1", "ascii") else _get_charset("windows-1252")
    return charset


@cache
def _list_python_labels() -> dict[str, str]:
    """Return Python's codecs by label, with hyphens for underscores."""
    modules = {module for module in aliases.values() if _OF_PYTHON.fullmatch(module)}
    named = {alias: module for alias, module in aliases.items() if module in modules}
    named |= {module: module for module in modules}
    ordered = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
    hyphened = {alias.replace("_", "-"): module.replace("_", "-") for alias, module in named.items()}
    return {"utf-8-sig": UTF_8, **{alias: ordered.get(module, module) for alias, module in hyphened.items()}}


def _make_decoder(codec: str) -> Decode:
    """Return a decoder for a Windows charset in which unassigned bytes from 0x80 to 0x9F are control characters, as in
    the standard; Python's codecs reject them."""
    table = "".join(_decode_byte(byte, codec) for byte in range(256))
    return lambda data: codecs.charmap_decode(data, "strict", table)[0]


def _decode_byte(byte: int, codec: str) -> str:
    try:
        return bytes([byte]).decode(codec)
    except UnicodeDecodeError:
        return chr(byte) if 0x80 <= byte <= 0x9F else "\ufffe"
