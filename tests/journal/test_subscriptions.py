"""Events, subscriptions and answers: each counts once, in commit order."""

from functools import partial
from typing import Any

import pytest

from durable.journal.dedupe import is_key_taken
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
from tests.journal.samples import LARGE, RUNNING, a_run, event, make_run_started, new_run

pytestmark = pytest.mark.anyio

ENDED = RunView("completed", finished_at=9_000)


def paid(id: str, *, time: int = 2_000, subject: str | None = "7", data: Value = NULL) -> Event:
    return Event(id, "shop", id, "paid", time, subject, data)


def subscription(
    path: str = "wait", *, subject: str | None = "7", since: int = 1_000, name: str = "", type: str = "paid"
) -> EventSubscription:
    return EventSubscription(path, name, type, subject, since)


async def subscribe(journal: Journal, run: str, *waits: EventSubscription, after: int = 1) -> tuple[str, ...]:
    return await journal.append(run, 1, after, [], RUNNING, (), SideEffects(subscriptions=waits))


async def admit(journal: Journal, what: Event) -> Admitted:
    return await journal.admit(Admission(what))


async def list_matches(journal: Journal, run: str) -> list[tuple[str, str]]:
    """The waits (by path) of a run that an event matched, and the event."""
    said: list[Any] = [message.data.load() for message in await journal.list_messages(run) if message.kind == "event"]
    return [(each["path"], each["event"]) for each in said]


async def test_an_event_ends_the_waits_that_match_it(journal: Journal) -> None:
    runs = [await a_run(journal, name) for name in "123"]
    for run, subject in zip(runs, ["7", None, "8"], strict=True):
        assert await subscribe(journal, run, subscription(subject=subject)) == ()
    admitted = await admit(journal, paid("e1"))
    assert set(admitted.notified) == set(runs[:2])
    await admit(journal, paid("e2"))
    assert [await list_matches(journal, run) for run in runs] == [[("wait", "e1")], [("wait", "e1")], []]


async def test_an_event_before_the_wait_matches_within_its_look_back(journal: Journal) -> None:
    run = await a_run(journal)
    await admit(journal, paid("old", time=500))
    await admit(journal, paid("new", time=1_500, data=LARGE))
    assert await subscribe(journal, run, subscription(since=1_000)) == (run,)
    assert await list_matches(journal, run) == [("wait", "new")]


async def test_a_wait_and_an_event_in_one_batch_never_miss_each_other(journal: Journal) -> None:
    for order in ("wait first", "event first"):
        run = await a_run(journal, order)
        steps: list[Any] = [
            partial(journal.append, run, 1, 1, [], RUNNING, (), SideEffects(subscriptions=[subscription(subject=run)])),
            partial(journal.admit, Admission(paid(f"e {run}", subject=run))),
        ]
        for future in [step() for step in (steps if order == "wait first" else reversed(steps))]:
            await future
        assert await list_matches(journal, run) == [("wait", f"e {run}")]


async def test_an_event_matches_one_wait_of_a_run_once(journal: Journal) -> None:
    run = await a_run(journal)
    await subscribe(journal, run, subscription("left"), subscription("right"))
    await admit(journal, paid("e1"))
    assert await list_matches(journal, run) == [("left", "e1")]
    await subscribe(journal, run, subscription("later"))
    assert await list_matches(journal, run) == [("left", "e1")], "it looks back, but that event was matched"
    await admit(journal, paid("e2"))
    assert await list_matches(journal, run) == [("left", "e1"), ("later", "e2")]


async def test_a_wait_for_one_of_several_events_ends_with_the_first(journal: Journal) -> None:
    run = await a_run(journal)
    await subscribe(journal, run, subscription(name="a"), subscription(name="b", subject=None))
    await admit(journal, paid("e1"))
    await admit(journal, paid("e2"))
    assert await list_matches(journal, run) == [("wait", "e1")]


