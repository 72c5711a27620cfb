"""Queues at the gate of a connection: fair by pipeline, and a turn is never lost by an attempt that goes away."""

import asyncio
import logging
import random
from collections.abc import Callable

import pytest

from durable.action import AttemptEnded, Context
from durable.clock import now
from durable.gate.breaker import FAILURES, RUNS
from durable.gate.gate import FailedAttempt
from durable.gate.meter import SECOND
from durable.limit import Limit
from durable.runner.gates import ConnectionGate, ConnectionGates, GatePass

pytestmark = pytest.mark.anyio


class Crowd:
    """Named attempts at the gate of one connection; `order` is the order in which they entered."""

    def __init__(self, limit: Limit) -> None:
        self.time = 10**15
        self.gates = ConnectionGates(lambda: 1_800_000_000_000, lambda: self.time)
        self.gate: ConnectionGate = self.gates.find("gh", "github.get", lambda name: limit)
        self.order: list[str] = []
        self.inside: dict[str, GatePass] = {}

    async def enter(self, name: str, pipeline: str, priority: int = 0) -> GatePass:
        turn, number = None, self.gates.take_number()
        while not self.gate.may_enter(turn):
            if turn:
                turn.decline()
            turn = self.gate.make_turn(pipeline, priority, number)
            await self.gate.wait(turn)
        self.inside[name] = self.gate.enter(name, turn)
        self.order.append(name)
        return self.inside[name]

    def ask(self, name: str, pipeline: str, priority: int = 0) -> "asyncio.Task[GatePass]":
        return asyncio.create_task(self.enter(name, pipeline, priority))

    async def pass_time(self, span: int) -> None:
        """Let time pass, at the end of which the gate looks again."""
        self.time += span
        self.gate._advance()
        await settle()

    async def leave(self, name: str) -> None:
        self.inside.pop(name).leave()
        await settle()


