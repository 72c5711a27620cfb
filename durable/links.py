"""Links that answer a wait. Whoever has a link may answer that one wait.

A link ends in the run, the path and a proof. The proof is the run's token, which all links of the run share, and a
digest of the wait's path; both are BLAKE2b under the run's own key (https://www.rfc-editor.org/rfc/rfc7693). To hide
all links of a run from readers who may not answer, it is enough to hide the token.
"""

import hashlib
import hmac
import re
from functools import lru_cache
from typing import TypeVar, cast

from durable.history.entries import RunStarted
from durable.redactor import LAYERS, Redactor
from durable.values import JSON

TOKEN_BYTES = 16
PROOF_BYTES = 2 * TOKEN_BYTES

BLOT = "…"

PATH_LIMIT = 500
"""The maximum length of a path in a link, so that a text with many beginnings of links is cheap to search."""

JsonDocument = TypeVar("JsonDocument")

_SLASH = r"(?:\\{0,8}/|%2F|%252F|&#x2F;|&#47;)"
LINK = re.compile(
    rf"(?P<head>(?P<run>run_[0-9a-z]{{26}}){_SLASH}(?P<path>[\w.%\[\]]{{1,{PATH_LIMIT}}}?){_SLASH})"
    rf"[0-9a-f]{{{2 * PROOF_BYTES}}}",
    re.IGNORECASE,
)


def make_link(url: str, key: str, run: str, path: str) -> str:
    """Return the URL that answers the wait at a path. `url` is where the service answers links, `key` is the run's."""
    return f"{url}/{run}/{path}/{make_proof(key, run, path)}"


def make_token(key: str, run: str) -> str:
    """Return the first part of all proofs of a run, in hex; a proof is invalid without it."""
    return _digest(key, run)


def log_fields(run: str, started: RunStarted | None) -> dict[str, object]:
    """Return the fields of a log line about a run: the run, and a redactor for its proofs, because not all readers of
    logs may answer its waits."""
    links = started.links if started else None
    return {"run": run, "redactor": _redactor(make_token(links.key, run))} if links else {"run": run}


@lru_cache(maxsize=256)
def _redactor(token: str) -> Redactor:
    return Redactor([token], layers=LAYERS)


def make_proof(key: str, run: str, path: str) -> str:
    """Return the proof of the link to a wait, in hex."""
    return make_token(key, run) + _digest(key, f"{run}\0{path}")


def _digest(key: str, text: str) -> str:
    return hashlib.blake2b(text.encode(), key=key.encode(), digest_size=TOKEN_BYTES).hexdigest()


def is_proof(given: str, key: str, run: str, path: str) -> bool:
    """Whether a proof is that of the wait; takes the same time for every wrong proof."""
    return hmac.compare_digest(given.encode(errors="replace"), make_proof(key, run, path).encode())


def hide_links(document: JsonDocument) -> JsonDocument:
    """Return a copy of a JSON document with the proofs of links cut off."""
    return cast(JsonDocument, _hide_in(cast(JSON, document)))


def _hide_in(tree: JSON) -> JSON:
    match tree:
        case str():
            return LINK.sub(rf"\g<head>{BLOT}", tree) if "run_" in tree else tree
        case dict():
            return {name: _hide_in(value) for name, value in tree.items()}
        case list():
            return [_hide_in(value) for value in tree]
    return tree


def hide_links_in_text(text: bytes) -> bytes:
    """Return a JSON text with the proofs of links cut off. Links are searched one at a time, so that no search takes
    long."""
    rest = text.decode()
    parts: list[str] = []
    done = 0
    while (start := rest.find("run_", done)) >= 0:
        link = LINK.match(rest, start)
        parts += [rest[done:start], link["head"] + BLOT if link else "run_"]
        done = link.end() if link else start + 4
    return "".join([*parts, rest[done:]]).encode()
