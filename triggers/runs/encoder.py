"""Encode documents about a run, a piece at a time, in the thread of a scan.

A stored value is JSON already: it is neither decoded nor encoded again, since either takes 50 ms of the interpreter's
lock for what a step may return.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from durable.history.words import SecretPlaceholder
from durable.journal.errors import RunUnreadable
from durable.journal.scan import Scan
from durable.links import hide_links, hide_links_in_text
from durable.redactor import LAYERS, Redactor, run_slices
from durable.secrets import fill_placeholders
from durable.values import Value, decode
from triggers.waits.proofs import find_tokens

LARGE = 256 * 1024
"""Bytes from which a text is not decoded to look for links in it."""

Piece = TypeVar("Piece")
AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)

_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


class DocumentEncoder:
    """Encodes pieces of documents about a run. A reader who may not answer its waits gets no links to them."""

    def __init__(self, scan: Scan, run: str, *, may_answer: bool) -> None:
        self.may_answer = may_answer
        self._redactor = Redactor(() if may_answer else find_tokens(scan, run), layers=LAYERS)
        self.missing: RunUnreadable | None = None
        self._scan = scan

    def encode(self, document: object) -> bytes:
        """Encode a piece, which may hold raw values."""
        self._scan.rest()
        text = _encode(document)
        return text if self.may_answer else self._disarm(text)

    def _disarm(self, text: bytes) -> bytes:
        """Hide every link in a JSON text, however the link is written."""
        if b"run_" in text or b"\\u" in text:
            text = hide_links_in_text(text) if len(text) > LARGE else _encode(hide_links(decode(text)))
        if not run_slices(self._redactor.may_contain_secret(text.decode()), self._scan.rest):
            return text
        return _encode(run_slices(self._redactor.redact_in_slices(decode(text)), self._scan.rest))

    def encode_piece(self, piece: Piece) -> Piece:
        """Encode a piece, and return its JSON with the type of the piece, to be put into a document."""
        return cast(Piece, msgspec.Raw(self.encode(piece)))

    def redact_links(self, document: AnyStruct) -> AnyStruct:
        """Hide every link in a document that is not made of pieces."""
        return document if self.may_answer else msgspec.json.decode(self.encode(document), type=type(document))

    def raw(self, value: Value) -> msgspec.Raw:
        """A stored value, as a part of a piece; null if the journal has lost it, which is noted as `missing`."""
        try:
            data = self._scan.load_value(value).data
        except RunUnreadable as unreadable:
            self.missing = unreadable
            return _NULL
        if value.ref:
            value.detach()  # a document holds each of them once
        return data

    def input(self, value: Value, slots: Sequence[SecretPlaceholder]) -> object:
        """An input as people read it, with a reference in place of each secret."""
        if not slots:
            return self.raw(value)
        try:
            return fill_placeholders(decode(self.raw(value)), slots, lambda part: f"{{{{ secrets.{part.secret} }}}}")
        except LookupError:  # it is null, since the journal has lost it
            return None
