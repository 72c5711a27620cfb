"""The list of runs, failures by their cause, and one action on many runs, without scripts."""

import html
import re
from pathlib import Path

import httpx
import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

FAILS = """
inputs: {of: {type: string, default: eu}}
steps: [{id: check, use: flow.fail, with: {message: "<i>no</i> stock", code: no_stock}, if: "{{ inputs.of == 'eu' }}"}]
"""
ASKS = "steps: [{id: ask, use: wait.approval, with: {title: Ship?, to: ops}, timeout: 2d, on_timeout: fail}]\n"


async def _open(service: Running, path: str, status: int = 200) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return answer.text


async def _submit(service: Running, path: str, page: str, **fields: object) -> httpx.Response:
    """Submit the form of a page that posts to a path, with its hidden fields and these."""
    form = next(text for text in re.findall(r"<form.*?</form>", page, re.S) if f'action="{path}"' in text)
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    return await service.client.post(path, data={html.unescape(n): html.unescape(v) for n, v in hidden} | fields)


async def test_the_list_of_runs_says_why_and_keeps_its_rows_in_place(tmp_path: Path) -> None:
    async with running(tmp_path, {"stock": FAILS}) as service:
        assert "No runs yet" in await _open(service, "/runs")
        run = (await service.start("stock")).json()["id"]
        await service.wait_for_end(run)
        page = await _open(service, "/runs?status=failed&pipeline=stock&from=1h")
        assert "&lt;i&gt;no&lt;/i&gt; stock" in page
        assert 'href="/runs?status=failed&amp;from=1h"' in page or "from=1h&amp;status=failed" in page
        assert f"until%3D{run}" in page, "its live blocks end at its newest row"
        later = (await service.start("stock")).json()["id"]
        await service.wait_for_end(later)
        shown = await _open(service, f"/runs?until={run}")
        assert "1 new run" in shown
        assert later not in shown
        assert run in shown
        assert "No run matches" in await _open(service, "/runs?status=completed")


async def test_an_outage_is_one_line_and_all_its_runs_are_retried_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, {"stock": FAILS}) as service:
        assert "Nothing has failed" in await _open(service, "/errors")
        for _ in range(3):
            await service.wait_for_end((await service.start("stock")).json()["id"])
        key = (await service.ask("/errors"))["errors"][0]["key"]
        assert "&lt;i&gt;no&lt;/i&gt; stock" in await _open(service, "/errors")
        page = await _open(service, f"/errors/{key}")
        assert "3 failed runs" in page
        confirmation = await _submit(service, "/bulks/new", page, action="retry")
        assert confirmation.status_code == 200
        assert "Retry 3 runs" in confirmation.text
        refused = await _submit(service, "/bulks", confirmation.text, rate="9" * 5_000)
        assert "should%20be%20a%20whole%20number" in refused.headers["set-cookie"]
        created = await _submit(service, "/bulks", confirmation.text, rate="100", reason="mended")
        assert created.status_code == 303, created.text
        bulk = created.headers["location"]
        while (await service.ask(bulk))["status"] != "finished":
            pass
        shown = await _open(service, bulk)
        assert "3 of 3" in shown
        assert shown.count('<td class="id"><a href="/runs/run_') == 3
        assert "mended" in shown
        assert bulk in await _open(service, "/bulks")
        assert f'href="{bulk}"' in await _open(service, "/audit")


async def test_chosen_runs_are_cancelled_after_a_confirmation(tmp_path: Path) -> None:
    async with running(tmp_path, {"ship": ASKS}) as service:
        runs = [(await service.start("ship")).json()["id"] for _ in range(3)]
        page = await _open(service, "/runs")
        nothing = await _submit(service, "/bulks/new", page, action="cancel")
        assert nothing.status_code == 303
        assert "Nothing is chosen" in await _open(service, "/runs")
        confirmation = await _submit(service, "/bulks/new", page, action="cancel", ids=runs[:2])
        assert "Cancel 2 runs" in confirmation.text
        form = re.findall(r'name="ids" value="([^"]*)"', confirmation.text)
        created = await _submit(service, "/bulks", confirmation.text, ids=form)
        while (await service.ask(created.headers["location"]))["status"] != "finished":
            pass
        assert [(await service.wait_for_end(run))["status"] for run in runs[:2]] == ["cancelled", "cancelled"]
        assert (await service.ask(f"/runs/{runs[2]}"))["status"] == "waiting"
