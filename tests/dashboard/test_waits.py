"""The inbox of what runs wait for: approvals, callbacks, decisions, paused runs, answered by forms without scripts."""

import html
import re
from pathlib import Path

import pytest
from starlette.responses import Response

from tests.service.running import Running, outside, running

pytestmark = pytest.mark.anyio

ASKS = """
steps:
  - id: ask
    use: wait.approval
    with:
      title: "Ship <b>order</b> 4711?"
      to: ops@example.com
      fields: {parcels: {type: integer, minimum: 1}, express: {type: boolean}}
    timeout: 2d
    on_timeout: fail
outputs: {by: "{{ steps.ask.output.by }}", parcels: "{{ steps.ask.output.fields.parcels }}"}
"""
PARKS = "steps: [{{id: pay, use: http.post, with: {{url: '{url}/'}}, timeout: 50ms, on_crash: park}}]\n"


async def _open(service: Running, path: str) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


async def _wait_for(service: Running, run: str, status: str) -> None:
    while (await service.ask(f"/runs/{run}"))["status"] != status:
        pass


async def test_an_approval_is_answered_from_the_inbox_by_whoever_is_signed_in(tmp_path: Path) -> None:
    async with running(tmp_path, {"ship": ASKS}) as service:
        run = (await service.start("ship")).json()["id"]
        await _wait_for(service, run, "waiting")
        page = await _open(service, "/waits")
        assert "Ship &lt;b&gt;order&lt;/b&gt; 4711?" in page
        assert "for ops@example.com" in page
        assert "1 run waits for you" in page
        form = {"step": "ask", "next": "/waits", "fields.parcels": "3", "comment": "fine"}
        answer = await service.client.post(f"/runs/{run}/answer", data={**form, "approved": "true"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/waits")
        ended = await service.wait_for_end(run)
        assert ended["outputs"] == {"by": "admin", "parcels": 3}
        page = await _open(service, "/waits")
        assert "The answer was taken." in page
        assert "No run waits for anybody" in page
        assert "1 run waits for you" not in page
        assert "The answer was taken." not in await _open(service, "/waits")


async def test_a_refused_answer_is_shown_again_as_it_was_filled_in(tmp_path: Path) -> None:
    async with running(tmp_path, {"ship": ASKS}) as service:
        run = (await service.start("ship")).json()["id"]
        await _wait_for(service, run, "waiting")
        form = {
            "step": "ask",
            "fields.parcels": "0",
            "comment": "so <few>",
            "approved": "true",
            "next": "//evil.example",
        }
        answer = await service.client.post(f"/runs/{run}/answer", data=form)
        assert answer.status_code == 422
        assert 'value="0"' in answer.text
        assert "so &lt;few&gt;" in answer.text
        assert re.search(r'class="wrong">[^<]*1', html.unescape(answer.text)), answer.text
        form |= {"fields.parcels": "2"}
        answer = await service.client.post(f"/runs/{run}/answer", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_an_uncertain_step_is_decided_from_the_inbox(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [lambda: Response(status_code=200)]
        world.delay = 0.5
        async with running(tmp_path, {"pay": PARKS.format(url=world.url)}) as service:
            run = (await service.start("pay")).json()["id"]
            await service.wait_for_end(run)
            page = await _open(service, "/waits?kind=decision")
            assert "pay needs a decision" in page
            form = {"step": "pay", "verdict": "completed", "output": '{"paid": ', "next": "/waits"}
            answer = await service.client.post(f"/runs/{run}/resolve", data=form)
            assert answer.status_code == 303
            assert "it is not JSON" in await _open(service, "/waits")
            form["output"] = '{"paid": 12.5}'
            await service.client.post(f"/runs/{run}/resolve", data=form)
            ended = await service.wait_for_end(run)
            assert (ended["status"], ended["steps"]["pay"]["output"]) == ("completed", {"paid": 12.5})
