"""Events and those who wait for them, and answers: each counts once, in the order of the commits."""

from functools import partial
from typing import Any

import pytest

from durable.journal.journal import Journal
from durable.units import (
    Admission,
    Admitted,
    DedupeKey,
    Event,
    EventSubscription,
    NewMessage,
    NewRun,
    QueuedStart,
    RunView,
    SideEffects,
    SlotRequest,
)
from durable.values import NULL, Value
from tests.journal.conftest import Place
from tests.journal.samples import LARGE, RUNNING, a_run, event, new_run, started

pytestmark = pytest.mark.anyio

ENDED = RunView("completed", finished_at=9_000)


def paid(id: str, *, time: int = 2_000, subject: str | None = "7", data: Value = NULL) -> Event:
    return Event(id, "shop", id, "paid", time, subject, data)


def listening(
    path: str = "wait", *, subject: str | None = "7", since: int = 1_000, name: str = "", type: str = "paid"
) -> EventSubscription:
    return EventSubscription(path, name, type, subject, since)


async def listen(journal: Journal, run: str, *waits: EventSubscription, after: int = 1) -> tuple[str, ...]:
    return await journal.append(run, 1, after, [], RUNNING, (), SideEffects(subscriptions=waits))


async def tell(journal: Journal, what: Event) -> Admitted:
    return await journal.admit(Admission(what))


async def heard(journal: Journal, run: str) -> list[tuple[str, str]]:
    """The paths that were told of an event, and of which."""
    said: list[Any] = [message.data.load() for message in await journal.list_messages(run) if message.kind == "event"]
    return [(each["path"], each["event"]) for each in said]


async def test_an_event_tells_those_who_listen_and_they_listen_no_more(journal: Journal) -> None:
    runs = [await a_run(journal, name) for name in "123"]
    for run, subject in zip(runs, ["7", None, "8"], strict=True):
        assert await listen(journal, run, listening(subject=subject)) == ()
    admitted = await tell(journal, paid("e1"))
    assert set(admitted.notified) == set(runs[:2])
    await tell(journal, paid("e2"))
    assert [await heard(journal, run) for run in runs] == [[("wait", "e1")], [("wait", "e1")], []]


async def test_an_event_that_came_before_the_wait_counts_if_it_looks_back(journal: Journal) -> None:
    run = await a_run(journal)
    await tell(journal, paid("old", time=500))
    await tell(journal, paid("new", time=1_500, data=LARGE))
    assert await listen(journal, run, listening(since=1_000)) == (run,)
    assert await heard(journal, run) == [("wait", "new")]


async def test_a_wait_and_an_event_in_one_batch_never_miss_each_other(journal: Journal) -> None:
    for order in ("wait first", "event first"):
        run = await a_run(journal, order)
        steps: list[Any] = [
            partial(journal.append, run, 1, 1, [], RUNNING, (), SideEffects(subscriptions=[listening(subject=run)])),
            partial(journal.admit, Admission(paid(f"e {run}", subject=run))),
        ]
        for future in [step() for step in (steps if order == "wait first" else reversed(steps))]:
            await future
        assert await heard(journal, run) == [("wait", f"e {run}")]


async def test_an_event_answers_one_wait_of_a_run_and_that_once(journal: Journal) -> None:
    run = await a_run(journal)
    await listen(journal, run, listening("left"), listening("right"))
    await tell(journal, paid("e1"))
    assert await heard(journal, run) == [("left", "e1")]
    await listen(journal, run, listening("later"))
    assert await heard(journal, run) == [("left", "e1")], "it looks back, but that event was heard"
    await tell(journal, paid("e2"))
    assert await heard(journal, run) == [("left", "e1"), ("later", "e2")]


async def test_a_wait_for_one_of_several_listens_no_more_for_the_others(journal: Journal) -> None:
    run = await a_run(journal)
    await listen(journal, run, listening(name="a"), listening(name="b", subject=None))
    await tell(journal, paid("e1"))
    await tell(journal, paid("e2"))
    assert await heard(journal, run) == [("wait", "e1")]


async def test_who_is_deaf_or_has_ended_hears_nothing(journal: Journal) -> None:
    first, second = await a_run(journal, "1"), await a_run(journal, "2")
    for run in (first, second):
        await listen(journal, run, listening("left"), listening("right"))
    await journal.append(first, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["left", "right"]))
    await journal.append(second, 1, 1, [], ENDED, (), SideEffects(has_ended=True))
    assert (await tell(journal, paid("e1"))).notified == ()


async def test_a_run_that_waits_from_its_first_moment_hears_what_comes_but_not_what_started_it(
    journal: Journal,
) -> None:
    run = NewRun(
        *("run-1", "orders", "v1", None, 2_000, [started(2_000)], RUNNING),
        side_effects=SideEffects(subscriptions=[listening(since=0)]),
        listens=True,
    )
    admitted = await journal.admit(Admission(paid("e1"), [run]))
    assert admitted.notified == ()
    await tell(journal, paid("e2"))
    assert await heard(journal, "run-1") == [("wait", "e2")]


async def test_a_run_that_ends_in_its_first_moment_tells_its_caller_and_keeps_no_slot(journal: Journal) -> None:
    caller = await a_run(journal)
    contention = SlotRequest("orders", 1)
    run = NewRun(
        *("run-2", "orders", "v1", None, 1_000, [started()], ENDED),
        slot_request=contention,
        queued=QueuedStart([started()], RUNNING),
        side_effects=SideEffects(messages=[NewMessage(caller, "child", LARGE)], freed_slot="orders", has_ended=True),
    )
    admitted = await journal.admit(Admission(event("e2"), [run]))
    assert admitted.notified == (caller,)
    [message] = await journal.list_messages(caller)
    assert await journal.load_payload(message.data.ref or "") == bytes(LARGE.data)
    next_run = NewRun(
        *("run-3", "orders", "v1", None, 1_000, [started()], RUNNING),
        slot_request=contention,
        queued=QueuedStart([started()], RUNNING),
    )
    assert (await journal.admit(Admission(event("e3"), [next_run]))).queued == ()


