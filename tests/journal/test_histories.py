"""Every database: appends to histories, fences between owners, and inbox messages."""

import asyncio

import pytest
from msgspec.structs import replace

from durable.history.entries import RunFinished
from durable.journal.errors import Stale, UnitRefused
from durable.journal.journal import Journal
from durable.units import Admission, RunView
from durable.values import Value
from tests.journal import samples
from tests.journal.conftest import Place

pytestmark = pytest.mark.anyio

FINISHED = RunView("completed", finished_at=3_000)


async def finish(journal: Journal, run: str, epoch: int = 1) -> None:
    await journal.append(run, epoch, 1, [RunFinished(at=3_000, status="completed")], FINISHED)


async def test_an_append_is_numbered_and_advances_the_run(journal: Journal) -> None:
    run = await samples.a_run(journal)
    waiting = RunView("waiting", "a back-off", due_at=7_000)

    await journal.append(run, 1, 1, [samples.make_step_scheduled(), samples.make_step_completed()], samples.RUNNING)
    await journal.append(run, 1, 3, [samples.make_step_scheduled("pay")], waiting)

    assert await journal.read_history(run) == [
        (1, samples.make_run_started()),
        (2, samples.make_step_scheduled()),
        (3, samples.make_step_completed()),
        (4, samples.make_step_scheduled("pay")),
    ]
    row = await journal.find_run(run)
    assert row is not None
    assert (row.sequence, row.status, row.reason, row.due_at) == (4, "waiting", "a back-off", 7_000)


async def test_an_append_at_an_older_position_is_stale(journal: Journal) -> None:
    run = await samples.a_run(journal)
    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)

    with pytest.raises(Stale, match="run-1"):
        await journal.append(run, 1, 1, [samples.make_step_completed()], samples.RUNNING)

    assert len(await journal.read_history(run)) == 2


async def test_an_append_to_an_unknown_run_is_stale(journal: Journal) -> None:
    with pytest.raises(Stale):
        await journal.append("run-none", 1, 0, [samples.make_run_started()], samples.RUNNING)


async def test_only_the_unit_of_a_stale_owner_is_refused(journal: Journal) -> None:
    lost, kept = await samples.a_run(journal, "1"), await samples.a_run(journal, "2")
    await journal.take_over(lost, 2_000, count_recovery=False)

    journal.add_definition(
        "v1", "orders", b"x" * 5_000_000, 1_000
    )  # while it is written, the next ones become one batch
    refused, appended = await asyncio.gather(
        journal.append(lost, 1, 1, [samples.make_step_scheduled()], samples.RUNNING),
        journal.append(kept, 1, 1, [samples.make_step_scheduled()], samples.RUNNING),
        return_exceptions=True,
    )

    assert isinstance(refused, Stale)
    assert appended == ()
    assert (len(await journal.read_history(lost)), len(await journal.read_history(kept))) == (1, 2)


async def test_a_refused_append_writes_nothing_and_affects_no_other(journal: Journal) -> None:
    bad, good = await samples.a_run(journal, "1"), await samples.a_run(journal, "2")
    await journal.post(bad, "cancel", Value.of(None), 1_500)
    [message] = await journal.list_messages(bad)

    journal.add_definition("v1", "orders", b"x" * 5_000_000, 1_000)
    before, refused, after = await asyncio.gather(
        journal.append(good, 1, 1, [samples.make_step_scheduled()], samples.RUNNING),
        journal.append(
            bad, 1, 1, [samples.make_step_completed(output=samples.LARGE)], FINISHED, [message.id, samples.TOO_BIG]
        ),
        journal.append(good, 1, 2, [samples.make_step_completed()], samples.RUNNING),
        return_exceptions=True,
    )

    assert (before, after) == ((), ())
    assert isinstance(refused, UnitRefused)
    row = await journal.find_run(bad)
    assert row is not None
    assert (row.sequence, row.status) == (1, "running")
    assert len(await journal.read_history(bad)) == 1
    assert await journal.list_messages(bad) == [message]
    with pytest.raises(LookupError):
        await journal.load_payload(samples.LARGE.ref or "")
    await journal.append(bad, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)


