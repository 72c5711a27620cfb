"""The gate of a connection as a state machine: no window has more than its rate, and the breaker is as drawn."""

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.action import Ending, ErrorClass
from durable.gate.breaker import FAILURES, FIRST_OPEN, LONGEST_GAP, LONGEST_OPEN, RUNS, Breaker, Judgement
from durable.gate.gate import FIRST_HOLD, LONGEST_HOLD, FailedAttempt, Gate, Obstacle
from durable.gate.meter import MILLISECOND, SECOND, Meter
from durable.limit import Limit, Rate

START = 10**15
"""A time of a monotonic clock."""

PAUSES = st.lists(st.integers(0, 3) | st.integers(0, 10**9) | st.integers(0, 10**11), max_size=80)
RATES = st.builds(Rate, st.integers(1, 40), st.sampled_from([1, 100, 1_000, 10_000, 60_000]))


def fail(error_class: ErrorClass, retry_after: int | None = None, ending: Ending = "answered") -> FailedAttempt:
    return FailedAttempt(error_class, "503", ending, retry_after)


def find_start(gate: Gate, now: int) -> int:
    """Return when the next attempt may start."""
    while obstacle := gate.find_obstacle(now):
        assert obstacle.until is not None
        assert obstacle.until > now
        now = obstacle.until
    return now


# -- rates --------------------------------------------------------------------------------------------------------


@given(st.lists(RATES, min_size=1, max_size=3), PAUSES, st.booleans())
def test_no_window_of_the_period_has_more_requests_than_the_rate(
    rates: Sequence[Rate], pauses: list[int], is_eager: bool
) -> None:
    gate = Gate.make(Limit(rate=tuple(rates)))
    now, starts = START, []
    for pause in [0] * 60 + pauses if is_eager else pauses:
        now = find_start(gate, now + pause)
        gate.end(gate.begin("run", now), now)
        starts.append(now)
    for rate in rates:
        for index, start in enumerate(starts[rate.number :]):
            assert start - starts[index] >= rate.period * MILLISECOND


