"""Permits: never more than there are, in turn, and none lost by who gives up."""

import asyncio
import random

import pytest

from connectors.wire.permits import Permits

pytestmark = pytest.mark.anyio


async def settled() -> None:
    """Everybody who can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_permits_are_given_in_turn() -> None:
    permits, order = Permits(1), list[int]()

    async def visit(number: int) -> None:
        await permits.acquire()
        order.append(number)
        await asyncio.sleep(0)
        permits.release()

    await asyncio.gather(*map(visit, range(10)))
    assert (order, permits.free) == (list(range(10)), 1)


async def test_who_comes_later_does_not_overtake_the_line() -> None:
    permits = Permits(1)
    await permits.acquire()
    first = asyncio.create_task(permits.acquire())
    await settled()
    permits.release()
    assert not permits.free  # it is the first one's, who does not know it yet
    await first


async def test_a_permit_that_comes_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    permits = Permits(1)
    await permits.acquire()
    first, second = asyncio.create_task(permits.acquire()), asyncio.create_task(permits.acquire())
    await settled()
    permits.release()
    first.cancel()
    await asyncio.wait_for(second, 60)
    assert first.cancelled()
    permits.release()
    assert permits.free == 1


async def test_who_gave_up_is_passed_over() -> None:
    permits = Permits(1)
    await permits.acquire()
    first, second = asyncio.create_task(permits.acquire()), asyncio.create_task(permits.acquire())
    await settled()
    first.cancel()
    permits.release()
    await asyncio.wait_for(second, 60)
    assert first.cancelled()


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_or_made_whoever_gives_up_and_when(seed: int) -> None:
    chance, permits, held, most = random.Random(seed), Permits(3), 0, 0

    async def visit() -> None:
        nonlocal held, most
        await permits.acquire()
        held += 1
        most = max(most, held)
        try:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            held -= 1
            permits.release()

    tasks = [asyncio.create_task(visit()) for _ in range(60)]
    while not all(task.done() for task in tasks):
        if chance.random() < 0.5:
            chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert (most, held, permits.free) == (3, 0, 3)
