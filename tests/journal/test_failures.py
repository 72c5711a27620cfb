"""Every database: failed runs in groups with the same key, each found by look-ups in an index."""

from typing import Any

import pytest
from sqlalchemy import Connection, event

from durable.journal.failures import list_failures
from durable.journal.journal import Journal
from durable.journal.runs import list_pipelines, list_triggers
from durable.units import Admission, Cause, RunView
from tests.journal import samples

pytestmark = pytest.mark.anyio

CAUSE = Cause("failed", "pay", "server", "503", "http.post", "it answered 503", 3)


async def _fail(journal: Journal, name: str, key: str | None, pipeline: str = "orders") -> None:
    view = RunView("failed", finished_at=3_000, cause=CAUSE, error_key=key) if key else samples.RUNNING
    run = samples.new_run(f"run-{name}", pipeline=pipeline, view=view)
    await journal.admit(Admission(samples.event(f"event-{name}"), [run]))


async def _list(journal: Journal, **wanted: Any) -> list[tuple[str, int, str, tuple[str, ...]]]:
    groups = await journal.read(list_failures, **wanted)
    return [(each.key, each.count, each.newest.id, each.pipelines) for each in groups]


async def test_runs_with_the_same_key_are_one_group(journal: Journal) -> None:
    for name, key, pipeline in (
        *(("1", "a", "orders"), ("2", "b", "orders"), ("3", None, "orders"), ("4", "a", "mail")),
        *(("5", "c", "mail"), ("6", "b", "orders")),
    ):
        await _fail(journal, name, key, pipeline)
    a, b, c = ("a", 2, "run-4", ("mail", "orders")), ("b", 2, "run-6", ("orders",)), ("c", 1, "run-5", ("mail",))
    assert await _list(journal) == [b, c, a]
    assert await _list(journal, limit=1) == [b]
    assert await _list(journal, after="run-6") == [c, a]
    assert await _list(journal, pipeline="mail") == [c, ("a", 1, "run-4", ("mail",))]
    assert await _list(journal, since="run-2", before="run-5") == [
        ("a", 1, "run-4", ("mail",)),
        ("b", 1, "run-2", ("orders",)),
    ]
    assert await _list(journal, pipeline="nobody") == []
    (group,) = await journal.read(list_failures, after="run-5")
    assert (group.newest.cause, group.newest.error_key, group.has_more) == (CAUSE, "a", False)
    assert [run.id for run in await journal.list_runs(error_key="a")] == ["run-4", "run-1"]
    assert await journal.read(list_pipelines) == ["mail", "orders"]
    assert await journal.read(list_triggers) == ["shop"]


async def test_a_run_that_goes_on_has_no_failure_any_more(journal: Journal) -> None:
    paused = RunView("paused", "uncertain", cause=CAUSE, error_key="a")
    run = await samples.a_run(journal, "1", paused)
    assert await _list(journal) == [("a", 1, run, ("orders",))]
    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING, is_progress=True)
    assert await _list(journal) == []
    found = await journal.find_run(run)
    assert found is not None
    assert (found.cause, found.error_key) == (None, None)


async def test_no_query_about_failures_reads_all_runs(journal: Journal) -> None:
    for name, key in (("1", "a"), ("2", "b")):
        await _fail(journal, name, key)

    def explain(connection: Connection, /, **wanted: Any) -> list[str]:
        asked: list[tuple[str, Any]] = []
        note = lambda conn, cursor, statement, parameters, *_: asked.append((statement, parameters))  # noqa: E731
        event.listen(connection, "before_cursor_execute", note)
        list_failures(connection, **wanted)
        event.remove(connection, "before_cursor_execute", note)
        return [
            row[-1]
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    for wanted in ({}, {"pipeline": "orders"}, {"since": "run-0", "before": "run-9"}, {"after": "run-9", "limit": 1}):
        plan = await journal.read(explain, **wanted)
        assert any("runs_error" in line or "runs_pipeline_error" in line for line in plan), plan
        assert not [line for line in plan if line.startswith("SCAN runs")], plan
