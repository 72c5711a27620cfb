"""Slots for attempts: bounded, shared fairly by pipeline and by target, and never lost by a cancelled attempt."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from time import process_time

import pytest

from durable.action import TARGET_LIMIT
from durable.clock import now
from durable.runner.gates import ConnectionGates
from durable.runner.permits import GREED, IDLE_LINES, AttemptPermits, PermitLine, count_takeable, may_take
from durable.runner.room import Backlog, Room

pytestmark = pytest.mark.anyio


class Visits:
    """Named attempts that request permits; `order` is the order in which they got them."""

    def __init__(self, number: int) -> None:
        self.permits = AttemptPermits(number)
        self.order: list[str] = []
        self.lines: dict[str, PermitLine] = {}

    async def take(self, name: str, pipeline: str, to: str | None = None, priority: int = 0) -> None:
        self.lines[name] = await self.permits.take(pipeline, to, priority)
        self.order.append(name)

    def ask(self, name: str, pipeline: str, to: str | None = None, priority: int = 0) -> "asyncio.Task[None]":
        return asyncio.create_task(self.take(name, pipeline, to, priority))

    async def give(self, name: str) -> None:
        self.permits.give(self.lines.pop(name))
        await _settle()


async def _settle() -> None:
    """Let every task that can continue do so."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_higher_priority_goes_first_and_equal_priorities_go_in_order() -> None:
    visits = Visits(1)
    await visits.take("holder", "p")
    waiting = [
        visits.ask(name, "p", priority=priority)
        for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 1))
    ]
    await _settle()
    for name in ("holder", "high", "first", "second"):
        await visits.give(name)
    assert visits.order == ["holder", "high", "first", "second", "low"]
    await asyncio.gather(*waiting)


async def test_the_pipeline_that_holds_the_fewest_permits_goes_first() -> None:
    visits = Visits(3)
    for name in ("a1", "a2", "b1"):
        await visits.take(name, name[0])
    waiting = [visits.ask(name, name[0]) for name in ("a3", "a4", "b2", "b3", "c1", "c2")]
    await _settle()
    await visits.give("a1")
    await visits.give("a2")
    await visits.give("b1")
    assert visits.order[3:] == ["c1", "a3", "b2"]
    assert visits.permits.count_waiting("a") == 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert [visits.permits.count_waiting(pipeline) for pipeline in "abc"] == [0, 0, 0]


async def test_a_hanging_target_does_not_block_other_targets() -> None:
    visits = Visits(256)
    taken = [visits.permits.take_now(f"p{number % 10}", "hangs") for number in range(300)]
    assert TARGET_LIMIT * 15 // 16 <= sum(each is not None for each in taken) <= TARGET_LIMIT
    waiting = [visits.ask(f"w{number}", "p0", "hangs") for number in range(1_000)]
    await _settle()
    assert visits.permits.take_now("p0", "other")
    assert visits.permits.take_now("new", "other")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_a_hanging_pipeline_leaves_permits_and_connections_to_others() -> None:
    permits = AttemptPermits(256)
    held = [permits.take_now("greedy", f"target{number % 5}") for number in range(1_000)]
    assert sum(each is not None for each in held) == 224
    assert permits.take_now("other", "target1"), "also at a target where the greedy pipeline is at its limit"
    assert permits.take_now("another", "target9")
    permits = AttemptPermits(256)
    assert sum(permits.take_now("greedy", "hangs") is not None for _ in range(256)) == 112
    assert permits.take_now("other", "hangs")


@pytest.mark.parametrize("number", [4, 5, 8, 16, 100, 256, 1_000])
@pytest.mark.parametrize("greedy", [1, 2, 3])
async def test_a_pipeline_without_permits_gets_one_despite_greedy_pipelines(number: int, greedy: int) -> None:
    permits = AttemptPermits(number)
    for turn in range(3 * number):
        permits.take_now(f"greedy{turn % greedy}", f"target{turn % 7}")
    if greedy < number // 4 or greedy == 1:
        assert permits.take_now("other", "elsewhere")


async def test_dozens_of_hanging_pipelines_leave_permits_to_new_pipelines() -> None:
    permits = AttemptPermits(256)
    for turn in range(60 * 60):
        permits.take_now(f"hangs{turn % 60}", f"target{turn % 60}")
    for number in range(16):
        assert permits.take_now(f"new{number}", "elsewhere")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_pipeline_may_hold_all_of_a_few_permits(number: int) -> None:
    permits = AttemptPermits(number)
    assert all(permits.take_now("p", "t") for _ in range(number))
    assert permits.take_now("p", "t") is None


async def test_an_attempt_moves_its_permit_to_a_target_with_capacity() -> None:
    permits = AttemptPermits(256)
    begun = permits.take_now("p", None)
    assert begun
    moved = permits.exchange(begun, "t")
    assert moved
    assert moved.to == "t"
    while permits.take_now("q", "full"):
        pass
    while permits.take_now("r", "full"):
        pass
    while permits.take_now("p", "full"):
        pass
    again = permits.exchange(moved, "full")
    assert again is None
    assert permits.exchange(begun, None) is begun


async def test_an_attempt_cancelled_while_waiting_takes_no_permit() -> None:
    visits = Visits(1)
    await visits.take("holder", "p")
    gone, stays = visits.ask("gone", "p", priority=1), visits.ask("stays", "p")
    await _settle()
    gone.cancel()
    await visits.give("holder")
    await stays
    assert visits.order == ["holder", "stays"]
    await visits.give("stays")
    assert visits.permits.take_now("p", None)


