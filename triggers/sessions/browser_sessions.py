"""Sessions as a browser begins and ends them: with a cookie, and with a page that follows."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from triggers.audit import find_address
from triggers.keys import KeyHolder
from triggers.sessions.cookie import SessionCookie
from triggers.sessions.sessions import Sessions


class BrowserSessions:
    """Begins and ends the session of a browser."""

    def __init__(self, sessions: Sessions, cookie: SessionCookie) -> None:
        self._sessions = sessions
        self.cookie = cookie

    async def begin(self, request: Request, holder: KeyHolder, to: str, subject: str | None = None) -> Response:
        """Begin a session, in place of the one that the browser may have, and lead to a page."""
        await self.end(request)
        agent = request.headers.get("user-agent")
        token = await self._sessions.begin(holder, address=find_address(request), agent=agent, subject=subject)
        response = RedirectResponse(to, 303)
        self.cookie.set(response, request, token)
        return response

    async def end(self, request: Request) -> None:
        """End the session of a browser, if it has one."""
        token = self.cookie.read(request)
        if token and (session := self._sessions.find(token)):
            await self._sessions.end(session.id)
