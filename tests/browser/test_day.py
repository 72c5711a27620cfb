"""What people do in a day, in a browser: with scripts and without, on a wide screen and on a phone.

What they do on the page of a run is in `test_run_tasks`, what they do with pipelines in `test_pipelines`.
"""

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import LINES, Scene
from tests.browser.tabs import PHONE_WITHOUT_SCRIPTS, WIDE, Look, open_person

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

LOOKS = (WIDE, PHONE_WITHOUT_SCRIPTS)

MANY = 5_000


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_a_rejected_delivery_is_replayed_after_its_cause_was_mended(
    browser: "Browser", workshop: Scene, look: Look
) -> None:
    order = f"A-{400 + LOOKS.index(look)}"
    body = f'{{"order": "{order}", "email": "ada@example.com", "total": 7, "lines": ["rug"]}}'
    await workshop.send_hook(body.encode(), id=order, secret="an old secret")
    async with open_person(browser, workshop.service.service.local_url, look) as person:
        tab = await person.sign_in(workshop.key, "/deliveries?outcome=rejected")
        await tab.page.locator("tbody tr .id").first.click()
        await tab.see("It was refused")
        await tab.page.get_by_text("Replay…").click()
        await tab.page.get_by_label("without checking the signature").check()
        await tab.page.get_by_label("Reason").fill("signed with the old secret")
        await tab.page.get_by_role("button", name="Replay", exact=True).click()
        await tab.page.wait_for_url(re.compile("/runs/run_"))
        run = tab.page.url.partition("?")[0].rpartition("/")[2]
        await workshop.wait_for(run, "completed")
        assert (await workshop.service.ask(f"/runs/{run}"))["source"]["kind"] == "replay"


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_many_runs_are_chosen_and_cancelled_at_once(browser: "Browser", workshop: Scene, look: Look) -> None:
    runs = [await workshop.start("refund", f"bulk-{number}", {"total": number}, "waiting") for number in range(5)]
    async with open_person(browser, workshop.service.service.local_url, look) as person:
        tab = await person.sign_in(workshop.key, "/runs?pipeline=refund&status=waiting")
        boxes = tab.page.locator("tbody input[type=checkbox]")
        await boxes.nth(0).check()
        if look.scripts:
            await boxes.nth(2).click(modifiers=["Shift"])
            await tab.see("3 chosen")
            assert await boxes.nth(1).is_checked()
        else:
            await boxes.nth(1).check()
            await boxes.nth(2).check()
        await tab.press("Cancel…")
        await tab.see("Cancel 3 runs?")
        await tab.page.get_by_label("Reason").fill("sent twice")
        await tab.press("Cancel 3 runs")
        await tab.page.wait_for_url(re.compile("/bulks/blk_"))
        for run in runs[2:]:
            await workshop.wait_for(run, "cancelled")
        if look.scripts:
            await tab.page.locator("h1 .s-done").wait_for()  # without a reload
        assert [(await workshop.service.ask(f"/runs/{run}"))["status"] for run in runs[:2]] == ["waiting"] * 2
        await tab.open("/runs?pipeline=refund&status=waiting")
        await tab.page.get_by_label("all that match").check()
        await tab.press("Cancel…")
        await tab.see("Cancel 2 runs?")
        await tab.press("Cancel 2 runs")
        await tab.page.wait_for_url(re.compile("/bulks/blk_"))
        for run in runs[:2]:
            await workshop.wait_for(run, "cancelled")


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_a_session_that_is_ended_by_an_admin_is_signed_out_where_it_is_open(
    browser: "Browser", workshop: Scene, look: Look
) -> None:
    made = await workshop.service.client.post("/api/keys", json={"name": f"Eve {look}", "scope": "read"})
    address = workshop.service.service.local_url
    async with open_person(browser, address, look) as admin, open_person(browser, address) as eve:
        seen = await eve.sign_in(made.json()["key"], "/runs")
        await seen.page.locator("#live-state[data-state=live]").wait_for()
        tab = await admin.sign_in(workshop.key, "/settings/sessions")
        row = tab.page.locator("li").filter(has_text=f"Eve {look}")
        await row.get_by_role("button", name="End").click()
        assert await row.count() == 0
        await workshop.start("refund", "seen", {}, "waiting")
        await seen.page.wait_for_url(re.compile("/sign-in"))
        seen.take_complaints()  # of a stream that was refused


@pytest.mark.slow
async def test_why_a_run_failed_is_two_clicks_away_among_five_thousand(browser: "Browser", workshop: Scene) -> None:
    """It is older than all others, and nobody knows its id."""
    failed = (await workshop.order(500, [*LINES, "sofa"]))["runs"][0]
    await workshop.wait_for(failed, "failed")
    for start in range(0, MANY, 100):
        events = (
            workshop.service.client.post("/api/events", json={"type": "order.paid", "subject": f"{each}", "data": {}})
            for each in range(start, start + 100)
        )
        await asyncio.gather(*events)
    for look in LOOKS:
        async with open_person(browser, workshop.service.service.local_url, look) as person:
            tab = await person.sign_in(workshop.key, "/runs")
            await tab.press("Failed")
            await tab.page.locator(f"tr[id='{failed}'] a.id").click()
            await tab.see("Why:")
            assert "warehouse EU-2 is read-only" in await tab.read()
