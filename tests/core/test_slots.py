"""Slots: never more than there are, by priority, and none is lost to whoever goes away."""

import asyncio

import pytest

from durable.runner.slots import Slots

pytestmark = pytest.mark.anyio


async def _hold(slots: Slots, name: str, priority: int, order: list[str]) -> None:
    await slots.take(priority)
    order.append(name)


async def test_a_higher_priority_goes_first_and_among_equals_the_first() -> None:
    slots, order = Slots(1), list[str]()
    await slots.take(0)
    waiting = [
        asyncio.create_task(_hold(slots, name, priority, order))
        for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 1))
    ]
    await asyncio.sleep(0)
    for _ in waiting:
        slots.give()
        await asyncio.sleep(0)
    assert order == ["high", "first", "second", "low"]


async def test_who_goes_away_while_waiting_takes_no_slot_along() -> None:
    slots, order = Slots(1), list[str]()
    await slots.take(0)
    gone = asyncio.create_task(_hold(slots, "gone", 1, order))
    stays = asyncio.create_task(_hold(slots, "stays", 0, order))
    await asyncio.sleep(0)
    gone.cancel()
    slots.give()
    await stays
    assert order == ["stays"]
    slots.give()
    await asyncio.wait_for(slots.take(0), 1)


async def test_who_goes_away_in_the_moment_of_being_given_a_slot_hands_it_on() -> None:
    slots, order = Slots(1), list[str]()
    await slots.take(0)
    unlucky = asyncio.create_task(_hold(slots, "unlucky", 1, order))
    next_one = asyncio.create_task(_hold(slots, "next", 0, order))
    await asyncio.sleep(0)
    slots.give()
    unlucky.cancel()
    await next_one
    assert order == ["next"]


async def test_those_who_went_away_take_no_memory() -> None:
    slots = Slots(1)
    await slots.take(0)
    stays = asyncio.ensure_future(slots.take(0))
    for _ in range(1_000):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slots.take(0), 0.00001)
    assert len(slots._waiting) < 10
    slots.give()
    await asyncio.wait_for(stays, 1)
