"""Links that sign in once, for the browser on the machine where the service or a command runs.

The secret stands in the fragment of the address, which browsers send to no server, so that no log and no `Referer` has
it. Links are in memory: a restart makes them void.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from durable.durations import parse_duration
from triggers.keys import KeyHolder, Keys, hash_key, is_loopback

ENTER = "/enter"

LIFETIME = parse_duration("10m")
"""How long a link can be used, in ms."""

MOST_LINKS = 1_000
"""The links that can be used. If there are more, the oldest becomes void."""

OWN_NAME = "waypost.localhost"
"""A name of this machine. A browser that is sent there takes pages of other ports for other sites, and sends them no
cookies of ours; between ports of 127.0.0.1 it does neither."""

LOOKUP_SECONDS = 0.5


class EnterLink(NamedTuple):
    """A link, and until when it can be used (ms)."""

    url: str
    expires_at: int


class EnterLinks:
    """Makes links, and redeems each once. `url` is where this machine reaches the service."""

    def __init__(self, keys: Keys, now: Callable[[], int], url: str) -> None:
        self._keys = keys
        self._now = now
        self._url = url
        self._links: dict[str, tuple[str, int]] = {}

    async def make(self, key: str) -> EnterLink | None:
        """Make a link that signs in with the key of this id; None if there is no such key."""
        if self._keys.find_holder_of(key) is None:
            return None
        token = secrets.token_urlsafe(32)
        expires_at = self._now() + LIFETIME
        self._links[hash_key(token)] = key, expires_at
        if len(self._links) > MOST_LINKS:
            del self._links[next(iter(self._links))]
        return EnterLink(f"{await find_browser_url(self._url)}{ENTER}#{token}", expires_at)

    def redeem(self, token: str) -> KeyHolder | None:
        """The holder of the key of a link, which becomes void; None if it is void already."""
        key, expires_at = self._links.pop(hash_key(token), ("", 0))
        return self._keys.find_holder_of(key) if self._now() < expires_at else None


async def find_browser_url(url: str) -> str:
    """Where a browser should open a service: under a name of its own, if it listens on 127.0.0.1 and this machine knows
    the name."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname != "127.0.0.1":
        return url
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(OWN_NAME, parts.port)
    except (OSError, TimeoutError):
        return url
    addresses = {str(address[0]) for *_, address in found}
    is_own = all(is_loopback(address) for address in addresses) and "127.0.0.1" in addresses
    return f"http://{OWN_NAME}:{parts.port}" if is_own else url
