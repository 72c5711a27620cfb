"""What people do on the page of a run, in a browser: with scripts and without, on a wide screen and on a phone."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import LINES, Scene
from tests.browser.tabs import PHONE, PHONE_WITHOUT_SCRIPTS, WIDE, Look, Tab, open_person
from tests.service.running import running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

LOOKS = (WIDE, PHONE_WITHOUT_SCRIPTS)


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


async def test_the_bar_of_a_phone_is_scrolled_to_the_link_of_the_page(browser: "Browser", workshop: Scene) -> None:
    async with open_person(browser, workshop.service.service.local_url, PHONE) as person:
        tab = await person.sign_in(workshop.key, "/connections")
        box = await tab.page.locator(".bar [aria-current=page]").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE.width


async def test_keys_go_to_failed_steps_and_open_what_can_be_done(browser: "Browser", workshop: Scene) -> None:
    run = (await workshop.order(320, ["lamp", "sofa"]))["runs"][0]
    await workshop.wait_for(run, "failed")
    async with open_person(browser, workshop.service.service.local_url) as person:
        tab = await person.sign_in(workshop.key, "/runs")
        await tab.page.keyboard.press("f")
        await tab.page.wait_for_url("**status=failed**")
        await tab.page.goto(f"{workshop.service.service.local_url}/runs/{run}")
        await tab.page.keyboard.press("f")
        await tab.page.wait_for_url("**only=failed**")
        await tab.page.keyboard.press("n")
        await tab.page.wait_for_url("**step=**")
        await tab.page.locator("#panel h2").wait_for()
        await tab.page.keyboard.press("2")
        await tab.page.wait_for_url("**view=graph**")
        await tab.page.keyboard.press("R")
        await tab.page.get_by_role("button", name="Retry", exact=True).wait_for(state="visible")


@pytest.mark.slow
async def test_a_run_of_10_000_steps_is_read_in_pages_of_less_than_100_kb(browser: "Browser", tmp_path: Path) -> None:
    pipeline = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: inputs.items
    max_parallel: 50
    on_item_error: collect
    steps: [{id: work, use: transform.set, with: {values: {n: "{{ 1 // (item - 4321) }}"}}}]
  - {id: check, if: "steps.each.output | selectattr('status', 'equalto', 'failed') | list | length > 0",
     use: flow.fail, with: {message: an item failed}}
"""
    async with running(tmp_path, {"many": pipeline}) as service:
        run = (await service.start("many", {"items": list(range(10_000))})).json()["id"]
        while (await service.ask(f"/runs/{run}"))["status"] != "failed":
            await asyncio.sleep(0.2)
        pages = ("", "?under=each&only=all", "?under=each&only=all&after=each[5000].work", "?view=history")
        for query in pages:
            answer = await service.client.get(f"/runs/{run}{query}", headers={"Accept": "text/html"})
            assert answer.status_code == 200
            assert len(answer.content) < 100_000, query
        key = str(service.client.headers["authorization"]).removeprefix("Bearer ")
        async with open_person(browser, service.service.local_url) as person:
            tab = await person.sign_in(key, f"/runs/{run}")
            await tab.press("each[4321].work")
            await tab.see("this divides by zero")
            await tab.page.get_by_role("link", name="all", exact=True).click()
            await tab.press("10,000, 50 at once")
            first = tab.page.locator("table.fall tbody tr").first
            assert "[4321].work" in await first.inner_text()
            assert await tab.page.locator("table.fall tbody tr").count() == 100
            await tab.press("Next ›")
            await tab.see("101–200 of 10,000")
