"""The body of a response as a value: JSON, text, or base64 of binary data."""

import base64
from typing import Literal, NamedTuple, TypeAlias

from connectors.wire.response import Response
from durable.charsets import Undecodable, UnknownCharset
from durable.values import JSON, NESTING_LIMIT, NotJSON, is_deeper

BodyEncoding: TypeAlias = Literal["json", "text", "base64", "empty"]

LEVEL_LIMIT = NESTING_LIMIT // 2
"""The maximum depth of a body's JSON. Deeper JSON remains text, so that it fits into an output and into expressions."""


class ResponseBody(NamedTuple):
    """The body of a response.

    `encoding`: how `value` represents it.
    `problem`: why it is not what its media type declares.
    """

    value: JSON
    encoding: BodyEncoding
    problem: str | None = None


def read_body(response: Response) -> ResponseBody:
    """Return the body as JSON, as text if it is not valid JSON, or else as base64."""
    if not response.body:
        return ResponseBody(None, "empty")
    media = response.media_type
    problem = None
    if media.is_json:
        try:
            return ResponseBody(_read_json(response), "json")
        except NotJSON as error:
            problem = f"the answer is declared as JSON but is kept as text: {error}"
    try:
        return ResponseBody(response.read_text(), "text", problem)
    except (Undecodable, UnknownCharset) as error:
        if media.is_text:
            problem = f"the answer is declared as text but is kept as base64: {error}"
    return ResponseBody(base64.b64encode(response.body).decode("ascii"), "base64", problem)


def _read_json(response: Response) -> JSON:
    """Return the body's JSON; raises `NotJSON`, also if it is too deep. The depth is only measured if there are many
    brackets."""
    body = response.json()
    is_perhaps_deep = response.body.count(b"[") + response.body.count(b"{") > LEVEL_LIMIT
    if is_perhaps_deep and is_deeper(body, LEVEL_LIMIT):
        raise NotJSON(f"it is nested deeper than {LEVEL_LIMIT} levels")
    return body
