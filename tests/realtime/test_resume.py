"""Clients that are cut off at random, of a service that is killed at random, see exactly the history of the run."""

import asyncio
import json
import random
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.bench.asking import start
from tests.bench.process import until
from tests.bench.subscribers import PACE
from tests.bench.targets import Service

pytestmark = pytest.mark.anyio

CLIENTS = 100
"""Of each kind."""

KILLS = 3
ENVIRONMENT = {"WAYPOST_KEYLESS_RATE": "none"}


class Crowd:
    """Clients of the service that runs now; `sees` has the numbers of the entries that each has got."""

    def __init__(self, service: Service, run: str) -> None:
        self.service = service
        self.run = run
        self.key = (service.data / "api.key").read_text().strip()
        self.sees: list[list[int]] = []
        self.drops = 0

    async def follow(self, *, over_socket: bool) -> None:
        """Follow the run to its end, and connect again after each interruption, some of which the client makes."""
        seen: list[int] = []
        self.sees.append(seen)
        chance = random.Random(len(self.sees))
        is_over = False
        while not is_over:
            entries_left = chance.randint(5, 60)  # until this client leaves by itself
            with suppress(OSError, EOFError, httpx.HTTPError, WebSocketException):
                read = self._read_socket if over_socket else self._read_stream
                is_over = await read(seen, entries_left)
            self.drops += 1
            await asyncio.sleep(0.05 * chance.random())

    async def _read_stream(self, seen: list[int], entries_left: int) -> bool:
        """Read until the run has ended; False if the client leaves before."""
        headers = {"Authorization": f"Bearer {self.key}", "Last-Event-ID": str(seen[-1] if seen else 0)}
        url = f"http://127.0.0.1:{self.service.port}/api/runs/{self.run}/stream"
        async with (
            httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                if line == "event: end":
                    return True
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
                    entries_left -= 1
                if not entries_left:
                    return False
        return False

    async def _read_socket(self, seen: list[int], entries_left: int) -> bool:
        # Without a limit of its queue: with one, a client that leaves while it is full waits ten seconds for the end.
        async with connect(f"ws://127.0.0.1:{self.service.port}/api/socket", proxy=None, max_queue=None) as socket:
            await socket.send(json.dumps({"token": self.key}))
            await socket.send(json.dumps({"sub": 1, "run": self.run, "after": seen[-1] if seen else 0}))
            async for text in socket:
                message = json.loads(text)
                if message["event"] == "end":
                    return True
                if message["id"] is not None:
                    seen.append(int(message["id"]))
                    entries_left -= 1
                if not entries_left:
                    return False
        return False


@pytest.mark.slow
async def test_clients_and_a_service_that_are_killed_at_random_lose_and_repeat_no_entry(tmp_path: Path) -> None:
    texts = {"pace": PACE}
    service = await Service(tmp_path, lambda line: None, texts=texts, environment=ENVIRONMENT).__aenter__()
    crowd = Crowd(service, await start(service, "pace", items=list(range(60))))
    clients = [
        asyncio.create_task(crowd.follow(over_socket=over_socket))
        for _ in range(CLIENTS)
        for over_socket in (False, True)
    ]
    for kill in range(KILLS):
        await until(lambda: max(map(len, crowd.sees), default=0) > 100 * (kill + 1))  # noqa: B023  # awaited here
        await crowd.service.__aexit__(None, None, None)  # kill -9
        crowd.service = Service(tmp_path, lambda line: None, texts=texts, environment=ENVIRONMENT)
        await crowd.service.__aenter__()
    try:
        await asyncio.wait_for(asyncio.gather(*clients), 120)
        headers = {"Authorization": f"Bearer {crowd.key}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, verify=False) as client:
            url = f"http://127.0.0.1:{crowd.service.port}/api/runs/{crowd.run}/history"
            history = (await client.get(url)).json()["entries"]
    finally:
        await crowd.service.__aexit__(None, None, None)
    assert len(history) > 480
    assert len(crowd.sees) == 2 * CLIENTS
    assert {tuple(seen) for seen in crowd.sees} == {tuple(entry["sequence"] for entry in history)}
    assert crowd.drops > 5 * len(crowd.sees)
