"""Tabs of the browser: how they look, who is signed in, and everything that a page complains about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

SECONDS = 20
"""How long a tab waits for anything. Only a test that fails waits so long."""

SERIOUS = frozenset({"serious", "critical"})
"""The faults of accessibility that no page may have, as axe rates them."""


@dataclass(frozen=True)
class Look:
    """How a tab shows pages. `address`: where it has the service; None for the one that the service announces."""

    width: int = 1280
    theme: Literal["light", "dark"] = "light"
    scripts: bool = True
    address: str | None = None

    @property
    def is_phone(self) -> bool:
        return self.width < 600

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}{'' if self.scripts else '-without-scripts'}"


WIDE = Look()
PHONE = Look(width=390, theme="dark")
WIDE_DARK = Look(theme="dark")
PHONE_LIGHT = Look(width=390)
WITHOUT_SCRIPTS = Look(scripts=False)
PHONE_WITHOUT_SCRIPTS = Look(width=390, theme="dark", scripts=False)


@dataclass
class Tab:
    """A page of the browser. `complaints`: errors of scripts, violations of the policy, requests that failed, answers
    that are errors. A test that means one of them to happen takes it away."""

    page: "Page"
    address: str
    look: Look
    complaints: list[str] = field(default_factory=list)
    _expected: set[int] = field(default_factory=set)

    async def open(self, path: str, status: int = 200) -> None:
        """Load a page of the service, which answers with this status."""
        answer = await self.load(path)
        assert answer == status, f"{path}: {answer} {await self.read('body')}"

    async def load(self, path: str) -> int:
        """Load a page of the service; returns the status of the answer, which is no complaint."""
        answer = await self.page.goto(f"{self.address}{path}")
        return answer.status if answer else 0

    def expect_answer(self, status: int) -> None:
        """Take an answer of this status for what is meant to happen."""
        self._expected.add(status)

    def take_complaints(self) -> list[str]:
        """What the page has complained about, which is then dealt with."""
        taken, self.complaints = self.complaints, []
        return taken

    async def read(self, selector: str = "main") -> str:
        """The text that a person sees there."""
        text: str = await self.page.locator(selector).first.inner_text()
        return text

    async def see(self, text: str) -> None:
        """Wait until a person sees this text."""
        await self.page.get_by_text(text).first.wait_for(state="visible")

    async def press(self, name: str) -> None:
        """Press the first button, or follow the first link, of this name."""
        button = self.page.get_by_role("button", name=name)
        link = self.page.get_by_role("link", name=name)
        await button.or_(link).first.click()

    async def find_faults(self) -> list[str]:
        """What axe finds on the page that is serious."""
        from axe_playwright_python.async_playwright import Axe

        found: Any = await Axe().run(self.page)
        return [
            f"{each['impact']}: {each['id']}: {each['help']}: {[node['html'] for node in each['nodes']][:3]}"
            for each in found.response["violations"]
            if each["impact"] in SERIOUS
        ]

    def listen(self) -> None:
        """Collect what the page complains about."""
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("response", self._note_answer)

    def _note_message(self, message: "ConsoleMessage") -> None:
        is_of_answer = "Failed to load resource" in message.text  # which `_note_answer` notes
        if message.type in {"error", "warning"} and not is_of_answer:
            self.complaints.append(f"{message.type}: {message.text}")

    def _note_failure(self, request: "Request") -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left
            self.complaints.append(f"request: {request.method} {request.url}: {request.failure}")

    def _note_answer(self, response: "Response") -> None:
        is_page = response.request.is_navigation_request()  # whose status whoever loads it sees
        if response.status >= 400 and not is_page and response.status not in self._expected:
            self.complaints.append(f"answer: {response.status} {response.url}")


@dataclass
class Person:
    """Somebody with a browser of their own: the tabs share cookies and storage."""

    context: "BrowserContext"
    address: str
    look: Look
    tabs: list[Tab] = field(default_factory=list)

    async def open_tab(self, path: str | None = None) -> Tab:
        """Open a tab, and a page in it."""
        tab = Tab(await self.context.new_page(), self.address, self.look)
        tab.listen()
        self.tabs.append(tab)
        if path is not None:
            await tab.open(path)
        return tab

    async def sign_in(self, key: str, next: str = "/") -> Tab:
        """Sign in on the page for it, and be led to another one."""
        tab = await self.open_tab(f"/sign-in?next={next}")
        await tab.page.locator("input[name=key]").fill(key)
        await tab.press("Sign in")
        await tab.page.wait_for_url(lambda url: "/sign-in" not in url)
        return tab

    def list_complaints(self) -> list[str]:
        """What the pages of all tabs complain about."""
        return [complaint for tab in self.tabs for complaint in tab.complaints]


@asynccontextmanager
async def open_person(browser: "Browser", address: str, look: Look = WIDE) -> AsyncIterator[Person]:
    """Somebody who is not signed in. At the end, no page may have complained."""
    context = await browser.new_context(
        viewport={"width": look.width, "height": 900 if not look.is_phone else 844},
        color_scheme=look.theme,
        java_script_enabled=look.scripts,
        has_touch=look.is_phone,
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(SECONDS * 1_000)
    person = Person(context, look.address or address, look)
    try:
        yield person
        assert not person.list_complaints()
    finally:
        await context.close()