async def test_no_event_reaches_an_ended_wait_or_an_ended_run(journal: Journal) -> None:
    first, second = await a_run(journal, "1"), await a_run(journal, "2")
    for run in (first, second):
        await subscribe(journal, run, subscription("left"), subscription("right"))
    await journal.append(first, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["left", "right"]))
    await journal.append(second, 1, 1, [], ENDED, (), SideEffects(has_ended=True))
    assert (await admit(journal, paid("e1"))).notified == ()


async def test_a_run_that_waits_at_once_gets_later_events_but_not_the_one_that_started_it(
    journal: Journal,
) -> None:
    run = NewRun(
        *("run-1", "orders", "v1", None, 2_000, [make_run_started(2_000)], RUNNING),
        side_effects=SideEffects(subscriptions=[subscription(since=0)]),
        listens=True,
    )
    admitted = await journal.admit(Admission(paid("e1"), [run]))
    assert admitted.notified == ()
    await admit(journal, paid("e2"))
    assert await list_matches(journal, "run-1") == [("wait", "e2")]


async def test_a_run_that_ends_at_once_notifies_its_caller_and_keeps_no_slot(journal: Journal) -> None:
    caller = await a_run(journal)
    request = SlotRequest("orders", 1)
    run = NewRun(
        *("run-2", "orders", "v1", None, 1_000, [make_run_started()], ENDED),
        slot_request=request,
        queued=QueuedStart([make_run_started()], RUNNING),
        side_effects=SideEffects(messages=[NewMessage(caller, "child", LARGE)], freed_slot="orders", has_ended=True),
    )
    admitted = await journal.admit(Admission(event("e2"), [run]))
    assert admitted.notified == (caller,)
    [message] = await journal.list_messages(caller)
    assert await journal.load_payload(message.data.ref or "") == bytes(LARGE.data)
    next_run = NewRun(
        *("run-3", "orders", "v1", None, 1_000, [make_run_started()], RUNNING),
        slot_request=request,
        queued=QueuedStart([make_run_started()], RUNNING),
    )
    assert (await journal.admit(Admission(event("e3"), [next_run]))).queued == ()


async def test_a_run_cancelled_before_it_began_does_not_begin(journal: Journal) -> None:
    caller = await a_run(journal)
    key = DedupeKey("flow", f"{caller}:call", 90_000)
    await journal.append(
        caller, 1, 1, [], RUNNING, (), SideEffects(messages=[NewMessage("run-9", "cancel", NULL, key)])
    )
    late = await journal.admit(Admission(event("e9"), [new_run("run-9")], [key], keeps_keys=True))
    assert late.is_duplicate
    assert late.runs == ()
    assert await journal.find_run("run-9") is None


async def test_a_kept_key_makes_an_event_count_once_even_if_it_starts_nothing(place: Place) -> None:
    key = DedupeKey("flow", "run:tell", 90_000)
    journal = await place.open()
    first = await journal.admit(Admission(paid("e1"), dedupe_keys=[key], keeps_keys=True))
    await journal.close()
    journal = await place.open()
    again = await journal.admit(Admission(paid("e2"), dedupe_keys=[key], keeps_keys=True))
    assert (again.event, again.is_duplicate) == (first.event, True)
    assert await journal.find_event("e2") is None
    await journal.close()


async def test_only_the_first_of_several_answers_is_posted(journal: Journal) -> None:
    run = await a_run(journal)
    posts = [journal.post(run, "answer", Value.of(number), 2_000, "ask") for number in range(3)]
    assert [await post for post in posts] == ["posted", "answered", "answered"]
    assert [message.data.load() for message in await journal.list_messages(run)] == [0]
    await journal.append(run, 1, 1, [], ENDED)
    assert await journal.post(run, "answer", NULL, 2_000, "other") == "ended"


async def test_the_first_commit_of_answer_event_or_timeout_ends_a_wait(journal: Journal) -> None:
    run = await a_run(journal)
    for path in ("a", "b", "c"):
        await subscribe(journal, run, subscription(path, name="paid", subject=path))
    events = [(paid(f"e {path}", subject=path), path) for path in ("a", "b", "c")]
    for what, path in events[:1]:
        admitted = journal.admit(Admission(what))
        answer = journal.post(run, "answer", NULL, 2_000, path)
        assert ((await admitted).notified, await answer) == ((run,), "answered")
    for kind, (what, path) in zip(("answer", "timer"), events[1:], strict=True):
        posted, admitted = journal.post(run, kind, NULL, 2_000, path), journal.admit(Admission(what))
        assert (await posted, (await admitted).notified) == ("posted", ())
    assert await list_matches(journal, run) == [("a", "e a")]


