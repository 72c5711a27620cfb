"""The page to which a service sends the browser after a login. It shows the result, and no token."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from triggers.audit import find_address
from triggers.html.message import render_message
from triggers.logins.logins import CALLBACK, Logins
from triggers.waits.links import HEADERS


class LoginCallback:
    """Answers `/oauth/callback`."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def routes(self) -> list[Route]:
        return [Route(CALLBACK, self.finish, methods=["GET"])]

    async def finish(self, request: Request) -> Response:
        """Take the answer of the service, and show how the login ended."""
        if request.method == "HEAD":  # a preview of the link, which must not use it up
            return HTMLResponse("", headers=HEADERS)
        reply = await self._logins.finish(dict(request.query_params), find_address(request))
        return HTMLResponse(render_message(reply.title, reply.text), reply.status, HEADERS)
