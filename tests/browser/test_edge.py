"""What pages of others cannot do to somebody who is signed in: other ports, other sites, and markup from strangers."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tests.browser.scene import Scene
from tests.browser.tabs import open_person
from tests.service.running import outside, running

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio

FORGED_FORM = """<title>waits</title><form method="post" action="{target}"><input name="reason" value="forged"></form>
<script>document.forms[0].submit()</script>"""

FORGED_REQUESTS = """<title>waits</title><script type="module">
const how = {{ credentials: "include", mode: "no-cors" }};
await fetch("{target}", {{ ...how, method: "POST", body: new URLSearchParams({{ reason: "forged" }}) }}).catch(() => 0);
const read = await fetch("{page}", {{ credentials: "include" }}).then((answer) => answer.text(), () => "nothing");
document.title = `read ${{read}}`;
</script>"""

ANSWERS_WITH_A_PAGE = """
triggers: [{id: page, use: webhook, with: {path: /page, verify: none, methods: [GET], respond: step}}]
steps:
  - id: answer
    use: flow.respond
    with:
      headers: {Content-Type: text/html}
      body: |
        <title>began</title><img src="/runs" onerror="document.title='stolen'">
        <script>fetch("/runs", {credentials: "include"}).then(() => document.title = "stolen")</script>
"""

MARKUP = (
    "<img src=x: onerror=\"document.title='stolen'\">",
    "<svg onload=\"document.title='stolen'\"></svg>",
    "<iframe srcdoc=\"<script>parent.document.title='stolen'</script>\"></iframe>",
    '<p style="position: fixed; inset: 0" id="covers">covers</p>',
    '<form action="https://evil.example/"><button>Sign in</button></form>',
    '<base href="https://evil.example/">',
)
"""Handlers, scripts, a cover over the page, and forms and links that lead elsewhere."""

INJECT = """(markup) => {
  const place = document.createElement("div");
  document.querySelector("main").append(place);
  place.innerHTML = markup;
}"""


@pytest.mark.parametrize(
    ("host", "status", "refusal"),
    [("127.0.0.1", 403, "another site sent this request"), ("localhost", 401, "you are not signed in")],
    ids=["another port", "another site"],
)
async def test_a_forged_post_changes_nothing(
    browser: "Browser", scene: Scene, host: str, status: int, refusal: str
) -> None:
    """Browsers send the cookie to every port of a host, whatever `SameSite` says, and to no other site."""
    address = scene.service.service.local_url
    target, page = f"{address}/runs/{scene.ids['waiting']}/cancel", f"{address}/runs"

    def answer(request: Request) -> Response:
        template = FORGED_FORM if request.url.path == "/form" else FORGED_REQUESTS
        return HTMLResponse(template.format(target=target, page=page))

    async with outside() as evil, open_person(browser, address) as person:
        evil.respond = answer
        at = evil.url.replace("127.0.0.1", host)
        tab = await person.sign_in(scene.key, "/runs")
        await tab.page.goto(f"{at}/form")
        await tab.page.wait_for_url(target)
        assert refusal in await tab.read("body")
        await tab.page.goto(f"{at}/requests")
        await tab.page.wait_for_function("document.title.startsWith('read')")
        assert await tab.page.title() == "read nothing"
        tab.complaints.clear()  # the browser says that it kept the answer from the page
        assert (await scene.service.ask(f"/runs/{scene.ids['waiting']}"))["status"] == "waiting"


async def test_a_page_of_a_pipeline_has_no_scripts_and_no_cookie(browser: "Browser", tmp_path: Path) -> None:
    async with running(tmp_path, {"page": ANSWERS_WITH_A_PAGE}) as service:
        key = str(service.client.headers["authorization"]).removeprefix("Bearer ")
        async with open_person(browser, service.service.local_url) as person:
            tab = await person.sign_in(key, "/runs")
            await tab.open("/hooks/page")
            await tab.page.wait_for_load_state("networkidle")
            assert await tab.page.title() == "began"
            tab.complaints.clear()  # the browser says that it blocked them


async def test_markup_that_came_through_would_do_nothing(browser: "Browser", scene: Scene) -> None:
    """The policy is the second wall, should a page ever show markup of a stranger as such."""
    async with open_person(browser, scene.service.service.local_url) as person:
        tab = await person.sign_in(scene.key, "/runs")
        for markup in MARKUP:
            await tab.open("/runs")
            await tab.page.evaluate(INJECT, markup)
            for form in await tab.page.locator("main form[action^=https]").all():
                await form.evaluate("(form) => form.requestSubmit()")
            for covering in await tab.page.locator("#covers").all():
                assert await covering.evaluate("(element) => getComputedStyle(element).position") == "static"
            while not tab.complaints:  # the browser says what it has blocked
                await tab.page.evaluate("new Promise(requestAnimationFrame)")
            assert await tab.page.title() != "stolen"
            assert await tab.page.evaluate("document.baseURI") == tab.page.url == f"{person.address}/runs"
            tab.complaints.clear()
