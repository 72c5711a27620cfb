"""A service on a busy day: runs of every status, deliveries of every outcome, a broken file, people who are asked.

The tests and the pictures of the pages use it. `STRANGE` is what strangers send: markup that must come out as text.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.service.running import Outside, Running, outside, running
from tests.service.waiting import link
from triggers.webhooks.presets import load_presets
from triggers.webhooks.signature import sign_request

PIPELINES = Path(__file__).parent / "pipelines"

WAREHOUSE = "https://stock.example.com"
"""What the pipelines call; a server of the scene stands in for it."""

CONNECTIONS = "stock: {{use: http, base_url: '{url}', test: {{use: http.get, with: {{url: /me}}}}}}\n"

SHOP_SECRET = "the secret of the shop"
HOOKS = {"orders": "github", "chat": "slack"}
"""The presets of the webhooks."""

ENVIRONMENT = {"WAYPOST_EGRESS_ALLOW": "127.0.0.0/8", "WAYPOST_SECRET_SHOP": SHOP_SECRET}

RATE = "10000/s"
"""All tabs of the tests come from one address, and load much before they are signed in."""

STRANGE = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
LINES = ("lamp", "chair", "table", "shelf", "desk", "stool", "bench", "bed", "rug", "vase", "clock", "mirror")


@dataclass
class Scene:
    """The service, the warehouse that it calls, and the ids that pages are made of, by a name: `failed`, `waiting` …"""

    service: Running
    warehouse: Outside
    ids: dict[str, str]

    @property
    def key(self) -> str:
        """The admin key."""
        return str(self.service.client.headers["authorization"]).removeprefix("Bearer ")

    async def order(self, number: int, lines: Sequence[str] = LINES[:3], **more: Any) -> dict[str, Any]:
        """Send an order as the shop does, signed; returns the answer."""
        body = {"order": f"A-{number}", "email": f"ada{number}@example.com", "total": 10, "lines": list(lines), **more}
        answer = await self.send_hook(msgspec.json.encode(body), id=f"order-{number}")
        document: dict[str, Any] = answer
        return document

    async def send_hook(
        self, body: bytes, *, id: str, hook: str = "orders", secret: str = SHOP_SECRET, **headers: str
    ) -> dict[str, Any]:
        """Send a request to a webhook."""
        signed = sign_request(load_presets()[HOOKS[hook]], secret, body, time.time(), id=id, type="order")
        answer = await self.service.client.post(f"/hooks/{hook}", content=body, headers={**signed, **headers})
        return dict(answer.json())

    async def start(self, pipeline: str, name: str, inputs: Mapping[str, Any], status: str) -> str:
        """Start a run that the scene knows by a name, and wait until it has a status."""
        answer = await self.service.start(pipeline, inputs)
        answer.raise_for_status()
        run = str(answer.json()["id"])
        self.ids[name] = run
        await self.wait_for(run, status)
        return run

    async def wait_for(self, run: str, status: str) -> None:
        """Wait until a run has a status."""
        async with asyncio.timeout(30):
            while (found := (await self.service.ask(f"/runs/{run}"))["status"]) != status:
                assert found not in {"completed", "failed"}, f"{run} {found}, not {status}"
                await asyncio.sleep(0.02)


@asynccontextmanager
async def empty_scene(folder: Path) -> AsyncIterator[Scene]:
    """The service before anything has happened."""
    async with outside() as warehouse:
        warehouse.respond = _answer_warehouse
        warehouse.hangs_at = ("/files/", "/charges")
        pipelines = {path.stem: path.read_text().replace(WAREHOUSE, warehouse.url) for path in PIPELINES.iterdir()}
        (folder / "config").mkdir(parents=True, exist_ok=True)
        (folder / "config" / "connections.yaml").write_text(CONNECTIONS.format(url=warehouse.url))
        async with running(folder, pipelines, ENVIRONMENT, keyless_rate=RATE, drain_timeout="50ms") as service:
            yield Scene(service, warehouse, {})


@asynccontextmanager
async def busy_scene(folder: Path, orders: int = 12) -> AsyncIterator[Scene]:
    """The service after some orders, and everything else that can happen."""
    async with empty_scene(folder) as scene:
        await fill(scene, orders)
        yield scene


async def fill(scene: Scene, orders: int) -> None:
    """Let everything happen once, and some things more often."""
    for number in range(orders):
        lines = ["lamp", "sofa", "rug"] if number % 4 == 1 else LINES[: 3 + number % 3]
        run = (await scene.order(number, lines))["runs"][0]
        await scene.wait_for(run, "failed" if "sofa" in lines else "completed")
        scene.ids["failed" if "sofa" in lines else "completed"] = run
    scene.ids["large"] = (await scene.order(100, [*LINES, "sofa", *LINES]))["runs"][0]
    await scene.wait_for(scene.ids["large"], "failed")
    await _send_strangers(scene)
    await scene.start("charge", "uncertain", {"customer": "ada@example.com", "total": 12.5}, "paused")
    await scene.start("import", "running", {"file": "furniture.csv"}, "running")
    await scene.start("import", "queued", {"file": "lighting.csv"}, "queued")
    await scene.start("refund", "waiting", {"order": "4711", "total": 180}, "waiting")
    await scene.start("refund", "strange", {"order": STRANGE, "total": 1}, "waiting")
    await scene.start("nightly", "night", {}, "failed")
    event = {"type": "order.paid", "subject": "4711", "data": {"total": 99, "note": STRANGE}}
    answer = await scene.service.client.post("/api/events", json=event)
    scene.ids["event"] = answer.json()["event"]
    scene.ids["event_run"] = answer.json()["runs"][0]
    await scene.wait_for(scene.ids["event_run"], "waiting")
    cancelled = await scene.start("refund", "cancelled", {}, "waiting")
    await scene.service.client.post(f"/api/runs/{cancelled}/cancel", json={"reason": "a duplicate order"})
    scene.ids["link"] = urlsplit(await link(scene.service, scene.ids["waiting"])).path
    await _note_more(scene)


async def _note_more(scene: Scene) -> None:
    """The ids of what follows from the rest, and a bulk that repeats what has failed."""
    deliveries = (await scene.service.ask("/deliveries?limit=50"))["deliveries"]
    errors = (await scene.service.ask("/errors"))["errors"]
    scene.ids["error"] = next(each["key"] for each in errors if each["newest"] == scene.ids["large"])
    versions = (await scene.service.ask("/pipelines/order_intake/versions"))["versions"]
    scene.ids["version"] = versions[0]["version"]
    bulk = {"action": "retry", "filter": {"ids": [scene.ids["night"]]}, "reason": "the stock was moved"}
    scene.ids["bulk"] = (await scene.service.client.post("/api/bulks", json=bulk)).json()["id"]
    while (await scene.service.ask(f"/bulks/{scene.ids['bulk']}"))["status"] == "running":
        await asyncio.sleep(0.02)
    await scene.wait_for(scene.ids["night"], "failed")
    scene.ids |= {f"delivery_{each['outcome']}": each["id"] for each in deliveries}


async def _send_strangers(scene: Scene) -> None:
    """Deliveries of every outcome, with markup in everything that a sender chooses."""
    strange = {"email": STRANGE, "note": STRANGE}
    scene.ids["strange_order"] = (await scene.order(200, [STRANGE, "lamp"], **strange))["runs"][0]
    await scene.wait_for(scene.ids["strange_order"], "completed")
    await scene.order(200, [STRANGE, "lamp"], **strange)
    await scene.order(201, total=0, note=STRANGE)
    await scene.send_hook(b'{"order": "A-202"}', id="order-202", secret="another secret")
    challenge = {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRN"}
    await scene.send_hook(msgspec.json.encode(challenge), id="", hook="chat")
    await scene.send_hook(b'{"order": ', id="order-203", **{"User-Agent": STRANGE, "X-Note": STRANGE})
    client = scene.service.client
    await client.post("/hooks/order", params={"q": STRANGE}, content=STRANGE, headers={"X-Note": STRANGE})


def _answer_warehouse(request: Request) -> Response:
    """The warehouse: it has no sofas, cannot count, and answers everything else."""
    if request.url.path == "/count":
        return JSONResponse({"error": "the stock is being moved"}, 500)
    if request.url.path == "/holds" and b"sofa" in getattr(request, "_body", b""):
        return JSONResponse({"error": "warehouse EU-2 is read-only"}, 503)
    if request.url.path == "/customers":
        return JSONResponse({"id": 7, "name": "Ada", "email": request.query_params.get("email")})
    return JSONResponse({"id": f"{request.url.path.strip('/')}-1"}, 201)
