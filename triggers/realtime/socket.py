"""The socket of streams: many subscriptions on one connection.

The first message of a client is `{"token": …}`, a token or an API key. Then `{"sub": 1, "run": …, "after": 7}` follows
a run, `{"sub": 2, "tag": …}`, `{"sub": 3, "pipeline": …}` or `{"sub": 4, "all": true}` the states of runs, and
`{"unsub": 1}` ends a subscription. The client chooses the numbers. An event comes as
`{"sub": 1, "event": …, "id": …, "data": …}`, with what SSE has under these names.
"""

import asyncio
from contextlib import aclosing

import msgspec
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from triggers.documents.streams import See
from triggers.http.rate_limit import RateLimiter
from triggers.realtime.events import encode_message, make_event
from triggers.realtime.permit import StreamPermit
from triggers.realtime.realtime import Realtime
from triggers.realtime.sources import EventSource
from triggers.refusals import StreamRefused, TokenRefused, describe_error

SUBSCRIPTIONS_LIMIT = 100
"""The subscriptions of one socket."""

TOKEN_SECONDS = 10.0
"""How long a client may take until its first message."""

LAST_EVENTS = ("end", "problem")

BAD_MESSAGE, REFUSED, RESTARTING = 4400, 4401, 1012
"""Codes with which a socket is closed: a message is wrong; the token is wrong, or has expired; the service stops."""


class SocketMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a client. After the token, it has either `sub` with what to follow, or `unsub`."""

    token: str | None = None
    sub: int | None = None
    unsub: int | None = None
    run: str | None = None
    tag: str | None = None
    pipeline: str | None = None
    all: bool = False
    after: int | str | None = None
    see: See | None = None


_decode = msgspec.json.Decoder(SocketMessage).decode


class SocketEndpoint:
    """Answers the handshakes of sockets."""

    def __init__(self, realtime: Realtime, guesses: RateLimiter) -> None:
        self._realtime = realtime
        self._guesses = guesses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        try:
            if permit := await self._identify(socket):
                await _Connection(socket, self._realtime, permit).serve()
        except WebSocketDisconnect:
            pass  # the client has gone

    async def _identify(self, socket: WebSocket) -> StreamPermit | None:
        """What the sender of the first message may follow; None if the socket was closed."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                message = await _receive(socket)
        except TimeoutError:
            message = None
        if message is None or message.token is None:
            await socket.close(BAD_MESSAGE, 'the first message should be {"token": "…"}')
            return None
        try:
            return self._realtime.identify(message.token)
        except TokenRefused as refused:
            is_guessing = self._guesses.take_for(socket.scope)
            await socket.close(REFUSED, "too many wrong tokens came from this address" if is_guessing else str(refused))
            return None


class _Connection:
    """A socket whose client is known. Each subscription is a task, which waits until its last event was sent."""

    def __init__(self, socket: WebSocket, realtime: Realtime, permit: StreamPermit) -> None:
        self._socket = socket
        self._realtime = realtime
        self._permit = permit
        self._subscriptions: dict[int, asyncio.Task[None]] = {}
        self._is_closed = False

    async def serve(self) -> None:
        """Follow what the client asks for, until it leaves."""
        try:
            while message := await _receive(self._socket):
                if not self._take(message):
                    break
            await self._socket.close(BAD_MESSAGE, "a message should subscribe (`sub`) or unsubscribe (`unsub`)")
        finally:
            tasks = list(self._subscriptions.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, message: SocketMessage) -> bool:
        """Perform what a message asks for; False if it asks for nothing."""
        if message.unsub is not None:
            if task := self._subscriptions.pop(message.unsub, None):
                task.cancel()
            return True
        number = message.sub
        if number is None or number in self._subscriptions:
            return False
        task = asyncio.create_task(self._follow(number, message))
        self._subscriptions[number] = task
        task.add_done_callback(lambda ended: self._forget(number, ended))
        return True

    def _forget(self, number: int, task: "asyncio.Task[None]") -> None:
        if self._subscriptions.get(number) is task:
            del self._subscriptions[number]

    async def _follow(self, number: int, message: SocketMessage) -> None:
        last = ""
        try:
            async with aclosing(self._realtime.streams.follow(await self._open(message), self._permit)) as events:
                async for batch in events:
                    for event in batch:
                        last = event.name
                        await self._socket.send_text(encode_message(event, number))
            if last not in LAST_EVENTS:  # then the token has expired, or the service stops
                await self._close(RESTARTING if self._realtime.streams.is_closing else REFUSED)
        except WebSocketDisconnect:
            pass  # the client has gone
        except Exception as error:  # noqa: BLE001  # the client is told
            await self._socket.send_text(encode_message(make_event("problem", describe_error(error)), number))

    async def _open(self, message: SocketMessage) -> EventSource:
        if len(self._subscriptions) > SUBSCRIPTIONS_LIMIT:
            raise StreamRefused(f"a socket has at most {SUBSCRIPTIONS_LIMIT} subscriptions; open another one")
        self._realtime.streams.ensure_room()
        after = message.after
        if message.run is not None:
            if isinstance(after, str) or (after or 0) < 0:
                raise StreamRefused("`after` should be the number of an entry")
            return await self._realtime.open_run(message.run, after or 0, message.see, self._permit)
        if not (message.all or message.tag or message.pipeline):
            raise StreamRefused("say what to follow: `run`, `tag`, `pipeline`, or `all`")
        cursor = after if isinstance(after, str) else None
        return await self._realtime.open_states(message.tag, message.pipeline, cursor, self._permit)

    async def _close(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._socket.close(code)


async def _receive(socket: WebSocket) -> SocketMessage | None:
    """The next message of a client; None for one that cannot be read. Raises `WebSocketDisconnect`."""
    received = await socket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received["code"])
    try:
        return _decode(received.get("text") or received.get("bytes") or b"")
    except msgspec.MsgspecError:
        return None
