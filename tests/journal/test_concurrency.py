"""Concurrency slots of a pipeline: counted from rows, granted in order, never lost."""

import pytest

from durable.history.words import Overflow
from durable.journal.journal import Journal
from durable.units import Admission, Admitted, NewRun, QueuedStart, RunView, SideEffects, SlotRequest
from tests.journal.conftest import Place
from tests.journal.samples import RUNNING, event, make_run_started

pytestmark = pytest.mark.anyio

ENDED = RunView("completed", finished_at=9_000)
QUEUED = RunView("queued", due_at=9_000)


async def begin(
    journal: Journal,
    run: str,
    *,
    limit: int = 1,
    key: str = "orders",
    overflow: Overflow = "queue",
    is_held_back: bool = False,
) -> Admitted:
    new = NewRun(
        *(run, "orders", "v1", None, 1_000, [make_run_started()], RUNNING),
        slot_request=SlotRequest(key, limit, overflow, is_held_back),
        queued=QueuedStart([make_run_started()], QUEUED),
    )
    return await journal.admit(Admission(event(f"event-{run}"), [new]))


async def end(journal: Journal, run: str, key: str = "orders") -> tuple[str, ...]:
    return await journal.append(run, 1, 1, [], ENDED, (), SideEffects(freed_slot=key, has_ended=True))


async def ask(journal: Journal, run: str, request: SlotRequest) -> tuple[str, ...]:
    return await journal.append(run, 1, 1, [], QUEUED, (), SideEffects(slot_request=request))


async def messages(journal: Journal, run: str) -> list[str]:
    return [message.kind for message in await journal.list_messages(run)]


async def status(journal: Journal, run: str) -> str | None:
    found = await journal.find_run(run)
    return found.status if found else None


async def test_a_run_above_the_limit_is_queued_and_gets_the_slot_of_one_that_ends(journal: Journal) -> None:
    assert (await begin(journal, "r1")).queued == ()
    assert (await begin(journal, "r2")).queued == ("r2",)
    assert (await begin(journal, "r3")).queued == ("r3",)
    assert [await status(journal, run) for run in ("r1", "r2", "r3")] == ["running", "queued", "queued"]
    assert await end(journal, "r1") == ("r2",)
    assert await messages(journal, "r2") == ["slot"]
    assert await messages(journal, "r3") == []


async def test_a_run_that_leaves_the_queue_frees_no_slot(journal: Journal) -> None:
    for run in ("r1", "r2", "r3"):
        await begin(journal, run)
    assert await end(journal, "r2") == ()
    assert await end(journal, "r1") == ("r3",)


async def test_no_new_run_overtakes_the_queue(journal: Journal) -> None:
    await begin(journal, "r1")
    await begin(journal, "r2")
    assert (await begin(journal, "r3", limit=3)).queued == ("r3",)
    assert await end(journal, "r1") == ("r2", "r3"), "each run uses the limit of its own request"


async def test_a_lower_limit_grants_no_slot_before_enough_runs_have_ended(journal: Journal) -> None:
    for run in ("r1", "r2", "r3"):
        await begin(journal, run, limit=3)
    await begin(journal, "r4", limit=1)
    assert await end(journal, "r1") == ()
    assert await end(journal, "r2") == ()
    assert await end(journal, "r3") == ("r4",)


async def test_a_run_above_the_limit_is_skipped_and_leaves_no_row(journal: Journal) -> None:
    await begin(journal, "r1", overflow="skip")
    admitted = await begin(journal, "r2", overflow="skip")
    assert (admitted.runs, admitted.skipped) == ((), ("r2",))
    assert await status(journal, "r2") is None
    await end(journal, "r1")
    assert (await begin(journal, "r3", overflow="skip")).skipped == ()


async def test_as_many_of_the_oldest_runs_are_cancelled_as_exceed_the_limit(journal: Journal) -> None:
    for run in ("r1", "r2"):
        await begin(journal, run, limit=2, overflow="cancel_oldest")
    assert (await begin(journal, "r3", limit=2, overflow="cancel_oldest")).notified == ("r1",)
    assert (await begin(journal, "r4", limit=2, overflow="cancel_oldest")).notified == ("r2",)
    assert await messages(journal, "r1") == ["cancel"]
    assert await end(journal, "r1") == ("r3",)


async def test_a_delayed_run_requests_its_slot_later(journal: Journal) -> None:
    assert (await begin(journal, "r1", is_held_back=True)).queued == ("r1",)
    assert (await begin(journal, "r2")).queued == (), "a delayed run takes no slot"
    assert await ask(journal, "r1", SlotRequest("orders", 1)) == ()
    assert await end(journal, "r2") == ("r1",)
    assert await messages(journal, "r1") == ["slot"]


async def test_a_run_that_requests_a_free_slot_gets_it(journal: Journal) -> None:
    await begin(journal, "r1", is_held_back=True)
    assert await ask(journal, "r1", SlotRequest("orders", 1)) == ("r1",)
    assert (await begin(journal, "r2")).queued == ("r2",)


async def test_a_run_that_ends_while_delayed_or_queued_leaves_no_row(journal: Journal) -> None:
    await begin(journal, "r1", is_held_back=True)
    assert await end(journal, "r1") == ()
    assert (await begin(journal, "r2")).queued == ()


async def test_runs_with_different_keys_do_not_compete(journal: Journal) -> None:
    await begin(journal, "r1", key="a")
    assert (await begin(journal, "r2", key="b")).queued == ()


async def test_slots_survive_a_restart(place: Place) -> None:
    journal = await place.open()
    await begin(journal, "r1")
    await begin(journal, "r2")
    await journal.close()
    journal = await place.open()
    assert (await begin(journal, "r3")).queued == ("r3",)
    assert await end(journal, "r1") == ("r2",)
    await journal.close()


async def test_a_stale_end_frees_nothing(journal: Journal) -> None:
    await begin(journal, "r1")
    await begin(journal, "r2")
    await journal.take_over("r1", 2_000, count_recovery=False)
    with pytest.raises(Exception, match="its owner is another"):
        await end(journal, "r1")
    assert await messages(journal, "r2") == []
