"""Home in a browser: the first visit, from a request to its run; and finding things."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import Scene
from tests.browser.tabs import PHONE_WITHOUT_SCRIPTS, WIDE, Look, open_person
from tests.service.running import running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

HELLO = """triggers: [{id: greet, use: webhook, with: {path: /hello, verify: none}}]
steps: [{id: say, use: log.write, with: {message: hello}}]
"""


@pytest.mark.parametrize("look", [WIDE, PHONE_WITHOUT_SCRIPTS], ids=str)
async def test_the_first_request_and_its_run_are_one_click_from_the_first_page(
    browser: "Browser", tmp_path: Path, look: Look
) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        key = (tmp_path / "data" / "api.key").read_text().strip()
        async with open_person(browser, service.service.local_url, look) as person:
            tab = await person.sign_in(key, "/")
            await tab.see("Waiting for it")
            if look.scripts:  # somebody sends it from a shell; the page shows the run without a reload
                await tab.page.locator("#live-state[data-state=live]").wait_for()
                assert (await service.client.post("/hooks/hello", json={})).status_code == 202
            else:
                await tab.press("Send it for me")
            await tab.page.get_by_role("link", name="the run of hello").click()
            await tab.page.locator("#summary .s-completed").wait_for()
            await tab.open("/")
            await tab.see("Nothing needs you.")


async def test_what_needs_a_person_is_one_click_from_home(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/")
        needs = tab.page.locator("#needs li")
        for words, shown in {
            "order_intake failed": "Retry all…",
            "is uncertain": "charge needs a decision",
            "unknown key 'retires'": "retires",
        }.items():
            await needs.filter(has_text=words).locator("a.plain").click()
            await tab.see(shown)
            await tab.page.go_back()


async def test_the_end_of_an_id_leads_to_its_run(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/")
        await tab.page.get_by_role("searchbox").fill(scene.ids["failed"][-6:])
        await tab.page.keyboard.press("Enter")
        await tab.see("Why:")
        assert tab.page.url.endswith(scene.ids["failed"])
