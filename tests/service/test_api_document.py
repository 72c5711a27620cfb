"""The OpenAPI document: complete, matched by real responses, and safe against requests generated from it."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from durable.encrypted_store.key_ring import StoreKey
from tests.service.running import Outside, Running, outside, running
from tests.service.store_keys import make_environment
from triggers.keys import ADMIN, KeyHolder

pytestmark = pytest.mark.anyio

PIPELINES = {
    "quick": "inputs: {n: {type: integer, default: 1}}\nsteps:\n  - {id: a, use: transform.set, with: {values: {}}}\n",
    "fails": "steps:\n  - {id: a, use: flow.fail, with: {message: as asked}}\n"
    "on_failure:\n  - {id: told, use: log.write, with: {message: sad}}\n",
    "hook": "triggers:\n  - {id: w, use: webhook, with: {path: /w, verify: none}}\n"
    "  - {id: s, use: schedule, with: {cron: '0 3 * * *'}}\n"
    "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n",
    "broken": "steps: []\n",
}
ABOUT_WAITS = ("/waits", "/events", "/export", "/answer", "/resolve", "/resume")
"""Operations that `test_api_waits_document` asks for."""

ENDLESS = "/api/stream"
"""A response that does not end by itself; `tests/realtime` reads it."""

FUZZED_FOR = 12
"""Seconds; Schemathesis ends the case that is under way."""

WORKERS = "1"
"""With two, Hypothesis calls `ast.parse` in two threads, which can disturb each other in CPython 3.11: a `SystemError`
about the recursion depth (python/cpython#106905)."""

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Conformance:
    """Checks responses against the document; anything that it does not list is undocumented."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.paths: dict[str, Any] = document["paths"]
        self.seen: set[tuple[str, str, int]] = set()
        self._components = document["components"]
        for schema in self._components["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)

    async def check(self, answer: httpx.Response) -> None:
        await answer.aread()
        if not answer.request.url.path.startswith("/api/") or answer.status_code in (404, 405):
            return
        path, said = self._find_documented_response(answer)
        self.seen.add((answer.request.method, path, answer.status_code))
        media = answer.headers["content-type"].partition(";")[0]
        assert media in said["content"], f"{path} answers {answer.status_code} as {media}"
        if "json" in media:
            schema = said["content"][media]["schema"] | {"components": self._components}
            jsonschema_rs.Draft202012Validator(schema).validate(answer.json())

    def _find_documented_response(self, answer: httpx.Response) -> tuple[str, dict[str, Any]]:
        given = answer.request.url.path
        paths = sorted(self.paths, key=lambda path: path.count("{"))  # a fixed path goes before a variable one
        fitting = [path for path in paths if re.fullmatch(re.sub("{[a-z]+}", "[^/]+", path), given)]
        said = self.paths[fitting[0]][answer.request.method.lower()]["responses"][str(answer.status_code)]
        if "$ref" in said:
            said = self._components["responses"][said["$ref"].rpartition("/")[2]]
        return fitting[0], said


async def _open(service: Running, path: str) -> httpx.Response:
    """The response to a request without a key."""
    async with httpx.AsyncClient(base_url=service.service.url, trust_env=False) as client:
        return await client.get(path)


async def _document(service: Running) -> dict[str, Any]:
    document: dict[str, Any] = (await _open(service, "/api/openapi.json")).json()
    return document


async def test_the_document_lists_exactly_the_routes(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        document = await _document(service)
        [api] = [route for route in service.service.app.routes if isinstance(route, Mount) and route.path == "/api"]
    routes = {
        (f"/api{route.path}", method)
        for route in api.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert routes == {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert document["openapi"].startswith("3.1.")


async def test_the_schemas_are_valid_keep_their_names_and_every_reference_resolves(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        document = await _document(service)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for ref in re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', json.dumps(document)):
        assert ref[1] in document["components"][ref[0]], ref
    names = set(document["components"]["schemas"])
    assert {"Run", "RunLine", "Wait", "Delivery", "Schedule", "Key", "Entry", "ProblemDetails", "StartBody"} <= names
    assert not [name for name in names if name.endswith("Document")]
    ids = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(ids) == len(set(ids))


async def test_real_responses_conform_to_the_document(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    async with outside() as world:
        test = "{use: http.get, with: {url: /}}"
        connection = f"crm: {{use: http, base_url: '{world.url}', test: {test}}}\n"
        login = f"{{client_id: c, token_url: '{world.url}', authorize_url: '{world.url}'}}"
        connection += f"mail: {{use: http, base_url: '{world.url}', auth: {{oauth2: {login}}}}}\n"
        (tmp_path / "config" / "connections.yaml").write_text(connection)
        await _check_conformance(tmp_path, world)


async def _check_conformance(tmp_path: Path, world: Outside) -> None:
    environment = make_environment(tmp_path, StoreKey.generate())
    async with running(tmp_path, {**PIPELINES, "calls": _calls(world)}, environment) as service:
        conformance = Conformance(await _document(service))
        service.client.event_hooks = {"response": [conformance.check]}
        await service.client.post("/hooks/nowhere")  # so that the list of unknown paths has one
        await _use(service, world)
    wanted = {
        (method.upper(), path, int(status))
        for path, methods in conformance.paths.items()
        for method, operation in methods.items()
        for status in operation["responses"]
        if status.startswith("2")
    }
    here = {each for each in wanted if each[1] != ENDLESS and not each[1].endswith(ABOUT_WAITS)}
    assert here <= conformance.seen, f"never answered: {sorted(here - conformance.seen)}"
    assert {(status) for *_, status in conformance.seen} >= {400, 401, 403, 409, 422}


def _calls(world: Outside) -> str:
    return f'steps:\n  - {{id: call, use: http.post, with: {{url: "{world.url}/x", json: {{}}}}}}\n'


PARTS_OF_RUNS = (
    *("stream", "history", "outline", "graph", "steps", "steps?outline=true&order=time"),
    *("values/outputs", "values/error"),
)

LISTS = (
    "connections",
    "connections/mail",
    "attention",
    "overview",
    "overview?period=hour",
    "example",
    "search?q=quick",
    "connectors",
    "connectors/http",
    "connectors/http/actions/get",
    "runs",
    "find?id=latest",
    "errors",
    "pipelines",
    "pipelines/quick",
    "pipelines/broken",
    "pipelines?statistics=true",
    *(f"pipelines/quick/{what}" for what in ("text", "graph", "statistics", "grid", "inputs", "triggers")),
    "pipelines/broken/text",
    "pipelines/broken/graph",
    "pipelines/hook/triggers",
    "pipelines/hook/triggers/w/example",
    "schedules",
    "deliveries",
    "deliveries/unknown",
    "pipelines/quick/versions",
    "pipelines/quick/versions/current?against=current",
    "keys",
    "me",
    "retention",
    "audit",
    "queues",
    "about",
)


async def _use(service: Running, world: Outside) -> None:
    """Request everything that the API offers, in every state that a run can have."""
    ask = service.client.request
    runs = "/api/pipelines/{}/runs".format
    world.hangs = 1
    hanging = (await ask("POST", runs("calls"), json={"tags": ["x"], "priority": 3})).json()["id"]
    waits = {"wait_for": "10s"}
    for pipeline in ("quick", "fails", "calls"):
        run = (await ask("POST", runs(pipeline), json=waits, headers={"idempotency-key": "k"})).json()["id"]
        await ask("POST", runs(pipeline), json={}, headers={"idempotency-key": "k"})
        await ask("GET", f"/api/runs/{run}")
        for what in PARTS_OF_RUNS:
            await ask("GET", f"/api/runs/{run}/{what}")
        for step in (await ask("GET", f"/api/runs/{run}")).json()["steps"]:
            await ask("GET", f"/api/runs/{run}/steps/{step['path']}")
            await ask("GET", f"/api/runs/{run}/steps/{step['path']}/definition")
        await ask("POST", f"/api/runs/{run}/cancel")
        for _ in range(2):
            again = (await ask("POST", f"/api/runs/{run}/rerun", headers={"idempotency-key": "k"})).json()["id"]
            await ask("POST", f"/api/runs/{run}/fork", json={"reason": "x"}, headers={"idempotency-key": "k"})
        await ask("GET", f"/api/runs/{again}")
        await ask("GET", f"/api/runs/{run}")
    world.answers.append(lambda: JSONResponse({}, 404))
    failed = (await ask("POST", runs("calls"), json=waits)).json()["id"]
    await ask("POST", f"/api/runs/{failed}/retry", json={"reason": "mended"})
    await ask("GET", f"/api/runs/{failed}/history")
    held = (await ask("POST", runs("quick"), json={"delay": "1h", "expires_in": "2h"})).json()["id"]
    items = [{"idempotency_key": "k"}, {}, {"inputs": {"n": "x"}}, {"priority": 1000}, waits]
    await ask("POST", f"{runs('quick')}/batch", json={"runs": items})
    await _use_bulks(service)
    for run in (hanging, held):
        await ask("GET", f"/api/runs/{run}")
        await ask("POST", f"/api/runs/{run}/cancel", json={"reason": "enough"})
        await ask("GET", f"/api/runs/{run}")
    await _use_deliveries(service)
    made = (await ask("POST", "/api/keys", json={"name": "a reader", "scope": "read"})).json()
    reader = {"authorization": f"Bearer {made['key']}"}
    await ask("POST", runs("quick"), json={}, headers=reader)
    await ask("GET", "/api/runs", headers={"authorization": "Bearer nobody"})
    await ask("DELETE", f"/api/keys/{made['id']}")
    await ask("POST", "/api/tokens", json={"scope": {"tags": ["x"]}, "for": "1m"})
    await _use_sessions(service)
    await ask("POST", "/api/secrets", json={"name": "CRM", "value": "a secret"})
    await ask("POST", "/api/secrets/key/rotate")
    await ask("GET", "/api/secrets")
    await ask("DELETE", "/api/secrets/CRM")
    for what in ("crm/test", "mail/login", "crm/login", "mail/logout"):
        await ask("POST", f"/api/connections/{what}")
    await ask("GET", "/api/checks", timeout=120)  # in a process of its own
    for path in (*LISTS, "openapi.json", "docs"):
        await ask("GET", f"/api/{path}")
    await ask("POST", runs("quick"), content=b"{")
    await ask("GET", "/api/runs?limit=0")


async def _use_deliveries(service: Running) -> None:
    ask = service.client.request
    await ask("POST", "/hooks/w", json={})
    await ask("POST", "/api/example/send")
    await ask("POST", "/api/pipelines/hook/trigger", json={"document": {}, "trigger": "w"})
    newest = (await ask("GET", "/api/deliveries")).json()["deliveries"][0]
    await ask("GET", f"/api/events/{newest['event']}")
    delivery = newest["id"]
    for _ in range(2):
        await ask("POST", f"/api/deliveries/{delivery}/replay", json={}, headers={"idempotency-key": "k"})
    await ask("GET", f"/api/deliveries/{delivery}")
    await ask("GET", f"/api/deliveries/{delivery}/body")


async def _use_sessions(service: Running) -> None:
    """Request the session of somebody who is signed in."""
    ask = service.client.request
    await service.service.entrance.sessions.begin(KeyHolder("admin", "admin", ADMIN), address=None, agent=None)
    [session] = (await ask("GET", "/api/sessions")).json()["sessions"]
    await ask("DELETE", f"/api/sessions/{session['id']}")
    await ask("POST", "/api/enter-links")


async def _use_bulks(service: Running) -> None:
    """Request a bulk that is stopped and resumed before it has finished."""
    ask = service.client.request
    for _ in range(3):
        await ask("POST", "/api/pipelines/quick/runs", json={"delay": "1h", "tags": ["bulk"]})
    wanted = {"action": "cancel", "filter": {"tag": "bulk", "from": "2020-01-01T00:00:00Z"}}
    await ask("POST", "/api/bulks/preview", json=wanted)
    bulk = (await ask("POST", "/api/bulks", json={**wanted, "rate": 1, "expected": 3})).json()["id"]
    await ask("POST", f"/api/bulks/{bulk}/stop")
    while (await ask("GET", f"/api/bulks/{bulk}")).json()["status"] != "stopped":
        await asyncio.sleep(0.01)
    await ask("POST", f"/api/bulks/{bulk}/resume", json={"rate": 1000})
    while (await ask("GET", f"/api/bulks/{bulk}")).json()["status"] != "finished":
        await asyncio.sleep(0.01)
    for path in ("", f"/{bulk}/items", f"/{bulk}/items?outcome=done&limit=1", "?limit=1"):
        await ask("GET", f"/api/bulks{path}")


async def test_the_page_shows_the_document_and_loads_only_our_own_style(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        document = await _document(service)
        answer = await _open(service, "/api/docs")
    page = answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    targets = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert targets
    for target in targets:
        is_asset = target.startswith("/static/")
        assert is_asset or target == "openapi.json" or f'id="{target[1:]}"' in page, target
    assert "<script" not in page


@pytest.mark.slow
async def test_random_requests_built_from_the_document_break_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # With random names of pipelines, it starts no run if the machine is busy and the time is over soon.
    (tmp_path / "schemathesis.toml").write_text('[parameters]\n"path.pipeline" = "quick"\n')
    async with running(tmp_path, PIPELINES) as service:
        key = service.client.headers["authorization"]
        report = tmp_path / "report.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.service.url}/api/openapi.json"),
            *("--header", f"Authorization:{key}", "--checks", CHECKS, "--max-time", str(FUZZED_FOR)),
            *("--exclude-path", ENDLESS),
            *("--generation-database", "none", "--seed", "1", "--workers", WORKERS, "--no-color"),
            *("--report", "json", "--report-json-path", str(report)),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        result, _ = await asyncio.wait_for(process.communicate(), FUZZED_FOR + 40)
        assert (await service.client.get("/ready")).status_code == 200
        assert (await service.client.get("/api/runs")).json()["runs"], "some of what it sent was taken"
    text = result.decode()
    with capsys.disabled():
        print("\n" + "\n".join(text.splitlines()[-12:]))
    assert process.returncode == 0, text
