"""The connection pool, which limits the connections to each origin and in total.

An exchange holds two permits, one of its origin and one of the pool, from before its connection is made until it has
ended; if there are none, it queues. So the cost of an exchange does not depend on the number of concurrent ones.

Attempts whose action names its target wait for the engine's permit before they start, and then find room here. Only
attempts whose action names no target, or that send to several services, wait here.
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
    """The maximum number of connections to one origin and in total, and the seconds for which one is kept idle.

    Common servers close an idle connection after 5 s (uvicorn, Node). Closing it first avoids that an exchange meets
    that close, which would leave its step with an unknown ending.
    """

    per_origin: int = TARGET_LIMIT
    total: int = TOTAL_LIMIT
    idle: float = 4.0


@dataclass(eq=False, slots=True)
class _OriginConnections:
    """The connections to one origin. `users` is the number of exchanges that hold or wait for a permit."""

    origin: Origin
    permits: Permits
    idle: dict[Connection, None] = field(default_factory=dict)
    users: int = 0


class Pool:
    """Lends connections, each to one exchange at a time."""

    def __init__(self, dialer: Dialer, limits: PoolLimits) -> None:
        self._dialer = dialer
        self._limits = limits
        self._permits = Permits(limits.total)
        self._permitted = 0
        self._groups: dict[Origin, _OriginConnections] = {}
        self._in_use: dict[Connection, _OriginConnections] = {}
        self._idle: OrderedDict[Connection, tuple[float, _OriginConnections]] = OrderedDict()  # longest idle first
        self._open: set[Connection] = set()
        self._emptied = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None

    async def acquire(self, origin: Origin, timeouts: Timeouts, enter_wait: EnterWait) -> Connection:
        """Return a connection on which this exchange has sent nothing yet.

        Raises `httpx.PoolTimeout`, `httpx.ConnectTimeout` or `httpx.ConnectError`.
        """
        group = self._groups.get(origin)
        if group is None:
            group = self._groups[origin] = _OriginConnections(origin, Permits(self._limits.per_origin))
        group.users += 1
        try:
            if group.permits.free and self._permits.free:  # no wait, no timer
                group.permits.free -= 1
                self._permits.free -= 1
            else:
                with enter_wait(f"a connection to {origin.address}"):
                    await self._wait_for_turn(group, timeouts.pool)
        except BaseException:
            group.users -= 1
            self._remove_if_unused(group)
            raise
        self._permitted += 1
        try:
            connection = self._find_idle(group) or await self._connect(group, timeouts.connect)
        except BaseException:
            self._release_permits(group)
            self._remove_if_unused(group)
            raise
        self._in_use[connection] = group
        return connection

    def release(self, connection: Connection) -> None:
        """Keep the connection for the next exchange."""
        group = self._in_use.pop(connection)
        loop = asyncio.get_running_loop()
        group.idle[connection] = None
        self._idle[connection] = (loop.time(), group)
        if self._expiry is None:
            self._expiry = loop.call_later(self._limits.idle, self._expire)
        self._release_permits(group)

    def discard(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()
        self._forget_idle(connection)
        group = self._in_use.pop(connection, None)
        if group is not None:
            self._release_permits(group)
            self._remove_if_unused(group)

    async def close(self) -> None:
        """Close every connection; running exchanges fail."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for connection in list(self._open):
            connection.abort()
        self._emptied.clear()
        if self._open:
            await self._emptied.wait()

    # -- permits ------------------------------------------------------------------------------------------------

    async def _wait_for_turn(self, group: _OriginConnections, wait: float | None) -> None:
        try:
            async with asyncio.timeout(wait):
                await group.permits.acquire()
                try:
                    await self._permits.acquire()
                except BaseException:
                    group.permits.release()
                    raise
        except TimeoutError:
            raise httpx.PoolTimeout(f"no connection to {group.origin} became free in {wait} s") from None

    def _release_permits(self, group: _OriginConnections) -> None:
        self._permitted -= 1
        self._permits.release()
        group.permits.release()
        group.users -= 1

    def _remove_if_unused(self, group: _OriginConnections) -> None:
        if not group.users and not group.idle:
            self._groups.pop(group.origin)

    # -- connections --------------------------------------------------------------------------------------------

    def _find_idle(self, group: _OriginConnections) -> Connection | None:
        """Return the connection that was used last, so that surplus ones expire."""
        while group.idle:
            connection, _ = group.idle.popitem()
            del self._idle[connection]
            if connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def _connect(self, group: _OriginConnections, timeout: float | None) -> Connection:
        """Make a new connection. If this fails, nothing was sent."""
        if self._permitted + len(self._idle) > self._limits.total:
            self._close_idle(next(iter(self._idle)))
        origin = group.origin
        try:
            async with asyncio.timeout(timeout):
                connection = await self._dialer.connect(origin, self._make_connection, timeout)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"no connection to {origin} was made in {timeout} s") from None
        except OSError as error:
            raise httpx.ConnectError(f"no connection to {origin} can be made: {error}") from error
        self._open.add(connection)
        return connection

    def _make_connection(self) -> Connection:
        return Connection(self.release, self.discard)

    def _close_idle(self, connection: Connection) -> None:
        self._forget_idle(connection)
        connection.abort()

    def _forget_idle(self, connection: Connection) -> None:
        _, group = self._idle.pop(connection, (0.0, None))
        if group is not None:
            group.idle.pop(connection, None)
            self._remove_if_unused(group)

    def _expire(self) -> None:
        """Close connections that were idle for too long, and schedule the next check."""
        self._expiry = None
        loop = asyncio.get_running_loop()
        while self._idle:
            oldest, (since, _) = next(iter(self._idle.items()))
            if since + self._limits.idle > loop.time():
                self._expiry = loop.call_at(since + self._limits.idle, self._expire)
                return
            self._close_idle(oldest)
