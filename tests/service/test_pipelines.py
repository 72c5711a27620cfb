"""What the API says of a pipeline: its text with problems, its graph, its triggers, and how its runs went."""

import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, running
from triggers.pipelines.grid import PipelineGrids
from triggers.webhooks.presets import load_presets, name_scheme

pytestmark = pytest.mark.anyio

ORDER = """
id: order
inputs:
  total: {type: integer}
  note: {type: string, default: none}
triggers:
  - {id: shop, use: webhook, with: {path: /orders, verify: {preset: github, secret: "{{ secrets.HOOK }}"}},
     inputs: {total: "{{ trigger.body.total }}"}}
  - {id: nightly, use: schedule, with: {cron: 0 2 * * *}, inputs: {total: 1}}
  - {id: bus, use: event, with: {type: order.placed}, when: "trigger.body.total > 3", inputs: {total: 2}}
steps:
  - {id: note, use: log.write, with: {message: "{{ inputs.note }}"}}
  - id: size
    switch:
      - when: inputs.total > 100
        steps: [{id: large, use: flow.fail, with: {message: too large}}]
    else: [{id: small, use: log.write, with: {message: small}}]
  - {id: lines, foreach: "[1, 2]", as: line, steps: [{id: each, use: log.write, with: {message: "{{ line }}"}}]}
"""


async def _run(service: Running, **inputs: Any) -> str:
    run: str = (await service.start("order", inputs)).json()["id"]
    await service.wait_for_end(run)
    return run


