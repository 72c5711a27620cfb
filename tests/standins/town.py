"""A server in place of many services: a customer register, a stock, a bank, a chat and so on.

As in real services, an idempotency key takes effect once: a repeated request gets the first response.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triggers.http.server import Server, listen

METHODS = ["GET", "POST", "DELETE"]
KEY = "idempotency-key"

Rule = Callable[["Effect"], tuple[int, Any] | None]
"""What a test has a service answer: a status and a body; None where it answers as usual."""


@dataclass(frozen=True)
class Effect:
    """A request to one of the services."""

    service: str
    method: str
    place: str
    key: str | None
    body: Any
    token: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.service}/{self.place}"


@dataclass
class Town:
    """`effects` lists what happened, in order; `repeats` counts requests repeated under their key. `rules` apply
    before the usual responses; a service in `mute` performs requests and never responds."""

    url: str
    effects: list[Effect] = field(default_factory=list)
    reads: list[Effect] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    rules: list[Rule] = field(default_factory=list)
    mute: set[str] = field(default_factory=set)
    _answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    def list_effects(self, service: str) -> list[str]:
        """The effects at one service."""
        return [f"{each.method} {each.place}" for each in self.effects if each.service == service]

    def bodies(self, service: str) -> list[Any]:
        return [each.body for each in self.effects if each.service == service]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds` is true, which is checked after each request."""
        async with asyncio.timeout(60), self._moved:
            await self._moved.wait_for(holds)

    async def answer(self, request: Request) -> Response:
        text, headers = await request.body(), request.headers
        asked = Effect(
            service=request.path_params["service"],
            method=request.method,
            place=request.path_params["place"],
            key=headers.get(KEY),
            body=json.loads(text) if text else None,
            token=headers.get("authorization"),
        )
        status, body = self._answer(asked)
        async with self._moved:
            self._moved.notify_all()
        if asked.service in self.mute:
            await asyncio.sleep(5)
        return JSONResponse(body, status)

    def _answer(self, asked: Effect) -> tuple[int, Any]:
        if asked.key and (asked.service, asked.key) in self._answers:
            self.repeats[str(asked)] += 1
            return self._answers[asked.service, asked.key]
        ruled = next((answer for rule in self.rules if (answer := rule(asked))), None)
        if asked.method == "GET":
            self.reads.append(asked)
            return ruled or _read(asked)
        if ruled and ruled[0] >= 400:
            return ruled
        self.effects.append(asked)
        answer = ruled or (201, {"id": f"{asked.service}_{len(self.effects)}"})
        if asked.key:
            self._answers[asked.service, asked.key] = answer
        return answer


def _read(asked: Effect) -> tuple[int, Any]:
    match asked.service:
        case "crm":
            return 200, {"email": f"{asked.place.rpartition('/')[2]}@example.com", "secretive": "not to be kept"}
        case "bank":
            return 200, {"state": "settled"}
    return 404, {"error": "nothing is here"}


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    """A town on its own port: `http://…/<service>/<place>`."""
    with listen("127.0.0.1", 0) as listener:
        made = Town(f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = Starlette(routes=[Route("/{service}/{place:path}", made.answer, methods=METHODS)])
        server = Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield made
        finally:
            server.force_exit = True
            server.stop()
            await serving
