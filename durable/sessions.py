"""Sessions of people who are signed in to the dashboard, as the journal stores them."""

import msgspec


class Session(msgspec.Struct, frozen=True):
    """A person who is signed in.

    `hash`: the SHA-256, in hex, of the token in their cookie.
    `key`: the id of the API key with which they signed in. The session ends with it.
    `name`, `scope`: those of the key.
    `subject`: their name at an identity provider; None if they signed in with a key.
    `seen_at`: their last request, to within some minutes.
    `address`, `agent`: where they signed in from, and with which browser.
    """

    id: str
    hash: str
    key: str
    name: str
    scope: str
    subject: str | None
    created_at: int
    seen_at: int
    expires_at: int
    ended_at: int | None = None
    address: str | None = None
    agent: str | None = None
