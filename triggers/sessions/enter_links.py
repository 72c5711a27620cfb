"""Links that sign in once, for the browser on the machine where the service or a command runs.

The secret stands in the fragment of the address, which browsers send to no server, so that no log and no `Referer` has
it. Links are in memory: a restart makes them void.
"""

import secrets
from collections.abc import Callable
from typing import NamedTuple

from durable.durations import parse_duration
from triggers.keys import KeyHolder, Keys, hash_key

ENTER = "/enter"

LIFETIME = parse_duration("10m")
"""How long a link can be used, in ms."""

MOST_LINKS = 1_000
"""The links that can be used. If there are more, the oldest becomes void."""


class EnterLink(NamedTuple):
    """A link: its path with the fragment, and until when it can be used (ms)."""

    path: str
    expires_at: int


class EnterLinks:
    """Makes links, and redeems each once."""

    def __init__(self, keys: Keys, now: Callable[[], int]) -> None:
        self._keys = keys
        self._now = now
        self._links: dict[str, tuple[str, int]] = {}

    def make(self, key: str) -> EnterLink:
        """Make a link that signs in with the key of this id."""
        token = secrets.token_urlsafe(32)
        expires_at = self._now() + LIFETIME
        self._links[hash_key(token)] = key, expires_at
        if len(self._links) > MOST_LINKS:
            del self._links[next(iter(self._links))]
        return EnterLink(f"{ENTER}#{token}", expires_at)

    def redeem(self, token: str) -> KeyHolder | None:
        """The holder of the key of a link, which becomes void; None if it is void already."""
        key, expires_at = self._links.pop(hash_key(token), ("", 0))
        return self._keys.find_holder_of(key) if self._now() < expires_at else None
