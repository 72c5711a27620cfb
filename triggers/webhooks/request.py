"""A webhook request as it was received, and the values that a scheme refers to in it.

Rejected   the request was not verified; `reason` goes into the delivery's record
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias, TypeVar

from starlette.types import Scope

from durable.charsets import Charset, Undecodable
from durable.values import JSON, Value
from triggers.http.body import (
    FIELD_LIMIT,
    UNDECLARED,
    BadRequest,
    explain_media_type,
    parse_and_encode,
    read_query,
)
from triggers.http.urlencoded import TooManyFields, append_value, collect_pairs, split_pairs
from triggers.webhooks.scheme import Ref

RejectionReason: TypeAlias = Literal[
    "missing_signature",
    "malformed_signature",
    "bad_signature",
    "stale_timestamp",
    "future_timestamp",
    "duplicate_header",
    "wrong_method",
    "missing_secret",
]
Text = TypeVar("Text", str, bytes)
Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values in the order of the request."""


class Rejected(Exception):
    """The request was not verified."""

    def __init__(self, reason: RejectionReason, message: str) -> None:
        super().__init__(message)
        self.reason: RejectionReason = reason


@dataclass(slots=True)
class WebhookRequest:
    """One request. `path` and `query_string` are undecoded; names of headers are in lower case, and repeated headers
    are kept. `charset` applies to what declares none."""

    method: str
    path: str
    query_string: str
    headers: Pairs
    body: bytes = field(repr=False)
    charset: Charset = UNDECLARED
    _document: tuple[JSON, Value] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_scope(cls, scope: Scope, body: bytes) -> Self:
        """Make the request of an ASGI scope. Values of headers are bytes there, and are decoded as Latin-1."""
        return cls(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            tuple([(name.decode("latin-1").lower(), text.decode("latin-1")) for name, text in scope["headers"]]),
            body,
        )

    def find_header(self, name: str) -> str | None:
        """The value of a header, None if it is absent; raises `Rejected` if it is repeated."""
        found = None
        for key, value in self.headers:
            if key == name:
                if found is not None:
                    count = sum(each == name for each, _ in self.headers)
                    raise Rejected("duplicate_header", f"the header {name} came {count} times")
                found = value
        return found

    def read_body(self) -> tuple[JSON, Value]:
        """The body as JSON, and as an event keeps it. Call it for verified requests only. Raises `BadRequest`."""
        if self._document is None:
            self._document = parse_and_encode(self.body, self._find_content_type(), self.charset.name)
        return self._document

    def explain(self, reason: str) -> str:
        """A reason, followed by how the body was read if that may be the cause."""
        kind = explain_media_type(self.body, self._find_content_type()) if "trigger.body" in reason else None
        return f"{reason}; {kind}" if kind else reason

    def _find_content_type(self) -> str | None:
        for name, value in self.headers:
            if name == "content-type":
                return value
        return None

    def read_query(self) -> dict[str, JSON]:
        """The values of the query by name; a list if a name is repeated. Raises `BadRequest`."""
        if not self.query_string:
            return {}
        cure = "send UTF-8, or name its charset with `charset` in the webhook's trigger"
        return collect_pairs(read_query(self.query_string.encode("latin-1"), self.charset, cure))

    def find_value(self, ref: Ref, signature: Pairs) -> str | None:
        """The text that a reference names, None if it is absent; raises `Rejected` if it is repeated.

        `signature` has the fields of the signature's header.
        """
        match ref.place:
            case "header":
                return self.find_header(ref.name)
            case "sig":
                return _find_single(ref, signature)
            case "query":
                return self._read_from_query(ref)
            case "form":
                return self._read_from_body([ref.name])
            case _:
                return self._read_from_body(ref.name.split("."))

    def find_in_query(self, name: str) -> list[bytes]:
        """The percent-decoded values of a name in the query; raises `Rejected`."""
        try:
            pairs = split_pairs(self.query_string.encode("latin-1"), FIELD_LIMIT)
        except TooManyFields as error:
            raise Rejected("malformed_signature", f"the query cannot be read: {error}") from None
        return [value for each, value in pairs if each == name.encode()]

    def _read_from_query(self, ref: Ref) -> str | None:
        found = _find_single(ref, [(ref.name, value) for value in self.find_in_query(ref.name)])
        try:
            return None if found is None else self.charset.decode(found)
        except Undecodable as error:
            raise Rejected("malformed_signature", f"query:{ref.name} cannot be read: {error}") from None

    def _read_from_body(self, path: list[str]) -> str | None:
        try:
            value, _ = self.read_body()
        except BadRequest:
            return None  # building the document meets the same error, and reports it
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _find_single(ref: Ref, pairs: Iterable[tuple[str, Text]]) -> Text | None:
    values = [value for name, value in pairs if name == ref.name]
    if len(values) > 1:
        raise Rejected("malformed_signature", f"{ref.place}:{ref.name} came {len(values)} times")
    return values[0] if values else None


def read_headers(headers: Pairs, names: Collection[str]) -> dict[str, JSON]:
    """The headers as expressions read them, without those with these names: a text, or a list if one is repeated."""
    read: dict[str, JSON] = {}
    for name, value in headers:
        if name in names:
            continue
        if name in read:
            append_value(read, name, value)
        else:
            read[name] = value
    return read
