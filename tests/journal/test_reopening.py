"""Reopening a failed run: once, only in the state that was checked, and with an end for its former owner."""

import pytest

from durable.journal.errors import Stale
from durable.journal.journal import Journal
from durable.journal.ownership import list_due
from durable.messages import CancelMessage, RetryMessage, encode_message
from durable.units import CalledRetry, Cause, DedupeKey, NewMessage, RunView, SideEffects
from tests.journal.samples import RUNNING, a_run

pytestmark = pytest.mark.anyio

FAILED = RunView("failed", "why", finished_at=9_000, cause=Cause("failed", "a"), error_key="key")
REQUEST = RetryMessage("ada", "mended")
BECAUSE = "the step that called it has ended"


async def end_run(journal: Journal, run: str, view: RunView = FAILED) -> None:
    await journal.append(run, 1, 1, [], view, (), SideEffects(has_ended=True))


def called(run: str, *, is_detached: bool = False) -> CalledRetry:
    return CalledRetry(run, REQUEST, BECAUSE, DedupeKey.of_step("flow", "caller", "call", 1_000), is_detached)


async def list_kinds(journal: Journal, run: str) -> list[str]:
    return [message.kind for message in await journal.list_messages(run)]


async def test_a_failed_run_is_reopened_once_and_is_due_at_once(journal: Journal) -> None:
    run = await a_run(journal)
    assert not await journal.reopen(run, 1, REQUEST, 9_500), "it has not ended"
    await end_run(journal, run)
    assert not await journal.reopen(run, 2, REQUEST, 9_500), "another history was checked"
    assert [await each for each in [journal.reopen(run, 1, REQUEST, 9_500) for _ in range(3)]] == [True, False, False]
    found = await journal.find_run(run)
    assert found
    assert (found.status, found.finished_at, found.node, found.due_at) == ("queued", None, None, 9_500)
    assert (found.reason, found.cause, found.error_key) == (None, None, None)
    assert await journal.read(list_due, 9_500, 10) == [run]
    assert await list_kinds(journal, run) == ["retry"]


@pytest.mark.parametrize("status", ["completed", "cancelled"])
async def test_a_run_that_did_not_fail_is_not_reopened(journal: Journal, status: str) -> None:
    run = await a_run(journal)
    await end_run(journal, run, RunView(status, finished_at=9_000))  # type: ignore[arg-type]
    assert not await journal.reopen(run, 1, REQUEST, 9_500)


async def test_the_owner_under_which_a_run_ended_can_write_no_more(journal: Journal) -> None:
    run = await a_run(journal)
    await end_run(journal, run)
    await journal.reopen(run, 1, REQUEST, 9_500)
    with pytest.raises(Stale):
        await journal.append(run, 1, 1, [], RUNNING)
    taken = await journal.take_over(run, 9_600, count_recovery=False)
    assert taken
    assert (taken.sequence, taken.was_owned, taken.recoveries) == (1, False, 0)


@pytest.mark.parametrize(
    ("view", "is_reopened"),
    [
        (FAILED, True),
        (RunView("cancelled", BECAUSE, finished_at=9_000), True),
        (RunView("cancelled", "a person's reason", finished_at=9_000), False),
        (RunView("completed", finished_at=9_000), False),
    ],
)
async def test_a_called_run_is_reopened_if_it_failed_or_its_caller_cancelled_it(
    journal: Journal, view: RunView, is_reopened: bool
) -> None:
    caller, run = await a_run(journal, "1"), await a_run(journal, "2")
    await end_run(journal, run, view)
    also = SideEffects(retried=[called(run)])
    assert await journal.append(caller, 1, 1, [], RUNNING, (), also) == ((run,) if is_reopened else ())
    assert await list_kinds(journal, run) == (["retry"] if is_reopened else [])


async def test_a_detached_run_is_left_alone(journal: Journal) -> None:
    caller, run = await a_run(journal, "1"), await a_run(journal, "2")
    await end_run(journal, run)
    also = SideEffects(retried=[called(run, is_detached=True)])
    assert await journal.append(caller, 1, 1, [], RUNNING, (), also) == ()


async def test_a_called_run_whose_step_ends_again_at_once_is_cancelled_after_its_retry(journal: Journal) -> None:
    caller, run = await a_run(journal, "1"), await a_run(journal, "2")
    await end_run(journal, run)
    cancel = NewMessage(run, *encode_message(CancelMessage(BECAUSE)))
    await journal.append(caller, 1, 1, [], RUNNING, (), SideEffects(messages=[cancel], retried=[called(run)]))
    assert await list_kinds(journal, run) == ["retry", "cancel"]
