"""Permits: bounded, granted in order, and not lost by a cancelled waiter."""

import asyncio
import random

import pytest

from connectors.wire.permits import Permits

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let every task that can continue do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_permits_are_granted_in_order() -> None:
    permits, order = Permits(1), list[int]()

    async def visit(number: int) -> None:
        await permits.acquire()
        order.append(number)
        await asyncio.sleep(0)
        permits.release()

    await asyncio.gather(*map(visit, range(10)))
    assert (order, permits.free) == (list(range(10)), 1)


async def test_a_released_permit_is_reserved_for_the_first_waiter() -> None:
    permits = Permits(1)
    await permits.acquire()
    first = asyncio.create_task(permits.acquire())
    await settle()
    permits.release()
    assert not permits.free  # it belongs to the first waiter, which has not been scheduled yet
    await first


async def test_a_permit_granted_to_a_waiter_as_it_is_cancelled_goes_to_the_next() -> None:
    permits = Permits(1)
    await permits.acquire()
    first, second = asyncio.create_task(permits.acquire()), asyncio.create_task(permits.acquire())
    await settle()
    permits.release()
    first.cancel()
    await asyncio.wait_for(second, 60)
    assert first.cancelled()
    permits.release()
    assert permits.free == 1


async def test_a_cancelled_waiter_is_skipped() -> None:
    permits = Permits(1)
    await permits.acquire()
    first, second = asyncio.create_task(permits.acquire()), asyncio.create_task(permits.acquire())
    await settle()
    first.cancel()
    permits.release()
    await asyncio.wait_for(second, 60)
    assert first.cancelled()


@pytest.mark.parametrize("seed", range(20))
async def test_cancellations_neither_lose_nor_create_permits(seed: int) -> None:
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
