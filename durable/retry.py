"""Retry timing: whether and when to repeat a failed attempt, as pure functions of policy, attempt and error."""

import hashlib

import msgspec

from durable.action import ErrorClass

RETRY_AFTER_LIMIT = 3_600_000
"""The longest `Retry-After`, in ms, that is honoured if the policy's `max_delay` is shorter."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, when and after which classes of error an attempt is repeated. Delays are in milliseconds."""

    max_attempts: int = 3
    min_delay: int = 1_000
    max_delay: int = 300_000
    factor: float = 2.0
    errors: tuple[ErrorClass, ...] = ("network", "timeout", "rate_limit", "server", "internal", "crash")


def compute_jitter(run: str, path: str, attempt: int) -> float:
    """Return a number in [0, 1) derived from run, path and attempt by a hash, so that it is always the same."""
    digest = hashlib.blake2b(f"{run}\0{path}\0{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def compute_delay(policy: RetryPolicy, attempt: int, fraction: float, retry_after: int | None = None) -> int:
    """Return the milliseconds to wait after the failure of `attempt` (1, 2 …).

    Exponential back-off with full jitter: `fraction` of min(max_delay, min_delay * factor ** (attempt - 1)), after Marc
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. At least the `Retry-After` that the service
    requested, up to `RETRY_AFTER_LIMIT` or `max_delay`, whichever is longer.
    """
    growth = policy.factor ** min(attempt - 1, 64)
    backoff = int(min(policy.max_delay, policy.min_delay * growth) * fraction)
    if retry_after is None:
        return backoff
    return max(backoff, min(retry_after, max(RETRY_AFTER_LIMIT, policy.max_delay)))


def allows_retry(policy: RetryPolicy, attempts: int, error_class: ErrorClass | None) -> bool:
    """Whether to retry after `attempts` attempts, the last of which failed with that class."""
    return attempts < policy.max_attempts and error_class in policy.errors
