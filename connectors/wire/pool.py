"""The connections that are kept: to each origin a bounded number, to all of them together another.

An exchange holds two permits, one of its origin and one of all, from before its connection is made until it is over;
who finds none waits in line. So what an exchange costs does not grow with how many are under way.

Attempts whose action names its target wait for a slot instead, before they begin, and find a permit here. Those that
wait here are of actions that name none, or that send to several services.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import httpx

from connectors.wire.connection import Connection
from connectors.wire.dialer import Dialer
from connectors.wire.origin import Origin
from connectors.wire.permits import Permits
from connectors.wire.request import EnterWait, Timeouts
from durable.action import TARGET_LIMIT

TOTAL_LIMIT = 512


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Connections to one origin and in total, and for how many seconds one is kept idle.

    Widespread servers close an idle connection after 5 s (uvicorn, Node). To be the first spares an exchange from
    meeting that close, and its step from an unknown ending.
    """

    per_origin: int = TARGET_LIMIT
    total: int = TOTAL_LIMIT
    idle: float = 4.0


@dataclass(eq=False, slots=True)
class _OriginConnections:
    """One origin's connections; `users` hold a permit or wait for one."""

    origin: Origin
    permits: Permits
    idle: dict[Connection, None] = field(default_factory=dict)
    users: int = 0


class Pool:
    """Lends connections, each to one exchange at a time; an `Owner` of theirs."""

    def __init__(self, dialer: Dialer, limits: PoolLimits) -> None:
        self._dialer = dialer
        self._limits = limits
        self._permits = Permits(limits.total)
        self._permitted = 0
        self._lanes: dict[Origin, _OriginConnections] = {}
        self._in_use: dict[Connection, _OriginConnections] = {}
        self._idle: OrderedDict[Connection, tuple[float, _OriginConnections]] = OrderedDict()  # the longest idle first
        self._open: set[Connection] = set()
        self._emptied = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    async def acquire(self, origin: Origin, timeouts: Timeouts, waiting: EnterWait) -> Connection:
        """A connection on which nothing was sent yet in this exchange.

        Raises `httpx.PoolTimeout`, `httpx.ConnectTimeout` or `httpx.ConnectError`.
        """
        lane = self._lanes.get(origin) or self._lanes.setdefault(
            origin, _OriginConnections(origin, Permits(self._limits.per_origin))
        )
        lane.users += 1
        try:
            await self._take_permit(lane, timeouts.pool, waiting)
        except BaseException:
            self._leave(lane)
            raise
        try:
            connection = self._find_idle(lane) or await self._connect(lane, timeouts.connect)
        except BaseException:
            self._release_permit(lane)
            raise
        self._in_use[connection] = lane
        return connection

    def release(self, connection: Connection) -> None:
        """Keep it for the next exchange."""
        lane = self._in_use.pop(connection)
        loop = asyncio.get_running_loop()
        lane.idle[connection] = None
        self._idle[connection] = (loop.time(), lane)
        if self._expiry is None:
            self._expiry = loop.call_later(self._limits.idle, self._expire)
        self._release_permit(lane)

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()
        self._forget(connection)
        lane = self._in_use.pop(connection, None)
        if lane is not None:
            self._release_permit(lane)

    async def close(self) -> None:
        """Close every connection; exchanges under way end with an error."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for connection in list(self._open):
            connection.abort()
        self._emptied.clear()
        if self._open:
            await self._emptied.wait()

    # -- permits ------------------------------------------------------------------------------------------------

    async def _take_permit(self, lane: _OriginConnections, wait: float | None, waiting: EnterWait) -> None:
        if lane.permits.free and self._permits.free:  # no wait, no timer
            lane.permits.free -= 1
            self._permits.free -= 1
        else:
            with waiting(f"a connection to {lane.origin.address}"):
                await self._wait_for_turn(lane, wait)
        self._permitted += 1

    async def _wait_for_turn(self, lane: _OriginConnections, wait: float | None) -> None:
        try:
            async with asyncio.timeout(wait):
                await lane.permits.acquire()
                try:
                    await self._permits.acquire()
                except BaseException:
                    lane.permits.release()
                    raise
        except TimeoutError:
            raise httpx.PoolTimeout(f"no connection to {lane.origin} became free in {wait} s") from None

    def _release_permit(self, lane: _OriginConnections) -> None:
        self._permitted -= 1
        self._permits.release()
        lane.permits.release()
        self._leave(lane)

    def _leave(self, lane: _OriginConnections) -> None:
        lane.users -= 1
        if not lane.users and not lane.idle:
            self._lanes.pop(lane.origin)

    # -- connections --------------------------------------------------------------------------------------------

    def _find_idle(self, lane: _OriginConnections) -> Connection | None:
        """The connection that was used last, so that those too many grow old."""
        while lane.idle:
            connection, _ = lane.idle.popitem()
            del self._idle[connection]
            if connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def _connect(self, lane: _OriginConnections, timeout: float | None) -> Connection:
        """A new connection. Whatever fails here, nothing was sent."""
        if self._permitted + len(self._idle) > self._limits.total:
            self._retire(next(iter(self._idle)))
        origin = lane.origin
        try:
            async with asyncio.timeout(timeout):
                connection = await self._dialer.connect(origin, self, timeout)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"no connection to {origin} was made in {timeout} s") from None
        except OSError as error:
            raise httpx.ConnectError(f"no connection to {origin} can be made: {error}") from error
        self._open.add(connection)
        return connection

    def _retire(self, connection: Connection) -> None:
        """Close an idle connection."""
        self._forget(connection)
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        _, lane = self._idle.pop(connection, (0.0, None))
        if lane is not None:
            lane.idle.pop(connection, None)
            if not lane.users and not lane.idle:
                self._lanes.pop(lane.origin)

    def _expire(self) -> None:
        """Close what has been idle for too long, and wake up when the next is due."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        while self._idle:
            oldest, (since, _) = next(iter(self._idle.items()))
            if since + self._limits.idle > loop.time():
                self._expiry = loop.call_at(since + self._limits.idle, self._expire)
                return
            self._retire(oldest)
