"""Checks header names in expressions: names that no header can have, and credentials, which are not stored."""

import re
from collections.abc import Collection, Sequence

from durable.http_syntax import HEADER_NAME
from durable.problem import Explanation, Severity
from durable.wording import quote

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Headers that are removed from every request before it becomes an event."""


def check_header_name(holder: str, key: str) -> Explanation | None:
    """Explain why no header has this name. `holder` is the expression for the headers."""
    if HEADER_NAME.fullmatch(key):
        return None
    meant = re.sub(r"[^!#$%&'*+.^`|~0-9A-Za-z-]+", "-", key.strip().strip(":").strip()).strip("-")
    hint = f"did you mean {holder}['{meant.lower()}']" if meant else "write the header's name"
    return Explanation(f"there is no header {quote(key)}", hint)


def check_withheld(key: str, withheld: Collection[str]) -> Explanation | None:
    """Explain why a header of the request is not stored."""
    if key.lower() not in withheld:
        return None
    message = f"the header {quote(key.lower())} is a credential, which Waypost checks but does not store"
    return Explanation(message, "'verify' checks the request; remove this")


def doubt_underscore(name: Sequence[str], source: str) -> tuple[Explanation, Severity] | None:
    """Warn about an underscore in a header's name: an error after a dot, a warning in brackets."""
    holder, key = _split(name)
    if not holder or "_" not in key:
        return None
    meant = f"did you mean {holder}['{key.lower().replace('_', '-')}']"
    if re.search(rf"\.\s*{re.escape(key)}(?!\w)", source):
        own = f"{holder}['{key}']"
        return Explanation(
            f"{quote(key)} is an unusual header name, because of '_'", f"{meant}; otherwise write {own}"
        ), "error"
    return Explanation(f"{quote(key)} is an unusual header name, because of '_'", meant), "warning"


def _split(name: Sequence[str]) -> tuple[str, str]:
    """Return the expression for the headers and the key that is read in them; empty for other names."""
    match list(name):
        case ["trigger" | "output" | "answer", "headers", key, *_]:
            return f"{name[0]}.headers", key
        case ["steps", id, "output", "headers", key, *_]:
            return f"steps.{id}.output.headers", key
    return "", ""
