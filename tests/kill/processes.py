"""The two child processes of the kill loop: one life of the service, and the ledger. Both are reaped at block exit.

Died    the service ended before it was ready
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import httpx

from tests.kill.home import Home
from tests.kill.ledger import Line, read_lines
from tests.kill.service import SABOTAGE, VARIABLE

ROOT = Path(__file__).parents[2]
POLL = 0.02
PATIENCE = 60.0
"""Seconds for what takes one, on a machine that is busy with other things."""


class Died(Exception):
    """The service ended before it was ready."""


class Child:
    """A process started here: it is killed and reaped at the latest at block exit."""

    def __init__(self, program: list[str], environment: Mapping[str, str], out: "int | IO[bytes]") -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *program],
            cwd=ROOT,
            env={**own, **environment},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT if out != subprocess.PIPE else None,
        )

    async def wait_for_end(self, patience: float = PATIENCE) -> int:
        """Wait for its end, and return the exit code, or the signal's number negated."""
        await _until(self._has_ended, patience)
        return self.process.returncode

    async def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class Service(Child):
    """One life of the service in a home; `kill_at` is a point at which it kills itself, such as `append:7`."""

    def __init__(self, home: Home, kill_at: str = "", sabotage: str = "") -> None:
        self._home = home
        self.url = ""
        self._client = httpx.AsyncClient(trust_env=False, timeout=30)
        program = ["tests.kill.service", "serve", "--config", str(home.config), "--data", str(home.data)]
        with home.log.open("ab") as log:
            super().__init__(
                [*program, "--port", "0"], {**home.environment(), VARIABLE: kill_at, SABOTAGE: sabotage}, log
            )
        self._began = time.monotonic()

    async def wait_until_ready(self) -> float:
        """Wait until `/ready` answers, and return the seconds since the start. Raises `Died`."""
        await _until(self._is_ready)
        return time.monotonic() - self._began

    async def _is_ready(self) -> bool:
        with suppress(OSError, ValueError, httpx.TransportError):
            address = json.loads((self._home.data / "service.json").read_text())
            if address["pid"] == self.process.pid:  # not that of its predecessor, which could not remove it
                answer = await self._client.get(f"{address['url']}/ready")
                self.url = address["url"] if answer.status_code == 200 else ""
        if not self.url and self.process.poll() is not None:
            raise Died(f"exit code {self.process.returncode}; {self._home.log} says why")
        return bool(self.url)

    async def stops_listening(self) -> None:
        """Wait until it accepts no more connections."""
        await _until(self._is_unreachable)

    async def _is_unreachable(self) -> bool:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionError:
            return True
        writer.close()
        return False

    async def ask(self, path: str, **query: str) -> dict[str, Any]:
        """The response of the API. A query may stand in `path` instead; httpx would drop it for empty `params`."""
        key = (self._home.data / "api.key").read_text().strip()
        answer = await self._client.get(
            f"{self.url}/api{path}", params=query or None, headers={"authorization": f"Bearer {key}"}
        )
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    async def runs(self, **query: str) -> list[dict[str, Any]]:
        """Every run as lists show it, newest first."""
        found: list[dict[str, Any]] = []
        page = await self.ask("/runs", limit="1000", **query)
        while page["runs"]:
            found += page["runs"]
            page = await self.ask("/runs", limit="1000", after=found[-1]["id"], **query)
        return found

    async def history(self, run: str) -> list[dict[str, Any]]:
        """Every entry of a run."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self.ask(f"/runs/{run}/history", after=str(after), limit="1000")
            found += page["entries"]
            after = page["after"]
        return found

    async def wait_until_idle(self, patience: float = PATIENCE, *, but: tuple[str, ...] = ("paused",)) -> None:
        """Wait until every run has ended, except those with these statuses."""
        statuses = [each for each in ("queued", "running", "waiting", "paused") if each not in but]
        await _until(partial(self._has_none, statuses), patience)

    async def _has_none(self, statuses: Sequence[str]) -> bool:
        """Checked twice, since a run may change from one status to another between two requests."""
        asked = [await self.ask("/runs", status=status, limit="1") for status in (*statuses, *statuses)]
        return not any(page["runs"] for page in asked)

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()
        await super().__aexit__(*error)


class LedgerProcess(Child):
    """The ledger process, and its commands."""

    def __init__(self, file: Path, *, refuse_every: int = 0, delay: int = 0) -> None:
        program = ["tests.kill.ledger", str(file), "--refuse-every", str(refuse_every), "--delay", str(delay)]
        super().__init__(program, {}, subprocess.PIPE)
        self._file = file
        self.url = ""
        self._client = httpx.AsyncClient(trust_env=False, timeout=None)

    async def hold(self, step: str | None = None, after: int = 1) -> None:
        """Hold back the response to the n-th effect from now."""
        await self._client.post("/hold", json={"step": step, "after": after})

    async def wait_until_held(self) -> None:
        """Wait until an effect is recorded whose response is held back."""
        await self._client.get("/held")

    async def release(self) -> None:
        await self._client.post("/release")

    async def wait_until_settled(self) -> int:
        """The position of the last line, once a dead service can add no more."""
        answer = await self._client.get("/settled")
        return int(answer.json()["position"])

    def lines(self) -> list[Line]:
        return read_lines(self._file)

    async def __aenter__(self) -> Self:
        assert self.process.stdout
        self.url, control = json.loads(await asyncio.to_thread(self.process.stdout.readline))
        self._client.base_url = httpx.URL(control)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()
        await super().__aexit__(*error)


async def _until(holds: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> None:
    """Poll another process until `holds` is true; raises TimeoutError."""
    async with asyncio.timeout(patience):
        while not await holds():  # a separate process cannot set our events
            await asyncio.sleep(POLL)