async def test_cancelling_a_waiter_changes_nothing(journal: Journal) -> None:
    journal.add_definition("v1", "orders", b"x" * 5_000_000, 1_000)
    admitted = journal.admit(samples.admission("1"))
    admitted.cancel()
    waiter = asyncio.ensure_future(asyncio.shield(journal.admit(samples.admission("2"))))
    await asyncio.sleep(0)
    waiter.cancel()
    await journal.admit(samples.admission("3"))

    assert [run.id for run in await journal.list_runs()] == ["run-3", "run-2", "run-1"]


async def test_a_large_value_is_stored_once_by_the_hash_of_its_bytes(journal: Journal) -> None:
    runs = [
        samples.new_run(f"run-{number}", entries=[samples.make_run_started(inputs=samples.LARGE)]) for number in (1, 2)
    ]
    await journal.admit(Admission(samples.event("event-1", data=samples.LARGE), runs))
    await journal.append("run-1", 1, 1, [samples.make_step_completed(output=samples.LARGE)], samples.RUNNING)

    assert samples.LARGE.ref is not None
    assert await journal.load_payload(samples.LARGE.ref) == bytes(samples.LARGE.data)
    [(_, started), (_, completed)] = await journal.read_history("run-1")
    assert started == samples.make_run_started(inputs=samples.LARGE)
    assert completed == samples.make_step_completed(output=samples.LARGE)
    event = await journal.find_event("event-1")
    assert event is not None
    assert event.data == samples.LARGE
    assert not event.data.is_loaded


async def test_a_takeover_fences_the_run_and_returns_the_end_of_its_history(journal: Journal) -> None:
    run = await samples.a_run(journal)
    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING)

    takeover = await journal.take_over(run, 2_000, count_recovery=False)

    assert takeover is not None
    assert (takeover.run, takeover.version, takeover.epoch, takeover.recoveries) == (run, "v1", 2, 0)
    [page] = [page async for page in journal.read_pages(run, takeover.sequence)]
    assert page == [samples.make_run_started(), samples.make_step_scheduled()]
    with pytest.raises(Stale):
        await journal.append(run, 1, 2, [samples.make_step_completed()], samples.RUNNING)
    await journal.append(run, 2, 2, [samples.make_step_completed()], samples.RUNNING)


async def test_a_run_that_has_ended_or_does_not_exist_is_not_taken_over(journal: Journal) -> None:
    run = await samples.a_run(journal)
    await finish(journal, run)

    assert await journal.take_over(run, 4_000, count_recovery=True) is None
    assert await journal.take_over("run-none", 4_000, count_recovery=True) is None


async def test_recoveries_are_counted_until_there_is_progress(place: Place) -> None:
    journal = await place.open()
    run = await samples.a_run(journal)
    counts = []
    for _ in range(3):
        await journal.close()
        journal = await place.open()
        takeover = await journal.take_over(run, 2_000, count_recovery=True)
        assert takeover is not None
        counts.append(takeover.recoveries)
    assert counts == [1, 2, 3]
    assert [found.recoveries for found in await journal.list_unfinished(10)] == [3]

    await journal.append(run, 4, 1, [samples.make_step_scheduled()], samples.RUNNING)

    takeover = await journal.take_over(run, 2_000, count_recovery=False)
    assert takeover is not None
    assert takeover.recoveries == 0
    await journal.close()


async def test_due_runs_are_found_by_pipeline_without_scanning_the_backlog_of_another(journal: Journal) -> None:
    many = [samples.new_run(f"many-{number:03}", pipeline="many") for number in range(300)]
    others = [samples.new_run(f"run-{name}", pipeline=name) for name in ("a", "zoo", "later")]
    left = [replace(run, is_unowned=True) for run in (*many, *others[:2])]
    later = replace(others[2], is_unowned=True, view=RunView("waiting", due_at=9_000))
    await journal.admit(Admission(samples.event("1"), [*left, later, samples.new_run("owned", pipeline="owned")]))

    assert await journal.list_due_pipelines(5_000) == ["a", "many", "zoo"]
    assert await journal.list_due_pipelines(9_000) == ["a", "later", "many", "zoo"]
    assert await journal.list_due_pipelines(4_999) == []
    assert await journal.list_due(5_000, 3, "many") == ["many-000", "many-001", "many-002"]
    assert await journal.list_due(5_000, 3, "zoo") == ["run-zoo"]
    assert [run.run for run in await journal.list_orphans("another", 400)] == ["owned"]

    takeover = await journal.take_over("run-zoo", 6_000, count_recovery=False)

    assert takeover
    assert not takeover.was_owned, "none of its attempts was lost"
    assert await journal.list_due_pipelines(5_000) == ["a", "many"]


