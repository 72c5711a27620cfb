"""Pipelines in a browser: a run started from a form and watched live, inputs that do not fit, a file that breaks."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.tabs import PHONE, WIDE, WITHOUT_SCRIPTS, Look, open_person
from tests.service.running import Running, running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

PACK = """
inputs:
  boxes: {type: integer, title: Boxes}
  fragile: {type: boolean, title: Fragile, default: false}
steps:
  - {id: packed, use: wait.webhook, timeout: 1d, on_timeout: fail}
  - {id: note, use: log.write, with: {message: "{{ inputs.boxes }} boxes"}}
"""
FORM = "/pipelines/pack/start"


def _key(service: Running) -> str:
    return str(service.client.headers["authorization"]).removeprefix("Bearer ")


async def _answer(service: Running) -> str:
    """Let the newest run go on, and return it."""
    run: str = (await service.ask("/runs?limit=1"))["runs"][0]["id"]
    answer = await service.client.post(f"/api/runs/{run}/answer", json={"step": "packed", "data": {}})
    answer.raise_for_status()
    return run


@pytest.mark.parametrize("look", [WIDE, PHONE], ids=str)
async def test_a_run_is_started_from_a_form_and_watched_live(browser: "Browser", tmp_path: Path, look: Look) -> None:
    async with (
        running(tmp_path, {"pack": PACK}) as service,
        open_person(browser, service.service.local_url, look) as person,
    ):
        tab = await person.sign_in(_key(service), "/pipelines")
        await tab.press("pack")
        await tab.press("Start…")
        await tab.page.get_by_label("Boxes").fill("3")
        await tab.page.get_by_label("Fragile").check()
        await tab.press("Start")
        await tab.see("The run was started.")
        await tab.page.locator("h1 .s-waiting").wait_for()
        run = await _answer(service)
        await tab.page.locator("h1 .s-completed").wait_for()  # the page follows without being loaded again
        await tab.page.locator("#shown tbody .s-completed").nth(1).wait_for()
        assert tab.page.url.endswith(f"/runs/{run}")
        assert (await service.run(run))["inputs"] == {"boxes": 3, "fragile": True}


@pytest.mark.parametrize("look", [WIDE, WITHOUT_SCRIPTS], ids=str)
async def test_inputs_that_do_not_fit_are_marked_and_can_be_mended(
    browser: "Browser", tmp_path: Path, look: Look
) -> None:
    async with (
        running(tmp_path, {"pack": PACK}) as service,
        open_person(browser, service.service.local_url, look) as person,
    ):
        tab = await person.sign_in(_key(service), FORM)
        await tab.page.get_by_label("Fragile").check()
        tab.expect_answer(422)
        await tab.press("Start")
        await tab.see("it is missing")
        boxes = tab.page.get_by_label("Boxes")
        assert await boxes.get_attribute("aria-invalid") == "true"
        assert await tab.page.get_by_label("Fragile").is_checked(), "what was filled in is kept"
        assert not await tab.find_faults() if look.scripts else True
        await boxes.fill("2")
        await tab.press("Start")
        await tab.see("The run was started.")


async def test_a_grid_follows_its_runs_while_it_is_open(browser: "Browser", tmp_path: Path) -> None:
    async with (
        running(tmp_path, {"pack": PACK}) as service,
        open_person(browser, service.service.local_url) as person,
    ):
        tab = await person.sign_in(_key(service), "/pipelines/pack")
        await tab.see("No runs yet")
        await service.start("pack", {"boxes": 1})
        waiting = tab.page.locator("#grid tbody .s-waiting")
        await waiting.wait_for()
        run = await _answer(service)
        await tab.page.locator("#grid tbody .s-completed").nth(1).wait_for()
        assert await waiting.count() == 0
        await tab.page.locator("#grid tbody .s-completed").nth(1).click()
        await tab.page.wait_for_url(f"**/runs/{run}?step=note*")


async def test_a_file_that_breaks_shows_its_line_and_the_version_before_still_starts(
    browser: "Browser", tmp_path: Path
) -> None:
    async with (
        running(tmp_path, {"pack": PACK}) as service,
        open_person(browser, service.service.local_url) as person,
    ):
        file = tmp_path / "config" / "pipelines" / "pack.yaml"
        file.write_text(PACK.replace("use: log.write", "use: log.writ"))
        await service.service.reload.reload()
        tab = await person.sign_in(_key(service), "/pipelines")
        await tab.see("serving the version before")
        await tab.press("pack.yaml:7")
        await tab.see("did you mean 'log.write'")
        assert "wrong" in str(await tab.page.locator("#L7").get_attribute("class"))
        await tab.open(FORM)
        await tab.page.get_by_label("Boxes").fill("1")
        await tab.press("Start")
        await tab.see("The run was started.")
