"""Idempotency keys in the form that a service wants."""

import base64
import hashlib
from uuid import UUID, uuid5

from connectors.declared.compiled import KeyRule

SHORTEST = 16
"""Shorter keys could be equal by chance."""

_NAMESPACE = UUID("9f6ac2f0-5b1e-5b57-9a43-3f0c8f3ce5a1")
UUID_LENGTH = 36


def check_key_rule(rule: KeyRule) -> None:
    """Raise `ValueError` if no key fits the rule."""
    if len([place for place in (rule.header, rule.json, rule.param) if place]) != 1:
        raise ValueError("an idempotency key is sent in one place: header, json or param")
    shortest = UUID_LENGTH if rule.format == "uuid" else SHORTEST
    if rule.max is not None and rule.max < shortest:
        raise ValueError(f"an idempotency key needs at least {shortest} characters")


def format_key(rule: KeyRule, key: str) -> str:
    """Return a step's key in the form of the rule: the same for the same key, and hashed if it does not fit."""
    match rule.format:
        case "uuid":
            return str(uuid5(_NAMESPACE, key))
        case "hex":
            return hashlib.sha256(key.encode()).hexdigest()[: rule.max]
        case "text" if rule.max is None or len(key) <= rule.max:
            return key
        case "text" | "base32hex":  # of the letters and digits that any service accepts, it has the most bits
            digest = hashlib.sha256(key.encode()).digest()
            return base64.b32hexencode(digest).decode().rstrip("=").lower()[: rule.max]
