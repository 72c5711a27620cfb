"""Which failures a retry can do something about, for what recommends commands."""

from durable.action import ErrorClass

RECOMPUTED = frozenset({"expression", "input", "inputs", "output", "outputs", "too_deep", "undone"})
"""Codes of invalid values, which a retry computes again in the same way."""

OUTSIDE = frozenset({"skipped", "child_removed", "child_cancelled", "resolved_failed"})
"""Codes of failures without a class that a retry can avoid; `flow.fail` has none of them unless it says so."""


def can_retry(error_class: ErrorClass | None, code: str | None) -> bool:
    """Whether a retry makes another attempt. Otherwise it is refused, since the run would fail in the same way."""
    if error_class is None:
        return code in OUTSIDE
    return error_class != "invalid" or code not in RECOMPUTED
