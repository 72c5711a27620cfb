"""A connection after its upgrade to WebSocket (RFC 6455)."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from triggers.http.flow import StallTimer

MESSAGE_LIMIT = 64 * 1024
"""The bytes of a message from a client."""

PING_SECONDS = 20.0
"""How often a client is asked whether it is there, and the time that it has to answer."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which drops a client that reads nothing. Messages are not compressed: the memory of a
    compressor for each client would be larger than all else that is kept of it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._stall = StallTimer(self.loop, transport)
        self.conn.debug = False  # it would log each message, and the first one is a credential

    def connection_lost(self, exc: Exception | None) -> None:
        self._stall.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall.start()

    def resume_writing(self) -> None:
        self._stall.stop()
        super().resume_writing()
