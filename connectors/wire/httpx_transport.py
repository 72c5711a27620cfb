"""A transport of httpx's that a caller brings (a test's mock, say), with the same door as our own."""

from collections.abc import AsyncIterator

import httpx

from connectors.wire.request import Header, Request
from connectors.wire.transport import BEFORE_SENDING


class HttpxResponseStream:
    """An answer as that transport gives it."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: list[Header] = [(name.lower(), value) for name, value in response.headers.raw]
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, httpx.AsyncByteStream)
        return aiter(self._response.stream)

    async def aclose(self) -> None:
        await self._response.aclose()


class HttpxTransport:
    """Sends through a transport of httpx's."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def exchange(self, request: Request) -> HttpxResponseStream:
        extensions = {"timeout": request.timeouts._asdict(), BEFORE_SENDING: request.before_sending}
        asked = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content, extensions=extensions
        )
        return HttpxResponseStream(await self._transport.handle_async_request(asked))

    async def aclose(self) -> None:
        await self._transport.aclose()
