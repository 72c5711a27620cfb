"""Live pages: they change without a reload, leave alone what somebody works in, and come back after a crash."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import Scene
from tests.browser.tabs import WITHOUT_SCRIPTS, Tab, open_person
from tests.cli.command import api, serving
from tests.cli.conftest import make_place

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

TABS = 12
SEATS = 4
"""The streams that the tabs of one browser hold at most: a seventh connection to a host waits for ever."""


async def _wait_until_live(tab: Tab) -> None:
    await tab.page.locator("#live-state[data-state=live]").wait_for()


async def _count_live(tabs: Sequence[Tab]) -> int:
    states = [await tab.page.locator("#live-state").get_attribute("data-state") for tab in tabs]
    return states.count("live")


async def _refund(scene: Scene, order: str) -> str:
    return await scene.start("refund", "another", {"order": order, "total": 5}, "waiting")


async def test_a_list_changes_without_a_reload_and_its_rows_stay_where_they_are(
    browser: "Browser", scene: Scene
) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        first = await _refund(scene, "first")
        tab = await person.sign_in(scene.key, "/runs")
        await _wait_until_live(tab)
        await tab.page.evaluate("window.isSame = true")
        row = tab.page.locator("main tbody tr").first
        await row.get_by_text("waiting", exact=True).wait_for()
        await scene.service.client.post(f"/api/runs/{first}/cancel", json={"reason": "changed my mind"})
        await row.get_by_text("cancelled", exact=True).wait_for()
        second = await _refund(scene, "second")
        await tab.see("1 new run")
        assert await row.get_attribute("id") == first
        assert await tab.page.evaluate("window.isSame")
        await tab.press("1 new run")
        await tab.page.locator(f"tr[id={second}]").wait_for()


@pytest.mark.slow
async def test_twelve_tabs_of_one_browser_all_load_and_follow(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tabs = [await person.sign_in(scene.key, "/runs")]
        tabs += [await person.open_tab("/runs") for _ in range(TABS - 1)]
        for tab in tabs:
            await tab.page.locator("#live-state[data-state]").wait_for()
        assert await _count_live(tabs) == SEATS
        await _refund(scene, "twelve")
        for tab in tabs:
            await tab.see("1 new run")
        await tabs[0].page.close()
        assert await _count_live(tabs[1:]) == SEATS - 1
        while await _count_live(tabs[1:]) < SEATS:
            await asyncio.sleep(0.1)


async def test_what_somebody_fills_in_is_not_replaced_while_they_do(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/waits")
        await _wait_until_live(tab)
        comment = tab.page.get_by_label("Comment").first
        await comment.press_sequentially("as agr")
        await _refund(scene, "while typing")
        await tab.page.locator("[data-held]").wait_for()
        await comment.press_sequentially("eed")
        assert await comment.input_value() == "as agreed"
        await comment.blur()
        assert await comment.input_value() == "as agreed", "what was filled in is kept when the field is left"
        await comment.fill("")
        await comment.blur()
        await tab.see("for order while typing?")


async def test_what_somebody_has_opened_stays_open(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/waits")
        await _wait_until_live(tab)
        question = tab.page.get_by_text("It happened…")
        await question.click()
        run = await _refund(scene, "while open")
        await tab.page.locator("[data-held]").wait_for()
        await question.click()
        await tab.see("for order while open?")
        await scene.service.client.post(f"/api/runs/{run}/cancel")


async def test_a_page_goes_on_after_the_service_was_killed(browser: "Browser", tmp_path: Path) -> None:
    make_place(tmp_path)
    with serving(tmp_path) as (first, _), api(tmp_path) as client:
        address = str(client.base_url).rstrip("/")
        key = str(client.headers["authorization"]).removeprefix("Bearer ")
        async with open_person(browser, address) as person:
            tab = await person.sign_in(key, "/runs")
            await _wait_until_live(tab)
            first.kill()
            first.join()
            await tab.page.locator("#live-state[data-state=lost]").wait_for()
            with serving(tmp_path, "--port", address.rpartition(":")[2]):
                run = client.post("/api/pipelines/greet/runs", json={"inputs": {"name": "Ada"}}).json()["id"]
                await tab.page.locator(f"[id='{run}']").get_by_text("completed", exact=True).wait_for()
                await _wait_until_live(tab)
                tab.complaints.clear()  # of connections while there was no service


async def test_a_list_is_as_it_was_after_going_back(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/runs")
        await tab.press("Failed")
        await tab.page.get_by_label("Started").select_option("1h")
        await tab.press("Filter")
        await tab.page.wait_for_url(re.compile("from=1h"))
        await tab.page.locator("tbody tr .id").first.click()
        await tab.page.wait_for_url(re.compile("/runs/run_"))
        await tab.page.go_back()
        assert await tab.page.get_by_label("Started").input_value() == "1h"
        assert await tab.page.locator("tbody tr").count() == await tab.page.locator("tbody tr .s-failed").count()
        await tab.page.go_back()
        assert await tab.page.get_by_label("Started").input_value() == "", "not what was chosen before it was sent"


async def test_without_scripts_an_unfinished_run_is_loaded_again_by_itself(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url, WITHOUT_SCRIPTS) as person:
        tab = await person.sign_in(scene.key, f"/runs/{scene.ids['waiting']}")
        assert await tab.page.locator("meta[http-equiv=refresh]").count() == 1
        await tab.open(f"/runs/{scene.ids['completed']}")
        assert await tab.page.locator("meta[http-equiv=refresh]").count() == 0
