"""Forks: a new run that goes on from a step of another, with copies of its checkpoints."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from durable.blocks import loops
from durable.decide.copy import ForkRefused
from durable.history import entries
from durable.path import is_within
from durable.steps.node import ActionNode
from durable.values import Value
from tests.core import invariants
from tests.core.chance import CHOICES, Chance
from tests.core.forking import FORK, Fork, make_fork
from tests.core.pipelines import make_pipeline
from tests.core.scripted import describe_entry
from tests.core.soak import BREATH
from tests.core.world import Beginning, World

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIRST = Chance(lambda limit: 0)
"""Always the first choice: the same run twice."""


@pytest.fixture(autouse=True, scope="module")
def _loops_pause_soon() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "BURST", BREATH)
        yield


def _run_freely(chance: Chance) -> World:
    """A run to which anything happens, until it has ended; some that failed are retried."""
    world = World(make_pipeline(chance), Beginning.generate(chance), luck=chance.pick([30, 100])).begin()
    for _ in range(chance.below(30)):
        world.go_on(chance)
    world.drive(chance)
    if world.state.status == "failed" and chance.once_in(2):
        world.report(entries.RunRetried(at=world.now))
        world.drive(chance)
    return world


def _run_kindly(chance: Chance) -> World:
    """A run in which every attempt succeeds, always in the same order."""
    world = World(make_pipeline(chance), Beginning()).begin()
    world.drive(FIRST)
    return world


def _list_steps(world: World) -> list[str]:
    """The steps that a run can be forked from."""
    return [path for path in world.state.steps if not _cleans_up(world, path)]


def _cleans_up(world: World, path: str) -> bool:
    node = world.definition.nodes[path]
    return node.is_inner or node.part == "cleanup" or any(branch == "finally" for _, branch in node.around)


def _find_copied(fork: Fork) -> set[str]:
    return {path for path, step in fork.before.steps.items() if step.is_copied}


@EXAMPLES
@given(CHOICES)
def test_no_effect_of_a_copied_step_happens_again_and_none_is_taken_back(choices: bytes) -> None:
    chance = Chance.of(choices)
    origin = _run_freely(chance)
    for step in _list_steps(origin):
        try:
            fork = make_fork(origin, step)
        except ForkRefused:
            continue
        fork.world.drive(chance)
        copied = _find_copied(fork)
        performed = {each.path for each in fork.world.performed}
        assert not performed & copied
        assert not [path for path in fork.world.state.undos if path in copied]
        assert not [path for path in performed for each in copied if path.startswith((f"{each}.undo", f"{each}.again"))]
        assert fork.world.is_over, f"{step}: it is {fork.world.state.status}, with {list(fork.world.state.active)}"


@EXAMPLES
@given(CHOICES)
def test_a_fork_whatever_happens_to_it_is_rebuilt_by_its_history_alone(choices: bytes) -> None:
    chance = Chance.of(choices)
    origin = _run_freely(chance)
    steps = _list_steps(origin)
    if not steps:
        return
    queued_for = chance.pick([None, None, "p"])
    try:
        fork = make_fork(origin, chance.pick(steps), queued_for=queued_for)
    except ForkRefused:
        return
    invariants.replaying_a_history_gives_the_same_decisions(fork.world)
    for _ in range(chance.below(20)):
        fork.world.go_on(chance)
        invariants.replaying_a_history_gives_the_same_decisions(fork.world)
    fork.world.drive(chance)
    assert fork.world.is_over
    invariants.replaying_a_history_gives_the_same_decisions(fork.world)
    invariants.no_entry_follows_the_end(fork.world)


@EXAMPLES
@given(CHOICES)
def test_a_fork_with_the_recorded_input_ends_as_the_original_did(choices: bytes) -> None:
    origin = _run_kindly(Chance.of(choices))
    if b"wait.until" in origin.definition.data:
        return  # the time may have come meanwhile
    for step in _list_steps(origin):
        try:
            fork = make_fork(origin, step)
        except ForkRefused as refused:
            assert re.search("undone|undoing|cancelled at once", str(refused))  # noqa: PT017  # another one is a bug
            continue
        fork.world.drive(FIRST)
        ended, first = fork.world.state, origin.state
        assert ended.status == first.status
        # How far a branch comes before another one cancels it is a matter of time.
        ways = [(each.status, ended.steps[path].status) for path, each in first.steps.items() if path in ended.steps]
        cut_off = {"cancelled", "uncertain"}
        assert all(one == other or cut_off & {one, other} for one, other in ways)
        interrupted = entries.BranchesCancelled | entries.MainEnding
        is_interrupted = any(isinstance(entry, interrupted) for entry in (*origin.history, *fork.world.history))
        assert is_interrupted or first.steps.keys() == ended.steps.keys()
        assert {request.path for request in fork.world.children.values() if request.has_begun} <= set(first.steps)


@EXAMPLES
@given(CHOICES)
def test_a_run_with_the_same_inputs_has_the_same_history_except_for_its_id_and_its_keys(choices: bytes) -> None:
    origin = _run_kindly(Chance.of(choices))
    again = World(origin.definition, origin.beginning, run=FORK).begin()
    again.drive(FIRST)
    assert [describe_entry(entry) for entry in again.history] == [describe_entry(entry) for entry in origin.history]
    assert again.state.status == origin.state.status


@EXAMPLES
@given(CHOICES)
def test_everything_that_completed_before_the_step_is_copied(choices: bytes) -> None:
    origin = _run_kindly(Chance.of(choices))
    for step in _list_steps(origin):
        try:
            fork = make_fork(origin, step)
        except ForkRefused:
            continue
        began = next(
            number
            for number, entry in enumerate(origin.history)
            if getattr(entry, "path", None) == step or is_within(getattr(entry, "path", None) or "", step)
        )
        before = {entry.path for entry in origin.history[:began] if isinstance(entry, entries.StepCompleted)}
        assert before <= _find_copied(fork)
        assert step not in _find_copied(fork)


@EXAMPLES
@given(CHOICES)
def test_the_step_gets_the_input_that_the_fork_gives_it(choices: bytes) -> None:
    origin = _run_kindly(Chance.of(choices))
    edited = Value.of({"edited": True})
    for step in _list_steps(origin):
        node = origin.definition.nodes[step]
        if not isinstance(node, ActionNode) or node.step.use != "test.do":
            continue
        try:
            fork = make_fork(origin, step, edited)
        except ForkRefused:
            continue
        if fork.world.state.steps[step].status == "failed":
            assert node.connection, "only a connection that is not allowed is refused before the step gets its input"
            continue
        assert fork.world.state.steps[step].input == edited
        fork.world.drive(FIRST)
        assert [each.given for each in fork.world.performed if each.path == step] == [bytes(edited.data)]