async def test_grid_and_statistics_show_how_the_newest_runs_went(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        small, large = await _run(service, total=5), await _run(service, total=500)
        grid = await service.ask("/pipelines/order/grid")
        assert [step["id"] for step in grid["steps"]] == ["note", "size", "lines"]
        assert [step["failed"] for step in grid["steps"]] == [0, 1, 0]
        assert grid["steps"][2]["use"] == "foreach"
        assert [(run["id"], run["cells"]) for run in grid["runs"]] == [
            (large, ["completed", "failed", None]),
            (small, ["completed", "completed", "completed"]),
        ]
        assert await service.ask("/pipelines/order/grid") == grid, "what is kept says the same"

        one = await service.ask("/pipelines/order/statistics")
        assert (one["completed"], one["failed"], one["success"], one["is_partial"]) == (1, 1, 0.5, False)
        assert one["failing"] == [{"step": "size.large", "runs": 1}]
        assert [run["id"] for run in one["newest"]] == [large, small]
        assert one["median_ms"] <= one["p95_ms"]
        listed = await service.ask("/pipelines?statistics=true")
        assert listed["statistics"] == {"order": one}
        assert (await service.ask("/pipelines"))["statistics"] is None


async def test_a_grid_of_long_runs_is_filled_in_by_and_by(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        for total in (5, 500, 5):
            await _run(service, total=total)
        length = max(run.sequence for run in await service.service.journal.list_runs(limit=3))
        grids = PipelineGrids(service.service.journal, entries_limit=length)
        first = await grids.read_grid("order", None)
        assert (first.unread, [run.is_read for run in first.runs]) == (2, [True, False, False])
        assert first.runs[1].cells == [None, "failed", None], "the row of a failed run tells the step"
        assert [(await grids.read_grid("order", None)).unread for _ in range(2)] == [1, 0]


async def test_a_pipeline_without_runs_has_an_empty_grid_with_its_steps(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        grid = await service.ask("/pipelines/order/grid")
        assert ([step["id"] for step in grid["steps"]], grid["runs"]) == (["note", "size", "lines"], [])
        assert (await service.ask("/pipelines/order/statistics"))["success"] is None
        answer = await service.client.get("/api/pipelines/ordr/grid")
        assert answer.status_code == 404


async def test_the_text_of_a_broken_file_has_its_problems_at_their_lines(tmp_path: Path) -> None:
    secret = ENVIRONMENT["WAYPOST_SECRET_HOOK"]
    async with running(tmp_path, {"order": ORDER, "never": "steps: [{id: a, use: log.writ}]\n"}) as service:
        before = await service.ask("/pipelines/order/text")
        assert (before["status"], before["text"], before["problems"]) == ("serving", ORDER, [])
        broken = ORDER.replace("else: [", "els: [") + f"# https://u:pw@x.test {secret}\n"
        (tmp_path / "config" / "pipelines" / "order.yaml").write_text(broken)
        await service.service.reload.reload()

        now = await service.ask("/pipelines/order/text")
        assert now["status"] == "serving the version before"
        assert now["version"] == before["version"]
        assert secret not in now["text"]
        assert "u:pw" not in now["text"]
        [problem] = now["problems"]
        line = broken.splitlines().index(next(each for each in broken.splitlines() if "els:" in each)) + 1
        assert (problem["line"], problem["column"], problem["severity"]) == (line, 5, "error")
        assert "did you mean" in problem["hint"]
        assert problem["source"].splitlines() == [
            "    els: [{id: small, use: log.write, with: {message: small}}]",
            "    ^",
        ]
        never = await service.ask("/pipelines/never/text")
        assert (never["status"], never["version"]) == ("disabled", None)
        answer = await service.client.get("/api/pipelines/never/graph")
        assert (answer.status_code, "/api/pipelines/never/text" in answer.json()["detail"]) == (409, True)


async def test_the_graph_has_steps_inside_blocks_and_their_conditions(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        found = await service.ask("/pipelines/order/graph")
        note, size, lines = found["steps"]
        assert (note["use"], note["branches"], note["status"]) == ("log.write", [], "pending")
        assert [(each["label"], each["when"], each["steps"][0]["path"]) for each in size["branches"]] == [
            ("case 1", "inputs.total > 100", "size.large"),
            ("else", None, "size.small"),
        ]
        assert (lines["use"], lines["over"], lines["branches"][0]["steps"][0]["path"]) == (
            "foreach",
            "[1, 2]",
            "lines.each",
        )
        assert (found["omitted"], found["on_failure"]) == (0, [])


async def test_triggers_say_where_they_are_reached_and_what_they_did_last(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        example = await service.ask("/pipelines/order/triggers/shop/example")
        await service.client.post("/hooks/orders", headers=example["headers"], content=example["body"])
        shop, nightly, bus = (await service.ask("/pipelines/order/triggers"))["triggers"]
        assert shop["webhook"]["url"] == f"{service.service.url}/hooks/orders"
        assert shop["webhook"]["verification"] == "github"
        assert shop["webhook"]["secrets"] == [{"name": "HOOK", "is_set": True}]
        assert shop["webhook"]["last"]["outcome"] == "accepted"
        assert nightly["schedule"]["next"]
        assert (bus["kind"], bus["reacts_to"], bus["when"]) == ("event", "order.placed", "trigger.body.total > 3")


async def test_an_example_request_is_signed_and_taken_and_hides_the_secret(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        example = await service.ask("/pipelines/order/triggers/shop/example")
        assert ENVIRONMENT["WAYPOST_SECRET_HOOK"] not in str(example)
        words = shlex.split(example["curl"])
        assert words[:4] == ["curl", "-X", "POST", example["url"]]
        async with httpx.AsyncClient(trust_env=False) as stranger:
            answer = await stranger.post(example["url"], headers=example["headers"], content=example["body"])
        assert answer.status_code == 202, answer.text
        made = (await service.client.post("/api/keys", json={"name": "reader", "scope": "read"})).json()
        reader = {"authorization": f"Bearer {made['key']}"}
        answer = await service.client.get("/api/pipelines/order/triggers/shop/example", headers=reader)
        assert answer.status_code == 403, "what starts a run is not for those who may only read"
        answer = await service.client.get("/api/pipelines/order/triggers/shpo/example")
        assert (answer.status_code, "did you mean" in answer.json()["detail"]) == (404, True)


async def test_the_inputs_of_the_last_starts_are_listed_once_each(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        await _run(service, total=1)
        second = await _run(service, total=2, note="x")
        third = await _run(service, total=1)
        recent = (await service.ask("/pipelines/order/inputs"))["recent"]
        assert [(each["run"], each["inputs"]) for each in recent] == [
            (third, {"total": 1, "note": "none"}),
            (second, {"total": 2, "note": "x"}),
        ]


async def test_unfit_inputs_are_named_one_by_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"order": ORDER}) as service:
        answer = await service.start("order", {"total": "many", "nte": 1})
        assert answer.status_code == 422
        assert {each["name"] for each in answer.json()["errors"]} == {"inputs.total", "inputs.nte"}


def test_each_preset_is_named_by_its_scheme() -> None:
    for scheme in load_presets().values():
        assert load_presets()[name_scheme(scheme)] == scheme
