"""The page of a run without scripts: in each state it says what is, why, and offers what can be done about it."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse

from tests.service.running import Outside, Running, outside, running

pytestmark = pytest.mark.anyio

BODY = {"error": "warehouse <b>EU-2</b> is read-only"}

ORDER = """
inputs: {items: {type: array}}
steps:
  - {id: customer, use: transform.set, with: {values: {name: Ada}}}
  - id: reserve
    foreach: inputs.items
    max_parallel: 5
    steps:
      - id: hold
        use: http.post
        with:
          url: "URL/holds/{{ item }}"
          headers: {authorization: "Bearer {{ secrets.HOOK }}"}
          json: {who: "{{ steps.customer.output.name }}"}
        retry: {max_attempts: 2, min_delay: 1ms}
        undo: {use: http.delete, with: {url: "URL/holds/{{ item }}"}}
  - {id: last, use: transform.set, with: {values: {}}}
"""
SMALL = """
inputs: {total: {type: number, default: 100}}
steps: [{id: compute, use: transform.set, with: {values: {net: "{{ inputs.total }}"}}}]
outputs: {net: "{{ steps.compute.output.net }}"}
"""
PARENT = "steps: [{id: kid, use: flow.call, with: {pipeline: small, inputs: {total: 3}}}]\n"
BACKS_OFF = (
    "steps: [{id: get, use: http.get, with: {url: URL/holds/37}, retry: {max_attempts: 5, min_delay: 10m, "
    "max_delay: 20m}}]\n"
)
ONE = "concurrency: {limit: 1, key: c-17}\nsteps: [{id: nap, use: wait.delay, with: {for: 1h}}]\n"
EARLY = "steps: [{id: a, use: transform.set, with: {values: {n: '{{ 1 // 0 }}'}}}]\n"


@pytest.fixture
async def sink() -> AsyncIterator[Outside]:
    async with outside() as found:
        found.respond = lambda request: JSONResponse(BODY, 503) if "37" in request.url.path else JSONResponse({})
        yield found


async def _open(service: Running, path: str, status: int = 200) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return answer.text


async def _wait_for(service: Running, run: str, status: str) -> None:
    while (await service.ask(f"/runs/{run}"))["status"] != status:
        pass


async def _press(service: Running, path: str, **form: str) -> httpx.Response:
    answer = await service.client.post(path, data=form, headers={"Referer": f"{service.service.url}/runs"})
    assert answer.status_code == 303, answer.text
    return answer


def _strip_tags(page: str) -> str:
    """The text of a page as a reader hears it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


async def test_a_failed_run_shows_its_cause_first_and_is_retried(tmp_path: Path, sink: Outside) -> None:
    async with running(tmp_path, {"order": ORDER.replace("URL", sink.url)}) as service:
        for _ in range(3):
            run = (await service.start("order", {"items": list(range(30, 60))})).json()["id"]
            await service.wait_for_end(run)
        page = await _open(service, f"/runs/{run}")
        text = _strip_tags(page)
        assert "Why: reserve[7].hold failed after 2 attempts" in text
        assert "answered 503" in text
        assert "warehouse &lt;b&gt;EU-2&lt;/b&gt; is read-only" in page
        assert "The same error stopped 2 other runs" in text
        assert "Bearer {{ secrets.HOOK }}" in text
        assert "hook-secret-1" not in page
        assert text.index("Why: reserve") < text.index("Started") < text.index("Waterfall")
        assert "steps with an effect that can be undone" in text

        opened = await _open(service, f"/runs/{run}?under=reserve&step=reserve[7].hold&tab=input")
        assert opened.index("[7].hold</a>") < opened.index("[0].hold</a>")
        assert 'aria-current="true"' in opened
        assert re.search(r'href="[^"]*step=customer[^"]*">steps.customer.output.name', opened)
        for tab in ("error", "output", "request", "attempts", "logs", "definition", "unknown"):
            await _open(service, f"/runs/{run}?step=reserve[7].hold&tab={tab}")
        for view in ("graph", "history", "data", "json", "fall&only=failed", "fall&zoom=0-5", "fall&idle=show"):
            await _open(service, f"/runs/{run}?view={view}")
        await _open(service, f"/runs/{run}?step=nowhere")
        await _open(service, f"/runs/{run}?view=wrong", 422)
        assert "retention has removed the run" in await _open(service, f"/runs/{run[:-4]}0000", 404)
        saved = await service.client.get(f"/runs/{run}/value?step=reserve[7].hold&value=input")
        assert saved.json()["json"] == {"who": "Ada"}
        assert saved.headers["content-disposition"].startswith("attachment;")
        assert (await service.client.get(f"/runs/{run}/export")).json()["run"] == run

        sink.respond = None
        answer = await _press(service, f"/runs/{run}/retry")
        assert answer.headers["location"] == f"/runs/{run}"
        assert (await service.wait_for_end(run))["status"] == "completed"
        page = await _open(service, f"/runs/{run}")
        assert "The run goes on from where it failed." in page
        assert "Retried" in page