async def settle() -> None:
    """Let every task that can continue do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def make_context() -> Context:
    return Context("run", "step", 1, "key", logging.LoggerAdapter(logging.getLogger(), {}))


async def test_pipelines_take_turns_and_a_higher_priority_goes_first_within_one() -> None:
    crowd = Crowd(Limit.parse(at_once=1))
    await crowd.enter("holder", "a")
    for name in ("a1", "a2", "a3", "b1"):
        crowd.ask(name, name[0])
    crowd.ask("a-high", "a", priority=5)
    crowd.ask("c1", "c")
    await settle()
    for _ in range(6):
        await crowd.leave(crowd.order[-1])
    assert crowd.order == ["holder", "a-high", "b1", "c1", "a1", "a2", "a3"]


async def test_an_attempt_that_goes_away_leaves_the_queue_and_passes_on_a_turn_it_was_given() -> None:
    crowd = Crowd(Limit.parse(at_once=1))
    await crowd.enter("holder", "a")
    gone, unlucky, last = (crowd.ask(name, "a") for name in ("gone", "unlucky", "last"))
    await settle()
    gone.cancel()
    await settle()
    assert crowd.gate.waiting == 2
    crowd.inside.pop("holder").leave()  # grants the turn, of which the task does not know yet
    unlucky.cancel()
    await last
    assert crowd.order == ["holder", "last"]
    assert crowd.gate.waiting == 0


async def test_a_granted_turn_that_is_given_back_goes_to_the_next_pipeline() -> None:
    crowd = Crowd(Limit.parse(at_once=1))
    await crowd.enter("holder", "a")
    turn = crowd.gate.make_turn("a", 0, crowd.gates.take_number())
    waiting = asyncio.create_task(crowd.gate.wait(turn))
    other = crowd.ask("other", "b")
    await settle()
    await crowd.leave("holder")
    await waiting
    assert not crowd.gate.may_enter(None), "the place is kept for the granted turn"
    assert crowd.gate.may_enter(turn)
    turn.decline()
    await other
    assert not crowd.gate.may_enter(None)


async def test_an_attempt_that_was_there_earlier_goes_before_the_others_of_its_pipeline() -> None:
    crowd = Crowd(Limit.parse(at_once=1))
    number = crowd.gates.take_number()
    await crowd.enter("holder", "a")
    crowd.ask("a1", "a")
    await settle()
    turn = crowd.gate.make_turn("a", 0, number)
    waiting = asyncio.create_task(crowd.gate.wait(turn))
    await settle()
    assert str(turn) == "its turn at github (gh): 1 at once"
    await crowd.leave("holder")
    await waiting


async def test_a_further_request_of_an_attempt_waits_for_the_rate_and_its_first_one_does_not() -> None:
    crowd = Crowd(Limit.parse("1/100ms"))
    inside = await crowd.enter("first", "a")
    context = make_context()
    await inside.pass_request(context)
    second = asyncio.create_task(inside.pass_request(context))
    behind = crowd.ask("behind", "a")
    await settle()
    assert not second.done()
    await crowd.pass_time(SECOND)
    await second
    assert not behind.done(), "a request of an attempt at work goes first"
    await crowd.pass_time(SECOND)
    await behind


async def test_a_request_of_an_attempt_that_is_over_leaves_the_queue() -> None:
    crowd = Crowd(Limit.parse("1/h"))
    inside = await crowd.enter("first", "a")
    context = make_context()
    await inside.pass_request(context)
    waiting = asyncio.create_task(inside.pass_request(context))
    await settle()
    assert crowd.gate.waiting == 1
    waiting.cancel()
    await settle()
    context.close()
    with pytest.raises(AttemptEnded):
        await inside.pass_request(context)
    assert crowd.gate.waiting == 0


async def open_circuit(crowd: Crowd) -> None:
    for number in range(FAILURES):
        inside = await crowd.enter(f"run-{number % RUNS}", "a")
        inside.gate.note(inside.passage, FailedAttempt("server", "500", "answered", None))
        inside.leave()


async def test_one_attempt_probes_a_failing_service_and_the_others_wait_for_its_end() -> None:
    crowd = Crowd(Limit())
    early = await crowd.enter("early", "a")
    await early.pass_request(make_context())
    await open_circuit(crowd)
    first, second = (crowd.ask(name, "b") for name in ("first", "second"))
    await settle()
    report = crowd.gates.report("gh")
    assert report
    assert (report.state, report.in_flight, report.waiting) == ("circuit_open", 1, 2)
    assert "circuit open since 08:00:00Z (in 0 s), next probe at 08:00:05Z (in 5 s)" in str(report.reason)
    await crowd.pass_time(crowd.gate.state.breaker.probe_at - crowd.time)
    probe = await first
    blocked = asyncio.create_task(early.pass_request(make_context()))
    await settle()
    await probe.pass_request(make_context())
    await probe.pass_request(make_context())
    assert not blocked.done()
    assert not second.done()
    assert "a probe is in progress" in str((crowd.gates.report("gh") or report).reason)
    crowd.gate.note(probe.passage, None)
    await blocked
    await second


async def test_a_probe_is_not_blocked_by_requests_that_wait_for_its_end() -> None:
    crowd = Crowd(Limit.parse("1000/s"))
    early = await crowd.enter("early", "a")
    await early.pass_request(make_context())
    await open_circuit(crowd)
    await crowd.pass_time(crowd.gate.state.breaker.probe_at - crowd.time)
    probe = await crowd.enter("probe", "b")
    await probe.pass_request(make_context())
    blocked = asyncio.create_task(early.pass_request(make_context()))
    await settle()
    crowd.gate.change_limit(Limit.parse("1/s"))
    await crowd.pass_time(0)
    crowd.gate.state.begin_request(probe.passage, crowd.time)
    more = asyncio.create_task(probe.pass_request(make_context()))
    await settle()
    assert not more.done(), "it waits for the rate"
    await crowd.pass_time(2 * SECOND)
    await more
    assert not blocked.done()
    blocked.cancel()


async def test_a_request_of_an_attempt_at_work_can_be_the_probe() -> None:
    crowd = Crowd(Limit())
    early = await crowd.enter("early", "a")
    await early.pass_request(make_context())
    await open_circuit(crowd)
    blocked = asyncio.create_task(early.pass_request(make_context()))
    behind = crowd.ask("behind", "b")
    await settle()
    await crowd.pass_time(crowd.gate.state.breaker.probe_at - crowd.time)
    await blocked
    assert early.passage.is_probe
    assert not behind.done()
    early.leave()
    await behind


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_and_nobody_waits_while_there_is_one(seed: int) -> None:
    chance = random.Random(seed)
    most = chance.choice([1, 2, 5])
    crowd = Crowd(Limit.parse(at_once=most))

    async def visit(number: int) -> None:
        name = f"{number}"
        inside = await crowd.enter(name, chance.choice("abc"), chance.randrange(3))
        try:
            assert crowd.gate.state.in_flight <= most
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            inside.leave()

    tasks = []
    for number in range(200):
        tasks.append(asyncio.create_task(visit(number)))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    await until(lambda: all(task.done() for task in tasks))
    assert not [task for task in tasks if not task.cancelled() and task.exception()]
    assert (crowd.gate.state.in_flight, crowd.gate.waiting) == (0, 0)
    assert crowd.gate.may_enter(None)


@pytest.mark.parametrize("seed", range(10))
async def test_everybody_enters_in_time_although_some_hang_fail_send_more_or_go_away(seed: int) -> None:
    chance = random.Random(seed)
    gates = ConnectionGates(now)
    limit = Limit.parse(chance.choice(["40/20ms", "1/1ms", "500/50ms"]), "2000/s", at_once=chance.choice([4, 10_000]))
    gate = gates.find("gh", "github.get", lambda name: limit)
    all_entered, entered, waiting = asyncio.Event(), list[int](), set(range(150))

    async def visit(number: int, pipeline: str) -> None:
        turn = None
        try:
            while not gate.may_enter(turn):
                if turn:
                    turn.decline()
                turn = gate.make_turn(pipeline, 0, number)
                await gate.wait(turn)
                if chance.random() < 0.1:  # no permit
                    turn.decline()
                    turn = None
                    await asyncio.sleep(0)
            inside = gate.enter(f"run-{number}", turn)
        finally:
            waiting.discard(number)
            if not waiting:
                all_entered.set()
        entered.append(number)
        try:
            for _ in range(chance.randrange(3)):
                await inside.pass_request(make_context())
            if number < 3:  # hangs
                await all_entered.wait()
            if chance.random() < 0.05:
                inside.gate.note(inside.passage, FailedAttempt("rate_limit", "429", "answered", 5))
        finally:
            inside.leave()

    tasks = [asyncio.create_task(visit(number, chance.choice("abc"))) for number in range(150)]
    await settle()
    for task in chance.sample(tasks[3:], 30):
        task.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait(tasks)
    assert not [task for task in tasks if not task.cancelled() and task.exception()]
    assert len(entered) >= 120
    assert (gate.state.in_flight, gate.waiting) == (0, 0)


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("somebody waits although there is a place")


async def test_a_changed_limit_applies_to_those_that_wait() -> None:
    crowd = Crowd(Limit.parse(at_once=1))
    await crowd.enter("holder", "a")
    waiting = [crowd.ask(name, "a") for name in ("one", "two")]
    await settle()
    assert crowd.gates.count_waiting("a") == 2
    assert crowd.gates.count_waiting("a", 1) == crowd.gates.count_waiting("b") == 0
    crowd.gates.apply_limits(lambda name: Limit.parse(at_once=5))
    await asyncio.gather(*waiting)


async def test_an_unused_connection_has_no_report() -> None:
    assert ConnectionGates(now).report("gh") is None
