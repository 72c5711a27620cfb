"""Home: what needs a person, how the service does, and what it says before the first run."""

import re
from pathlib import Path

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
HOOK = "{id: hook, use: webhook, with: {path: /hello, verify: {preset: github, secret: '{{ secrets.HOOK }}'}}}"
HELLO = f"triggers: [{HOOK}]\nsteps: [{{id: say, use: log.write, with: {{message: hello}}}}]\n"
FAILS = "steps: [{id: stop, use: flow.fail, with: {message: no stock}}]\n"


async def _open(service: Running, path: str) -> str:
    answer = await service.client.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_the_first_visit_sends_a_request_and_shows_the_run_that_it_starts(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        page = await _open(service, "/")
        assert "Waiting for it" in page
        assert "curl -X POST" in re.sub("<[^>]+>", "", page)
        assert "hook-secret-1" not in page
        sent = await service.client.post("/example", headers={**HTML, "Sec-Fetch-Site": "same-origin"})
        assert sent.status_code == 303
        assert "answered%20202" in sent.headers["set-cookie"]
        page = await _open(service, sent.headers["location"])
        [run] = (await service.ask("/runs"))["runs"]
        assert f'href="/runs/{run["id"]}"' in page
        assert "Needs you" in await _open(service, "/")


async def test_before_the_first_run_somebody_without_a_webhook_is_told_how_to_start_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"fails": FAILS}) as service:
        page = await _open(service, "/")
        assert "/pipelines/fails/start" in page
        assert (await service.client.post("/example", headers=HTML)).status_code == 303
    async with running(tmp_path / "empty", {}) as service:
        assert "No pipelines yet" in await _open(service, "/")


async def test_home_says_what_needs_a_person_and_counts_the_runs(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO, "fails": FAILS}) as service:
        await service.wait_for_end((await service.start("hello")).json()["id"])
        assert "Nothing needs you." in await _open(service, "/")
        failed = (await service.start("fails")).json()["id"]
        await service.wait_for_end(failed)
        assert (await service.ask("/attention"))["lines"][0]["page"] == f"/runs/{failed}"
        await service.wait_for_end((await service.start("fails")).json()["id"])
        [line] = (await service.ask("/attention"))["lines"]
        page = await _open(service, "/?period=hour")
        assert "2 runs of fails failed" in page
        assert f'href="{line["page"]}"' in page
        assert "stop: no stock" in page
        assert re.search(r"<b>3</b>", page)
        assert "Retry all…" in page
        assert "stop: no stock" in await _open(service, line["page"])
        assert (await service.client.get("/?period=year", headers=HTML)).status_code == 422
