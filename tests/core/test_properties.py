"""What holds for every pipeline, every outcome, and a crash between any two appends."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from durable.decide import EXPIRED, Advance, decide, outstanding
from durable.definition import ActionSpec, Definition, Spec
from durable.history import (
    CancelRequested,
    DeadlinePassed,
    RunFinished,
    State,
    StepFailed,
    StepScheduled,
    StepSkipped,
    decode_entries,
    encode_entries,
    fold,
    values,
)
from tests.core.replaying import replay
from tests.core.world import RUN, T0, Beginning, World, beginnings, definitions

CHOICES = st.lists(st.integers(0, 19), max_size=25)
BEGINNINGS = beginnings()
EXAMPLES = settings(max_examples=300, deadline=None)


def _lived(definition: Definition, beginning: Beginning, choices: list[int]) -> World:
    world = World(definition, beginning)
    for choice in choices:
        world.go_on(choice)
    return world


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_replaying_a_history_gives_the_same_decisions(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = _lived(definition, beginning, choices)
    assert replay(Definition.load(definition.data), RUN, world.history) == world.state


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_a_stored_history_is_the_same_history(definition: Definition, beginning: Beginning, choices: list[int]) -> None:
    world = _lived(definition, beginning, choices)
    stored = []
    for unit in world.units:
        data, payloads = encode_entries(unit)
        entries = decode_entries(data)
        for entry in entries:
            for value in values(entry).values():
                if value.ref:
                    value.attach(payloads[value.ref])
        stored += entries
    assert replay(definition, RUN, stored) == world.state


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_a_resumed_run_is_owed_what_an_uninterrupted_one_still_performs(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = World(definition, beginning)
    for choice in choices:
        if choice > 5:
            world.go_on(choice)
        resumed = fold(RUN, world.history)
        assert resumed == world.state
        facts, effects = outstanding(definition, resumed, world.now)
        if world.state.paused is None:
            assert not facts
            held_back = {world.start} if world.state.is_queued else set()
            assert set(effects) == {*world.effects.values(), *held_back}


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_nothing_follows_the_end(definition: Definition, beginning: Beginning, choices: list[int]) -> None:
    world = _lived(definition, beginning, choices)
    ends = [number for number, entry in enumerate(world.history) if isinstance(entry, RunFinished)]
    assert ends in ([], [len(world.history) - 1])
    if ends:
        for fact in (CancelRequested(at=world.now), DeadlinePassed(at=world.now + 10**12)):
            advance = Advance(definition, world.state, fact)
            advance.follow()
            assert not advance.entries
            assert not advance.effects


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_a_run_ends_or_waits_for_a_named_thing(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = World(definition, beginning)
    for choice in [*choices, *[19] * 40]:
        _assert_not_stuck(world.state, world)
        world.go_on(choice)
    if world.state.paused is None:
        assert world.state.finished, "with every attempt succeeding, the run comes to its end"


def _assert_not_stuck(state: State, world: World) -> None:
    if state.finished:
        assert state.status in ("completed", "failed", "cancelled")
        assert not state.active
        return
    assert state.due is not None, "an unfinished run always has a moment at which it is looked at again"
    if state.paused is not None:
        assert state.paused
        return
    assert state.is_queued or state.active
    assert set(world.effects) == set(state.active)


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_a_checkpointed_step_never_runs_again(definition: Definition, beginning: Beginning, choices: list[int]) -> None:
    world = World(definition, beginning)
    for choice in choices:
        world.go_on(choice)
        done = {path for path, step in world.state.steps.items() if step.status in ("completed", "failed", "skipped")}
        assert not done & set(world.effects)


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_a_parked_step_is_performed_at_most_once_after_an_unknown_ending(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = _lived(definition, beginning, choices)
    for path, step in world.state.steps.items():
        if definition.nodes[path].spec.on_crash == "park" and step.status == "uncertain":
            assert path not in world.effects
            assert world.state.paused or world.state.main


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_every_attempt_of_a_step_is_given_the_same_input(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = World(definition, beginning)
    seen: dict[str, object] = {}
    for choice in choices:
        for path in world.effects:
            step = world.state.steps[path]
            given_now = (bytes(step.input.data), step.secrets)
            assert seen.setdefault(path, given_now) == given_now
        world.go_on(choice)


@EXAMPLES
@given(definitions(), BEGINNINGS, CHOICES)
def test_no_step_is_reached_before_its_run_is_due_or_after_it_expired(
    definition: Definition, beginning: Beginning, choices: list[int]
) -> None:
    world = _lived(definition, beginning, choices)
    for entry in world.history:
        if isinstance(entry, StepScheduled | StepSkipped) and definition.nodes[entry.path].part == "main":
            assert entry.at >= T0 + (beginning.delay or 0)
    steps = [entry for entry in world.history if isinstance(entry, StepScheduled | StepSkipped | StepFailed)]
    if steps and definition.nodes[steps[0].path].part == "main" and beginning.expires_in is not None:
        assert steps[0].at < T0 + beginning.expires_in
    if world.state.main and world.state.main.reason == EXPIRED:
        assert world.state.status == "cancelled"
        assert not world.state.steps
        assert world.state.main.at >= T0 + (beginning.expires_in or 0)


@EXAMPLES
@given(definitions(), BEGINNINGS, st.sampled_from([CancelRequested, DeadlinePassed]))
def test_what_is_held_back_can_be_cancelled_and_runs_out_of_time(
    definition: Definition, beginning: Beginning, fact: type[CancelRequested | DeadlinePassed]
) -> None:
    world = World(definition, beginning)
    if world.start is None:
        return
    assert world.state.status == "queued"
    world.report(fact(at=T0 + definition.spec.timeout))
    assert world.state.main
    assert world.state.main.status == ("cancelled" if fact is CancelRequested else "failed")
    before = len(world.history)
    world.let_start(world.start, 0)
    assert len(world.history) == before, "what came too late changes nothing"


def test_deciding_does_not_change_the_state() -> None:
    world = World(_two_steps(), Beginning())
    before = copy.deepcopy(world.state.steps), dict(world.state.active)
    decide(world.definition, world.state, world.history[-1])
    assert (world.state.steps, world.state.active) == before


def _two_steps() -> Definition:
    return Definition(Spec(id="p", steps=(ActionSpec(id="a", use="test.do"), ActionSpec(id="b", use="test.do"))))
