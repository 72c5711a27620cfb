"""Somebody who may only read: each route of the dashboard that acts refuses them."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HELLO = "steps: [{id: say, use: log.write, with: {message: hello}}]\n"

FORM = {"action": "cancel", "step": "say", "name": "x", "scope": "all", "type": "a.b", "verdict": "failed"}
"""Fields that a form needs before it is known who sends it."""

CHANGES_NOTHING = frozenset({"/bulks/new", "/{path:path}"})
"""A preview, and what no page answers."""


def _list_acting_routes(service: Running) -> Iterator[str]:
    pages = service.service.app.router.default
    assert isinstance(pages, Starlette)
    for route in pages.routes:
        if isinstance(route, Route) and "POST" in (route.methods or ()) and route.path not in CHANGES_NOTHING:
            yield route.path


async def test_a_viewer_is_refused_by_every_route_that_acts(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        viewer_key = (await service.client.post("/api/keys", json={"name": "viewer", "scope": "read"})).json()["key"]
        viewer = {"Authorization": f"Bearer {viewer_key}", "Accept": "text/html"}
        run = (await service.wait_for_end((await service.start("hello")).json()["id"]))["id"]
        key = str(service.client.headers["authorization"]).removeprefix("Bearer ")
        own = {"Authorization": "", "Sec-Fetch-Site": "same-origin"}
        await service.client.post("/sign-in", data={"key": key}, headers=own)
        session = (await service.ask("/sessions"))["sessions"][0]["id"]
        values = {"run": run, "pipeline": "hello", "session": session}
        await service.client.get("/runs", headers=viewer)  # the key's first use is noted
        before = [await service.ask(path) for path in ("/runs", "/keys", "/bulks", "/events")]
        routes = sorted(_list_acting_routes(service))
        assert len(routes) > 15
        for route in routes:
            path = re.sub(r"\{(\w+)\}", lambda part: values.get(part[1], "x"), route)
            answer = await service.client.post(path, headers=viewer, data=FORM)
            shown = unquote(answer.headers["set-cookie"]) + answer.text
            refusal = "There is no open session" if "{session}" in route else "the scope `"  # others' are not visible
            assert answer.status_code in {303, 403}, route
            assert refusal in shown, route
        assert [await service.ask(path) for path in ("/runs", "/keys", "/bulks", "/events")] == before
        assert [each["id"] for each in (await service.ask("/sessions"))["sessions"]] == [session]
