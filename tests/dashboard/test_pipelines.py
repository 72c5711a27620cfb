"""The pages of pipelines without scripts: the list, one pipeline, its file with problems, versions, triggers."""

import re
import shlex
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, running

pytestmark = pytest.mark.anyio

SVG = "http://www.w3.org/2000/svg"

ORDER = """
id: order
inputs:
  total: {type: integer, title: Total of the order}
  note: {type: string, default: none}
triggers:
  - {id: shop, use: webhook, with: {path: /orders, verify: {preset: github, secret: "{{ secrets.HOOK }}"}},
     inputs: {total: "{{ trigger.body.total }}"}}
  - {id: nightly, use: schedule, with: {cron: 0 2 * * *}, inputs: {total: 1}}
steps:
  - {id: note, use: log.write, with: {message: "{{ inputs.note }}"}}
  - id: size
    switch:
      - when: inputs.total > 100
        steps: [{id: large, use: flow.fail, with: {message: too large}}]
    else: [{id: small, use: log.write, with: {message: small}}]
"""
TELLS = """
triggers: [{id: failed, use: waypost.run_failed}]
steps: [{id: note, use: log.write, with: {message: failed}}]
"""
NEVER = "steps: [{id: a, use: log.writ}]\n"


async def open_page(service: Running, path: str, status: int = 200) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return answer.text


async def _run(service: Running, **inputs: object) -> str:
    run: str = (await service.start("order", inputs)).json()["id"]
    await service.wait_for_end(run)
    return run


async def test_the_list_shows_what_is_broken_first_and_how_runs_went(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER, "tells": TELLS, "xnever": NEVER}) as service:
        await _run(service, total=5)
        await _run(service, total=500)
        page = await open_page(service, "/pipelines")
        assert page.index("/pipelines/xnever") < page.index("/pipelines/order")
        assert "xnever.yaml:1:" in page
        assert str(tmp_path) not in page, "a page names no folder of the machine"
        assert "50.0 %" in page
        assert page.count('class="s-failed"') == 1
        assert "failures of runs" in page
        assert "API only" not in page
        found = await open_page(service, "/pipelines?q=ord")
        assert "/pipelines/xnever" not in found
        assert "No pipeline has" in await open_page(service, "/pipelines?q=nothing")
    async with running(tmp_path / "empty", {}) as service:
        assert "No pipelines yet" in await open_page(service, "/pipelines")


async def test_the_overview_has_a_grid_of_runs_by_steps_whose_cells_lead_to_the_step(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        assert "No runs yet" in await open_page(service, "/pipelines/order")
        await _run(service, total=5)
        run = await _run(service, total=500)
        page = await open_page(service, "/pipelines/order")
        assert f'href="/runs/{run}?step=size"' in page
        assert "size failed" in page
        assert "size.large" in page, "the step that fails most"
        assert "inputs.total &gt; 100" in page, "the condition of a case"
        assert "/hooks/orders" in page
        await open_page(service, "/pipelines/ordr", 404)


async def test_the_steps_are_drawn_as_a_picture_without_styles(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        answer = await service.client.get("/pipelines/order/graph.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        picture = ElementTree.fromstring(answer.text)
        texts = [" ".join("".join(each.itertext()).split()) for each in picture.iter(f"{{{SVG}}}text")]
        wanted = ["note log.write", "size switch", "case 1 inputs.total > 100", "large flow.fail", "else"]
        assert texts == [*wanted, "small log.write"]
        assert not {"style", "class"} & {name for each in picture.iter() for name in each.attrib}


async def test_a_broken_file_shows_the_line_with_a_caret_and_the_version_before(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        broken = ORDER.replace("else: [", "els: [").replace("<", "&lt;")
        (tmp_path / "config" / "pipelines" / "order.yaml").write_text(broken)
        await service.service.reload.reload()
        line = next(number for number, text in enumerate(broken.splitlines(), 1) if "els:" in text)

        for path in ("/pipelines/order", "/pipelines/order/versions", "/pipelines/order/triggers"):
            page = await open_page(service, path)
            assert "the previous version stays in use" in page
            assert f'href="/pipelines/order/text#L{line}"' in page
        page = await open_page(service, "/pipelines/order/text")
        row = page.index(f'<tr id="L{line}" class="wrong">')
        assert '<span class="caret" aria-hidden="true">    ^</span>' in page[row:]
        assert "did you mean" in unescape(page[row:])
        assert await _run(service, total=5), "the version before still runs"


async def test_the_file_of_a_pipeline_that_was_never_served_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path, {"never": NEVER}) as service:
        page = await open_page(service, "/pipelines/never")
        assert "never.yaml cannot be served" in page
        assert "Start…" not in page
        assert "did you mean" in unescape(await open_page(service, "/pipelines/never/text"))
        await open_page(service, "/pipelines/never/triggers")
        assert "No version has been served yet" in unescape(await open_page(service, "/pipelines/never/versions"))


async def test_versions_are_listed_and_compared(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        await _run(service, total=5)
    async with running(tmp_path, {"order": ORDER.replace("message: small", "message: little")}) as service:
        page = await open_page(service, "/pipelines/order/versions")
        old = re.findall(r"/pipelines/order/versions/([0-9a-f]{64})\?against=current", page)
        assert len(old) == 1
        page = await open_page(service, f"/pipelines/order/versions/{old[0]}?against=current")
        assert re.search(r'<span class="diff-removed">-.*message: small', page)
        assert re.search(r'<span class="diff-added">\+.*message: little', page)
        await open_page(service, "/pipelines/order/versions/abcd1234", 404)


async def test_a_signed_curl_from_the_page_starts_a_run_and_shows_no_secret(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        page = await open_page(service, "/pipelines/order/triggers")
        assert "?example=shop" in page
        assert re.search(r"HOOK</span>\s*<span class=\"status s-ok\">", page)
        page = await open_page(service, "/pipelines/order/triggers?example=shop")
        assert ENVIRONMENT["WAYPOST_SECRET_HOOK"] not in page
        shown = re.findall(r'<pre class="code">(.*?)</pre>', page, re.DOTALL)
        commands = [unescape(re.sub(r"<[^>]+>", "", each)) for each in shown]
        words = shlex.split(next(each for each in commands if each.startswith("curl") and "/hooks/" in each))
        headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
        async with httpx.AsyncClient(trust_env=False) as stranger:
            answer = await stranger.post(words[3], headers=headers, content=words[-1])
        assert answer.status_code == 202, answer.text
        page = await open_page(service, "/pipelines/order/triggers?example=nothing")
        assert "<section" in page


async def test_a_long_file_has_pages_and_a_problem_leads_to_its_line(tmp_path: Path) -> None:
    steps = "".join(f"  - {{id: s{number}, use: log.write, with: {{message: x}}}}\n" for number in range(600))
    text = f"steps:\n{steps}  - {{id: last, use: log.writ}}\n"
    async with running(tmp_path, {"long": text.replace("\n", "\r\n")}) as service:
        page = await open_page(service, "/pipelines/long")
        [link] = set(re.findall(r'href="(/pipelines/long/text\?line=602)#L602"', page))
        page = await open_page(service, link)
        assert '<tr id="L602" class="wrong">' in page
        assert '<tr id="L1"' not in page
        assert '<tr id="L500"' in await open_page(service, "/pipelines/long/text")
        assert '<tr id="L1"' in await open_page(service, "/pipelines/long/text?line=x")
