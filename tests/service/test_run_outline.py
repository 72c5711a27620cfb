"""The outline of a run over the API: rows in order, failed items first, in pages, with times and counts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.service.running import Outside, Running, outside, running

pytestmark = pytest.mark.anyio

ORDER = """
inputs: {items: {type: array}}
steps:
  - {id: customer, use: transform.set, with: {values: {name: Ada}}}
  - id: large
    switch:
      - {when: inputs.items | length > 1, steps: [{id: note, use: log.write, with: {message: large}}]}
  - id: reserve
    foreach: inputs.items
    max_parallel: 5
    on_item_error: collect
    steps:
      - {id: hold, use: http.post, with: {url: "URL/{{ item }}"}, retry: {max_attempts: 2, min_delay: 1ms}}
      - {id: after, use: transform.set, with: {values: {n: "{{ item }}"}}}
  - {id: ask, use: wait.approval, with: {title: Ship?, to: ops@example.com}, timeout: 2d, on_timeout: fail}
  - {id: ship, use: transform.set, with: {values: {}}}
"""


@pytest.fixture
async def sink() -> AsyncIterator[Outside]:
    async with outside() as found:
        found.respond = lambda request: (
            Response(status_code=503) if request.url.path == "/37" else JSONResponse({"ok": True})
        )
        yield found


async def test_an_outline_has_a_row_for_each_step_and_one_for_a_loop(tmp_path: Path, sink: Outside) -> None:
    async with running(tmp_path, {"order": ORDER.replace("URL", sink.url)}) as service:
        run = (await service.start("order", {"items": list(range(120))})).json()["id"]
        while not (await service.ask(f"/runs/{run}"))["waits"]:
            pass
        outline = await service.ask(f"/runs/{run}/outline")
        rows: dict[str, Any] = {row["path"]: row for row in outline["rows"]}
        assert [(row["path"], row["depth"], row["status"]) for row in outline["rows"]] == [
            ("customer", 0, "completed"),
            ("large", 0, "completed"),
            ("large.note", 1, "completed"),
            ("reserve", 0, "completed"),
            ("ask", 0, "waiting"),
            ("ship", 0, "pending"),
        ]
        assert rows["reserve"]["items"] == {"total": 120, "counts": {"completed": 119, "failed": 1}, "failed": [37]}
        assert rows["reserve"]["parallel"] == 5
        assert sum(rows["reserve"]["density"]["failed"]) == 2
        assert rows["ask"]["parts"][-1]["kind"] == "waiting"
        assert outline["counts"] == {"all": 244, "failed": 1, "unfinished": 1}
        took = outline["took"]
        assert took["total"] == took["working"] + took["waiting"] + took["queued"]

        await _check_loop(service, run)
        await service.client.post(f"/api/runs/{run}/cancel", json={})
        await service.wait_for_end(run)
        assert (await service.ask(f"/runs/{run}/outline"))["rows"][-1]["path"] == "ask"


async def _check_loop(service: Running, run: str) -> None:
    first = await service.ask(f"/runs/{run}/outline?under=reserve&limit=3")
    assert [row["path"] for row in first["rows"]] == ["reserve[37].hold", "reserve[0].hold", "reserve[0].after"]
    (failed, *_), total = first["rows"], first["total"]
    assert (failed["attempts"], failed["max_attempts"], failed["error"]["class"]) == (2, 2, "server")
    assert [part["kind"] for part in failed["parts"] if part["kind"] not in ("queued", "backoff")] == ["failed"] * 2
    assert (total, first["first"], first["after"]) == (239, 1, "reserve[0].after")
    second = await service.ask(f"/runs/{run}/outline?under=reserve&limit=200&after=reserve[0].after")
    last = await service.ask(f"/runs/{run}/outline?under=reserve&limit=200&after={second['after']}")
    assert (second["first"], len(second["rows"]), len(last["rows"]), last["after"]) == (4, 200, 36, None)
    item = await service.ask(f"/runs/{run}/outline?under=reserve[5]")
    assert [row["path"] for row in item["rows"]] == ["reserve[5].hold", "reserve[5].after"]
    only = await service.ask(f"/runs/{run}/outline?only=failed")
    assert [row["path"] for row in only["rows"]] == ["reserve[37].hold"]
    zoomed = await service.ask(f"/runs/{run}/outline?zoom=0-1")
    assert "ask" not in [row["path"] for row in zoomed["rows"]]
    for wrong in ("zoom=5-5", "zoom=a-b", "limit=201", "only=some"):
        assert (await service.client.get(f"/api/runs/{run}/outline?{wrong}")).status_code == 422


async def test_a_long_run_that_failed_lists_its_failures(tmp_path: Path, sink: Outside) -> None:
    pipeline = ORDER.replace("URL", sink.url).replace("on_item_error: collect", "on_item_error: stop")
    async with running(tmp_path, {"order": pipeline.replace("max_parallel: 5", "max_parallel: 200")}) as service:
        run = (await service.start("order", {"items": list(range(150))})).json()["id"]
        await service.wait_for_end(run)
        outline = await service.ask(f"/runs/{run}/outline")
        assert (outline["only"], [row["path"] for row in outline["rows"]]) == ("failed", ["reserve[37].hold"])
        everything = await service.ask(f"/runs/{run}/outline?only=all")
        assert everything["rows"][-1]["status"] == "failed"


async def test_a_graph_shows_the_taken_branches_and_a_definition_where_values_come_from(tmp_path: Path) -> None:
    pipeline = """
steps:
  - {id: customer, use: transform.set, with: {values: {name: Ada}}}
  - id: large
    switch:
      - {when: "steps.customer.output.name == 'Bob'", steps: [{id: bob, use: log.write, with: {message: x}}]}
    else:
      - id: each
        foreach: [1, 2]
        as: order
        steps: [{id: hold, use: log.write, with: {message: "{{ steps.customer.output.name }}: {{ order }}"}}]
"""
    pipeline = pipeline.replace("foreach: [1, 2]", "foreach: '[1, 2]'")
    async with running(tmp_path, {"order": pipeline}) as service:
        run = (await service.start("order")).json()["id"]
        await service.wait_for_end(run)
        graph = await service.ask(f"/runs/{run}/graph")
        case, other = graph["steps"][1]["branches"]
        assert (case["label"], case["when"], case["taken"]) == ("case 1", "steps.customer.output.name == 'Bob'", False)
        assert (other["label"], other["taken"]) == ("else", True)
        assert other["steps"][0]["branches"][0]["steps"][0]["counts"] == {"completed": 2}
        found = await service.ask(f"/runs/{run}/steps/large.each[1].hold/definition")
        assert (found["file"], found["line"]) == ("order.yaml", 11)
        assert found["text"].startswith("id: hold\nuse: log.write\n")
        assert found["templates"] == [
            {
                "place": "message",
                "template": "{{ steps.customer.output.name }}: {{ order }}",
                "value": "Ada: 2",
                "reads": [
                    {"name": "steps.customer.output.name", "step": "customer"},
                    {"name": "order", "step": "large.each"},
                ],
            }
        ]
        assert (await service.client.get(f"/api/runs/{run}/steps/none/definition")).status_code == 404
