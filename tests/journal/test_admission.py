"""Every database: events are accepted exactly once."""

import asyncio

import pytest
from msgspec.structs import replace

from durable.journal.deliveries import find_delivery
from durable.journal.errors import UnitRefused
from durable.journal.journal import Journal
from durable.units import Admission, Admitted, DedupeKey
from durable.values import Value
from tests.journal import samples

pytestmark = pytest.mark.anyio

KEY = DedupeKey("shop", "order-1", until=2_000)


async def test_an_admission_keeps_event_delivery_and_runs(journal: Journal) -> None:
    event = samples.event("event-1", data=Value.of({"total": 12}))
    runs = [samples.new_run("run-1"), samples.new_run("run-2", pipeline="mails")]

    admitted = await journal.admit(Admission(event, runs, [KEY], samples.delivery("delivery-1")))

    assert admitted == Admitted("event-1", ("run-1", "run-2"))
    assert await journal.find_event("event-1") == event
    assert [run.id for run in await journal.list_runs(event="event-1")] == ["run-2", "run-1"]
    [delivery] = await journal.list_deliveries()
    assert (delivery.outcome, delivery.event, delivery.kept, delivery.body) == ("accepted", "event-1", 13, None)
    whole = await journal.read(find_delivery, "delivery-1")
    assert whole
    assert (whole.head, whole.body) == (b'{"path":"/"}', b"{}")


async def test_a_new_run_is_owned_by_this_node(journal: Journal) -> None:
    run = await journal.find_run(await samples.a_run(journal))

    assert run is not None
    assert (run.node, run.epoch, run.sequence, run.recoveries) == ("node-1", 1, 1, 0)
    assert (run.pipeline, run.version, run.trigger, run.created_at) == ("orders", "v1", "shop", 1_000)
    assert (run.status, run.due_at, run.finished_at) == ("running", 5_000, None)


async def test_a_repeated_key_gets_the_first_answer_and_stores_only_its_delivery(journal: Journal) -> None:
    await journal.admit(samples.admission("1", KEY))

    repeated = await journal.admit(samples.admission("2", KEY))

    assert repeated == Admitted("event-1", ("run-1",), is_duplicate=True)
    assert await journal.find_run("run-2") is None
    assert await journal.find_event("event-2") is None
    deliveries = [(found.id, found.outcome, found.event) for found in await journal.list_deliveries()]
    assert deliveries == [("delivery-2", "duplicate", "event-1"), ("delivery-1", "accepted", "event-1")]


async def test_a_hundred_duplicates_at_once_start_one_run(journal: Journal) -> None:
    answers = await asyncio.gather(*(journal.admit(samples.admission(f"{number:03}", KEY)) for number in range(100)))

    assert {answer.runs for answer in answers} == {("run-000",)}
    assert [answer.is_duplicate for answer in answers].count(False) == 1
    assert len(await journal.list_runs(limit=200)) == 1
    assert len(await journal.list_deliveries(limit=200)) == 100


async def test_any_used_key_makes_a_duplicate(journal: Journal) -> None:
    await journal.admit(samples.admission("1", KEY))

    answer = await journal.admit(samples.admission("2", DedupeKey("shop", "another", 2_000), KEY))

    assert answer.is_duplicate
    assert not (await journal.admit(samples.admission("3", DedupeKey("shop", "another", 2_000)))).is_duplicate


async def test_the_same_key_in_another_scope_is_another_key(journal: Journal) -> None:
    await journal.admit(samples.admission("1", KEY))

    assert not (await journal.admit(samples.admission("2", replace(KEY, scope="mails")))).is_duplicate


@pytest.mark.parametrize(
    ("first", "second", "is_conflict"),
    [("a", "a", False), ("a", "b", True), (None, "b", False), ("a", None, False), (None, None, False)],
)
async def test_the_same_key_with_other_inputs_is_a_conflict(
    journal: Journal, first: str | None, second: str | None, is_conflict: bool
) -> None:
    await journal.admit(samples.admission("1", replace(KEY, fingerprint=first)))

    answer = await journal.admit(samples.admission("2", replace(KEY, fingerprint=second)))

    assert answer == Admitted("event-1", ("run-1",), is_duplicate=True, is_conflict=is_conflict)


async def test_an_expired_key_can_be_used_again(journal: Journal) -> None:
    await journal.admit(samples.admission("1", KEY))

    assert (await journal.admit(samples.admission("2", KEY, at=1_999))).is_duplicate
    assert not (await journal.admit(samples.admission("3", replace(KEY, until=3_000), at=2_000))).is_duplicate
    assert (await journal.admit(samples.admission("4", KEY, at=2_999))).runs == ("run-3",)


async def test_an_event_that_starts_no_run_takes_no_key(journal: Journal) -> None:
    filtered = await journal.admit(Admission(samples.event("event-1"), dedupe_keys=[KEY]))

    assert filtered == Admitted("event-1", ())
    assert not (await journal.admit(samples.admission("2", KEY))).is_duplicate


async def test_a_refused_admission_writes_nothing_and_affects_no_other(journal: Journal) -> None:
    await samples.a_run(journal, "taken")
    bad = Admission(
        samples.event("event-bad", data=samples.LARGE),
        [samples.new_run("run-new"), samples.new_run("run-taken")],  # the second one's id exists
        [KEY],
        samples.delivery("delivery-bad"),
    )

    before, refused, after = await asyncio.gather(
        journal.admit(samples.admission("1")),
        journal.admit(bad),
        journal.admit(samples.admission("2", KEY)),
        return_exceptions=True,
    )

    assert before == Admitted("event-1", ("run-1",))
    assert isinstance(refused, UnitRefused)
    assert after == Admitted("event-2", ("run-2",))
    assert await journal.find_event("event-bad") is None
    assert await journal.find_run("run-new") is None
    assert "delivery-bad" not in [delivery.id for delivery in await journal.list_deliveries()]
    with pytest.raises(LookupError):
        await journal.load_payload(samples.LARGE.ref or "")


async def test_a_delivery_without_an_event_is_stored(journal: Journal) -> None:
    await journal.add_delivery(replace(samples.delivery("delivery-1"), outcome="rejected", reason="bad signature"))

    [delivery] = await journal.list_deliveries(outcome="rejected")
    assert (delivery.id, delivery.reason, delivery.event) == ("delivery-1", "bad signature", None)
