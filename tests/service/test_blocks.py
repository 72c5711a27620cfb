"""Blocks in a whole service: across crashes, with large values, and with many items."""

import asyncio
import gc
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.service.gates import Gates, begin, copy_after_crash, kinds

pytestmark = pytest.mark.anyio

EACH = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: inputs.items
    as: item
    max_parallel: 4
    steps:
      - {id: pass, use: gate.pass, with: {what: item, value: "{{ item }}"}}
outputs: {each: "{{ steps.each.output }}"}
"""
MANY = """
inputs: {items: {type: array}}
steps:
  - id: each
    foreach: inputs.items
    as: item
    max_parallel: 10
    steps:
      - {id: set, use: transform.set, with: {values: {item: "{{ item }}"}}}
"""
TURNS = """
steps:
  - id: turns
    repeat: {until: "steps.turn.output.value >= 5", every: 20ms, max_times: 20}
    steps:
      - {id: turn, use: gate.pass, with: {what: turn, value: "{{ index }}"}}
outputs: {last: "{{ steps.turns.output.turn.output.value }}"}
"""


async def test_large_items_reach_their_steps(tmp_path: Path) -> None:
    gates = Gates()
    items = [f"{number}{'x' * 40_000}" for number in range(12)]
    async with gates.serving(tmp_path, {"p": EACH}) as service:
        run = await service.wait_for_end(await begin(service, "p", items=items))
    assert sorted(gates.given) == sorted(items)
    assert [item["steps"]["pass"]["output"]["value"] for item in run["outputs"]["each"]] == items


async def test_completed_items_are_not_repeated_after_a_crash(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("3")
    text = EACH.replace("what: item", 'what: "{{ item }}"')
    async with gates.serving(tmp_path, {"p": text}) as service:
        run = await begin(service, "p", items=[str(number) for number in range(20)])
        await gates.wait_until_reached("3")
        async with asyncio.timeout(60):
            while (await kinds(service, run)).count("step_completed") < 19:
                await asyncio.sleep(0.01)
        place = copy_after_crash(tmp_path)
    gates.open("3")
    async with gates.serving(place, {"p": text}) as service:
        assert (await service.wait_for_end(run))["status"] == "completed"
    assert sorted(map(int, gates.passed)) == list(range(20))


async def test_the_interval_of_a_repeat_is_kept_across_a_crash(tmp_path: Path) -> None:
    gates = Gates()
    gates.close("turn")
    async with gates.serving(tmp_path, {"p": TURNS}) as service:
        run = await begin(service, "p")
        await gates.wait_until_reached("turn")
        place = copy_after_crash(tmp_path)
    gates.open("turn")
    async with gates.serving(place, {"p": TURNS}) as service:
        assert (await service.wait_for_end(run))["outputs"] == {"last": 5}
    assert gates.passed == ["turn"] * 6


@pytest.mark.slow
async def test_the_cost_of_an_item_does_not_grow_over_ten_thousand_items(tmp_path: Path) -> None:
    async with Gates().serving(tmp_path, {"p": MANY}) as service:
        run = await begin(service, "p", items=list(range(10_000)))
        live = service.service.runner.runs.by_id[run]
        marks: list[float] = []
        most = 0
        while run in service.service.runner.runs.by_id:
            done = live.state.blocks["each"].begun if "each" in live.state.blocks else 0
            while len(marks) <= done // 1_000:
                marks.append(time.process_time())
            most = max(most, len(live.works))
            await asyncio.sleep(0.005)
        assert (await service.wait_for_end(run))["status"] == "completed"
    seconds = [later - earlier for earlier, later in pairwise(marks)]
    print("CPU seconds for each thousand:", [round(each, 2) for each in seconds], "most tasks", most)
    assert most <= 20, "tasks do not pile up"
    assert seconds[-1] < 2 * max(seconds[0], seconds[1])
    gc.collect()
