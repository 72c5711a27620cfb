"""Operations on the sessions of people who are signed in to the dashboard."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.sessions import Session
from durable.wording import quote
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.documents.fields import format_time
from triggers.documents.keys import parse_rights
from triggers.documents.sessions import EnterLinkDocument, SessionDocument, SessionsDocument, VisitorDocument
from triggers.keys import KeyHolder
from triggers.sessions.enter_links import EnterLinks
from triggers.sessions.sessions import Sessions, find_key


class OneSession(Parameters):
    session: str = Field(description="The session's id")


class SessionOperations:
    """Lists and ends sessions, and makes links that sign in."""

    def __init__(self, sessions: Sessions, links: EnterLinks) -> None:
        self._sessions = sessions
        self._links = links

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                *("GET", "/me", self.get_me, "read", Parameters, Nothing, {200: VisitorDocument}), grant="answer"
            ),
            Operation("GET", "/sessions", self.list_sessions, "read", Parameters, Nothing, {200: SessionsDocument}),
            Operation(
                "DELETE", "/sessions/{session}", self.end_session, "read", OneSession, Nothing, {200: SessionDocument}
            ),
            Operation(
                "POST", "/enter-links", self.create_enter_link, "read", Parameters, Nothing, {201: EnterLinkDocument}
            ),
        ]

    async def get_me(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Show who sent this request."""
        by = asked.by
        return respond(VisitorDocument(by.name, by.scope, list(by.grants), by.key, by.session))

    async def list_sessions(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """List the open sessions of the sender's key; with the scope admin, of every key."""
        shown = [_describe(each, asked.by) for each in self._sessions.list_open() if _may_see(asked.by, each)]
        return respond(SessionsDocument(shown))

    async def end_session(self, asked: ApiRequest[OneSession, Nothing]) -> Response:
        """Sign a person out: of the sender's key, or with the scope admin of any."""
        id = asked.parameters.session
        found = next((each for each in self._sessions.list_open() if each.id == id), None)
        ended = await self._sessions.end(id) if found and _may_see(asked.by, found) else None
        if ended is None:
            raise ApiError(404, f"there is no open session {quote(id)}; GET /api/sessions lists them")
        return respond(_describe(ended, asked.by))

    async def create_enter_link(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Make a link that signs in to the dashboard with the sender's key, once, within ten minutes."""
        link = await self._links.make(asked.by.key)
        if link is None:
            raise ApiError(409, "a link signs in with a key, and this session has none")
        document = EnterLinkDocument(link.url, format_time(link.expires_at))
        return respond(document, 201, {"Cache-Control": "no-store"})


def _may_see(by: KeyHolder, session: Session) -> bool:
    """Whether somebody may see and end a session. People of an identity provider share one key."""
    return by.may("admin") or session.id == by.session or (session.subject is None and find_key(session) == by.key)


def _describe(session: Session, by: KeyHolder) -> SessionDocument:
    scope, grants = parse_rights(session.scope)
    return SessionDocument(
        id=session.id,
        name=session.name,
        scope=scope if scope != "sign" else None,
        grants=list(grants),
        key=find_key(session),
        subject=session.subject,
        created_at=format_time(session.created_at),
        seen_at=format_time(session.seen_at),
        expires_at=format_time(session.expires_at),
        address=session.address,
        agent=session.agent,
        is_current=session.id == by.session,
    )
