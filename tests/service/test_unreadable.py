"""An unreadable run is shown with its reason, can be cancelled, and does not affect other runs."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from durable.journal.sqlite.files import FILE_NAME
from tests.service.gates import begin, until_status
from tests.service.running import ENVIRONMENT, Running, running
from triggers.commands.doctor import run_checks
from triggers.instance import Instance

pytestmark = pytest.mark.anyio

PIPELINES = {
    "ask": "inputs: {text: {type: string, default: x}}\nconcurrency: {key: one, limit: 2}\n"
    "steps:\n  - {id: first, use: transform.set, with: {values: {n: 1}}}\n"
    "  - id: approval\n    use: wait.approval\n    with: {to: ops@example.com, title: '{{ inputs.text }}'}\n"
    "    timeout: 2d\n    on_timeout: fail\n"
    "  - {id: after, use: transform.set, with: {values: {n: '{{ inputs.text }}'}}}\n",
    "caller": "steps:\n  - {id: child, use: flow.call, with: {pipeline: ask}}\n",
    "quick": "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n",
}
LARGE = "x" * 40_000


def _sql(statement: str) -> Callable[[sqlite3.Connection, str], object]:
    return lambda database, run: database.execute(statement, {"run": run})


HARMS: dict[str, Callable[[sqlite3.Connection, str], object]] = {
    "bytes that are no JSON": _sql("update entries set entries = x'ff00ff' where run = :run and sequence > 1"),
    "text that is no UTF-8": _sql("update entries set entries = x'5b7b22ff227d5d' where run = :run and sequence > 1"),
    "JSON of another shape": _sql("update entries set entries = '[{\"a\": 1}]' where run = :run and sequence > 1"),
    "no value at all": _sql("update entries set entries = x'' where run = :run"),
    "a number": _sql("update entries set entries = 5 where run = :run and sequence > 1"),
    "a kind of entry that a newer Waypost writes": _sql(
        'update entries set entries = \'[{"type":"step_dreamt","at":1}]\' where run = :run and sequence > 1'
    ),
    "a missing append": _sql("delete from entries where run = :run and sequence = (select max(sequence) from entries)"),
    "a missing beginning": _sql("delete from entries where run = :run and sequence = 1"),
    "no history": _sql("delete from entries where run = :run"),
    "rules of a newer Waypost": _sql(
        """update entries set entries = cast(replace(cast(entries as text), '"semantics":2', '"semantics":99') as blob)
        where run = :run and sequence = 1"""
    ),
    "no definition": _sql("delete from definitions where pipeline = 'ask'"),
    "a definition that is no JSON": _sql("update definitions set data = x'00' where pipeline = 'ask'"),
    "a message that is no JSON": _sql("insert into inbox (run, kind, data, at) values (:run, 'answer', x'ff', 1)"),
    "a message of a newer Waypost": _sql(
        """insert into inbox (run, kind, data, at) values (:run, 'dream', '{"data":{},"size":2}', 1)"""
    ),
}
FOUND_BY_READERS = list(HARMS)[:-5]


async def _damage_run(place: Path, harm: str) -> str:
    """A waiting run that is damaged while no service runs."""
    async with running(place, PIPELINES) as service:
        run = await begin(service, "ask")
        await until_status(service, run, "waiting")
    with closing(sqlite3.connect(place / "data" / FILE_NAME)) as database, database:
        HARMS[harm](database, run)
    return run


async def _until_paused(service: Running, run: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            await service.client.get("/api/waits")  # the sweep records what a reader finds
            found = await service.run(run)
            if found["status"] == "paused":
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("harm", HARMS)
async def test_an_unreadable_run_is_paused_with_its_reason_and_can_be_cancelled(tmp_path: Path, harm: str) -> None:
    run = await _damage_run(tmp_path, harm)
    now = PIPELINES | ({"ask": PIPELINES["quick"]} if "definition" in harm else {})  # another version, from its file
    async with running(tmp_path, now) as service:
        if harm not in FOUND_BY_READERS:  # only when the run is taken over
            await service.service.runner.takeover.take_over(run)
        found = await _until_paused(service, run)
        assert "cannot be read" in found["reason"]
        [line] = (await service.client.get("/api/runs?status=paused")).json()["runs"]
        assert (line["id"], "restore a backup" in line["reason"]) == (run, True)
        assert (await service.client.get("/ready")).json()["unreadable"] == 1
        assert (await service.client.get(f"/api/runs/{run}/export")).status_code in (200, 409)
        assert (await service.client.get(f"/api/runs/{run}/history")).status_code in (200, 409)
        for view in ("fall", "graph", "data", "json", "fall&step=approval", "fall&step=first&tab=definition"):
            page = await service.client.get(f"/runs/{run}?view={view}", headers={"Accept": "text/html"})
            assert (page.status_code, "cannot be read" in page.text) == (200, True), page.text
        assert (await service.client.get(f"/runs/{run}?view=history")).status_code in (200, 409)

        answer = await service.client.post(f"/api/runs/{run}/cancel", json={"reason": "it is broken"})
        assert answer.status_code == 202
        async with asyncio.timeout(60):
            while (line := (await service.client.get("/api/runs")).json()["runs"][0])["status"] != "cancelled":
                await asyncio.sleep(0.02)
        assert line["finished_at"]
        async with asyncio.timeout(60):
            while "unreadable" in (await service.client.get("/ready")).json():
                await asyncio.sleep(0.02)
        assert (await service.client.post(f"/api/runs/{run}/cancel", json={})).status_code == 409


@pytest.mark.parametrize("harm", FOUND_BY_READERS)
async def test_an_unreadable_run_is_named_in_the_list_of_waits_and_hides_no_other(tmp_path: Path, harm: str) -> None:
    run = await _damage_run(tmp_path, harm)
    async with running(tmp_path, PIPELINES) as service:
        other = await begin(service, "ask")
        await until_status(service, other, "waiting")
        waits = (await service.client.get("/api/waits")).json()["waits"]
        assert {wait["run"] for wait in waits} == {run, other}
        [named] = [wait for wait in waits if wait["run"] == run]
        assert "cannot be read" in named["reason"] or "newer Waypost" in named["reason"] or harm.startswith("rules")
        quick = await begin(service, "quick")
        assert (await service.wait_for_end(quick))["status"] == "completed"


async def test_a_repaired_run_continues(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await begin(service, "ask")
        await until_status(service, run, "waiting")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute("create table kept as select * from entries where run = ?", [run])
        database.execute("update entries set entries = x'ff' where run = ?", [run])
    async with running(tmp_path, PIPELINES) as service:
        await _until_paused(service, run)
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute("delete from entries where run = ?", [run])
        database.execute("insert into entries select * from kept")
    async with running(tmp_path, PIPELINES) as service:
        await until_status(service, run, "waiting")
        said = {"step": "approval", "approved": True}
        assert (await service.client.post(f"/api/runs/{run}/answer", json=said)).status_code == 202
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_the_caller_of_an_unreadable_run_is_notified_of_its_end(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        caller = await begin(service, "caller")
        await until_status(service, caller, "waiting")
        child = (await service.run(caller))["children"][0]["run"]
        await until_status(service, child, "waiting")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute("update entries set entries = x'ff' where run = ? and sequence > 1", [child])
    async with running(tmp_path, PIPELINES) as service:
        await _until_paused(service, child)
        await service.client.post(f"/api/runs/{child}/cancel", json={})
        assert (await service.wait_for_end(caller))["status"] == "failed"


async def test_cancelling_an_unreadable_run_frees_its_slot(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        held = [await begin(service, "ask") for _ in range(2)]
        queued = await begin(service, "ask")
        await until_status(service, held[1], "waiting")
        await until_status(service, queued, "queued")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute("update entries set entries = x'ff' where run = ?", [held[0]])
    async with running(tmp_path, PIPELINES) as service:
        await _until_paused(service, held[0])
        await service.client.post(f"/api/runs/{held[0]}/cancel", json={})
        await until_status(service, queued, "waiting")


@pytest.mark.parametrize(
    "harm", ["delete from payloads", "update payloads set data = x'22616122'", "update payloads set data = 5"]
)
async def test_a_run_with_a_lost_large_value_is_paused_when_it_needs_it(tmp_path: Path, harm: str) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await begin(service, "ask", text=LARGE)
        await until_status(service, run, "waiting")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute(harm)
    async with running(tmp_path, PIPELINES) as service:
        found = await service.run(run)
        assert found["inputs"] is None
        assert "a value of the run" in found["reason"]
        assert (await service.client.get("/api/waits")).status_code == 200
        await service.service.runner.answer(run, "approval", "", {"approved": True})
        async with asyncio.timeout(60):
            while (await service.run(run))["status"] != "paused":
                await asyncio.sleep(0.02)
        await service.client.post(f"/api/runs/{run}/cancel", json={})
        async with asyncio.timeout(60):
            while (await service.run(run))["status"] != "cancelled":
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("harm", "path"),
    [
        ("update deliveries set head = x'ff'", "/api/deliveries"),
        ("update deliveries set reason = cast(x'ff' as text)", "/api/deliveries"),
        ("update runs set reason = cast(x'ff41' as text)", "/api/runs"),
        ("update runs set trigger = cast(x'ff41' as text)", "/api/runs"),
        ("update run_tags set tag = cast(x'ff41' as text)", "/api/runs"),
        ("update schedules set waiting = x'ff'", "/api/schedules"),
        ("update schedules set reason = cast(x'ff' as text)", "/api/schedules"),
        ("update api_keys set name = cast(x'ff' as text)", "/api/keys"),
        ("update runs set pipeline = x'ff'", "/api/runs"),
        ("update runs set event = x'ff', trigger = x'ff', reason = x'ff'", "/api/runs"),
        ("update runs set created_at = 'yesterday'", "/api/runs"),
        ("update runs set created_at = 9223372036854775807, finished_at = x'ff'", "/api/runs"),
        ("update runs set id = x'ff' where id = (select min(id) from runs)", "/api/runs"),
        ("update deliveries set id = x'ff', at = 'then', size = x''", "/api/deliveries"),
        ("update schedules set fire = 'then', skipped = x'ff'", "/api/schedules"),
        ("update api_keys set name = x'ff', created_at = 'then'", "/api/keys"),
    ],
)
async def test_a_damaged_row_does_not_hide_the_others_of_its_list(tmp_path: Path, harm: str, path: str) -> None:
    pipelines = {
        "hook": "triggers:\n  - {id: w, use: webhook, with: {path: /w, verify: none}}\n"
        "  - {id: s, use: schedule, with: {cron: '0 3 * * *'}}\n" + PIPELINES["quick"],
    }
    async with running(tmp_path, pipelines) as service:
        assert (await service.client.post("/hooks/w", json={})).status_code == 202
        await service.client.post("/api/keys", json={"name": "ci", "scope": "read"})
        body = {"inputs": {}, "tags": ["t"]}
        assert (await service.client.post("/api/pipelines/hook/runs", json=body)).status_code == 202
        whole = (await service.client.get(path)).json()
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute(harm)
    async with running(tmp_path, pipelines) as service:
        answer = await service.client.get(path)
        assert answer.status_code == 200, answer.text
        name = path.rpartition("/")[2]
        assert len(answer.json()[name]) == len(whole[name])


@pytest.mark.parametrize("harm", FOUND_BY_READERS)
async def test_doctor_names_an_unreadable_run(tmp_path: Path, harm: str) -> None:
    run = await _damage_run(tmp_path, harm)
    findings = {
        each.check: each for each in await run_checks(Instance(tmp_path / "config", tmp_path / "data", ENVIRONMENT))
    }
    assert findings["runs"].state == "wrong"
    assert run in findings["runs"].found
    assert findings["journal"].state == "ok"


DELAY = "steps:\n  - {id: d, use: wait.delay, with: {for: 1s}}\n"
ROWS = {
    "a text for the number of its last entry": "update runs set sequence = 'x'",
    "a number of entries that never were": "update runs set sequence = -1",
    "a number of entries that is too small": "update runs set sequence = 1",
    "no time when it is due": "update runs set due_at = null",
    "a text for the time when it is due": "update runs set due_at = 'x', node = 'dead'",
    "bytes for the time when it is due": "update runs set due_at = x'ff'",
    "a time that never comes": "update runs set due_at = 9223372036854775807",
    "a text for its fence": "update runs set epoch = 'x', recoveries = 'x', claimed_at = x'ff'",
}


@pytest.mark.parametrize("harm", ROWS)
async def test_a_run_with_a_damaged_row_continues_from_its_history(tmp_path: Path, harm: str) -> None:
    async with running(tmp_path, {"p": DELAY}) as service:
        run = await begin(service, "p")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        database.execute(ROWS[harm])
    async with running(tmp_path, {"p": DELAY}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_a_run_whose_handling_fails_repeatedly_is_paused_and_can_be_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": DELAY}) as service:
        run = await begin(service, "p")
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
        elsewhere = """cast(replace(cast(entries as text), '"path":"d"', '"path":"nowhere[3].d"') as blob)"""
        database.execute(f"update entries set entries = {elsewhere}")
    async with running(tmp_path, {"p": DELAY}) as service:
        async with asyncio.timeout(60):
            while (found := await service.run(run))["status"] != "paused":
                await service.service.runner.takeover.take_over(run)  # the sweep retries after an interval
                await asyncio.sleep(0.02)
        assert "its handling failed 3 times" in found["reason"]
        await service.client.post(f"/api/runs/{run}/cancel", json={})
        async with asyncio.timeout(60):
            while (await service.run(run))["status"] != "cancelled":
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("harm", ["x'ff'", "'[1]'", "5", "''"])
async def test_a_duplicate_is_recognised_even_if_the_first_runs_are_unreadable(tmp_path: Path, harm: str) -> None:
    hook = (
        "triggers:\n  - {id: w, use: webhook, with: {path: /w, verify: none, dedupe: {key: '{{ trigger.body.id }}'}}}\n"
    )
    async with running(tmp_path, {"hook": hook + PIPELINES["quick"]}) as service:
        first = (await service.client.post("/hooks/w", json={"id": 1})).json()
        with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database, database:
            database.execute(f"update claims set runs = {harm}")
        again = await service.client.post("/hooks/w", json={"id": 1})
        assert again.status_code == 200
        assert (again.json()["event"], again.json()["duplicate"]) == (first["event"], True)


async def test_a_message_of_an_unknown_kind_stays_in_the_inbox_for_a_newer_waypost(tmp_path: Path) -> None:
    run = await _damage_run(tmp_path, "a message of a newer Waypost")
    async with running(tmp_path, PIPELINES) as service:
        assert await service.service.runner.takeover.take_over(run) is None
        found = await _until_paused(service, run)
        assert "kind `dream`, which this Waypost does not know" in found["reason"]
    with closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as database:
        assert database.execute("select kind from inbox where run = ?", [run]).fetchall() == [("dream",)]
