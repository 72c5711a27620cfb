"""What holds for every pipeline, every outcome, and a crash between any two appends."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from durable.decide import Advance, decide, outstanding
from durable.definition import ActionSpec, Definition, Spec
from durable.history import (
    CancelRequested,
    DeadlinePassed,
    RunFinished,
    State,
    decode_entries,
    encode_entries,
    fold,
    values,
)
from tests.core.replaying import replay
from tests.core.world import RUN, World, definitions

CHOICES = st.lists(st.integers(0, 19), max_size=25)
INPUTS = st.fixed_dictionaries(
    {"flag": st.booleans(), "number": st.integers(-5, 10), "filler": st.sampled_from(["small", "x" * 40_000])}
)
EXAMPLES = settings(max_examples=300, deadline=None)


def _lived(definition: Definition, inputs: dict[str, object], choices: list[int]) -> World:
    world = World(definition, inputs)
    for choice in choices:
        world.go_on(choice)
    return world


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_replaying_a_history_gives_the_same_decisions(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = _lived(definition, inputs, choices)
    assert replay(Definition.load(definition.data), RUN, world.history) == world.state


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_a_stored_history_is_the_same_history(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = _lived(definition, inputs, choices)
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
@given(definitions(), INPUTS, CHOICES)
def test_a_resumed_run_is_owed_what_an_uninterrupted_one_still_performs(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = World(definition, inputs)
    for choice in choices:
        if choice > 5:
            world.go_on(choice)
        resumed = fold(RUN, world.history)
        assert resumed == world.state
        facts, effects = outstanding(definition, resumed, world.now)
        if world.state.paused is None:
            assert not facts
            assert {(e.path, e.attempt, e.due) for e in effects} == {  # type: ignore[union-attr]
                (e.path, e.attempt, e.due) for e in world.effects.values()
            }


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_nothing_follows_the_end(definition: Definition, inputs: dict[str, object], choices: list[int]) -> None:
    world = _lived(definition, inputs, choices)
    ends = [number for number, entry in enumerate(world.history) if isinstance(entry, RunFinished)]
    assert ends in ([], [len(world.history) - 1])
    if ends:
        for fact in (CancelRequested(at=world.now), DeadlinePassed(at=world.now + 10**12)):
            advance = Advance(definition, world.state, fact)
            advance.follow()
            assert not advance.entries
            assert not advance.effects


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_a_run_ends_or_waits_for_a_named_thing(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = World(definition, inputs)
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
    assert state.active
    assert set(world.effects) == set(state.active)


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_a_checkpointed_step_never_runs_again(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = World(definition, inputs)
    for choice in choices:
        world.go_on(choice)
        done = {path for path, step in world.state.steps.items() if step.status in ("completed", "failed", "skipped")}
        assert not done & set(world.effects)


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_a_parked_step_is_performed_at_most_once_after_an_unknown_ending(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = _lived(definition, inputs, choices)
    for path, step in world.state.steps.items():
        if definition.nodes[path].spec.on_crash == "park" and step.status == "uncertain":
            assert path not in world.effects
            assert world.state.paused or world.state.main


@EXAMPLES
@given(definitions(), INPUTS, CHOICES)
def test_every_attempt_of_a_step_is_given_the_same_input(
    definition: Definition, inputs: dict[str, object], choices: list[int]
) -> None:
    world = World(definition, inputs)
    seen: dict[str, object] = {}
    for choice in choices:
        for path in world.effects:
            step = world.state.steps[path]
            given_now = (bytes(step.input.data), step.secrets)
            assert seen.setdefault(path, given_now) == given_now
        world.go_on(choice)


def test_deciding_does_not_change_the_state() -> None:
    world = World(_two_steps(), {"flag": True, "number": 1, "filler": ""})
    before = copy.deepcopy(world.state.steps), dict(world.state.active)
    decide(world.definition, world.state, world.history[-1])
    assert (world.state.steps, world.state.active) == before


def _two_steps() -> Definition:
    return Definition(Spec(id="p", steps=(ActionSpec(id="a", use="test.do"), ActionSpec(id="b", use="test.do"))))
