"""What people do on the page of a run, in a browser: with scripts and without, on a wide screen and on a phone."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import LINES, Scene, empty_scene
from tests.browser.tabs import WIDE, Look, Tab, open_person

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

PHONE_WITHOUT_SCRIPTS = Look(width=390, theme="dark", scripts=False)
LOOKS = (WIDE, PHONE_WITHOUT_SCRIPTS)


@pytest.fixture(scope="module")
async def workshop(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A service that the tests here change."""
    async with empty_scene(tmp_path_factory.mktemp("workshop")) as scene:
        yield scene


async def _is_on_first_screen(tab: Tab, text: str) -> bool:
    box = await tab.page.get_by_text(text).first.bounding_box()
    height = (tab.page.viewport_size or {"height": 0})["height"]
    return box is not None and box["y"] + box["height"] <= height


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_the_cause_of_a_failure_is_one_click_from_the_list_and_retried_from_there(
    browser: "Browser", workshop: Scene, look: Look
) -> None:
    number = 300 + LOOKS.index(look)
    run = (await workshop.order(number, [*LINES, "sofa", "lamp"]))["runs"][0]
    await workshop.wait_for(run, "failed")
    async with open_person(browser, workshop.service.service.local_url, look) as person:
        tab = await person.sign_in(workshop.key, "/runs?status=failed")
        await tab.page.locator(f"tr[id='{run}'] a.id").click()
        await tab.see("Why:")
        for text in ("Why:", "answered 503", "warehouse EU-2 is read-only"):
            assert await _is_on_first_screen(tab, text), text
        workshop.warehouse.respond, refuse = None, workshop.warehouse.respond
        try:
            await tab.page.get_by_text("Retry from here…").click()
            await tab.page.get_by_role("button", name="Retry", exact=True).click()
            await tab.see("The run goes on from where it failed.")
            await workshop.wait_for(run, "completed")
        finally:
            workshop.warehouse.respond = refuse
        if look.scripts:
            await tab.page.locator("#summary .s-completed").wait_for()  # without a reload
        else:
            await tab.open(f"/runs/{run}")
            assert "completed" in await tab.read("#summary")


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_a_failed_step_is_done_again_with_another_input(browser: "Browser", workshop: Scene, look: Look) -> None:
    number = 310 + LOOKS.index(look)
    run = (await workshop.order(number, ["lamp", "sofa"]))["runs"][0]
    await workshop.wait_for(run, "failed")
    async with open_person(browser, workshop.service.service.local_url, look) as person:
        tab = await person.sign_in(workshop.key, f"/runs/{run}")
        await tab.press("Redo from here with other input…")
        field = tab.page.locator("textarea[name=input]")
        given = await field.input_value()
        assert "sofa" in given
        await field.fill(given.replace("sofa", "rug"))
        await tab.press("Start the new run")
        await tab.see("This run goes on from")
        fork = tab.page.url.partition("?")[0].rpartition("/")[2]
        assert fork != run
        await workshop.wait_for(fork, "completed")


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_a_person_approves_and_decides_on_the_page_of_the_run(
    browser: "Browser", workshop: Scene, look: Look
) -> None:
    approval = await workshop.start("refund", "approved", {"order": "4711", "total": 180}, "waiting")
    uncertain = await workshop.start("charge", "decided", {"customer": "ada@example.com", "total": 12.5}, "paused")
    async with open_person(browser, workshop.service.service.local_url, look) as person:
        tab = await person.sign_in(workshop.key, f"/runs/{approval}")
        await tab.page.get_by_label("Why").select_option(label="damaged")
        await tab.press("Approve")
        await tab.see("The answer was taken.")
        await workshop.wait_for(approval, "completed")

        await tab.open(f"/runs/{uncertain}")
        assert "Idempotency key" in await tab.read("#now")
        await tab.page.get_by_text("It happened…").click()
        await tab.page.locator("#now textarea[name=output]").fill('{"id": "ch_1"}')
        await tab.page.get_by_role("button", name="It happened", exact=True).click()
        await tab.see("is decided: it happened")
        await workshop.wait_for(uncertain, "completed")


async def test_a_page_follows_its_run_and_keeps_the_chosen_step(browser: "Browser", workshop: Scene) -> None:
    run = await workshop.start("refund", "followed", {"order": "4712", "total": 180}, "waiting")
    async with open_person(browser, workshop.service.service.local_url) as person:
        tab = await person.sign_in(workshop.key, f"/runs/{run}?step=approval&tab=attempts")
        await tab.page.locator("#summary .s-waiting").wait_for()
        answer = {"step": "approval", "approved": True, "fields": {"reason": "late", "notify": False}}
        (await workshop.service.client.post(f"/api/runs/{run}/answer", json=answer)).raise_for_status()
        await tab.page.locator("#summary .s-completed").wait_for()
        assert await tab.page.locator("#panel h2").inner_text() == "approval"
        assert "step=approval" in tab.page.url


async def test_keys_go_to_failed_steps_and_open_what_can_be_done(browser: "Browser", workshop: Scene) -> None:
    run = (await workshop.order(320, ["lamp", "sofa"]))["runs"][0]
    await workshop.wait_for(run, "failed")
    async with open_person(browser, workshop.service.service.local_url) as person:
        tab = await person.sign_in(workshop.key, f"/runs/{run}")
        await tab.page.keyboard.press("f")
        await tab.page.wait_for_url("**only=failed**")
        await tab.page.keyboard.press("n")
        await tab.page.wait_for_url("**step=**")
        await tab.page.locator("#panel h2").wait_for()
        await tab.page.keyboard.press("2")
        await tab.page.wait_for_url("**view=graph**")
        await tab.page.keyboard.press("R")
        await tab.page.get_by_role("button", name="Retry", exact=True).wait_for(state="visible")
