"""The client module, in Node.js: it sees exactly the history, over a socket and over streams, also across a restart."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.realtime.pipelines import ASK, answer_run, make_token, read_entries, start_run
from tests.service.running import Running, running
from triggers.html.assets import FOLDER

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js"),
]

DRIVER = Path(__file__).parent / "client.mjs"


class Follower:
    """A process that follows a run, or many."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """Return the first snapshot with these values."""
        assert self.process.stdout
        async with asyncio.timeout(60):
            while line := await self.process.stdout.readline():
                snapshot: dict[str, Any] = json.loads(line)
                if wanted.items() <= snapshot.items():
                    return snapshot
        raise AssertionError(f"the client ended without {wanted}")

    def give_token(self, token: str) -> None:
        """The token for the next time that the client asks."""
        assert self.process.stdin
        self.process.stdin.write(f"{token}\n".encode())


@asynccontextmanager
async def _following(service: Running, **wanted: Any) -> AsyncIterator[Follower]:
    given = {"module": (FOLDER / "client.js").as_uri(), "url": service.service.url, "transport": "sse", **wanted}
    # Node.js 22 has the WebSocket of browsers; 20 has it behind this flag.
    command = ("node", "--experimental-websocket", str(DRIVER), json.dumps(given))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**24)
    try:
        yield Follower(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("transport", ["sse", "socket"])
async def test_the_client_sees_exactly_the_history(tmp_path: Path, transport: str) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]}, see="history")
        async with _following(service, run=run, token=token, transport=transport) as client:
            waiting = await client.until(status="waiting", connected=True)
            assert waiting["step"] == "ask"
            await answer_run(service, run)
            ended = await client.until(ended=True)
        assert ended["status"] == "completed"
        assert ended["entries"] == await read_entries(service, run)
        assert ended["asked"] == 1


@pytest.mark.parametrize("transport", ["sse", "socket"])
async def test_the_client_goes_on_after_a_restart_and_with_a_new_token(tmp_path: Path, transport: str) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        port = int(service.service.url.rpartition(":")[2])
        token = await make_token(service, scope={"runs": [run]}, see="history", **{"for": "62s"})
        following = _following(service, run=run, token=token, transport=transport)
        client = await following.__aenter__()
        await client.until(status="waiting", connected=True)
        client.give_token(await make_token(service, scope={"runs": [run]}, see="history"))
        await client.until(asked=2)  # a minute before the first token expires
    try:
        await client.until(connected=False)
        async with running(tmp_path, {"ask": ASK}, port=port) as service:
            await answer_run(service, run)
            ended = await client.until(ended=True)
            assert ended["entries"] == await read_entries(service, run)
    finally:
        await following.__aexit__(None, None, None)


async def test_the_client_says_what_cannot_be_followed(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"tags": ["eu"]})
        for transport in ("sse", "socket"):
            async with _following(service, run=run, token=token, transport=transport) as client:
                refused = await client.until(connected=False, status=None)
                assert refused["error"]["status"] == 404
            async with _following(service, run=run, token="x.y.z", transport=transport) as client:
                refused = await client.until(connected=False, status=None)
                assert refused["error"]["status"] == 401


async def test_the_client_follows_many_runs(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        token = await make_token(service, scope={"tags": ["eu"]})
        async with _following(service, token=token, tag="eu", transport="auto") as client:
            await client.until(connected=True, runs=[])
            first = await start_run(service, tags=["eu"])
            second = await start_run(service, tags=["eu"])
            await start_run(service, tags=["us"])
            while len((snapshot := await client.until(connected=True))["runs"]) < 2:
                pass
            assert [each["run"] for each in snapshot["runs"]] == [second, first]


async def test_every_origin_may_load_the_client(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service, httpx.AsyncClient(base_url=service.service.url) as client:
        for name, kind in (("client.js", "text/javascript"), ("client.d.ts", "text/plain")):
            answer = await client.get(f"/static/{name}")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)
            assert answer.headers["access-control-allow-origin"] == "*"
            again = await client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304
