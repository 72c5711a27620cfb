"""Live updates: a stream sends the blocks of a page that have changed, and ends with the session."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ASKS = (
    "steps: [{id: ask, use: wait.approval, with: {title: Ship?, to: ops@example.com}, timeout: 2d, on_timeout: fail}]\n"
)


async def _find_stream(service: Running, path: str) -> str:
    page = (await service.client.get(path, headers={"Accept": "text/html"})).text
    found = re.search(r'data-stream="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


async def _read_events(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


async def test_a_block_is_sent_when_it_changes_and_not_when_the_tab_has_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"ship": ASKS}) as service:
        stream = await _find_stream(service, "/runs")
        async with service.client.stream("GET", stream, timeout=30) as response:
            events = _read_events(response)
            run = (await service.start("ship")).json()["id"]
            name, first = await anext(events)
            assert (name, first["id"]) == ("swap", "rows")
            assert run in first["html"]
        again = stream.replace(re.findall(r"known=([^&]*)", stream)[0], f"rows%3A{first['hash']}")
        async with service.client.stream("GET", again, timeout=30) as response:
            events = _read_events(response)
            await service.client.post(f"/api/runs/{run}/cancel")
            seen = first["html"]
            while "cancelled" not in seen:
                name, event = await anext(events)
                assert event["html"] != seen
                seen = event["html"]


async def test_a_stream_says_goodbye_when_the_session_ends_or_the_build_changed(tmp_path: Path) -> None:
    async with running(tmp_path, {"ship": ASKS}) as service:
        stream = await _find_stream(service, "/runs")
        async with service.client.stream("GET", stream.replace("build=", "build=x"), timeout=30) as response:
            assert await anext(_read_events(response)) == ("bye", {"why": "updated"})
        key = (await service.client.post("/api/keys", json={"name": "ada", "scope": "read"})).json()
        headers = {"Authorization": f"Bearer {key['key']}"}
        async with service.client.stream("GET", stream, headers=headers, timeout=30) as response:
            events = _read_events(response)
            await service.start("ship")
            assert (await anext(events))[0] == "swap"
            await service.client.delete(f"/api/keys/{key['id']}")
            await service.start("ship")
            while (event := await anext(events))[0] == "swap":
                pass
            assert event == ("bye", {"why": "signed-out"})
        assert (await service.client.get(stream, headers=headers)).status_code == 401
        missing = await service.client.get("/stream?page=/nothing")
        assert missing.status_code == 404
