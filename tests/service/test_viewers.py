"""A person who may only read can act by no route of the API and by no form of the dashboard."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from durable.journal.sqlite.files import FILE_NAME
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

PIPELINES = {
    "asks": """
triggers: [{id: hook, use: webhook, with: {path: /asks, verify: none}}]
steps: [{id: ask, use: wait.approval, timeout: 30d, on_timeout: fail, with: {to: me, title: "Ship?"}}]
""",
    "fails": "steps: [{id: stop, use: flow.fail, with: {message: no stock}}]",
    "nightly": """
triggers: [{id: at, use: schedule, with: {cron: "0 2 * * *", timezone: Europe/Berlin}}]
steps: [{id: say, use: log.write, with: {message: hello}}]
""",
}

SAFE = {"GET", "HEAD", "OPTIONS"}

ALLOWED = {
    ("POST", "/bulks/preview"): 422,  # it only reads
    ("POST", "/tokens"): 422,  # a token may do less than its key
    ("DELETE", "/sessions/{session}"): 404,  # the session is another person's
    ("POST", "/enter-links"): 201,  # a link for the same key
}
"""What a viewer may ask for, with the status of the answer here; 422 because of an empty body."""

UNCOMPARED = ("audit_log", "alembic_version", "meta")


def _list_routes(app: Starlette) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in sorted(route.methods or ()) if method not in SAFE)


async def _make_things(service: Running) -> dict[str, str]:
    """One of each kind of thing that a path can name."""
    hook = (await service.client.post("/hooks/asks", json={})).json()
    failed = (await service.start("fails")).json()["id"]
    await service.wait_for_end(failed)
    key = (await service.client.post("/api/keys", json={"name": "Bob", "scope": "admin"})).json()
    async with _open_browser(service) as browser:
        await browser.post("/sign-in", data={"key": key["key"]})
    sessions = (await service.ask("/sessions"))["sessions"]
    delivery = (await service.ask("/deliveries"))["deliveries"][0]["id"]
    return {
        "run": hook["runs"][0],
        "step": "ask",
        "path": "ask",
        "pipeline": "asks",
        "trigger": "hook",
        "delivery": delivery,
        "event": hook["event"],
        "key": key["id"],
        "session": sessions[0]["id"],
    }


def _open_browser(service: Running) -> httpx.AsyncClient:
    headers = {"Sec-Fetch-Site": "same-origin"}
    return httpx.AsyncClient(base_url=service.service.local_url, headers=headers, trust_env=False)


def _read_rows(data: Path) -> dict[str, set[Any]]:
    """All rows of the journal but those that a request of a viewer changes, with columns that say when."""
    with sqlite3.connect(data / FILE_NAME) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = {
            table: set(connection.execute(f"SELECT * FROM {table}"))
            for table in tables
            if table not in UNCOMPARED and not table.startswith("sqlite_")
        }
    connection.close()
    return rows


async def test_a_viewer_can_act_by_no_route(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service, _open_browser(service) as viewer:
        things = await _make_things(service)
        key = (await service.client.post("/api/keys", json={"name": "Ada", "scope": "read"})).json()["key"]
        await viewer.post("/sign-in", data={"key": key})
        [api] = [route for route in service.service.app.routes if isinstance(route, Mount) and route.path == "/api"]
        dashboard = service.service.app.router.default
        assert isinstance(api.app, Starlette)
        assert isinstance(dashboard, Starlette)
        before = _read_rows(tmp_path / "data")
        tried = 0
        for method, path in _list_routes(api.app):
            headers = {"Authorization": f"Bearer {key}"}
            answer = await service.client.request(method, f"/api{_fill(path, things)}", json={}, headers=headers)
            assert answer.status_code == ALLOWED.get((method, path), 403), (method, path)
            cookie = await viewer.request(method, f"/api{_fill(path, things)}", json={})
            assert cookie.status_code == 401, (method, path)
            tried += 1
        for method, path in _list_routes(dashboard):
            if path == "/{path:path}":
                continue
            answer = await viewer.request(method, _fill(path, things))
            assert answer.status_code in (303, 403, 404, 422), (method, path)
            if answer.status_code == 303:
                assert "bad%20" in answer.headers.get("set-cookie", ""), (method, path)
            stranger = await service.client.request(method, _fill(path, things), headers={"Authorization": ""})
            assert stranger.status_code == 401, (method, path)
            tried += 1
        assert tried > 40
        stream = f"/api/runs/{things['run']}/stream"
        assert (await service.client.options(stream)).headers["allow"] == "GET, OPTIONS"
        after = _read_rows(tmp_path / "data")
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}


def _fill(path: str, things: dict[str, str]) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: things.get(found[1], "x"), path)


async def test_a_form_of_another_port_acts_by_no_route_even_for_an_admin(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service, _open_browser(service) as admin:
        things = await _make_things(service)
        await admin.post("/sign-in", data={"key": service.client.headers["authorization"].removeprefix("Bearer ")})
        dashboard = service.service.app.router.default
        assert isinstance(dashboard, Starlette)
        before = _read_rows(tmp_path / "data")
        for method, path in _list_routes(dashboard):
            if path != "/{path:path}":
                answer = await admin.request(method, _fill(path, things), headers={"Sec-Fetch-Site": "same-site"})
                assert answer.status_code == 403, (method, path)
        after = _read_rows(tmp_path / "data")
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}


async def test_a_viewer_learns_no_link_and_nobody_a_secret_from_an_event(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        link = (await service.ask(f"/runs/{(await service.start('asks')).json()['id']}"))["waits"][0]["link"]
        proof = link.rpartition("/")[2]
        event = {"type": "a.b", "source": link, "subject": f"{link} hook-secret-1", "data": {"see": link}}
        sent = await service.client.post("/api/events", json=event, headers={"Idempotency-Key": link})
        viewer_key = (await service.client.post("/api/keys", json={"name": "viewer", "scope": "read"})).json()["key"]
        for place in ("/api/events", f"/api/events/{sent.json()['event']}", "/events"):
            seen = await service.client.get(place, headers={"Authorization": f"Bearer {viewer_key}"})
            assert seen.status_code == 200
            assert proof not in seen.text
            own = await service.client.get(place)
            assert proof in own.text
            assert "hook-secret-1" not in own.text
