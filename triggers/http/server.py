"""The ASGI server, embedded: it serves until it is stopped, and leaves signals to the service.

uvicorn as a program handles signals and raises them again when it returns. That would end the process before the runs
are drained, so its signal handling is switched off here.
"""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from triggers.http.flow import Turns
from triggers.http.protocol import HttpProtocol
from triggers.http.socket_protocol import MESSAGE_LIMIT, PING_SECONDS

log = logging.getLogger("waypost.http")

GRACE = 5
"""Seconds for requests in progress when the server stops."""

END_SECONDS = 0.005
"""How often a server that stops looks whether its connections have ended."""

EVERY_SECOND = 0
"""The number of a tick in which uvicorn renews the `date` header."""


def allow_connections(count: int) -> None:
    """Raise this process's limit of open files to so many connections and some other files, as far as the system
    permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1_024
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


class Server(uvicorn.Server):
    """uvicorn without its signal handlers. It is woken when it should stop, where uvicorn checks ten times a second,
    and it is done as soon as its connections are, where uvicorn sleeps for a tenth of a second at least."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(EVERY_SECOND):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    def stop(self) -> None:
        """Accept no more connections and finish the current responses; then `serve` returns."""
        self.should_exit = True
        self._stopping.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self._has_work() and not self.force_exit:  # noqa: ASYNC110  # nothing tells
                    await asyncio.sleep(END_SECONDS)
        except TimeoutError:
            log.warning("stopping: requests that are still in progress are cancelled: %d", len(self.server_state.tasks))
            for task in self.server_state.tasks:
                task.cancel()

    def _has_work(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; raises OSError if the address is in use or not local."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, as asyncio switches Nagle's delay off only for sockets that say they are TCP's.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def make_server(app: ASGIApp, *, max_connections: int, socket_path: str | None = None) -> Server:
    """A server for the application that parses with httptools; h11 accepts requests that a proxy reads differently. It
    upgrades connections to WebSocket at the `socket_path` alone."""
    return Server(
        uvicorn.Config(
            app,
            http=partial(HttpProtocol, turns=Turns(), socket_path=socket_path),  # type: ignore[arg-type]  # uvicorn calls it
            ws="none",  # which leaves the upgrade to `HttpProtocol`
            ws_max_size=MESSAGE_LIMIT,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=max_connections,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE,
            backlog=1024,
        )
    )