async def test_a_page_that_asks_for_what_is_not_there_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, {"small": SMALL}) as service:
        run = (await service.wait_for_end((await service.start("small")).json()["id"]))["id"]
        for entry in ("9" * 5_000, "0", "²", "x"):  # Python reads numbers of 4,300 digits at most
            page = await _open(service, f"/runs/{run}/value?entry={entry}", 422)
            assert "should be a whole number" in page
        saved = await service.client.get(f"/runs/{run}/value?entry=1")
        assert saved.json()["entries"]


async def test_a_run_is_forked_with_edited_input(tmp_path: Path, sink: Outside) -> None:
    async with running(tmp_path, {"order": ORDER.replace("URL", sink.url)}) as service:
        run = (await service.start("order", {"items": [37]})).json()["id"]
        await service.wait_for_end(run)
        page = await _open(service, f"/runs/{run}/fork?step=reserve[0].hold")
        found = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
        assert found
        given = json.loads(found[1].replace("&#34;", '"'))
        assert given["headers"] == {"authorization": "Bearer {{ secrets.HOOK }}"}
        form = {"step": "reserve[0].hold", "reason": "another warehouse"}
        refused = await service.client.post(f"/runs/{run}/fork", data={**form, "input": '{"url": 1'})
        assert (refused.status_code, "is not JSON" in refused.text) == (422, True)
        assert "{&#34;url&#34;: 1</textarea>" in refused.text
        given["url"] = f"{sink.url}/holds/38"
        answer = await _press(service, f"/runs/{run}/fork", **form, input=json.dumps(given))
        fork = answer.headers["location"].rpartition("/")[2]
        assert (await service.wait_for_end(fork))["status"] == "completed"
        assert sink.requests[-1]["path"] == "/holds/38"
        assert sink.requests[-1]["headers"]["authorization"] == "Bearer hook-secret-1"
        text = _strip_tags(await _open(service, f"/runs/{fork}"))
        assert f"This run goes on from reserve[0].hold of {run}" in text
        assert "by admin: another warehouse" in text
        assert "Repeated by" in await _open(service, f"/runs/{run}")
        again = await _press(service, f"/runs/{run}/fork", input='{"items": [1]}')
        assert (await service.wait_for_end(again.headers["location"].rpartition("/")[2]))["status"] == "completed"
        rerun = await _press(service, f"/runs/{run}/rerun", reason="once more")
        assert rerun.headers["location"] != f"/runs/{run}"


