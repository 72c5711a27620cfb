"""The browser of the tests here, and a way to sign somebody in without its pages."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import MISSING, is_installed, open_browser
from tests.browser.scene import Scene, busy_scene, empty_scene

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """The tests of this folder share an event loop, since the browser belongs to one."""
    return "asyncio"


@pytest.fixture(scope="package")
async def browser(anyio_backend: str) -> "AsyncIterator[Browser]":
    """A browser, started once in each process of tests."""
    if not is_installed():
        pytest.skip(MISSING)
    async with open_browser() as started:
        yield started


@pytest.fixture(scope="package")
async def scene(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A service on a busy day, for all tests that only look."""
    async with busy_scene(tmp_path_factory.mktemp("scene")) as busy:
        yield busy


@pytest.fixture(scope="package")
async def first_scene(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The service before anything has happened."""
    async with empty_scene(tmp_path_factory.mktemp("first_scene")) as empty:
        yield empty


@pytest.fixture(scope="package")
async def workshop(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A service that tests change."""
    async with empty_scene(tmp_path_factory.mktemp("workshop")) as scene:
        yield scene
