"""Lists of the API: filters, pages and single items."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

PIPELINES = {
    "p": "inputs: {fail: {type: boolean, default: false}}\n"
    'steps:\n  - {id: a, if: "inputs.fail", use: flow.fail, with: {message: as asked}}\n',
    "q": "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n",
}


async def _start_and_wait(service: Running, pipeline: str, **body: Any) -> str:
    url = f"/api/pipelines/{pipeline}/runs"
    answer = await service.client.post(url, json={"wait_for": "10s", **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def _list_runs(service: Running, **query: str) -> list[str]:
    answer = await service.client.get("/api/runs", params=query)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["runs"]]


async def test_runs_are_filtered_by_their_attributes(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        fine = await _start_and_wait(service, "p", tags=["red", "blue", "red"])
        failed = await _start_and_wait(service, "p", inputs={"fail": True}, tags=["red"])
        other = await _start_and_wait(service, "q")
        held = (await service.client.post("/api/pipelines/q/runs", json={"delay": "1h"})).json()["id"]
        assert await _list_runs(service) == [held, other, failed, fine]
        assert await _list_runs(service, pipeline="p") == [failed, fine]
        assert await _list_runs(service, status="failed") == [failed]
        assert await _list_runs(service, status="queued") == [held]
        assert await _list_runs(service, pipeline="q", status="completed") == [other]
        assert await _list_runs(service, tag="red") == [failed, fine]
        assert await _list_runs(service, tag="blue", status="completed") == [fine]
        assert await _list_runs(service, tag="green") == []
        assert await _list_runs(service, trigger="api", limit="1") == [held]
        assert await _list_runs(service, trigger="api", status="failed", tag="red") == [failed]
        document = await service.run(failed)
        assert await _list_runs(service, event=document["event"]) == [failed]
        assert await _list_runs(service, version=document["version"]) == [failed, fine]
        assert await _list_runs(service, error=document["error_key"], pipeline="p") == [failed]
        assert await _list_runs(service, source=fine) == []
        assert (await service.run(fine))["tags"] == ["blue", "red"]


async def test_an_unknown_pipeline_or_trigger_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    hooked = "triggers: [{id: shop, use: webhook, with: {path: /p, verify: none}}]\n" + PIPELINES["q"]
    async with running(tmp_path, {"orders": hooked, "q": PIPELINES["q"]}) as service:
        for query, said in (
            ({"pipeline": "ordres"}, "there is no pipeline 'ordres'; did you mean 'orders'"),
            ({"trigger": "shob"}, "there is no trigger 'shob'; did you mean 'shop'"),
            ({"trigger": "order/shop"}, "there is no pipeline 'order'; did you mean 'orders'"),
        ):
            answer = await service.client.get("/api/runs", params=query)
            assert (answer.status_code, answer.json()["detail"]) == (404, said)
        assert (await service.client.get("/api/errors?pipeline=x")).status_code == 404
        for query in ({"pipeline": "orders"}, {"trigger": "shop"}, {"trigger": "orders/shop"}, {"trigger": "api"}):
            assert await _list_runs(service, **query) == []
        run = await _start_and_wait(service, "q")
        (tmp_path / "config" / "pipelines" / "q.yaml").unlink()
        await service.service.reload.reload()
        assert await _list_runs(service, pipeline="q") == [run], "a removed pipeline still has runs"


async def test_runs_are_filtered_by_start_time(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        runs = [await _start_and_wait(service, "q") for _ in range(3)]
        moments = [(await service.run(run))["created_at"] for run in runs]
        assert len(set(moments)) == 3
        assert await _list_runs(service, **{"from": moments[1]}) == [runs[2], runs[1]]
        assert await _list_runs(service, to=moments[1]) == [runs[0]]
        assert await _list_runs(service, **{"from": moments[1], "to": moments[2]}) == [runs[1]]
        later = datetime.fromisoformat(moments[2]) + timedelta(hours=2, milliseconds=1)
        assert await _list_runs(service, to=later.isoformat().replace("+00:00", "+02:00")) == runs[::-1]
        assert await _list_runs(service, **{"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:59:59-14:00"})


async def test_pages_have_no_gaps_while_new_runs_arrive(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        runs = [await _start_and_wait(service, "q", tags=["t"]) for _ in range(7)]
        for query in ({}, {"tag": "t"}, {"pipeline": "q"}, {"status": "completed"}):
            seen: list[str] = []
            page: dict[str, Any] = {"after": None}
            while not seen or page["after"]:
                given = {**query, **({"after": page["after"]} if page["after"] else {}), "limit": "3"}
                page = (await service.client.get("/api/runs", params=given)).json()
                seen += [run["id"] for run in page["runs"]]
                runs.append(await _start_and_wait(service, "q", tags=["t"]))
            assert seen == runs[: len(seen)][::-1]
            assert len(seen) >= 7


async def test_a_history_is_paged_by_entry_number(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await _start_and_wait(service, "q")
        url = f"/api/runs/{run}/history"
        whole = (await service.client.get(url)).json()
        assert whole["after"] is None
        numbers = [entry["sequence"] for entry in whole["entries"]]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 3
        for limit in (1, 2, 3):
            entries: list[Any] = []
            after: int | None = 0
            while after is not None:
                page = (await service.client.get(url, params={"after": after, "limit": limit})).json()
                assert len(page["entries"]) <= limit
                entries += page["entries"]
                after = page["after"]
            assert entries == whole["entries"]
        assert (await service.client.get("/api/runs/run_nobody/history")).status_code == 404


async def test_a_history_shows_how_its_run_was_started(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        body = {"tags": ["b", "a"], "priority": 3, "delay": "1h", "expires_in": "2h"}
        run = (await service.client.post("/api/pipelines/q/runs", json=body)).json()["id"]
        [started] = (await service.client.get(f"/api/runs/{run}/history")).json()["entries"]
        found = await service.run(run)
    assert (started["type"], started["tags"], started["priority"]) == ("run_started", ["a", "b"], 3)
    assert (started["not_before"], started["expires_at"]) == (found["not_before"], found["expires_at"])
    between = datetime.fromisoformat(found["expires_at"]) - datetime.fromisoformat(found["not_before"])
    assert between == timedelta(hours=1)


async def test_a_pipeline_is_described_with_its_inputs(tmp_path: Path) -> None:
    async with running(tmp_path, {**PIPELINES, "r": "steps: []\n"}) as service:
        listed = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert [(each["id"], each["status"]) for each in listed] == [
            ("p", "serving"),
            ("q", "serving"),
            ("r", "disabled"),
        ]
        document = (await service.client.get("/api/pipelines/p")).json()
        assert document == listed[0] | {"inputs": {"fail": {"type": "boolean", "default": False}}}
        disabled = (await service.client.get("/api/pipelines/r")).json()
        assert disabled["inputs"] is None
        assert disabled["problems"]
        missing = await service.client.get("/api/pipelines/nobody")
        assert (missing.status_code, missing.json()["status"]) == (404, 404)


async def test_deliveries_are_filtered_and_paged(tmp_path: Path) -> None:
    hook = (
        'triggers:\n  - {id: w, use: webhook, with: {path: /w, verify: none}, when: "trigger.body.wanted"}\n'
        + PIPELINES["q"]
    )
    async with running(tmp_path, {"h": hook}) as service:
        for wanted in (True, False, True, False, True):
            await service.client.post("/hooks/w", json={"wanted": wanted})
        url = "/api/deliveries"
        accepted = (await service.client.get(url, params={"outcome": "accepted"})).json()
        assert [each["outcome"] for each in accepted["deliveries"]] == ["accepted"] * 3
        trigger = accepted["deliveries"][0]["trigger"]
        first = (await service.client.get(url, params={"trigger": trigger, "limit": 3})).json()
        second = (await service.client.get(url, params={"limit": 3, "after": first["after"]})).json()
        ids = [each["id"] for each in (*first["deliveries"], *second["deliveries"])]
        assert len(set(ids)) == 5
        assert ids == sorted(ids, reverse=True)
        assert second["after"] is None
