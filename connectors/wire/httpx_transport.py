"""Adapts an httpx transport to the client: a connector's test passes `httpx.MockTransport`."""

import httpx

from connectors.wire.request import Header, Request
from connectors.wire.transport import BEFORE_SENDING


class HttpxResponseStream:
    """A response of that transport, with the interface of an `Exchange`."""

    def __init__(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self.status = response.status_code
        self.headers: list[Header] = [(name.lower(), value) for name, value in response.headers.raw]
        self._response = response
        self._pieces = aiter(response.stream)

    async def read(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""

    async def aclose(self) -> None:
        await self._response.aclose()


class HttpxTransport:
    """Sends requests through an httpx transport."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def exchange(self, request: Request) -> HttpxResponseStream:
        sent = httpx.Request(
            request.method,
            request.url.text,
            headers=request.headers,
            content=request.content,
            extensions={"timeout": request.timeouts._asdict(), BEFORE_SENDING: request.before_sending},
        )
        return HttpxResponseStream(await self._transport.handle_async_request(sent))

    async def aclose(self) -> None:
        await self._transport.aclose()