@given(RATES, st.integers(0, 10**10))
def test_as_many_requests_as_are_counted_as_free_may_start_at_once(rate: Rate, pause: int) -> None:
    meter = Meter(rate)
    for _ in range(rate.number // 2):
        meter.take(START)
    now = START + pause
    free = meter.count_free(now)
    for left in range(free, 0, -1):
        assert meter.count_free(now) == left
        assert meter.free_at <= now
        meter.take(now)
    assert meter.count_free(now) == 0
    assert meter.free_at > now
    assert meter.count_free(meter.free_at) == 1


@pytest.mark.parametrize(("text", "burst"), [("1/s", 1), ("10/s", 1), ("50/m", 5), ("1000/h", 100)])
def test_a_busy_connection_gets_nine_tenths_of_its_rate_after_a_burst(text: str, burst: int) -> None:
    rate = Rate.parse(text)
    gate, now = Gate.make(Limit(rate=(rate,))), START
    assert gate.count_free(now) == burst
    for _ in range(3 * rate.number):
        now = find_start(gate, now)
        gate.begin("run", now)
    assert (now - START) * 0.85 <= 3 * rate.period * MILLISECOND


@pytest.mark.parametrize("text", ["1/s", "10/s", "50/s", "100/s", "50/m"])
def test_requests_that_wait_for_their_first_connections_do_not_meet_those_that_start_later(text: str) -> None:
    rate, connecting = Rate.parse(text), 200 * MILLISECOND
    gate, now, sent, unsent = Gate.make(Limit(rate=(rate,))), START, list[int](), list[int]()
    while len(sent) < 3 * rate.number:
        start = find_start(gate, now)
        if unsent and unsent[0] <= start:
            now = unsent.pop(0)
            sent.append(now)
            gate.note_sent(now)
        else:
            now = start
            gate.begin("run", now)
            unsent.append(now + connecting if now < START + connecting else now)
    for index, at in enumerate(sent[rate.number :]):
        assert at - sent[index] >= rate.period * MILLISECOND


def test_a_rate_that_changes_begins_without_a_burst_and_an_unchanged_one_goes_on() -> None:
    gate = Gate.make(Limit.parse("20/s"))
    gate.begin("run", START)
    gate.change_limit(Limit.parse("20/s", "100/m", at_once=9), START)
    assert gate.count_free(START) == 1
    gate.begin("run", START)
    assert gate.find_obstacle(START) is not None


def test_places_limit_the_attempts_that_run_at_once_but_not_their_further_requests() -> None:
    gate = Gate.make(Limit.parse(at_once=2))
    first, second = (gate.begin(run, START) for run in "ab")
    assert gate.find_obstacle(START) == Obstacle("at_once")
    assert gate.find_obstacle(START, first) is None
    gate.end(second, START)
    assert gate.count_free(START) == 1


# -- holds --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 10_000_000)), min_size=1, max_size=20))
def test_a_hold_lasts_until_the_latest_of_the_times_that_were_asked_for(refusals: list[tuple[int, int]]) -> None:
    gate, now, latest = Gate.make(Limit()), START, 0
    begun = [gate.begin("run", now) for _ in refusals]
    for passage, (pause, asked) in zip(begun, refusals, strict=True):
        now += pause * MILLISECOND
        gate.note(passage, fail("rate_limit", asked), now)
        gate.end(passage, now)
        latest = max(latest, now + min(asked, 3_600_000) * MILLISECOND)
    assert gate.held_until == latest
    assert gate.find_obstacle(latest - 1) == Obstacle("hold", latest)
    assert gate.find_obstacle(latest) is None


def test_refusals_without_a_time_hold_back_ever_longer_until_an_attempt_succeeds() -> None:
    gate, now, spans = Gate.make(Limit()), START, []
    for _ in range(9):
        passage, beside = gate.begin("run", now), gate.begin("run", now)
        now += MILLISECOND
        for each in (passage, beside):  # those that began before the hold do not prolong it
            gate.note(each, fail("rate_limit"), now)
            gate.end(each, now)
        spans.append(gate.held_until - now)
        now = gate.held_until
    assert spans == [min(FIRST_HOLD << n, LONGEST_HOLD) for n in range(9)]
    gate.note(gate.begin("run", now), None, now)
    gate.note(gate.begin("run", now), fail("rate_limit"), now + 1)
    assert gate.held_until - now - 1 == FIRST_HOLD


@pytest.mark.parametrize(
    ("failed", "holds"),
    [
        (fail("server", 3_000), True),
        (fail("server"), False),
        (fail("rate_limit", 0), True),
        (fail("client", 3_000), False),
        (fail("auth"), False),
    ],
)
def test_only_a_service_that_wants_fewer_requests_is_given_time(failed: FailedAttempt, holds: bool) -> None:
    gate = Gate.make(Limit())
    gate.note(gate.begin("run", START), failed, START)
    assert (gate.find_obstacle(START) is not None) == holds


# -- the circuit breaker ------------------------------------------------------------------------------------------


def attempt(gate: Gate, now: int, failed: FailedAttempt | None = None, run: str = "run") -> None:
    passage = gate.begin(run, now)
    gate.note(passage, failed, now)
    gate.end(passage, now)


def open_circuit(gate: Gate) -> None:
    for number in range(FAILURES):
        assert gate.find_obstacle(START) is None
        attempt(gate, START, fail("network", ending="not_sent"), f"run-{number % RUNS}")


def test_a_circuit_opens_probes_ever_less_often_and_closes_after_a_probe_that_is_answered() -> None:
    gate, now = Gate.make(Limit()), START
    open_circuit(gate)
    spans = []
    for _ in range(9):
        obstacle = gate.find_obstacle(now)
        assert obstacle
        assert (obstacle.kind, obstacle.until) == ("circuit", gate.breaker.probe_at)
        spans.append(gate.breaker.probe_at - now)
        now = gate.breaker.probe_at
        assert gate.count_free(now) == 1
        probe = gate.begin("run", now)
        assert gate.find_obstacle(now), "one probe at a time"
        assert gate.find_obstacle(now, probe) is None, "the probe's own requests pass"
        gate.note(probe, fail("timeout", ending="unknown"), now)
        gate.end(probe, now)
    assert spans == [min(FIRST_OPEN << n, LONGEST_OPEN) for n in range(9)]
    now = gate.breaker.probe_at
    attempt(gate, now, fail("client"))
    assert gate.breaker.state == "closed"
    assert gate.count_free(now) > 100
    for number in range(FAILURES - 1):
        attempt(gate, now, fail("server"), f"run-{number}")
    assert gate.breaker.state == "closed"


@pytest.mark.parametrize("between", [None, fail("client"), fail("auth"), fail("rate_limit", 1), fail("invalid")])
def test_any_answer_of_the_service_ends_a_row_of_failures(between: FailedAttempt | None) -> None:
    gate = Gate.make(Limit())
    for number in range(3 * FAILURES):
        attempt(gate, START + number * SECOND, fail("server"), f"run-{number}")
        if number % (FAILURES - 1) == FAILURES - 2:
            attempt(gate, START + number * SECOND, between)
    assert gate.breaker.state == "closed"


def test_one_run_rare_failures_and_what_says_nothing_of_the_service_open_no_circuit() -> None:
    gate = Gate.make(Limit())
    for number in range(3 * FAILURES):
        attempt(gate, START, fail("server"), f"run-{number % (RUNS - 1)}")
    assert gate.breaker.state == "closed", "few runs"
    gate = Gate.make(Limit())
    for number in range(3 * FAILURES):
        attempt(gate, START + number * (LONGEST_GAP + 1), fail("server"), f"run-{number}")
    assert gate.breaker.state == "closed", "rare failures"
    gate = Gate.make(Limit())
    for number in range(3 * FAILURES):
        attempt(gate, START, fail("internal", ending="unknown"), f"run-{number}")
    assert gate.breaker.state == "closed", "errors of our own"


def test_a_probe_that_tells_nothing_is_followed_by_another_at_once_and_one_that_hangs_later() -> None:
    gate = Gate.make(Limit())
    open_circuit(gate)
    now = gate.breaker.probe_at
    gate.end(gate.begin("run", now), now)  # abandoned
    assert gate.count_free(now) == 1
    hanging = gate.begin("run", now)
    assert gate.find_obstacle(now) == Obstacle("circuit", now + LONGEST_OPEN)
    attempt(gate, now + LONGEST_OPEN)
    assert gate.breaker.state == "closed"
    gate.note(hanging, fail("timeout"), now + LONGEST_OPEN)
    assert gate.breaker.state == "closed"


def test_attempts_that_began_before_the_circuit_opened_change_nothing() -> None:
    gate = Gate.make(Limit())
    early = [gate.begin(f"early-{number}", START) for number in range(20)]
    open_circuit(gate)
    before = gate.breaker.probe_at
    for number, passage in enumerate(early):
        gate.note(passage, fail("server") if number % 2 else None, START + 1)
        gate.end(passage, START + 1)
    assert (gate.breaker.state, gate.breaker.probe_at, gate.in_flight) == ("open", before, 0)


def test_a_breaker_that_is_switched_off_does_not_open_and_closes_if_it_is_open() -> None:
    gate = Gate.make(Limit())
    open_circuit(gate)
    gate.change_limit(Limit(breaker="off"), START)
    for number in range(3 * FAILURES):
        attempt(gate, START, fail("server"), f"run-{number}")
    assert gate.find_obstacle(START) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20_000),
            st.sampled_from(get_args(Judgement)),
            st.integers(0, 4),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_a_breaker_that_is_not_closed_admits_at_most_one_probe_in_its_time(
    events: list[tuple[int, Judgement, int, bool]],
) -> None:
    breaker, now, last_probe = Breaker(), START, START - LONGEST_OPEN
    for pause, judgement, run, is_probe in events:
        now += pause * MILLISECOND
        if is_probe and breaker.state != "closed" and breaker.admits(now):
            breaker.begin_probe(now)
            assert not breaker.admits(now)
            last_probe = now
        was_probing = breaker.state == "half_open"
        breaker.note(judgement, f"run-{run}", now, is_probe=is_probe and was_probing)
        if was_probing and is_probe:
            assert breaker.admits(now) == (judgement != "fails")
        assert breaker.admits(max(now, last_probe) + LONGEST_OPEN)
