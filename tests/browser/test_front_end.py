"""The page of `docs/realtime.md`, on another origin: it follows a run with a token, also past a restart."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest
from starlette.responses import HTMLResponse

from tests.browser.tabs import Tab, open_person
from tests.realtime.pipelines import ASK, answer_run
from tests.service.running import outside, running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "realtime.md"


async def _see_status(tab: Tab, status: str) -> None:
    shown = "document.querySelector('#status').textContent"
    await tab.page.wait_for_function(f"() => {shown} === {json.dumps(status)}")


@pytest.mark.parametrize("transport", ["socket", "sse"])
async def test_the_documented_page_follows_a_run_from_another_origin(
    browser: "Browser", tmp_path: Path, transport: str
) -> None:
    [text] = re.findall("```html\n(.*?)```", PAGE.read_text(), re.DOTALL)
    async with outside() as world, open_person(browser, world.url) as person:
        world.respond = lambda request: HTMLResponse(text)
        if transport == "sse":
            await person.context.add_init_script("delete globalThis.WebSocket")
        async with running(tmp_path, {"ask": ASK}) as service:
            body = {"token": {"for": "5m", "see": "outputs"}}
            run = (await service.client.post("/api/pipelines/ask/runs", json=body)).json()
            given = {"service": service.service.url, "run": run["id"], "token": run["token"]["token"]}
            tab = await person.open_tab(f"/page#{urlencode(given)}")
            await _see_status(tab, "waiting")
            assert await tab.read("#steps") == "hold"
            assert not tab.take_complaints()
        async with running(tmp_path, {"ask": ASK}, port=urlsplit(service.service.url).port) as again:
            await answer_run(again, run["id"])
            await _see_status(tab, "completed")
            assert (await tab.read("#steps")).split() == ["hold", "ask", "ship"]
        tab.take_complaints()  # of requests while there was no service
