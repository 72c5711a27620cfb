"""Properties of every pipeline and run, whatever happens, including a crash between any two appends.

`tests.core.invariants` says what; `python -m tests.core.soak` asks the same of as many runs as there is time for.
"""

import copy
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable.blocks import loops
from durable.decide.advance import DECISIONS
from durable.decide.run import EXPIRED
from durable.definition import Definition
from durable.history.entries import (
    CancelRequested,
    DeadlinePassed,
    RunRetried,
    StepFailed,
    StepResolved,
    StepScheduled,
    StepSkipped,
)
from durable.path import make_key
from durable.steps.resolved import ActionStep, ResolvedPipeline, make_steps
from tests.core import invariants
from tests.core.chance import CHOICES, Chance
from tests.core.invariants import AT_EVERY_STEP, AT_THE_END, Invariant
from tests.core.pipelines import make_pipeline
from tests.core.soak import BREATH, LUCK
from tests.core.world import RUN, T0, Beginning, World

EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MOVES = 30


@pytest.fixture(autouse=True, scope="module")
def _loops_pause_soon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "BURST", BREATH)
        yield


def _live_run(choices: bytes, watch: Invariant | None = None) -> World:
    chance = Chance.of(choices)
    world = World(make_pipeline(chance), Beginning.generate(chance), watch, luck=chance.pick(LUCK)).begin()
    for _ in range(chance.below(MOVES)):
        world.go_on(chance)
    return world


@pytest.mark.parametrize("invariant", AT_EVERY_STEP, ids=lambda invariant: invariant.__name__)
def test_an_invariant_holds_after_every_append(invariant: Invariant) -> None:
    @EXAMPLES
    @given(CHOICES)
    def holds(choices: bytes) -> None:
        _live_run(choices, invariant)

    holds()


@pytest.mark.parametrize("invariant", AT_THE_END, ids=lambda invariant: invariant.__name__)
def test_an_invariant_holds_for_the_whole_history(invariant: Invariant) -> None:
    @EXAMPLES
    @given(CHOICES)
    def holds(choices: bytes) -> None:
        invariant(_live_run(choices))

    holds()


@EXAMPLES
@given(CHOICES)
def test_a_run_in_which_everything_succeeds_from_now_on_ends(choices: bytes) -> None:
    world = _live_run(choices)
    world.drive(Chance.from_seed(1))
    assert world.is_over, f"it is {world.state.status}, with {list(world.state.active)} in progress"
    invariants.no_entry_follows_the_end(world)
    invariants.replaying_a_history_gives_the_same_decisions(world)


@EXAMPLES
@given(CHOICES)
def test_every_completed_step_of_a_retried_run_had_its_effect_under_one_key(choices: bytes) -> None:
    world = _live_run(choices)
    world.drive(Chance.from_seed(1))
    for _ in range(3):
        if world.state.status == "failed":
            world.retry()
            world.drive(Chance.from_seed(1), 300)
    for invariant in (*AT_EVERY_STEP, *AT_THE_END):
        invariant(world)
    if world.state.status == "completed":
        _ensure_effects(world)


def _ensure_effects(world: World) -> None:
    """Every completed step of the main part had its effect under one key, and none after its checkpoint."""
    keys: dict[str, set[str]] = {}
    for each in world.performed:
        keys.setdefault(each.path, set()).add(each.key)
    by_people = {entry.path for entry in world.history if isinstance(entry, StepResolved)}
    for path, step in world.state.steps.items():
        node = world.definition.nodes[path]
        if step.status == "completed" and not node.is_cleanup and getattr(node.step, "use", "") == "test.do":
            assert path in by_people or keys[path] == {make_key(RUN, path)}


# -- delayed runs -----------------------------------------------------------------------------------------------


def _start_delayed(delay: int | None, expires_in: int | None) -> World:
    return World(_two_steps(), Beginning(delay=delay, expires_in=expires_in)).begin()


DELAYS = st.sampled_from([None, 0, 20, 700_000])
LIVES = st.sampled_from([None, 0, 10, 50, 900_000])


@EXAMPLES
@given(DELAYS, LIVES, CHOICES)
def test_no_step_is_reached_before_its_run_is_due_or_after_it_expired(
    delay: int | None, expires_in: int | None, choices: bytes
) -> None:
    world = _start_delayed(delay, expires_in)
    chance = Chance.of(choices)
    for _ in range(chance.below(8)):
        world.go_on(chance)
    steps = [entry for entry in world.history if isinstance(entry, StepScheduled | StepSkipped | StepFailed)]
    assert all(entry.at >= T0 + (delay or 0) for entry in steps)
    # A person may retry a run that timed out in the queue: it then starts although it would have expired.
    was_retried = any(isinstance(entry, RunRetried) for entry in world.history)
    if steps and expires_in is not None and not was_retried:
        assert steps[0].at < T0 + expires_in
    if world.state.main and world.state.main.reason == EXPIRED:
        assert world.state.status == "cancelled"
        assert not world.state.steps
        assert world.state.main.at >= T0 + (expires_in or 0)


@EXAMPLES
@given(DELAYS, LIVES, st.sampled_from([CancelRequested, DeadlinePassed]))
def test_a_delayed_run_can_be_cancelled_and_can_time_out(
    delay: int | None, expires_in: int | None, fact: type[CancelRequested | DeadlinePassed]
) -> None:
    world = _start_delayed(delay, expires_in)
    if world.desk.start is None:
        return
    assert world.state.status == "queued"
    world.report(fact(at=T0 + world.definition.pipeline.timeout))
    assert world.state.main
    assert world.state.main.status == ("cancelled" if fact is CancelRequested else "failed")
    before = len(world.history)
    world.let_start(late=False)
    assert len(world.history) == before, "a late fact changes nothing"


def test_deciding_does_not_change_the_state() -> None:
    world = World(_two_steps(), Beginning()).begin()
    before = copy.deepcopy(world.state.steps), dict(world.state.active)
    entry = world.history[-1]
    DECISIONS[type(entry)](world.definition, world.state, entry)
    assert (world.state.steps, world.state.active) == before


def _two_steps() -> Definition:
    return Definition(
        ResolvedPipeline(
            id="p", steps=make_steps([ActionStep(id="a", use="test.do"), ActionStep(id="b", use="test.do")])
        )
    )
