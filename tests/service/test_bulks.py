"""Bulks over the API: previewed, created, paced, stopped, resumed, and continued after a restart."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from durable.bulks import Bulk, BulkFilter
from durable.clock import now
from tests.service.deaths import calling_pipeline
from tests.service.running import Outside, Running, outside, running
from triggers.bulks.bulks import MOST_BULKS

pytestmark = pytest.mark.anyio

QUICK = """
steps:
  - {id: text, use: transform.set, with: {values: {text: hello}}}
"""

FLAKY = """
inputs: {n: {type: integer}}
steps:
  - {id: stop, use: flow.fail, if: "{{ inputs.n > 0 }}", with: {message: too many}}
"""

HOOKED = """
triggers:
  - {id: w, use: webhook, with: {path: /w, verify: none}, when: "trigger.body.n > 5"}
steps:
  - {id: text, use: transform.set, with: {values: {text: hello}}}
"""


async def start_delayed(service: Running, count: int, *tags: str, pipeline: str = "quick") -> list[str]:
    """Start runs that begin in an hour."""
    runs = [{"delay": "1h", "tags": list(tags)}] * count
    answer = await service.client.post(f"/api/pipelines/{pipeline}/runs/batch", json={"runs": runs})
    return [each["run"]["id"] for each in answer.json()["answers"]]


async def create(service: Running, action: str, filter: Mapping[str, Any], **more: Any) -> httpx.Response:
    return await service.client.post("/api/bulks", json={"action": action, "filter": filter, **more})


async def wait_for_bulk(service: Running, bulk: str, *statuses: str) -> dict[str, Any]:
    """Return the bulk once it has one of the statuses."""
    async with asyncio.timeout(60):
        while True:
            found: dict[str, Any] = (await service.client.get(f"/api/bulks/{bulk}")).json()
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.01)


async def list_items(service: Running, bulk: str, **query: Any) -> list[dict[str, Any]]:
    answer = await service.client.get(f"/api/bulks/{bulk}/items", params={"limit": 1000, **query})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_preview_counts_what_matches_in_words_and_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK, "other": QUICK}) as service:
        runs = await start_delayed(service, 3, "eu")
        await start_delayed(service, 1, "eu", pipeline="other")
        await start_delayed(service, 1)
        wanted = {"action": "cancel", "filter": {"pipeline": "quick", "tag": "eu"}}
        found = (await service.client.post("/api/bulks/preview", json=wanted)).json()
        assert (found["count"], found["exact"]) == (3, True)
        assert (found["oldest"]["id"], found["newest"]["id"]) == (runs[0], runs[2])
        assert found["filter"]["from"] is None
        until = found["filter"]["to"]
        assert (
            found["words"] == f"unfinished runs of the pipeline 'quick' with the tag 'eu' that started before {until}"
        )
        assert (await service.client.get("/api/bulks")).json() == {"bulks": [], "after": None}
        assert {(await service.run(run))["status"] for run in runs} == {"queued"}


async def test_a_bulk_cancels_what_matches_and_each_run_names_it(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        runs = await start_delayed(service, 5, "eu")
        (spared,) = await start_delayed(service, 1)
        answer = await create(service, "cancel", {"tag": "eu"}, reason="wrong prices", rate=1000)
        assert answer.status_code == 202
        bulk = await wait_for_bulk(service, answer.json()["id"], "finished")
        assert (bulk["total"], bulk["done"], bulk["refused"], bulk["by"]) == (5, 5, 0, "admin")
        assert bulk["finished_at"]
        for run in runs:
            found = await service.run(run)
            assert (found["status"], found["reason"]) == ("cancelled", f"bulk {bulk['id']}: wrong prices")
        assert (await service.run(spared))["status"] == "queued"
        items = await list_items(service, bulk["id"])
        assert [(each["item"], each["outcome"], each["run"], each["reason"]) for each in items] == [
            (run, "done", run, None) for run in runs
        ]
        assert {each["status"] for each in items} == {"cancelled"}


async def test_a_bulk_acts_on_nothing_that_started_after_its_upper_bound(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        (early,) = await start_delayed(service, 1)
        preview = (await service.client.post("/api/bulks/preview", json={"action": "cancel"})).json()
        await asyncio.sleep(0.002)  # ids have a resolution of a millisecond
        (late,) = await start_delayed(service, 1)
        answer = await create(service, "cancel", {"to": preview["filter"]["to"]}, expected=1)
        bulk = await wait_for_bulk(service, answer.json()["id"], "finished")
        assert bulk["done"] == 1
        assert (await service.run(early))["status"] == "cancelled"
        assert (await service.run(late))["status"] == "queued"


async def test_a_bulk_of_nothing_or_of_more_than_expected_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        answer = await create(service, "cancel", {"tag": "nobody"})
        assert answer.status_code == 409
        assert "there is nothing to cancel: no unfinished runs with the tag 'nobody'" in answer.json()["detail"]
        await start_delayed(service, 2)
        answer = await create(service, "cancel", {}, expected=1)
        assert answer.status_code == 409
        assert "2 items match now, but 1 were expected" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("action", "filter", "detail"),
    [
        ("cancel", {"status": "failed"}, "`filter.status`: cancel cannot act on failed runs; use one of queued"),
        ("retry", {"status": "completed"}, "retry cannot act on completed runs; use one of failed, paused"),
        ("cancel", {"outcome": "rejected"}, "`filter.outcome`: cancel selects runs, which do not have it; omit it"),
        ("replay", {"tag": "eu", "outcome": "rejected"}, "`filter.tag`: replay selects deliveries"),
        ("retry", {"again": True}, "`filter.again`: it goes with rerun and replay"),
        ("replay", {}, "`filter.outcome`: it is missing; name one, such as rejected or filtered"),
        ("cancel", {"pipelin": "x"}, "there is no such name; did you mean 'filter.pipeline'"),
        ("destroy", {}, "`action`"),
    ],
)
async def test_a_filter_that_does_not_fit_its_action_is_refused(
    tmp_path: Path, action: str, filter: dict[str, str], detail: str
) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        answer = await create(service, action, filter)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]


@pytest.mark.parametrize(
    ("filter", "detail"),
    [
        ({"pipeline": "quik"}, "there is no pipeline 'quik'; did you mean 'quick'"),
        ({"trigger": "quick/shop"}, "there is no trigger 'shop'"),
    ],
)
async def test_an_unknown_name_in_a_filter_is_an_error(tmp_path: Path, filter: dict[str, str], detail: str) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        answer = await create(service, "cancel", filter)
        assert answer.status_code == 404
        assert detail in answer.json()["detail"]


async def test_a_stopped_bulk_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        await start_delayed(service, 20)
        bulk = (await create(service, "cancel", {}, rate=1)).json()["id"]
        assert (await service.client.post(f"/api/bulks/{bulk}/resume")).status_code == 409
        assert (await service.client.post(f"/api/bulks/{bulk}/stop")).status_code == 202
        stopped = await wait_for_bulk(service, bulk, "stopped")
        assert stopped["done"] < 20
        assert stopped["stopped_by"] == "admin"
        assert len(await list_items(service, bulk, outcome="done")) == stopped["done"]
        assert (await service.client.post(f"/api/bulks/{bulk}/stop")).status_code == 409
        assert (await service.client.post(f"/api/bulks/{bulk}/resume", json={"rate": 1000})).json()["rate"] == 1000
        assert (await wait_for_bulk(service, bulk, "finished"))["done"] == 20


async def test_a_bulk_is_neither_created_nor_resumed_while_too_many_are_unfinished(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        await start_delayed(service, 100)
        stopped = (await create(service, "cancel", {}, rate=1)).json()["id"]
        await service.client.post(f"/api/bulks/{stopped}/stop")
        await wait_for_bulk(service, stopped, "stopped")
        answers = [await create(service, "cancel", {}, rate=1) for _ in range(MOST_BULKS + 1)]
        answers.append(await service.client.post(f"/api/bulks/{stopped}/resume"))
        assert [answer.status_code for answer in answers] == [202] * MOST_BULKS + [409, 409]
        assert "10 bulks are unfinished" in answers[-1].json()["detail"]


async def test_a_bulk_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        runs = await start_delayed(service, 150)
        bulk = (await create(service, "cancel", {}, rate=10)).json()["id"]
        while not (await service.client.get(f"/api/bulks/{bulk}")).json()["done"]:
            await asyncio.sleep(0.01)
    async with running(tmp_path, {"quick": QUICK}) as service:
        found = (await service.client.get(f"/api/bulks/{bulk}")).json()
        assert found["status"] == "running"
        assert 0 < found["done"] < 150
        await service.client.post(f"/api/bulks/{bulk}/stop")
        await wait_for_bulk(service, bulk, "stopped")
        await service.client.post(f"/api/bulks/{bulk}/resume", json={"rate": 1000})
        found = await wait_for_bulk(service, bulk, "finished")
        assert (found["done"], found["refused"]) == (150, 0)
        assert [each["item"] for each in await list_items(service, bulk)] == runs


async def test_a_run_that_ended_meanwhile_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        runs = await start_delayed(service, 3)
        bulk = (await create(service, "cancel", {}, rate=1)).json()["id"]
        await service.client.post(f"/api/runs/{runs[2]}/cancel", json={"reason": "by hand"})
        await service.wait_for_end(runs[2])
        while not (found := await list_items(service, bulk, outcome="done")):
            await asyncio.sleep(0.01)
        assert found[0]["item"] == runs[0]
        await service.client.post(f"/api/bulks/{bulk}/stop")
        await wait_for_bulk(service, bulk, "stopped")
        await service.client.post(f"/api/bulks/{bulk}/resume", json={"rate": 1000})
        await wait_for_bulk(service, bulk, "finished")
        refused = await list_items(service, bulk, outcome="refused")
        assert [(each["item"], each["reason"]) for each in refused] == [
            (runs[2], "it has already ended: it is cancelled")
        ]


async def test_a_bulk_reruns_what_failed_once_and_each_run_names_its_source(tmp_path: Path) -> None:
    async with running(tmp_path, {"flaky": FLAKY}) as service:
        runs = [(await service.start("flaky", {"n": n})).json()["id"] for n in range(4)]
        for run in runs:
            await service.wait_for_end(run)
        (tmp_path / "config" / "pipelines" / "flaky.yaml").write_text(FLAKY.replace("0", "10"))
        await service.service.reload.reload()
        bulk = (await create(service, "rerun", {"pipeline": "flaky"}, reason="mended", rate=1000)).json()["id"]
        found = await wait_for_bulk(service, bulk, "finished")
        assert (found["total"], found["done"], found["filter"]["status"]) == (3, 3, "failed")
        for item in await list_items(service, bulk):
            repeated = await service.wait_for_end(item["run"])
            assert repeated["status"] == "completed"
            source = repeated["source"]
            assert (source["kind"], source["of"], source["by"]) == ("rerun", item["item"], "admin")
            assert source["reason"] == f"bulk {bulk}: mended"


async def test_a_run_that_was_rerun_is_left_out_unless_it_is_wanted_again(tmp_path: Path) -> None:
    async with running(tmp_path, {"flaky": FLAKY}) as service:
        run = (await service.start("flaky", {"n": 1})).json()["id"]
        await service.wait_for_end(run)
        wanted = {"pipeline": "flaky"}
        first = (await create(service, "rerun", wanted, rate=1000)).json()["id"]
        await wait_for_bulk(service, first, "finished")
        (item,) = await list_items(service, first)
        await service.wait_for_end(item["run"])  # it has failed too

        preview = (await service.client.post("/api/bulks/preview", json={"action": "rerun", "filter": wanted})).json()
        assert (preview["count"], preview["repeated"], preview["oldest"]["id"]) == (1, 1, item["run"])
        assert preview["words"].endswith(" and have not been rerun or forked yet")
        again = {"action": "rerun", "filter": {**wanted, "again": True}}
        preview = (await service.client.post("/api/bulks/preview", json=again)).json()
        assert (preview["count"], preview["repeated"]) == (2, 0)
        only = await create(service, "rerun", {**wanted, "ids": [run]})
        assert only.status_code == 409
        assert "have not been rerun or forked yet; 1 have been, and `again` includes them" in only.json()["detail"]
        second = (await create(service, "rerun", {**wanted, "again": True}, rate=1000)).json()["id"]
        assert (await wait_for_bulk(service, second, "finished"))["done"] == 2


async def test_two_bulks_at_the_same_time_rerun_a_run_once(tmp_path: Path) -> None:
    async with running(tmp_path, {"flaky": FLAKY}) as service:
        run = (await service.start("flaky", {"n": 1})).json()["id"]
        await service.wait_for_end(run)
        at = now()
        act = service.service.bulks.actions.table["rerun"]
        bulks = [
            Bulk(f"blk_{number}", "rerun", BulkFilter(at, status="failed"), "ada", None, 50, "running", 1, True, at)
            for number in range(2)
        ]
        outcomes = await asyncio.gather(*(act(bulk, run) for bulk in bulks))
        done, refused = sorted(outcomes, key=lambda each: each.outcome)
        assert (done.outcome, refused.outcome) == ("done", "refused")
        assert refused.reason == f"it has been rerun or forked already: {done.run}"


async def start_failing(service: Running, world: Outside, count: int) -> list[str]:
    """Start runs of the pipeline `p` that fail."""
    world.answers += [lambda: Response(status_code=400)] * count
    runs = [(await service.start("p")).json()["id"] for _ in range(count)]
    for run in runs:
        assert (await service.wait_for_end(run))["status"] == "failed"
    return runs


async def list_retries(service: Running, run: str) -> list[dict[str, Any]]:
    history = (await service.client.get(f"/api/runs/{run}/history")).json()["entries"]
    return [entry for entry in history if entry["type"] == "run_retried"]


async def test_a_bulk_retries_failed_runs_by_their_error(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": calling_pipeline(world), "flaky": FLAKY}) as service:
        runs = await start_failing(service, world, 3)
        await service.wait_for_end((await service.start("flaky", {"n": 1})).json()["id"])
        groups = (await service.client.get("/api/errors?pipeline=p")).json()["errors"]
        bulk = (await create(service, "retry", {"error": groups[0]["key"]}, reason="mended", rate=1000)).json()["id"]
        found = await wait_for_bulk(service, bulk, "finished")
        assert (found["total"], found["done"], found["refused"]) == (3, 3, 0)
        for run in runs:
            assert (await service.wait_for_end(run))["status"] == "completed"
            (retried,) = await list_retries(service, run)
            assert (retried["by"], retried["reason"]) == ("admin", f"bulk {bulk}: mended")


async def test_a_run_that_would_fail_the_same_way_is_refused_by_a_retry(tmp_path: Path) -> None:
    async with running(tmp_path, {"flaky": FLAKY}) as service:
        run = (await service.start("flaky", {"n": 1})).json()["id"]
        await service.wait_for_end(run)
        bulk = (await create(service, "retry", {}, rate=1000)).json()["id"]
        assert (await wait_for_bulk(service, bulk, "finished"))["refused"] == 1
        (item,) = await list_items(service, bulk)
        assert "would fail in the same way" in item["reason"]


@pytest.mark.parametrize("action", ["retry", "rerun", "cancel"])
async def test_an_action_that_was_interrupted_before_its_outcome_was_recorded_is_not_repeated(
    tmp_path: Path, action: Any
) -> None:
    async with outside() as world, running(tmp_path, {"p": calling_pipeline(world), "quick": QUICK}) as service:
        if action == "cancel":
            (run,) = await start_delayed(service, 1)
        else:
            (run,) = await start_failing(service, world, 1)
            world.answers.append(lambda: Response(status_code=400))  # it fails again
        journal, at = service.service.journal, now()
        status: Any = None if action == "cancel" else "failed"
        bulk = Bulk("blk_1", action, BulkFilter(at, status=status), "ada", None, 50, "running", 1, True, at)
        await journal.add_bulk(bulk)
        await journal.add_bulk_items(bulk.id, [run])
        act = service.service.bulks.actions.table[action]
        first = await act(bulk, run)
        await service.wait_for_end(str(first.run))

        await service.service.bulks.continue_all()  # as after a crash
        found = await wait_for_bulk(service, bulk.id, "finished")
        assert (found["done"], found["refused"]) == (1, 0)
        assert [each["run"] for each in await list_items(service, bulk.id)] == [first.run]
        assert len(await list_retries(service, run)) == (1 if action == "retry" else 0)
        assert len((await service.client.get(f"/api/runs?source={run}")).json()["runs"]) == (action == "rerun")


async def test_a_bulk_replays_deliveries_with_an_outcome(tmp_path: Path) -> None:
    async with running(tmp_path, {"hooked": HOOKED}) as service:
        for number in range(3):
            answer = await service.client.post("/hooks/w", json={"n": number})
            assert answer.json()["runs"] == []
        async with asyncio.timeout(60):  # a filtered delivery is stored after its response
            while len((await service.ask("/deliveries?outcome=filtered"))["deliveries"]) < 3:
                await asyncio.sleep(0.01)
        (tmp_path / "config" / "pipelines" / "hooked.yaml").write_text(HOOKED.replace("> 5", ">= 0"))
        await service.service.reload.reload()
        wanted = {"outcome": "filtered", "trigger": "hooked/w"}
        bulk = (await create(service, "replay", wanted, rate=1000)).json()["id"]
        found = await wait_for_bulk(service, bulk, "finished")
        assert (found["total"], found["done"]) == (3, 3)
        for item in await list_items(service, bulk):
            source = (await service.wait_for_end(item["run"]))["source"]
            assert (source["kind"], source["of"], source["reason"]) == ("replay", item["item"], f"bulk {bulk}")
        repeated = await create(service, "replay", wanted)
        assert repeated.status_code == 409
        assert "have not been replayed yet; 3 have been, and `again` includes them" in repeated.json()["detail"]
        again = (await create(service, "replay", {**wanted, "again": True}, rate=1000)).json()["id"]
        assert (await wait_for_bulk(service, again, "finished"))["done"] == 3


async def test_an_unknown_bulk_is_not_found_and_a_reader_may_not_create_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        for path in ("", "/items"):
            answer = await service.client.get(f"/api/bulks/blk_none{path}")
            assert answer.status_code == 404
            assert "there is no bulk blk_none; GET /api/bulks lists them" in answer.json()["detail"]
        assert (await service.client.post("/api/bulks/blk_none/stop")).status_code == 404
        assert (await service.client.post("/api/bulks/blk_none/resume")).status_code == 404
        made = (await service.client.post("/api/keys", json={"name": "reader", "scope": "read"})).json()
        reader = {"authorization": f"Bearer {made['key']}"}
        wanted = {"action": "cancel"}
        answer = await service.client.post("/api/bulks/preview", json=wanted, headers=reader)
        assert answer.status_code == 200
        assert (await service.client.post("/api/bulks", json=wanted, headers=reader)).status_code == 403
