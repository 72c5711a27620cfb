"""`python -m tests.browser.pictures DIR [NAME …]`: a picture of every page, or of these: wide and on a phone, light and
dark, in a service on a busy day. For people to look at; nothing compares them."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.browser.chromium import MISSING, is_installed, open_browser
from tests.browser.pages import PLACES, Place
from tests.browser.scene import Scene, busy_scene, empty_scene
from tests.browser.tabs import PHONE, PHONE_LIGHT, WIDE, WIDE_DARK, Tab, open_person

LOOKS = (WIDE, WIDE_DARK, PHONE, PHONE_LIGHT)

ORDERS = 40


async def draw_pictures(folder: Path, places: Sequence[Place]) -> None:
    """Write the pictures as `NAME-WIDTH-THEME.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        async with busy_scene(Path(data), ORDERS) as scene:
            await _draw_scene(folder, scene, [place for place in places if not place.is_first])
    if any(place.is_first for place in places):
        with tempfile.TemporaryDirectory() as data:
            async with empty_scene(Path(data)) as scene:
                await _draw_scene(folder, scene, [place for place in places if place.is_first])


async def _draw_scene(folder: Path, scene: Scene, places: Sequence[Place]) -> None:
    async with open_browser() as browser:
        for look in LOOKS:
            async with open_person(browser, scene.service.service.local_url, look) as person:
                tab = await person.open_tab()
                for place in sorted(places, key=lambda place: not place.is_open):
                    if not place.is_open and not await person.context.cookies():
                        tab = await person.sign_in(scene.key, "/runs")
                    await _draw(tab, place, scene, folder / f"{place.name}-{look}.png")


async def _draw(tab: Tab, place: Place, scene: Scene, path: Path) -> None:
    try:
        await tab.open(place.make_path(scene.ids), place.status)
    except AssertionError as error:  # a picture of the page that says what is wrong
        print(f"{place.name}: {str(error)[:200]}", file=sys.stderr)
        tab.complaints.clear()
    await tab.page.screenshot(path=path, full_page=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="the names of the pages, as in tests/browser/pages.py; all if none")
    given = parser.parse_args()
    if not is_installed():
        sys.exit(MISSING)
    asyncio.run(
        draw_pictures(given.folder, [place for place in PLACES if not given.names or place.name in given.names])
    )


if __name__ == "__main__":
    main()