async def test_each_state_says_what_the_run_waits_for_and_what_can_be_done(tmp_path: Path, sink: Outside) -> None:
    pipelines = {"small": SMALL, "parent": PARENT, "backs": BACKS_OFF, "one": ONE, "early": EARLY}
    pipelines = {name: text.replace("URL", sink.url) for name, text in pipelines.items()}
    async with running(tmp_path, pipelines) as service:
        runs = [(await service.start("one")).json()["id"] for _ in range(3)]
        text = _strip_tags(await _open(service, f"/runs/{runs[2]}"))
        assert f"waits for a slot of one:c-17 (limit 1), behind {runs[1]}, number 2 in the queue" in text
        assert "nap: waits until" in _strip_tags(await _open(service, f"/runs/{runs[0]}"))
        await _press(service, f"/runs/{runs[2]}/cancel", reason="not needed")
        await service.wait_for_end(runs[2])
        assert "Cancelled: not needed" in _strip_tags(await _open(service, f"/runs/{runs[2]}"))

        run = (await service.start("backs")).json()["id"]
        await _wait_for(service, run, "waiting")
        page = await _open(service, f"/runs/{run}")
        assert re.search(r"get: attempt 2 of 5 at .*, because: GET .* answered 503", _strip_tags(page))
        assert '<noscript><meta http-equiv="refresh"' in page

        run = (await service.start("parent")).json()["id"]
        called = (await service.wait_for_end(run))["children"][0]["run"]
        assert f'href="/runs/{called}"' in await _open(service, f"/runs/{run}")
        text = _strip_tags(await _open(service, f"/runs/{called}"))
        assert "step kid of" in text
        assert "Outputs" in text

        run = (await service.start("early")).json()["id"]
        await service.wait_for_end(run)
        text = _strip_tags(await _open(service, f"/runs/{run}"))
        assert "Why: a failed" in text
        assert "divides by zero" in text

        for line in (await service.ask("/runs"))["runs"]:
            for step in (await service.ask(f"/runs/{line['id']}/steps"))["steps"]:
                for tab in ("", "error", "input", "output", "request", "attempts", "logs", "definition"):
                    await _open(service, f"/runs/{line['id']}?step={step['path']}&tab={tab}&list=status%3Dnone")


async def test_whoever_may_only_read_gets_no_buttons_and_no_links_to_waits(tmp_path: Path) -> None:
    asks = "steps: [{id: ask, use: wait.approval, with: {title: Ship?, to: o@x.y}, timeout: 2d, on_timeout: fail}]\n"
    async with running(tmp_path, {"asks": asks}) as service:
        run = (await service.start("asks")).json()["id"]
        await _wait_for(service, run, "waiting")
        assert f"/waits/{run}/ask/" in await _open(service, f"/runs/{run}")
        key = (await service.client.post("/api/keys", json={"name": "viewer", "scope": "read"})).json()["key"]
        viewer = {"Authorization": f"Bearer {key}", "Accept": "text/html"}
        page = (await service.client.get(f"/runs/{run}", headers=viewer)).text
        assert "Your key can only read" in page
        main = page.partition("<main")[2]
        assert "<form" not in main
        assert f"/waits/{run}/ask/" not in page
        refused = await service.client.post(f"/runs/{run}/cancel", headers=viewer)
        assert refused.status_code in (303, 403)
        assert (await service.ask(f"/runs/{run}"))["status"] == "waiting"


async def test_a_run_leads_to_its_neighbours_in_the_list_that_it_was_opened_from(tmp_path: Path) -> None:
    async with running(tmp_path, {"small": SMALL, "early": EARLY}) as service:
        failed = []
        for pipeline in ("early", "small", "early", "small", "early"):
            run = (await service.start(pipeline)).json()["id"]
            await service.wait_for_end(run)
            failed += [run] if pipeline == "early" else []
        listed = await _open(service, "/runs?status=failed&pipeline=early")
        page = await _open(service, html.unescape(_find_link(listed, failed[1])))
        newer, older = _find_link(page, failed[2]), _find_link(page, failed[0])
        assert ("‹ newer" in page, "older ›" in page) == (True, True)
        assert "‹ newer" not in await _open(service, html.unescape(newer))
        assert "older ›" not in await _open(service, html.unescape(older))
        assert "‹ newer" not in await _open(service, f"/runs/{failed[1]}")


def _find_link(page: str, run: str) -> str:
    """The first address of a run in a page."""
    found = re.search(rf'href="(/runs/{run}[^"]*)"', page)
    assert found, page
    return found[1]
