"""Omissions: documents of bounded size name what they leave out, and where all of it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from durable.history.words import Failure
from durable.values import Value
from triggers.documents.runs import FailureDocument, OmittedDocument

Part = TypeVar("Part")

MESSAGE_LIMIT = 500
"""The characters of a text that stay in a document from which the whole of it is omitted."""


@dataclass
class Omissions:
    """What one document leaves out: each part with more than `limit` bytes (None: no part). `url` is where a part is
    found by its name."""

    limit: int | None
    url: Callable[[str], str]
    found: dict[str, OmittedDocument] = field(default_factory=dict)

    def take_value(self, name: str, value: Value | None, show: Callable[[Value], object]) -> object:
        """Return what `show` makes of a value; None if it is too large."""
        if value is None or self._is_omitted(name, value.size):
            return None
        return show(value)

    def take_error(self, name: str, failure: Failure | None) -> FailureDocument | None:
        """Return an error; one that is too large has a short message and no details."""
        error = FailureDocument.of(failure)
        if error is None or self.limit is None or not self._is_omitted(name, len(msgspec.json.encode(error))):
            return error
        return msgspec.structs.replace(error, message=_shorten(error.message or ""), details=None)

    def take_text(self, name: str, text: str | None) -> str | None:
        """Return a text; one that is too long is shortened."""
        if text is None or self.limit is None or len(text) <= MESSAGE_LIMIT:
            return text
        self._omit(name, len(msgspec.json.encode(text)))
        return _shorten(text)

    def take_list(self, name: str, parts: list[Part]) -> list[Part]:
        """Return a list; an empty one if it is too large."""
        return [] if self.limit is not None and self._is_omitted(name, len(msgspec.json.encode(parts))) else parts

    def _is_omitted(self, name: str, size: int) -> bool:
        if self.limit is None or size <= self.limit:
            return False
        self._omit(name, size)
        return True

    def _omit(self, name: str, size: int) -> None:
        self.found[name] = OmittedDocument(size, self.url(name))


def _shorten(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]} …"