async def test_released_runs_are_found_when_they_are_due(journal: Journal) -> None:
    late = await samples.a_run(journal, "1", RunView("waiting", due_at=2_000))
    early = await samples.a_run(journal, "2", RunView("waiting", due_at=1_000))
    owned = await samples.a_run(journal, "3", RunView("waiting", due_at=1_000))
    await samples.a_run(journal, "4", RunView("paused", "uncertain"))
    assert await journal.list_due(9_000, 10) == []

    await journal.release([late, early])

    assert await journal.list_due(999, 10) == []
    assert await journal.list_due(1_000, 10) == [early]
    assert await journal.list_due(2_000, 10) == [early, late]
    assert await journal.list_due(2_000, 1) == [early]
    assert [run.run for run in await journal.list_orphans("another", 10)] == [owned, "run-4"]

    await journal.release_all()

    assert await journal.list_due(9_000, 10) == [early, owned, late]
    assert not any(run.was_busy for run in await journal.list_unfinished(10))
    await journal.take_over(early, 3_000, count_recovery=False)
    assert await journal.list_due(9_000, 10) == [owned, late]


async def test_a_node_releases_only_its_own_runs(place: Place) -> None:
    first = await place.open("node-1")
    await samples.a_run(first)
    await first.close()
    second = await place.open("node-2")

    await second.release_all()

    assert [run.was_busy for run in await second.list_unfinished(10)] == [True]
    takeover = await second.take_over("run-1", 2_000, count_recovery=False)
    row = await second.find_run("run-1")
    assert takeover is not None
    assert row is not None
    assert (row.node, row.claimed_at) == ("node-2", 2_000)
    await second.close()


async def test_a_message_waits_until_an_append_takes_it(journal: Journal) -> None:
    run, other = await samples.a_run(journal, "1"), await samples.a_run(journal, "2")
    assert await journal.post(run, "cancel", Value.of("too late"), 1_500)
    assert await journal.post(other, "answer", samples.LARGE, 1_600)
    [mine] = await journal.list_messages(run)
    assert (mine.run, mine.kind, mine.data, mine.at) == (run, "cancel", Value.of("too late"), 1_500)

    with pytest.raises(Stale):
        await journal.append(run, 7, 1, [samples.make_step_scheduled()], samples.RUNNING, [mine.id])
    assert len(await journal.list_messages()) == 2

    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING, [mine.id])
    assert [message.run for message in await journal.list_messages()] == [other]


async def test_an_append_takes_no_message_of_another_run(journal: Journal) -> None:
    run, other = await samples.a_run(journal, "1"), await samples.a_run(journal, "2")
    await journal.post(other, "cancel", Value.of(None), 1_500)
    [message] = await journal.list_messages(other)

    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING, [message.id])

    assert await journal.list_messages(other) == [message]


async def test_the_id_of_a_message_is_never_used_again(journal: Journal) -> None:
    run = await samples.a_run(journal)
    await journal.post(run, "answer", Value.of(1), 1_500)
    [first] = await journal.list_messages(run)
    await journal.append(run, 1, 1, [samples.make_step_scheduled()], samples.RUNNING, [first.id])

    await journal.post(run, "answer", Value.of(2), 1_600)

    [second] = await journal.list_messages(run)
    assert second.id > first.id


async def test_an_ended_run_accepts_no_message_and_has_an_empty_inbox(journal: Journal) -> None:
    run = await samples.a_run(journal)
    await journal.post(run, "answer", Value.of(1), 1_500)
    await finish(journal, run)

    assert await journal.post(run, "cancel", Value.of(None), 4_000) == "ended"
    assert await journal.post("run-none", "cancel", Value.of(None), 4_000) == "ended"
    assert await journal.list_messages() == []
    assert await journal.list_unfinished(10) == []


async def test_a_definition_stays_as_it_was_first_stored(journal: Journal) -> None:
    assert await journal.load_definition("v1") is None

    await journal.add_definition("v1", "orders", b"first", 1_000)
    await journal.add_definition("v1", "orders", b"second", 2_000)

    assert await journal.load_definition("v1") == b"first"
