"""Connections, and the outcomes of their tests."""

from typing import Annotated, Literal, Self, TypeAlias

from msgspec import Struct

from durable.action import ErrorClass
from durable.reports import GateReport, TokenReport
from triggers.documents.fields import Time, format_time, note

ConnectionStatusName: TypeAlias = Literal["ready", "invalid", "lacks_secret", "needs_login"]


class GateDocument(Struct, frozen=True):
    """What holds the requests of a connection back."""

    state: Literal["ready", "held_back", "circuit_open"]
    in_flight: Annotated[int, note("How many attempts run")]
    waiting: Annotated[int, note("How many attempts wait for their turn")]
    limit: Annotated[list[str], note("Its limits, for people")]
    since: Annotated[Time | None, note("Since when it is held back")]
    until: Annotated[Time | None, note("Until when it is held back")]
    reason: str | None

    @classmethod
    def of(cls, report: GateReport) -> Self:
        since, until = format_time(report.since), format_time(report.until)
        return cls(report.state, report.in_flight, report.waiting, list(report.limit), since, until, report.reason)


class LoginDocument(Struct, frozen=True):
    """The last login of a connection since the service started."""

    status: Literal["pending", "completed", "failed"]
    message: Annotated[str, note("Its state, in a sentence")]
    expires_at: Annotated[Time | None, note("Until when it can be completed")]


class TokenStateDocument(Struct, frozen=True):
    """The access token of a connection with OAuth 2.0, without the token itself."""

    issued_at: Time | None
    expires_at: Annotated[Time | None, note("Null: it is valid until the service refuses it")]
    is_renewable: Annotated[bool, note("Whether the service renews it without a person")]

    @classmethod
    def of(cls, report: TokenReport) -> Self:
        return cls(format_time(report.issued_at), format_time(report.expires_at), report.is_renewable)


class ConnectionDocument(Struct, frozen=True):
    """A connection, without its fields."""

    name: str
    connector: Annotated[str | None, note("Null if its entry was never valid")]
    status: Annotated[
        ConnectionStatusName, note("`invalid`: its entry, or a version of it that still serves, has errors")
    ]
    reason: Annotated[str | None, note("Why it cannot be used, and what to do")]
    test: Annotated[str | None, note("The action that tests it")]
    pipelines: Annotated[list[str], note("The pipelines that are served and use it; empty if no service runs")]
    gate: Annotated[GateDocument | None, note("Null if it was not used since the service started")]
    login: Annotated[LoginDocument | None, note("Null if no login was begun since the service started")]
    token: Annotated[TokenStateDocument | None, note("Null if no service has issued one, or no service runs")]
    has_login: Annotated[bool, note("Whether a person logs it in with OAuth 2.0, now or again")]


class ConnectionListDocument(Struct, frozen=True):
    """Every connection, by name."""

    connections: list[ConnectionDocument]


class ConnectionTestDocument(Struct, frozen=True):
    """The outcome of a test."""

    connection: str
    works: bool
    message: Annotated[str, note("The outcome in a sentence")]
    error_class: ErrorClass | None
    code: Annotated[str | None, note("The code of the error")]


class BegunLoginDocument(Struct, frozen=True):
    """A login that was begun. It is completed when the browser comes back from the service."""

    connection: str
    url: Annotated[str, note("The address that a person opens in a browser")]
    redirect_url: Annotated[
        str, note("Where the service sends the browser back to; it must be registered with the service")
    ]
    expires_at: Annotated[Time | None, note("Until when it can be completed")]


class LogoutDocument(Struct, frozen=True):
    """What a logout did."""

    connection: str
    was_logged_in: bool
    is_revoked: Annotated[bool, note("Whether the service has revoked the tokens")]
    message: Annotated[str, note("The outcome in a sentence")]