async def test_a_run_that_is_told_to_end_before_it_began_does_not_begin(journal: Journal) -> None:
    caller = await a_run(journal)
    claim = DedupeKey("flow", f"{caller}:call", 90_000)
    await journal.append(
        caller, 1, 1, [], RUNNING, (), SideEffects(messages=[NewMessage("run-9", "cancel", NULL, claim)])
    )
    late = await journal.admit(Admission(event("e9"), [new_run("run-9")], [claim], keeps_keys=True))
    assert late.is_duplicate
    assert late.runs == ()
    assert await journal.find_run("run-9") is None


async def test_a_claim_that_is_kept_makes_an_event_count_once_though_it_starts_nothing(place: Place) -> None:
    claim = DedupeKey("flow", "run:tell", 90_000)
    journal = await place.open()
    first = await journal.admit(Admission(paid("e1"), dedupe_keys=[claim], keeps_keys=True))
    await journal.close()
    journal = await place.open()
    again = await journal.admit(Admission(paid("e2"), dedupe_keys=[claim], keeps_keys=True))
    assert (again.event, again.is_duplicate) == (first.event, True)
    assert await journal.find_event("e2") is None
    await journal.close()


async def test_of_several_answers_the_first_is_posted(journal: Journal) -> None:
    run = await a_run(journal)
    posts = [journal.post(run, "answer", Value.of(number), 2_000, "ask") for number in range(3)]
    assert [await post for post in posts] == ["posted", "answered", "answered"]
    assert [message.data.load() for message in await journal.list_messages(run)] == [0]
    await journal.append(run, 1, 1, [], ENDED)
    assert await journal.post(run, "answer", NULL, 2_000, "other") == "ended"


async def test_of_an_answer_an_event_and_the_time_whatever_is_committed_first_ends_a_wait(journal: Journal) -> None:
    run = await a_run(journal)
    for path in ("a", "b", "c"):
        await listen(journal, run, listening(path, name="paid", subject=path))
    events = [(paid(f"e {path}", subject=path), path) for path in ("a", "b", "c")]
    for what, path in events[:1]:
        told = journal.admit(Admission(what))
        answer = journal.post(run, "answer", NULL, 2_000, path)
        assert ((await told).notified, await answer) == ((run,), "answered")
    for kind, (what, path) in zip(("answer", "timer"), events[1:], strict=True):
        posted, told = journal.post(run, kind, NULL, 2_000, path), journal.admit(Admission(what))
        assert (await posted, (await told).notified) == ("posted", ())
    assert await heard(journal, run) == [("a", "e a")]


async def test_an_event_that_came_when_the_time_was_over_is_there_for_the_next_wait(journal: Journal) -> None:
    run = await a_run(journal)
    await listen(journal, run, listening("first"))
    await journal.post(run, "timer", NULL, 2_000, "first")
    assert (await tell(journal, paid("e1"))).notified == ()
    assert await listen(journal, run, listening("second")) == (run,)
    assert await heard(journal, run) == [("second", "e1")]


async def test_an_answer_that_comes_before_its_wait_leaves_the_event_to_others(journal: Journal) -> None:
    run = await a_run(journal)
    assert await journal.post(run, "answer", NULL, 1_500, "any") == "posted"
    await tell(journal, paid("e1"))
    assert await listen(journal, run, listening("any", name="paid")) == ()
    await listen(journal, run, listening("other"))
    assert await heard(journal, run) == [("other", "e1")]


async def test_what_a_wait_heard_that_ends_without_it_answers_another_or_is_looked_back_at(journal: Journal) -> None:
    run = await a_run(journal)
    await listen(journal, run, listening("left"), listening("right"))
    await tell(journal, paid("e1"))
    await tell(journal, paid("e2"))
    assert await heard(journal, run) == [("left", "e1"), ("right", "e2")]
    await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["right"]))
    await listen(journal, run, listening("waiting", since=9_000))
    assert await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["left"])) == (run,)
    assert await heard(journal, run) == [("waiting", "e1")]
    await listen(journal, run, listening("looking"))
    assert await heard(journal, run) == [("waiting", "e1"), ("looking", "e2")]


async def test_a_wait_that_ended_with_its_block_takes_no_answer(journal: Journal) -> None:
    run = await a_run(journal)
    await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["ask"]))
    assert await journal.post(run, "answer", NULL, 2_000, "ask") == "answered"


async def test_what_a_run_has_claimed_ends_with_it_and_nothing_begins_for_it_any_more(journal: Journal) -> None:
    run, other = await a_run(journal, "1"), await a_run(journal, "2")
    claims = [DedupeKey.of_step("flow", each, "tell", 2_000) for each in (run, other)]
    for each, claim in zip((run, other), claims, strict=True):
        await journal.admit(Admission(paid(f"of {each}"), dedupe_keys=[claim], keeps_keys=True))
        await journal.post(each, "answer", NULL, 2_000, "ask")
    await journal.append(run, 1, 1, [], ENDED, (), SideEffects(has_ended=True))
    for claim in claims:
        again = Admission(event("again"), [new_run("run-again")], dedupe_keys=[claim], keeps_keys=True)
        assert (await journal.admit(again)).is_duplicate
    assert await journal.find_run("run-again") is None
    assert await journal.post(run, "answer", NULL, 2_000, "ask") == "ended"
    assert await journal.post(other, "answer", NULL, 2_000, "ask") == "answered"
