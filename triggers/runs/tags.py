"""Tags of documents about runs (ETags, RFC 9110 8.8.3), by which a client that has a document knows whether it changed.

A tag is made of the run's row, which every append changes, of its line in lists and of the rows of its repeats; so it
is compared without the history. It ends with the time until which it holds, because an attempt that becomes due begins
without an entry. A run that called others has no tag, since they go on by themselves.
"""

import secrets
from contextlib import suppress
from hashlib import blake2b

import msgspec

from durable.history.state import State

_PROCESS = secrets.token_hex(8)
"""Part of every tag: another version of the service may make other documents."""

_ALWAYS = 2**48


def hash_rows(*parts: object) -> str:
    """Return the part of a tag that does not depend on the history: the hash of what else the document depends on."""
    return blake2b(msgspec.json.encode((_PROCESS, parts)), digest_size=16).hexdigest()


def make_tag(rows: str, state: State, performed_until: int) -> str:
    """Return the tag of a run's document."""
    dues = [
        due
        for path in state.active
        if state.steps[path].is_backing_off(performed_until) and (due := state.steps[path].due) is not None
    ]
    return f'"{rows}-{min(dues, default=_ALWAYS):x}"'


def find_tag(tags: str, rows: str, at: int) -> str | None:
    """Return the one of a client's tags that is that of the present document."""
    for tag in (each.strip().removeprefix("W/") for each in tags.split(",")):
        known, _, until = tag.strip('"').partition("-")
        if known == rows:
            with suppress(ValueError):
                return tag if at < int(until, 16) else None
    return None
