"""Sessions of people, and who somebody is to the service."""

from typing import Annotated

from msgspec import Struct

from triggers.documents.fields import KeyGrant, Scope, Time, note


class VisitorDocument(Struct, frozen=True):
    """Who sent the request."""

    name: Annotated[str, note("The name of the key")]
    scope: Annotated[Scope | None, note("Null: only the grants")]
    grants: list[KeyGrant]
    key: Annotated[str, note("The key's id; `admin`: the key of the service itself, `oidc`: the identity provider")]
    session: Annotated[str | None, note("The session's id; null if a key was sent")]


class SessionDocument(Struct, frozen=True):
    """A person who is signed in to the dashboard."""

    id: str
    name: Annotated[str, note("The name of their key, or their name at the identity provider")]
    scope: Annotated[Scope | None, note("Null: only the grants")]
    grants: list[KeyGrant]
    key: Annotated[str, note("The id of their key, with which the session ends; `oidc`: the identity provider")]
    subject: Annotated[str | None, note("Their id at the identity provider, if they signed in there")]
    created_at: Time | None
    seen_at: Annotated[Time | None, note("Their last request, to within ten minutes")]
    expires_at: Time | None
    address: Annotated[str | None, note("Where they signed in from")]
    agent: Annotated[str | None, note("The browser with which they signed in")]
    is_current: Annotated[bool, note("Whether it is the session that asks")]


class SessionsDocument(Struct, frozen=True):
    """The open sessions, the oldest first."""

    sessions: list[SessionDocument]


class EnterLinkDocument(Struct, frozen=True):
    """A link that signs in to the dashboard."""

    url: Annotated[str, note("It can be opened once. The part behind `#` is a secret")]
    expires_at: Time | None
