"""Retry timing: whether and when a failed attempt is repeated, as pure functions of policy, attempt and error."""

import hashlib

import msgspec

from durable.action import ErrorClass

RETRY_AFTER_LIMIT = 3_600_000
"""Milliseconds up to which a service's `Retry-After` is honoured, where the policy's own `max_delay` is shorter."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, when and after which classes of error an attempt is repeated. Delays are in milliseconds."""

    max_attempts: int = 3
    min_delay: int = 1_000
    max_delay: int = 300_000
    factor: float = 2.0
    errors: tuple[ErrorClass, ...] = ("network", "timeout", "rate_limit", "server", "internal", "crash")


def compute_jitter(run: str, path: str, attempt: int) -> float:
    """A number in [0, 1) that is the same whenever it is asked for: a hash of run, path and attempt."""
    digest = hashlib.blake2b(f"{run}\0{path}\0{attempt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def compute_delay(policy: RetryPolicy, attempt: int, fraction: float, retry_after: int | None = None) -> int:
    """Milliseconds to wait after the failure of `attempt` (1, 2 …).

    Exponential with full jitter: `fraction` of min(max_delay, min_delay * factor ** (attempt - 1)), after Marc
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; and never earlier than the service asked
    by `Retry-After`, up to `RETRY_AFTER_LIMIT` or `max_delay`, whichever is longer.
    """
    growth = policy.factor ** min(attempt - 1, 64)
    backoff = int(min(policy.max_delay, policy.min_delay * growth) * fraction)
    if retry_after is None:
        return backoff
    return max(backoff, min(retry_after, max(RETRY_AFTER_LIMIT, policy.max_delay)))


def allows_retry(policy: RetryPolicy, attempts: int, error_class: ErrorClass | None) -> bool:
    """Whether another attempt follows after `attempts` of them, the last of which failed with that class."""
    return attempts < policy.max_attempts and error_class in policy.errors
