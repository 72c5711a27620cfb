"""What the API tells of the whole service: what needs a person, and how its runs went."""

import random
from pathlib import Path

import pytest

from durable.durations import parse_duration
from durable.history.words import RunStatus
from durable.ids import make_id
from durable.journal.journal import Journal
from durable.units import Admission, NewRun, RunView
from tests.journal import samples
from tests.service.running import outside, running
from triggers.overview.columns import RunColumns

pytestmark = pytest.mark.anyio

HOOK = "{id: hook, use: webhook, with: {path: /shop, verify: {preset: github, secret: '{{ secrets.HOOK }}'}}}"
FAILS = f"triggers: [{HOOK}]\nsteps: [{{id: stop, use: flow.fail, with: {{message: no stock}}}}]\n"
ASKS = """steps:
  - {id: ask, use: wait.approval, timeout: 2d, on_timeout: fail, with: {title: "Ship it?", to: ops@example.com}}
"""
CHARGES = "steps: [{{id: charge, use: http.post, on_crash: park, timeout: 100ms, with: {{url: '{url}/charge'}}}}]\n"
FORGETS = "crm: {use: http, base_url: 'https://crm.example.com', auth: {bearer: '{{ secrets.GONE }}'}}\n"

MINUTE = parse_duration("1m")


async def test_what_needs_a_person_is_listed_in_groups(tmp_path: Path) -> None:
    async with outside() as server:
        server.hangs = 1
        pipelines = {
            "fails": FAILS,
            "asks": ASKS,
            "charges": CHARGES.format(url=server.url),
            "wrong": "name: x\nstepps: []\n",
        }
        async with running(tmp_path, pipelines) as service:
            for pipeline in ("fails", "fails", "fails", "charges"):
                await service.wait_for_end((await service.start(pipeline)).json()["id"])
            asked = [(await service.start("asks")).json()["id"] for _ in range(2)]
            while not all([(await service.ask(f"/runs/{run}"))["waits"] for run in asked]):
                pass
            found = await service.ask("/attention")
            lines = {line["kind"]: line for line in found["lines"]}
            assert [line["kind"] for line in found["lines"]] == [*("failure", "uncertain", "approval", "file")], lines
            assert lines["failure"]["text"] == "3 runs of fails failed"
            assert lines["failure"]["detail"] == "stop: no stock"
            assert lines["failure"]["error"] in lines["failure"]["page"]
            assert lines["uncertain"]["text"] == "a step is uncertain: charges › charge"
            assert lines["approval"]["text"] == "2 approvals are awaited: asks › ask"
            assert lines["approval"]["detail"] == "for ops@example.com"
            assert lines["approval"]["oldest"] < lines["approval"]["newest"]
            assert lines["file"]["text"].startswith("wrong.yaml:1:1: ")
            for line in found["lines"]:
                page = await service.client.get(line["page"], headers={"Accept": "text/html"})
                assert page.status_code == 200 or line["kind"] == "failure", line
            later = await service.ask("/attention?from=2035-01-01T00:00:00Z")
            assert [line["kind"] for line in later["lines"]] == ["uncertain", "approval", "file"]


async def test_a_connection_that_cannot_be_used_and_refused_deliveries_need_a_person(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "connections.yaml").write_text(FORGETS)
    async with running(tmp_path, {"fails": FAILS}) as service:
        assert (await service.client.post("/hooks/shop", content=b"{}")).status_code == 401
        while not (await service.ask("/deliveries"))["deliveries"]:  # a rejection is recorded after its answer
            pass
        connection, rejected = (await service.ask("/attention"))["lines"]
        assert (connection["kind"], connection["text"]) == ("connection", "the connection crm lacks a secret")
        assert "GONE" in connection["detail"]
        assert (rejected["kind"], rejected["text"]) == ("rejected", "a delivery to fails/hook was refused")


async def test_a_reader_gets_no_links_with_what_needs_a_person(tmp_path: Path) -> None:
    tells = ASKS.replace(
        "steps:\n", "steps:\n  - {id: stop, use: flow.fail, with: {message: 'at {{ run.links.ask }}'}}\n"
    )
    async with running(tmp_path, {"tells": tells}) as service:
        await service.wait_for_end((await service.start("tells")).json()["id"])
        [line] = (await service.ask("/attention"))["lines"]
        assert "/waits/run_" in line["detail"]
        made = (await service.client.post("/api/keys", json={"name": "reader", "scope": "read"})).json()
        told = await service.client.get("/api/attention", headers={"Authorization": f"Bearer {made['key']}"})
        assert line["detail"].rpartition("/")[2] not in told.text


async def test_the_overview_counts_runs_by_the_time_of_their_start(tmp_path: Path) -> None:
    async with running(tmp_path, {"fails": FAILS, "asks": ASKS}) as service:
        before = await service.ask("/overview")
        assert (before["newest_run"], before["started"]) == (None, 0)
        await service.wait_for_end((await service.start("fails")).json()["id"])
        waiting = (await service.start("asks")).json()["id"]
        while (await service.ask(f"/runs/{waiting}"))["status"] != "waiting":
            pass
        found = await service.ask("/overview?period=hour")
        assert (found["started"], found["failed"]) == (2, 1)
        assert sum(column["unfinished"] for column in found["columns"]) == 1
        assert found["unfinished"] == {"queued": 0, "waiting": 1, "paused": 0, "running": 0}
        assert found["newest_failure"] <= found["newest_run"]
        assert [(each["id"], each["success"]) for each in found["pipelines"]] == [("asks", None), ("fails", 0.0)]
        assert (await service.client.get("/api/overview?period=year")).status_code == 422


def _make_run(at: int, status: RunStatus, low: int) -> NewRun:
    view = RunView(status, finished_at=at if status in ("completed", "failed", "cancelled") else None)
    return samples.new_run(make_id("run", at, low), view=view)


async def test_columns_agree_with_the_rows_however_they_were_kept(tmp_path: Path) -> None:
    chance = random.Random(7)
    journal = await Journal.open(tmp_path / "data", node="node", on_fatal=print)
    statuses: tuple[RunStatus, ...] = ("completed", "failed", "cancelled", "waiting", "running")
    now = 1_800_000_000_000
    columns = RunColumns(journal, lambda: now)
    expected: dict[int, dict[str, int]] = {}
    for number in range(60):
        at, status = now - chance.randrange(70 * MINUTE), chance.choice(statuses)
        await journal.admit(Admission(samples.event(f"event-{number}"), [_make_run(at, status, number)]))
        column = expected.setdefault(at // MINUTE * MINUTE, {})
        word = status if status in ("completed", "failed", "cancelled") else "unfinished"
        column[word] = column.get(word, 0) + 1
    for _ in range(2):  # the second time, most of them are kept
        found = await columns.count("hour")
        assert len(found) == 60
        for start, counts in found.items():
            assert {name: n for name in counts.__struct_fields__ if (n := getattr(counts, name))} == expected.get(
                start, {}
            )
    await journal.admit(Admission(samples.event("late"), [_make_run(now - 50 * MINUTE, "failed", 99)]))
    failed = sum(each.failed for each in found.values())
    assert sum(each.failed for each in (await columns.count("hour")).values()) == failed  # kept: it lies far back
    columns = RunColumns(journal, lambda: now)
    assert sum(each.failed for each in (await columns.count("hour")).values()) == failed + 1
    await journal.close()
