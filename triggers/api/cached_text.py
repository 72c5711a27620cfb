"""Responses with a text that stays the same while the service runs, and its ETag (RFC 9110 8.8.3)."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.responses import Response


class TaggedBody(NamedTuple):
    """The bytes of a text, and the tag by which a client knows whether it has them."""

    body: bytes
    tag: str


class CachedText:
    """A text that is made when it is first asked for, in a thread: the document takes a tenth of a second."""

    def __init__(self, make: Callable[[], bytes], media_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._make = make
        self._media_type = media_type
        self._headers = {**(headers or {}), "Cache-Control": "no-cache"}
        self._making: asyncio.Task[TaggedBody] | None = None

    async def respond(self, if_none_match: str | None) -> Response:
        """The text, or 304 for a client that has it already."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make_tagged))
        body, tag = await asyncio.shield(self._making)
        headers = {**self._headers, "ETag": tag}
        if if_none_match is not None and _has_tag(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self._media_type)

    def _make_tagged(self) -> TaggedBody:
        body = self._make()
        return TaggedBody(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _has_tag(if_none_match: str, tag: str) -> bool:
    """Whether the header names the tag; tags are compared weakly (RFC 9110 13.1.2)."""
    known = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return tag in known or known == ["*"]
