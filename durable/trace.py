"""Traces, as other programs see them: the ids of spans, and the header `traceparent` of W3C Trace Context.

The ids of a span are hashes of what it stands for, so the process that sends a request, the one that exports the span,
and any later one that exports it again know the same ids without having to store them.
"""

import re
from hashlib import sha256

HEADER = "traceparent"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_VERSION = "00"
_SAMPLED = 1


def make_trace_id(run: str) -> str:
    """Return the id, in hex, of the trace that begins with a run."""
    return sha256(run.encode()).hexdigest()[:32]


def find_trace_id(run: str, sender: str | None) -> str:
    """Return the id of the trace that a run belongs to: that of its `sender`, or its own."""
    return make_trace_id(run) if sender is None else sender[3:35]


def make_span_id(key: str, path: str, number: int) -> str:
    """Return the id, in hex, of a span of a run. The run itself has an empty path.

    `key`, `number`: of an attempt, its idempotency key and its number. What has no attempts (the run, blocks, and steps
    of the core) has the run's id, and as a number how often the run was retried before.
    """
    return sha256(f"{key}\n{path}\n{number}".encode()).hexdigest()[:16]


def make_traceparent(run: str, key: str, path: str, number: int, sender: str | None) -> str:
    """Return the `traceparent` of what a span of a run causes. `sender` is that of the request which started the run:
    the run belongs to its trace, and the sender's decision whether to sample it is passed on."""
    span = sha256(f"{key}\n{path}\n{number}".encode()).hexdigest()[:16]
    if sender is not None:
        return f"{sender[:36]}{span}{sender[52:]}"
    return f"00-{sha256(run.encode()).hexdigest()[:32]}-{span}-01"


def parse_traceparent(text: object) -> str | None:
    """Return a `traceparent` in the form of version 00. None if it is invalid: a new trace begins then, as the standard
    says. `text` is what a header is read as, so a repeated one is a list."""
    match = _TRACEPARENT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (version == _VERSION and more) or not int(trace, 16) or not int(span, 16):
        return None
    return f"{_VERSION}-{trace}-{span}-{int(flags, 16) & _SAMPLED:02x}"
