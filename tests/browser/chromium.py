"""Debian's Chromium, driven by Playwright: one for many tests, each of which has tabs of its own.

What needs Playwright imports it when it is called, so that tests can be collected, and skipped, without it.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

MISSING = (
    "needs Chromium and the extra `browser`: apt-get install chromium fonts-dejavu-core; pip install -e '.[browser]'"
)


def is_installed() -> bool:
    """Whether there is a browser, and what drives and checks it."""
    return find_program() is not None and all(find_spec(name) for name in ("playwright", "axe_playwright_python"))


def find_program() -> str | None:
    """The path of the browser."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@asynccontextmanager
async def open_browser() -> "AsyncIterator[Browser]":
    """Start the browser, which takes a second or two, and end it."""
    from playwright.async_api import async_playwright

    is_root = os.geteuid() == 0  # for whom Chromium has no sandbox
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_program(), args=["--no-sandbox"] if is_root else []
        )
        try:
            yield browser
        finally:
            await browser.close()