async def test_an_event_after_the_timeout_matches_the_next_wait(journal: Journal) -> None:
    run = await a_run(journal)
    await subscribe(journal, run, subscription("first"))
    await journal.post(run, "timer", NULL, 2_000, "first")
    assert (await admit(journal, paid("e1"))).notified == ()
    assert await subscribe(journal, run, subscription("second")) == (run,)
    assert await list_matches(journal, run) == [("second", "e1")]


async def test_an_answer_before_its_wait_leaves_the_event_to_others(journal: Journal) -> None:
    run = await a_run(journal)
    assert await journal.post(run, "answer", NULL, 1_500, "any") == "posted"
    await admit(journal, paid("e1"))
    assert await subscribe(journal, run, subscription("any", name="paid")) == ()
    await subscribe(journal, run, subscription("other"))
    assert await list_matches(journal, run) == [("other", "e1")]


async def test_the_event_of_a_wait_that_ended_before_it_arrived_matches_another_wait(journal: Journal) -> None:
    run = await a_run(journal)
    await subscribe(journal, run, subscription("left"), subscription("right"))
    await admit(journal, paid("e1"))
    await admit(journal, paid("e2"))
    assert await list_matches(journal, run) == [("left", "e1"), ("right", "e2")]
    await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["right"]))
    await subscribe(journal, run, subscription("waiting", since=9_000))
    assert await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["left"])) == (run,)
    assert await list_matches(journal, run) == [("waiting", "e1")]
    await subscribe(journal, run, subscription("looking"))
    assert await list_matches(journal, run) == [("waiting", "e1"), ("looking", "e2")]


async def test_a_wait_that_ended_with_its_block_accepts_no_answer(journal: Journal) -> None:
    run = await a_run(journal)
    await journal.append(run, 1, 1, [], RUNNING, (), SideEffects(ended_waits=["ask"]))
    assert await journal.post(run, "answer", NULL, 2_000, "ask") == "answered"


async def test_an_ended_run_starts_nothing_under_its_keys_and_accepts_no_answer(journal: Journal) -> None:
    run, other = await a_run(journal, "1"), await a_run(journal, "2")
    keys = [DedupeKey.of_step("flow", each, "tell", 2_000) for each in (run, other)]
    for each, key in zip((run, other), keys, strict=True):
        await journal.admit(Admission(paid(f"of {each}"), dedupe_keys=[key], keeps_keys=True))
        await journal.post(each, "answer", NULL, 2_000, "ask")
    await journal.append(run, 1, 1, [], ENDED, (), SideEffects(has_ended=True))
    for key in keys:
        again = Admission(event("again"), [new_run("run-again")], dedupe_keys=[key], keeps_keys=True)
        assert (await journal.admit(again)).is_duplicate
    assert await journal.find_run("run-again") is None
    assert await journal.post(run, "answer", NULL, 2_000, "ask") == "ended"
    assert await journal.post(other, "answer", NULL, 2_000, "ask") == "answered"


async def test_a_message_with_a_key_is_posted_once_and_its_result_is_the_first_ones(journal: Journal) -> None:
    run, once = await a_run(journal), DedupeKey("#bulk/1", "run-1", 90_000)
    for _ in range(2):
        assert await journal.post(run, "cancel", NULL, 2_000, once=once) == "posted"
    assert len(await journal.list_messages(run)) == 1
    assert await journal.read(is_key_taken, once, 2_000)
    other = DedupeKey("#bulk/1", "run-2", 90_000)
    assert await journal.post("run-2", "cancel", NULL, 2_000, once=other) == "ended"
    assert not await journal.read(is_key_taken, other, 2_000)
