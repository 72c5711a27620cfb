"""A whole service on a real port, and the outside server that its steps call."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from durable import clock
from durable.action import Connector
from tests.whole_run import read_whole_run
from triggers.config.catalogue import Connectors, load_connectors
from triggers.http.server import Server, listen
from triggers.instance import Instance
from triggers.service import Service, compose, run_service
from triggers.settings import Settings

ENVIRONMENT = {"WAYPOST_EGRESS_ALLOW": "127.0.0.0/8", "WAYPOST_SECRET_HOOK": "hook-secret-1"}
ENDS = ("completed", "failed", "cancelled", "paused")


@dataclass
class Running:
    """A running service, and a client with its API key."""

    service: Service
    client: httpx.AsyncClient

    async def wait_for_end(self, run: str, *, within: float = 60) -> dict[str, Any]:
        """Return the run once it has ended or is paused."""
        async with asyncio.timeout(within):
            while True:
                if (await self.ask(f"/runs/{run}"))["status"] in ENDS:
                    return await self.run(run)
                await asyncio.sleep(0.01)

    async def run(self, run: str) -> dict[str, Any]:
        """Return a run with all its steps by path."""
        return await read_whole_run(self.ask, run)

    async def ask(self, path: str) -> dict[str, Any]:
        """Return what the API has at a path."""
        answer = await self.client.get(f"/api{path}")
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    async def start(self, pipeline: str, inputs: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        return await self.client.post(f"/api/pipelines/{pipeline}/runs", json={"inputs": inputs or {}}, headers=headers)


def add_connectors(installed: Connectors, more: Sequence[Connector]) -> Connectors:
    return Connectors({**installed.installed, **{each.name: each for each in more}}, installed.folder)


@asynccontextmanager
async def running(
    tmp_path: Path,
    pipelines: Mapping[str, str],
    environment: Mapping[str, str] = ENVIRONMENT,
    connectors: Sequence[Connector] = (),
    now: Any = clock.now,
    **settings: object,
) -> AsyncIterator[Running]:
    """Serve these pipeline files (by id) from a data folder in `tmp_path`, with additional connectors."""
    config = tmp_path / "config"
    (config / "pipelines").mkdir(parents=True, exist_ok=True)
    for name, text in pipelines.items():
        (config / "pipelines" / f"{name}.yaml").write_text(text)
    loaded = Settings.load(config, environment, {"drain_timeout": "2s", **settings})
    listener = listen("127.0.0.1", loaded.port if "port" in settings else 0)
    address = listener.getsockname()[:2]
    async with (
        compose(
            loaded,
            Instance(config, tmp_path / "data", environment),
            address=address,
            connectors=add_connectors(load_connectors(config, tmp_path / "data"), connectors),
            now=now,
        ) as service,
        run_service(service, listener),
    ):
        key = (tmp_path / "data" / "api.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        # Plain HTTP needs no certificates, and reading them takes a quarter of the start-up time.
        ask = httpx.AsyncClient(base_url=service.url, headers=headers, trust_env=False, verify=False)
        async with ask as client:
            yield Running(service, client)


@dataclass
class Outside:
    """A server in place of the services that steps call: `answers` are its next responses, `hangs` is how many
    requests it leaves unanswered, `hangs_at` where it never answers, `delay` how long (s) it takes for the others,
    `respond` answers instead."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Callable[[], Response]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: int = 0
    hangs_until: asyncio.Event | None = None
    hangs_at: tuple[str, ...] = ()
    is_closing: asyncio.Event = field(default_factory=asyncio.Event)
    delay: float = 0
    echo: bool = False
    respond: Callable[[Request], Response] | None = None
    at_once: int = 0
    most_at_once: int = 0

    async def take(self, request: Request) -> Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append(
            {
                "method": request.method,
                "path": request.url.path,
                "headers": dict(request.headers),
                "body": _parse(body, request.headers.get("content-type", "")),
            }
        )
        self.arrived.set()
        if request.url.path.startswith(self.hangs_at):
            await self.is_closing.wait()
        if self.hangs:
            self.hangs -= 1
            await asyncio.wait_for(asyncio.Event().wait(), 20)
        if self.hangs_until:
            await self.hangs_until.wait()
        await asyncio.sleep(self.delay)
        if self.respond:
            return self.respond(request)
        if self.echo:
            return JSONResponse(dict(request.headers))
        return self.answers.pop(0)() if self.answers else JSONResponse({"n": len(self.requests)})


def _parse(body: bytes, kind: str) -> Any:
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode()))
    return json.loads(body) if body else None


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    listener = listen("127.0.0.1", 0)
    world = Outside(f"http://127.0.0.1:{listener.getsockname()[1]}")
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", world.take, methods=methods)])
    server = Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield world
    finally:
        world.is_closing.set()
        server.force_exit = True
        server.stop()
        await serving
        listener.close()
