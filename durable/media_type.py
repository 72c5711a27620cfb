"""Media types: the parts of a `Content-Type` header (RFC 9110, section 8.3)."""

import re
from functools import lru_cache
from typing import NamedTuple

from durable.http_syntax import TOKEN

FORM = "application/x-www-form-urlencoded"

_KIND = re.compile(f"{TOKEN}/{TOKEN}")
_PARAMETER = re.compile(r""";\s*([^=;\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^;]*))""")
_JSON = frozenset(
    {
        *("application/json", "application/x-json", "text/json", "text/x-json"),
        *("application/csp-report", "application/json-rpc", "application/jsonrequest"),
        *("application/x-amz-json-1.0", "application/x-amz-json-1.1"),
    }
)
_TEXT = re.compile(
    r"text/.+|application/(x-)?(xml|yaml|toml|sql|graphql|javascript|ecmascript|ndjson|jsonl|jsonlines|json-seq)"
    r"|application/stream\+json|.+\+(xml|yaml|json-seq)"
)
_XML = re.compile(r"(text|application)/(x-)?xml|.+\+xml")


class MediaType(NamedTuple):
    """A media type in lower case, without its parameters; empty if the header has none.

    `charset`: the parameter as it was sent.
    `is_declared`: it comes from a header; otherwise it was guessed from the body.
    """

    kind: str = ""
    charset: str | None = None
    is_declared: bool = True

    @property
    def is_json(self) -> bool:
        """Whether the body is a single JSON value. `application/stream+json` is a sequence of values."""
        kind = self.kind
        is_named_so = kind in _JSON or kind.endswith(("+json", ".json"))
        return is_named_so and kind != "application/stream+json"

    @property
    def is_text(self) -> bool:
        return _TEXT.fullmatch(self.kind) is not None

    @property
    def is_binary(self) -> bool:
        """Whether it is declared, without a charset, and neither text nor JSON."""
        return bool(self.kind) and self.charset is None and not (self.is_text or self.is_json)

    @property
    def is_xml(self) -> bool:
        return _XML.fullmatch(self.kind) is not None


@lru_cache(maxsize=128)  # senders use few different ones, and a header has at most 64 KiB
def parse_media_type(header: str) -> MediaType:
    """Parse a `Content-Type` header. A parameter's value may be in double quotes, or in single quotes, which some
    senders use. The first of several media types or charsets wins."""
    kind = re.split("[;,]", header, maxsplit=1)[0].strip().lower()
    if not _KIND.fullmatch(kind):
        return MediaType()
    for name, in_double, in_single, bare in _PARAMETER.findall(header):
        if name.lower() == "charset":
            charset = re.sub(r"\\(.)", r"\1", in_double) or in_single or bare.partition(",")[0]
            return MediaType(kind, charset.strip() or None)
    return MediaType(kind)
