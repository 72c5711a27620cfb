"""What a service answered: status, headers, and a body of bounded size."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from durable import values
from durable.values import JSON

_CHARSET = re.compile(r"charset *= *\"?([a-z0-9_-]+)", re.IGNORECASE)
_CHARSETS = frozenset(
    codecs.lookup(name).name
    for name in (
        *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-32", "iso-8859-1", "iso-8859-2", "iso-8859-15"),
        *("cp1250", "cp1251", "cp1252", "koi8-r", "gb18030", "gbk", "big5", "shift_jis", "euc-jp", "euc-kr"),
    )
)
"""What text may be encoded in; other codecs of Python yield what is no text, or take quadratic time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was received, its content coding undone.

    `headers` are by lower-case name, with the values of a repeated one joined by a comma; `repeated` has those values
    one by one, and of Set-Cookie even if there is only one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    repeated: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        """Whether the service did what was asked (2xx); a redirect only says where it might be done."""
        return 200 <= self.status < 300

    @property
    def is_json(self) -> bool:
        """Whether the header says so."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return media_type == "application/json" or media_type.endswith("+json")

    def json(self) -> JSON:
        """The body as JSON; raises `durable.values.NotJSON`."""
        return values.decode(self.body)

    def text(self) -> str | None:
        """The body as text, in the charset that the header says or in UTF-8; None if it is no such text."""
        try:
            return self.body.decode(self._charset())
        except UnicodeError:
            return None

    def _charset(self) -> str:
        named = _CHARSET.search(self.headers.get("content-type", ""))
        try:
            name = codecs.lookup(named[1] if named else "utf-8").name
        except LookupError:
            return "utf-8"
        return name if name in _CHARSETS else "utf-8"


def merge_headers(headers: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """`headers` and `repeated` of an answer, as text in UTF-8, or in Latin-1 where one of them is no UTF-8."""
    try:
        return _merge(headers, "utf-8")
    except UnicodeDecodeError:
        return _merge(headers, "iso-8859-1")


def _merge(headers: Sequence[tuple[bytes, bytes]], encoding: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode(encoding), raw_value.decode(encoding)
        if name in found:
            repeated.setdefault(name, [found[name]]).append(value)
        elif name == "set-cookie":
            repeated[name] = [value]
        found[name] = value
    return found | {name: ", ".join(values) for name, values in repeated.items()}, repeated
