"""The proofs in links to waits, wherever a link was put: nobody reads them who may not answer."""

import re
from typing import TypeVar, cast
from urllib.parse import unquote

from durable.links import PROOF_BYTES, proof
from durable.values import JSON

STAND_IN = "exported"
"""The key of the proofs in a history that leaves the house."""

BLOT = "…"

PATH_LIMIT = 500
"""Characters of a path in a link, so that a text full of beginnings of links costs little."""

Document = TypeVar("Document")

_SLASH = r"(?:\\{0,8}/|%2F|%252F|&#x2F;|&#47;)"
_LINK = re.compile(
    rf"(?P<head>(?P<run>run_[0-9a-z]{{26}}){_SLASH}(?P<path>[\w.%\[\]]{{1,{PATH_LIMIT}}}?){_SLASH})"
    rf"[0-9a-f]{{{2 * PROOF_BYTES}}}",
    re.IGNORECASE,
)


def blotted(document: Document) -> Document:
    """A JSON document in which no link is of use."""
    return cast(Document, _blotted(cast(JSON, document)))


def _blotted(tree: JSON) -> JSON:
    match tree:
        case str():
            return _LINK.sub(rf"\g<head>{BLOT}", tree) if "run_" in tree else tree
        case dict():
            return {name: _blotted(value) for name, value in tree.items()}
        case list():
            return [_blotted(value) for value in tree]
    return tree


def blotted_text(text: bytes) -> bytes:
    """A JSON text in which no link is of use. It is searched a link at a time, so that no search is long."""
    rest = text.decode()
    parts: list[str] = []
    done = 0
    while (start := rest.find("run_", done)) >= 0:
        link = _LINK.match(rest, start)
        parts += [rest[done:start], link["head"] + BLOT if link else "run_"]
        done = link.end() if link else start + 4
    return "".join([*parts, rest[done:]]).encode()


def replaced(text: bytes) -> bytes:
    """A JSON text in which every proof is one under the stand-in's key, of the same length: equal ones stay equal."""
    return _LINK.sub(_under_stand_in, text.decode()).encode() if b"run_" in text else text


def _under_stand_in(link: re.Match[str]) -> str:
    return link["head"] + proof(STAND_IN, link["run"], unquote(unquote(link["path"])))
