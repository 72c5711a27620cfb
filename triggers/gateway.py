"""The application that the server calls: routes requests, and limits strangers.

A request without a valid key and without a session counts against the rate of its network, whatever its path.
Deliveries have their own rates (`triggers.webhooks`), and the paths of load balancers and monitors are not limited.
"""

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from triggers.api.problem import make_api_error
from triggers.health import PATHS
from triggers.http.proxies import TrustedProxies
from triggers.http.rate_limit import RateLimiter
from triggers.refusals import RateExceeded
from triggers.sessions.visitors import Visitors
from triggers.webhooks.route import PREFIX
from triggers.webhooks.webhooks import ANSWERED_METHODS, Webhooks


class Gateway:
    """Passes deliveries directly to the webhooks, since the layers of the application would take a sixth of their time.
    The application refuses everything else below `/hooks`."""

    def __init__(
        self, webhooks: Webhooks, app: ASGIApp, visitors: Visitors, strangers: RateLimiter, proxies: TrustedProxies
    ) -> None:
        self._webhooks = webhooks
        self._app = app
        self._visitors = visitors
        self._strangers = strangers
        self._proxies = proxies if proxies else None  # so that a request costs no call where there are none

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxies is not None:
            scope["client"] = self._proxies.find_client(scope)
        if scope["type"] == "websocket":
            await self._open_socket(scope, receive, send)
        elif scope["method"] in ANSWERED_METHODS and scope["path"].startswith(f"{PREFIX}/"):
            await self._webhooks(scope, receive, send)
        elif scope["path"] in PATHS or self._visitors.is_known(scope):
            await self._app(scope, receive, send)
        elif seconds := self._strangers.take_for(scope):
            error = RateExceeded("too many requests without a valid key came from this address", seconds)
            await make_api_error(error).response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _open_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if seconds := self._strangers.take_for(scope):  # it says who it is in its first message
            error = RateExceeded("too many requests without a valid key came from this address", seconds)
            await WebSocket(scope, receive, send).send_denial_response(make_api_error(error).response())
        else:
            await self._app(scope, receive, send)
