"""Signing in and out in a browser: links that work once, keys that are revoked, sessions that are ended."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import Scene
from tests.browser.tabs import PHONE, WIDE, WITHOUT_SCRIPTS, Look, Person, open_person
from tests.service.running import Running, running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

HELLO = {"hello": "steps: [{id: say, use: log.write, with: {message: hello}}]\n"}


async def _make_link(service: Running) -> str:
    """The path and the secret of a link that signs in as admin."""
    url: str = (await service.client.post("/api/enter-links")).json()["url"]
    return url[url.index("/enter") :]


async def test_a_link_signs_in_once_and_leaves_no_secret_behind(browser: "Browser", scene: Scene) -> None:
    link = await _make_link(scene.service)
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.open_tab()
        await tab.page.goto(f"{person.address}{link}")
        await tab.page.wait_for_url(f"{person.address}/")
        await tab.open("/settings/sessions")
        assert "this browser" in await tab.read()
        while await tab.page.go_back() is not None:
            assert "#" not in tab.page.url
        await person.context.clear_cookies()
        await tab.page.goto("about:blank")
        await tab.page.goto(f"{person.address}{link}")
        await tab.see("This link was used already")


async def test_without_scripts_a_link_leads_to_the_form_for_keys(browser: "Browser", scene: Scene) -> None:
    async with open_person(browser, scene.service.service.local_url, WITHOUT_SCRIPTS) as person:
        tab = await person.open_tab(await _make_link(scene.service))
        await tab.press("sign in with an API key")
        await tab.page.locator("input[name=key]").fill("wrong")
        await tab.press("Sign in")
        await tab.see("This key is not known, or was revoked.")
        await tab.page.locator("input[name=key]").fill(scene.key)
        await tab.press("Sign in")
        await tab.page.wait_for_url(f"{person.address}/")


@pytest.mark.parametrize("look", [WIDE, PHONE, WITHOUT_SCRIPTS], ids=str)
async def test_a_person_with_a_key_of_their_own_is_signed_out_when_it_is_revoked(
    browser: "Browser", tmp_path: Path, look: Look
) -> None:
    async with running(tmp_path, HELLO) as service:
        address = service.service.local_url
        key = str(service.client.headers["authorization"]).removeprefix("Bearer ")
        async with open_person(browser, address, look) as admin, open_person(browser, address, look) as ada:
            tab = await admin.sign_in(key, "/settings/keys")
            await tab.page.get_by_label("Name").fill("Ada")
            await tab.press("Make key")
            made = await tab.read("main .copyable pre")
            await _sees_what_a_viewer_sees(ada, made.strip())
            await tab.open("/settings/sessions")
            assert "Ada may read" in await tab.read()
            await tab.open("/settings/keys")
            await tab.page.locator("summary", has_text="Revoke").click()
            await tab.press("Revoke Ada")
            await tab.see("The key Ada is revoked")
            assert await ada.tabs[0].load("/runs") == 200
            assert ada.tabs[0].page.url == f"{address}/sign-in?next=%2Fruns"


async def _sees_what_a_viewer_sees(person: Person, key: str) -> None:
    tab = await person.sign_in(key, "/settings")
    assert "API keys" not in await tab.read()
    assert await tab.load("/settings/keys") == 403


async def test_a_session_is_ended_from_another_browser(browser: "Browser", tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        address = service.service.local_url
        key = str(service.client.headers["authorization"]).removeprefix("Bearer ")
        async with open_person(browser, address) as lost, open_person(browser, address) as kept:
            phone = await lost.sign_in(key, "/settings/about")
            tab = await kept.sign_in(key, "/settings/sessions")
            assert await tab.page.locator("main .rows > li").count() == 2
            await tab.press("End")
            await tab.see("A session of admin has ended.")
            await phone.load("/settings/about")
            assert "/sign-in" in phone.page.url
            await tab.page.locator("main").get_by_role("button", name="Sign out").click()
            await tab.page.wait_for_url(f"{address}/sign-in")
            await tab.load("/settings/about")
            assert "/sign-in" in tab.page.url
