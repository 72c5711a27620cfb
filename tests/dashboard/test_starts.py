"""The form that starts a run, without scripts."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.test_pipelines import open_page
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ORDER = """
inputs:
  total: {type: integer, title: Total of the order, description: In cents}
  urgent: {type: boolean, default: false}
  size: {enum: [small, large], default: small}
  lines: {type: array, items: {type: string}, default: []}
steps: [{id: note, use: log.write, with: {message: "{{ inputs }}"}}]
"""
ANY = "steps: [{id: note, use: log.write, with: {message: x}}]\n"
SKIPS = "concurrency: {limit: 1, overflow: skip}\nsteps: [{id: nap, use: wait.delay, with: {for: 1h}}]\n"
FORM = "/pipelines/order/start"


async def _send(service: Running, fields: dict[str, str], path: str = FORM) -> tuple[int, str, str]:
    """Submit a form; returns the status, the next page, and the text."""
    answer = await service.client.post(path, data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    return answer.status_code, answer.headers.get("location", ""), unescape(answer.text)


def _read_token(page: str) -> str:
    token: str = re.findall(r'name="token" value="([0-9a-f]{32})"', page)[0]
    return token


async def _find_inputs(service: Running, location: str) -> Any:
    return (await service.ask(location))["inputs"]


async def test_a_form_starts_a_run_with_the_types_of_the_inputs(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        page = await open_page(service, FORM)
        assert "Total of the order" in page
        assert "In cents" in page
        filled = {"fields.total": "3", "fields.urgent": "true", "fields.size": '"large"', "fields.lines": '["a"]'}
        status, run, _ = await _send(service, {**filled, "tags": "eu, vip", "token": _read_token(page)})
        assert status == 303
        assert run.startswith("/runs/run_")
        assert await _find_inputs(service, run) == {"total": 3, "urgent": True, "size": "large", "lines": ["a"]}
        assert (await service.ask(run))["tags"] == ["eu", "vip"]
        assert "The run was started." in await open_page(service, run)


async def test_a_form_that_is_sent_twice_starts_one_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        token = _read_token(await open_page(service, FORM))
        _, first, _ = await _send(service, {"fields.total": "3", "token": token})
        _, second, _ = await _send(service, {"fields.total": "3", "token": token})
        assert first == second
        _, third, _ = await _send(service, {"fields.total": "4", "token": token})
        assert third != first, "other inputs from a page that was gone back to"


async def test_what_does_not_fit_is_shown_beside_its_field_and_the_rest_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        given = {"fields.total": "many", "fields.size": '"large"', "fields.lines": "[1]", "delay": "soon"}
        status, _, page = await _send(service, given)
        assert status == 422
        fields = re.findall(r'<label class="field">(.*?)</label>', page, re.DOTALL)
        by_name = {re.findall(r'name="([^"]+)"', field)[0]: field for field in fields}
        assert 'class="wrong"' in by_name["delay"]
        del given["delay"]
        status, _, page = await _send(service, given)
        assert status == 422
        fields = re.findall(r'<label class="field">(.*?)</label>', page, re.DOTALL)
        by_name = {re.findall(r'name="([^"]+)"', field)[0]: field for field in fields}
        assert 'class="wrong"' in by_name["fields.total"]
        assert 'value="many"' in by_name["fields.total"]
        assert re.search(r'class="wrong">0: ', by_name["fields.lines"])
        assert "wrong" not in by_name["fields.size"]
        assert 'value=""large"" selected' in by_name["fields.size"]
        status, _, page = await _send(service, {"fields.total": "1", "fields.colour": "red"})
        assert status == 422
        assert "there is no such input" in page


async def test_inputs_can_be_given_as_json_and_taken_from_an_earlier_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER, "any": ANY}) as service:
        status, run, _ = await _send(service, {"inputs": '{"total": 7, "urgent": true}'})
        assert status == 303
        page = await open_page(service, FORM)
        assert f"like={run.removeprefix('/runs/')}" in page
        page = await open_page(service, f"{FORM}?like={run.removeprefix('/runs/')}")
        assert 'name="fields.total" value="7"' in page
        assert "checked" in page
        page = unescape(await open_page(service, f"{FORM}?as=json&like={run.removeprefix('/runs/')}"))
        assert '"total": 7' in page
        for text, wanted in (("{", "it is not JSON"), ("[1]", "must be an object")):
            status, _, page = await _send(service, {"inputs": text})
            assert (status, wanted in page) == (422, True)
            assert f">{text}</textarea>" in page, "what was typed is kept"
        page = await open_page(service, "/pipelines/any/start")
        assert 'name="inputs"' in page
        status, run, _ = await _send(service, {"inputs": '{"free": [1]}'}, "/pipelines/any/start")
        assert await _find_inputs(service, run) == {"free": [1]}


async def test_a_start_that_is_refused_says_why_and_keeps_the_form(tmp_path: Path) -> None:
    async with running(tmp_path, {"skips": SKIPS, "never": "steps: 1\n"}) as service:
        await _send(service, {"inputs": "{}"}, "/pipelines/skips/start")
        status, _, page = await _send(service, {"inputs": '{"a": 1}'}, "/pipelines/skips/start")
        assert status == 409
        assert "concurrency limit" in page
        assert '{"a": 1}' in page
        assert "mend it first" in await open_page(service, "/pipelines/never/start", 409)


async def test_whoever_may_only_read_starts_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        made = (await service.client.post("/api/keys", json={"name": "reader", "scope": "read"})).json()
        reader = {"authorization": f"Bearer {made['key']}", "accept": "text/html"}
        page = (await service.client.get("/pipelines/order", headers=reader)).text
        assert FORM not in page
        assert (await service.client.get(FORM, headers=reader)).status_code == 403
        await service.client.post(FORM, data={"fields.total": "1"}, headers=reader)
        assert (await service.ask("/runs"))["runs"] == []
