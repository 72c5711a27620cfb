"""Error keys: one for all failures of the same cause, so that thousands of failed runs are listed as one outage.

The key is a hash of the failure's class, code and action, and of its message without what differs from run to run:
numbers, ids, quoted text, addresses, and the parts of URLs.
"""

import hashlib
import re

from durable.history.words import Failure

TEXT_LIMIT = 500
"""How many characters of a message count. A message is as long as a service made it."""

SEGMENTS_LIMIT = 3
"""How many segments of a URL's path count; those after them are variable more often than not."""

VARIABLE = "#"

_PARTS = re.compile(
    r"\bhttps?://(?P<url>[^\s\"'<>]+)"
    r"|(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’)(?!\w)"
    r"|[^\s,;:(){}\[\]=@]+@[^\s,;:(){}\[\]=]+"  # an e-mail address
    r"|[\w.+/-]*\d[\w.+/-]*"  # a number, an id, a date, a UUID, an address, most hex
    r"|\b[a-f]{8,}\b"  # hex without a digit
)
_WORD = re.compile(r"[a-z_-]{1,30}\Z")
_LIST = re.compile(rf"{VARIABLE}(?:\s*(?:,|;|and|or)?\s*{VARIABLE})+")


def make_error_key(failure: Failure, action: str | None) -> str:
    """Return the key of a failure, in hex; `action` is that of the failed step."""
    text = generalize_message(failure.message or "")
    parts = failure.error_class or "", failure.code or "", action or "", text
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def generalize_message(message: str) -> str:
    """Return what messages about the same failure have in common."""
    text = _PARTS.sub(_generalize_part, message[:TEXT_LIMIT].lower())
    return _LIST.sub(VARIABLE, " ".join(text.split()))


def _generalize_part(found: re.Match[str]) -> str:
    """Return a URL's host and port with the words of its path, and a placeholder for any other part."""
    if found["url"] is None:
        return VARIABLE
    host, *path = re.split(r"[?#]", found["url"], maxsplit=1)[0].rstrip(".,:;)").split("/")
    return "/".join(
        [host.rpartition("@")[2], *(part if _WORD.match(part) else VARIABLE for part in path[:SEGMENTS_LIMIT])]
    )
