"""The cookie of a session.

Over HTTPS its name has the prefix `__Host-`, so that no other host can set it. Over plain HTTP, which is the loopback
address, browsers send cookies to every port of a host: there the name has the port, so that several services on one
machine do not sign each other out.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from triggers.sessions.sessions import LIFETIME

SECURE_NAME = "__Host-waypost"


class SessionCookie:
    """Reads and writes the cookie. `public_url` says which host has HTTPS, since a proxy in front may hide it."""

    def __init__(self, public_url: str | None) -> None:
        public = urlsplit(public_url or "")
        self._secure_host = public.netloc if public.scheme == "https" else None

    def read(self, connection: HTTPConnection) -> str | None:
        """The token that a request brings."""
        cookies = connection.cookies
        return cookies.get(SECURE_NAME) or cookies.get(_name_plain(connection))

    def set(self, response: Response, connection: HTTPConnection, token: str) -> None:
        """Have the browser keep a token."""
        is_secure = self._is_secure(connection)
        response.set_cookie(
            SECURE_NAME if is_secure else _name_plain(connection),
            token,
            max_age=LIFETIME // 1_000,
            secure=is_secure,
            httponly=True,
            samesite="lax",  # `strict` would sign out whoever follows a link from a message
        )

    def delete(self, response: Response, connection: HTTPConnection) -> None:
        """Have the browser forget its token."""
        response.delete_cookie(SECURE_NAME, secure=True, httponly=True, samesite="lax")
        response.delete_cookie(_name_plain(connection), httponly=True, samesite="lax")

    def _is_secure(self, connection: HTTPConnection) -> bool:
        """Whether the browser uses HTTPS: it says so itself when it sends a form."""
        headers = connection.headers
        return (
            connection.scope["scheme"] == "https"
            or headers.get("origin", "").startswith("https://")
            or headers.get("host") == self._secure_host
        )


def _name_plain(connection: HTTPConnection) -> str:
    _, _, port = connection.headers.get("host", "").rpartition(":")
    return f"waypost_{port}" if port.isdigit() else "waypost"