async def test_a_permit_granted_to_an_attempt_as_it_is_cancelled_goes_to_the_next() -> None:
    visits = Visits(1)
    await visits.take("holder", "p")
    unlucky, follower = visits.ask("unlucky", "p"), visits.ask("follower", "q")
    await _settle()
    visits.permits.give(visits.lines.pop("holder"))
    unlucky.cancel()
    await follower
    assert visits.order == ["holder", "follower"]


@pytest.mark.parametrize("seed", range(30))
async def test_no_permit_is_lost_and_no_eligible_attempt_waits_forever(seed: int) -> None:
    chance = random.Random(seed)
    number, target_limit = chance.choice([1, 2, 3, 5, 9, 20]), chance.choice([1, 2, 4, 128])
    permits = AttemptPermits(number, target_limit)
    held: Counter[str] = Counter()
    at: Counter[tuple[str, str | None]] = Counter()
    waiting: Counter[tuple[str, str | None]] = Counter()

    def may_go(pipeline: str, to: str | None) -> bool:
        limit = number if to is None else min(target_limit, number - number // 8)
        there = sum(count for (_, each), count in at.items() if each == to)
        return may_take(held[pipeline], number - held.total(), number) and may_take(
            at[pipeline, to], limit - there, limit
        )

    async def visit(pipeline: str, to: str | None, priority: int) -> None:
        waiting[pipeline, to] += 1
        try:
            line = await permits.take(pipeline, to, priority)
        finally:
            waiting[pipeline, to] -= 1
        held[pipeline] += 1
        at[pipeline, to] += 1
        left: PermitLine | None = line
        try:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
                if left and chance.random() < 0.2:
                    at[pipeline, left.to] -= 1
                    left = permits.exchange(left, chance.choice("xyz"))
                    at[pipeline, left.to if left else "gone"] += 1
                    held[pipeline] -= left is None
        finally:
            if left:
                held[pipeline] -= 1
                at[pipeline, left.to] -= 1
                permits.give(left)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        if chance.random() < 0.6:
            make = (chance.choice("abcd"), chance.choice(["x", "y", "z", None]), chance.randrange(3))
            tasks.append(asyncio.create_task(visit(*make)))
        if tasks and chance.random() < 0.3:
            chance.choice(tasks).cancel()
        await asyncio.sleep(0)
        assert held.total() <= number
    await _wait_until_drained(tasks, lambda: [key for key, count in waiting.items() if count and may_go(*key)])
    assert (held.total(), permits._free) == (0, number)
    assert not any(permits.count_waiting(pipeline) for pipeline in "abcd")


async def _wait_until_drained(tasks: list["asyncio.Task[None]"], eligible: Callable[[], list[object]]) -> None:
    """Return once all tasks have ended; fail if an eligible task waits longer than its wake-up takes."""
    since = 0
    while not all(task.done() for task in tasks):
        since = since + 1 if eligible() else 0
        assert since < 20, eligible()
        await asyncio.sleep(0)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):
            raise error


@pytest.mark.parametrize("free", [0, 1, 2, 7, 8, 100])
@pytest.mark.parametrize("held", [0, 1, 6, 7, 50, 700])
def test_the_takeable_count_equals_the_number_taken_one_by_one(held: int, free: int) -> None:
    taken = 0
    while free > taken and held + taken < GREED * (free - taken):
        taken += 1
    assert count_takeable(held, free) == taken


def test_memory_reserves_room_for_every_pipeline() -> None:
    room = Room(100)
    while room.count_free("greedy"):
        room.add("greedy")
    assert room.free == 12
    for number in range(100):
        assert room.count_free(f"p{number}") >= 1
        room.add(f"p{number}")
    assert room.free == room.count_free("p1") == 0
    room.remove("p1")
    assert room.count_free("p1") == 1


async def test_a_new_run_queues_behind_earlier_runs_of_its_priority() -> None:
    visits = Visits(1)
    backlog = Backlog(Room(100), visits.permits, ConnectionGates(now), at_hand=2)
    await visits.take("holder", "p")
    assert not backlog.must_wait("p", 0)
    waiting = [visits.ask(name, "p") for name in ("first", "second")]
    await _settle()
    assert backlog.must_wait("p", 0)
    assert not backlog.must_wait("p", 1)
    assert not backlog.must_wait("q", 0)
    backlog.add("p", 0)
    assert backlog.count_wanted("p") == 0
    for name in ("holder", "first"):
        await visits.give(name)
    assert backlog.must_wait("p", 0), "runs queued earlier come first"
    assert backlog.is_wanted("p")
    assert backlog.count_wanted("p") == 2
    backlog.forget("p")
    assert not backlog.must_wait("p", 0)
    await asyncio.gather(*waiting)


async def test_empty_queues_are_removed_from_memory() -> None:
    permits = AttemptPermits(8)
    for number in range(20 * IDLE_LINES):
        line = permits.take_now(f"p{number % 3}", f"https://host-{number}.example.com")
        assert line
        permits.give(line)
    assert len(permits._lines) <= IDLE_LINES
    assert len(permits._targets) <= IDLE_LINES


async def test_the_cost_of_handing_over_a_permit_does_not_grow_with_the_queue() -> None:
    async def seconds(waiting: int) -> float:
        visits = Visits(256)
        tasks = [visits.ask(str(number), f"p{number % 10}", f"t{number % 1_000}") for number in range(256 + waiting)]
        await _settle()
        began = process_time()
        for _ in range(500):
            await visits.give(next(iter(visits.lines)))
        spent = process_time() - began
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return spent

    assert await seconds(20_000) < 10 * await seconds(1_000)
