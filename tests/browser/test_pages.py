"""Every page in a browser: it loads without a complaint, can be read by everybody, and shows strange texts as texts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import pytest

from tests.browser.pages import PLACES, Place
from tests.browser.scene import Scene
from tests.browser.tabs import PHONE, PHONE_LIGHT, WIDE, WIDE_DARK, WITHOUT_SCRIPTS, Look, Tab, open_person

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

LOOKS = (WIDE, PHONE, WITHOUT_SCRIPTS)

COUNT_WHAT_MARKUP_MADE = "document.querySelectorAll('img[src=\"x\"], script:not([src]), [onerror]').length"
"""Elements that only the texts of strangers would make."""

MEASURE_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


FIND_HIDDEN_PANELS = """[...document.querySelectorAll("details.ask, details.menu")].filter((details) => {
  const wasOpen = details.open;
  details.open = true;
  const box = details.querySelector(".panel").getBoundingClientRect();
  details.open = wasOpen;
  return box.left < 0 || box.right > document.documentElement.clientWidth;
}).map((details) => details.querySelector("summary").textContent.trim())"""
"""What opens to a panel that is not wholly on the screen."""

FindFaults: TypeAlias = Callable[[Tab, Place], Awaitable[list[str]]]


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_every_page_loads_without_a_complaint(
    browser: "Browser", scene: Scene, first_scene: Scene, look: Look
) -> None:
    """Errors of scripts, violations of the policy, requests that fail, markup of strangers, and a page that is wider
    than the screen."""
    await _visit_all(browser, scene, first_scene, look, _look_at)


async def _visit_all(browser: "Browser", scene: Scene, first_scene: Scene, look: Look, find_faults: FindFaults) -> None:
    """Open every page, and fail with the faults of all."""
    wrong = await _visit(browser, scene, look, find_faults, [place for place in PLACES if not place.is_first])
    wrong += await _visit(browser, first_scene, look, find_faults, [place for place in PLACES if place.is_first])
    assert not wrong, "\n".join(wrong)


async def _visit(
    browser: "Browser", scene: Scene, look: Look, find_faults: FindFaults, places: Sequence[Place]
) -> list[str]:
    """Open these pages, those for everybody before signing in."""
    wrong: list[str] = []
    async with open_person(browser, scene.service.service.local_url, look) as person:
        tab = await person.open_tab()
        for place in sorted(places, key=lambda place: not place.is_open):
            if not place.is_open and not await person.context.cookies():
                tab = await person.sign_in(scene.key, "/settings/about")
            answer = await tab.load(place.make_path(scene.ids))
            faults = [f"status {answer}"] if answer != place.status else await find_faults(tab, place)
            wrong += [f"{place.name}: {fault}" for fault in [*faults, *tab.take_complaints()]]
    return wrong


async def _look_at(tab: Tab, place: Place) -> list[str]:
    wrong = []
    if place.shows not in await tab.read("body"):
        wrong.append(f"does not show {place.shows}")
    if tab.look.scripts:
        if await tab.page.evaluate(COUNT_WHAT_MARKUP_MADE):
            wrong.append("markup of a stranger came out as elements")
        if await tab.page.title() == "stolen":
            wrong.append("a script of a stranger was executed")
        if (wider := await tab.page.evaluate(MEASURE_OVERFLOW)) > 0:
            wrong.append(f"{wider} px wider than the screen")
        hidden = await tab.page.evaluate(FIND_HIDDEN_PANELS)
        wrong += [f"the panel of {name} is not on the screen" for name in hidden]
    return wrong


async def test_axe_finds_no_serious_fault_on_the_first_page_of_each_kind(browser: "Browser", scene: Scene) -> None:
    places = [place for place in PLACES if not place.is_long and not place.is_first]
    by_kind = {urlsplit(place.path).path.lstrip("/").split("/")[0]: place for place in reversed(places)}
    wrong = await _visit(browser, scene, WIDE, _check, list(by_kind.values()))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("look", [WIDE, WIDE_DARK, PHONE, PHONE_LIGHT], ids=str)
async def test_axe_finds_no_serious_fault_on_any_page(
    browser: "Browser", scene: Scene, first_scene: Scene, look: Look
) -> None:
    await _visit_all(browser, scene, first_scene, look, _check)


async def _check(tab: Tab, place: Place) -> list[str]:
    return await tab.find_faults()
