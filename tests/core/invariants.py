"""The invariants of a run: each is a function that checks a world.

Those of `AT_EVERY_STEP` are checked after each append, those of `AT_THE_END` on a whole history.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

from durable.blocks.foreach import ForeachStep
from durable.blocks.try_ import FINALLY, TryStep
from durable.decide.advance import Advance
from durable.decide.outstanding import find_lost_attempts, find_outstanding
from durable.definition import Definition
from durable.effects import Perform, StartChild, Wake
from durable.history import entries
from durable.history.encoding import list_values
from durable.history.state import State
from durable.path import AGAIN, UNDO, frame_of, is_within, join_path, strip_numbers
from durable.replay import replay_entries
from durable.scope import RunScope
from durable.steps.node import BlockNode
from durable.steps.resolved import ActionStep, ConnectionChoice
from tests.core.replaying import check_decisions
from tests.core.world import World

Invariant = Callable[[World], None]

ENDS = (entries.StepCompleted, entries.StepSkipped, entries.StepFailed, entries.StepCancelled)
REACHED = (entries.StepScheduled, entries.StepSkipped, entries.BlockStarted)


# -- at every step ----------------------------------------------------------------------------------------------


def the_state_equals_the_replayed_history(world: World) -> None:
    assert replay_entries(world.state.run, world.restored()) == world.state


def a_restart_has_the_outstanding_effects_of_an_uninterrupted_run(world: World) -> None:
    state, desk = world.state, world.desk
    restored = replay_entries(world.state.run, world.restored())
    effects = find_outstanding(world.definition, restored, world.now)
    if state.pauses or state.finished:
        assert not effects
        return
    lost = {fact.path for fact in find_lost_attempts(world.definition, restored, world.now, is_orphan=False)}
    assert lost <= set(desk.under_way)
    begun = {child.path for child in world.children.values() if child.has_begun}
    owed = {_plain(effect) for effect in effects if not (isinstance(effect, StartChild) and effect.path in begun)}
    in_hand = {_plain(effect) for effect in desk.effects if not (isinstance(effect, Perform) and effect.path in lost)}
    if not state.is_queued:
        in_hand -= {desk.start, desk.slot}  # facts about them that arrive late are ignored
    in_hand -= {_plain(each) for each in desk.calls.values() if each.path in begun}
    assert owed <= in_hand, f"lost: {owed - in_hand}"
    beyond = {effect for effect in in_hand - owed if not isinstance(effect, Wake)}  # a superfluous timer has no effect
    assert not beyond, f"pending but not outstanding: {beyond}"


def a_restart_finds_every_attempt_in_progress_lost(world: World) -> None:
    lost = find_lost_attempts(
        world.definition, replay_entries(world.state.run, world.restored()), world.now, is_orphan=True
    )
    found, desk = {(each.path, each.attempt) for each in lost}, world.desk
    begun = {(each.path, each.attempt) for each in desk.under_way.values()}
    assert begun <= found, f"these attempts would be lost unnoticed: {begun - found}"
    due = {(each.path, each.attempt) for each in desk.performs.values() if each.due <= world.now}
    paused_at = world.state.paused_at  # an attempt due in the millisecond of the pause may have begun before it
    due |= {(path, step.attempt) for path, step in world.state.steps.items() if paused_at and step.due == paused_at}
    if world.seen[
        "InputRefused"
    ]:  # a run that is resumed in the millisecond of the refusal is treated like a later one
        due |= {(path, step.attempt) for path, step in world.state.steps.items() if step.due == world.now + 1}
    assert found <= begun | due, f"{found - begun - due} cannot have begun"


def _plain(effect: object) -> object:
    """An effect without the fields that may differ: an attempt that is overdue is due now."""
    match effect:
        case Perform():
            return effect.path, effect.attempt, effect.starts_durably
        case StartChild():
            return effect.path, effect.run
    return effect


def a_run_ends_or_shows_what_it_waits_for(world: World) -> None:
    state = world.state
    if state.finished:
        assert state.status in ("completed", "failed", "cancelled")
        assert not state.active
        assert not state.open
        assert state.due is None
        return
    assert state.due is not None, "an unfinished run always has a time at which it is examined again"
    assert state.due >= 0
    undecided = {path for path in state.active if state.steps[path].needs_person}
    assert undecided == {path for path in state.pauses if path}, (
        "a run is paused for exactly the steps that a person must resolve"
    )
    if state.pauses:
        assert state.status == "paused"
        assert state.reason
        return
    assert state.is_queued or state.active, f"nothing is in progress, but {list(state.open)} are open"
    if state.status == "waiting":
        steps = [state.steps[path] for path in state.active]
        assert all(step.due is not None or step.awaits or step.child for step in steps)


def no_ended_step_is_performed(world: World) -> None:
    over = {path for path, step in world.state.steps.items() if path not in world.state.active}
    assert not over & {*world.desk.performs, *world.desk.under_way}


def a_foreach_runs_at_most_max_parallel_items(world: World) -> None:
    for path in world.state.open:
        block = world.state.blocks[path]
        assert block.running >= 0
        if block.kind == "foreach":
            spec = world.definition.blocks[path].step
            assert isinstance(spec, ForeachStep)
            assert block.running <= spec.max_parallel
            assert block.begun <= block.count
        elif block.kind == "parallel":
            assert block.running <= len(world.definition.blocks[path].firsts)
        else:
            assert block.running <= 1, f"{path} has {block.running} branches in progress"


def active_steps_and_blocks_are_inside_open_blocks(world: World) -> None:
    state = world.state
    for path in (*state.active, *state.open):
        if path.rpartition(".")[2].partition("[")[0] in (UNDO, AGAIN):
            assert state.undos[frame_of(path)].by in state.open
            continue
        around = state.block_around(path)
        if around:
            assert around[0] in state.open, f"{path} is active, but {around[0]} has ended"
            assert state.blocks[around[0]].running > 0


# -- at the end -------------------------------------------------------------------------------------------------


def replaying_a_history_gives_the_same_decisions(world: World) -> None:
    definition = Definition.load(world.definition.data)
    assert _replay(world, definition) == world.state


def _replay(world: World, definition: Definition) -> State:
    stored = world.restored()
    for entry in stored:
        for value in list_values(entry).values():
            if value.ref:
                value.attach(world.payloads[value.ref])
    return check_decisions(definition, world.state.run, stored)


def no_entry_follows_the_end(world: World) -> None:
    for stretch in _split_at_retries(world):
        ends = [number for number, entry in enumerate(stretch) if isinstance(entry, entries.RunFinished)]
        assert ends in ([], [len(stretch) - 1])
    if world.is_over:
        for fact in (
            *(fact for fact in world.facts if not isinstance(fact, entries.RunRetried)),
            entries.CancelRequested(at=world.now),
            entries.DeadlinePassed(at=world.now + 10**12),
        ):
            advance = Advance(world.definition, world.state, fact)
            advance.follow()
            assert not advance.entries
            assert not advance.effects


def _split_at_retries(world: World) -> list[list[entries.AnyEntry]]:
    """The history in stretches, each of which but the first begins with a retry."""
    stretches: list[list[entries.AnyEntry]] = [[]]
    for entry in world.history:
        if isinstance(entry, entries.RunRetried):
            stretches.append([])
        stretches[-1].append(entry)
    return stretches


def a_part_of_a_run_ends_once(world: World) -> None:
    for stretch in _split_at_retries(world):
        announced = [entry for entry in stretch if isinstance(entry, entries.MainEnding)]
        ended = [entry for entry in stretch if isinstance(entry, entries.MainEnded)]
        assert len(announced) <= 1, announced
        assert len(ended) <= 1, ended
        if announced and ended:
            assert (announced[0].status, announced[0].reason) == (ended[0].status, ended[0].reason)
            assert stretch.index(announced[0]) < stretch.index(ended[0])


def a_step_is_reached_once_and_ends_once(world: World) -> None:
    for stretch in _split_at_retries(world):
        reached = Counter(entry.path for entry in stretch if isinstance(entry, entries.StepScheduled))
        blocks = Counter(entry.path for entry in stretch if isinstance(entry, entries.BlockStarted))
        ends = Counter(entry.path for entry in stretch if isinstance(entry, ENDS))
        for counted in (reached, blocks, ends):
            assert not [path for path, count in counted.items() if count > 1], counted


def a_checkpoint_is_final_unless_a_retry_voids_it(world: World) -> None:
    """No step runs after its checkpoint, except that a retried run performs its cleanup again, with other keys."""
    done: set[str] = set()
    numbers = {each.at_entry: each.path for each in world.performed}
    for number, entry in enumerate(world.history):
        assert numbers.get(number) not in done
        match entry:
            case entries.StepCompleted() | entries.StepSkipped():
                done.add(entry.path)
            case entries.StepsVoided():
                done -= {*entry.paths}
                assert all(world.definition.nodes[path].is_cleanup for path in entry.paths)
            case entries.StepScheduled() | entries.RetryScheduled() | entries.StepReopened():
                assert entry.path not in done, entry


def a_step_has_one_key_and_a_further_pass_of_the_cleanup_another(world: World) -> None:
    inputs: dict[str, tuple[str, int | None]] = {}
    for each in world.performed:
        node = world.definition.nodes[each.path]
        assert each.cleanup_pass == 1 or node.is_cleanup, f"{each.path} has another key than in its first attempt"
        place = frame_of(each.path) if _is_inner(each.path, AGAIN) else each.path
        assert inputs.setdefault(each.key, (place, each.page)) == (place, each.page)


def no_page_is_performed_after_its_checkpoint(world: World) -> None:
    """The pages of a step follow one another, and the repetition of a step goes on with those that have arrived."""
    arrived: Counter[str] = Counter()
    performed = {each.at_entry: each for each in world.performed if each.page is not None}
    for number, entry in enumerate(world.history):
        if number in performed:
            each = performed[number]
            assert each.page == arrived[each.path], f"{each.path} has {arrived[each.path]} pages: {each}"
        match entry:
            case entries.PageCompleted():
                assert entry.page == arrived[entry.path], entry
                arrived[entry.path] += 1
            case entries.StepScheduled() if _is_inner(entry.path, AGAIN):
                arrived[entry.path] = arrived[frame_of(entry.path)]
            case entries.StepsVoided():
                for path in entry.paths:
                    arrived.pop(path, None)


def the_output_of_a_step_has_the_items_of_its_pages_in_order(world: World) -> None:
    for entry in world.history:
        if not isinstance(entry, entries.StepCompleted) or entry.started_at is None:
            continue
        node = world.definition.actions[entry.path]
        if node.step.is_paged and node.keep is None:
            output = world.loaded(entry.output.load)
            assert isinstance(output, dict)
            numbers = [item["n"] for item in output["items"]]  # type: ignore[union-attr, call-overload, index]
            assert numbers == list(range(len(numbers))), entry.path


def a_retry_reopens_only_what_nothing_handled(world: World) -> None:
    """A step inside a block that completed is not reopened."""
    completed: set[str] = set()
    for entry in world.history:
        match entry:
            case entries.StepCompleted():
                completed.add(entry.path)
            case entries.StepsVoided():
                completed -= {*entry.paths}
            case entries.StepReopened():
                assert not any(is_within(entry.path, block) for block in completed), entry


def a_branch_begins_once_and_ends_once_and_before_its_block(world: World) -> None:
    under_way: dict[str, set[tuple[str, int | None]]] = {}
    known: set[tuple[str, str, int | None]] = set()
    over: set[str] = set()
    for entry in world.history:
        match entry:
            case entries.BlockStarted():
                under_way[entry.path] = set()
            case entries.StepReopened():
                under_way[entry.path] = set()
                over.discard(entry.path)
                known = {each for each in known if each[0] != entry.path or each[2] is not None}
            case entries.BranchReopened():
                assert entry.path not in over
                under_way[entry.path].add((entry.branch, entry.index))
            case entries.StepsVoided():
                known = {each for each in known if each[0] not in entry.paths}
                over -= {*entry.paths}
                for path in entry.paths:
                    under_way.pop(path, None)
            case entries.BranchStarted():
                assert entry.path not in over
                assert (entry.path, entry.branch, entry.index) not in known
                known.add((entry.path, entry.branch, entry.index))
                under_way[entry.path].add((entry.branch, entry.index))
            case entries.BranchEnded():
                assert (entry.branch, entry.index) in under_way[entry.path], f"{entry} is not in a branch in progress"
                under_way[entry.path].remove((entry.branch, entry.index))
            case entries.RunRetried():
                under_way = {path: set() for path in under_way}  # the end cut them off
            case entries.StepCompleted() | entries.StepFailed() | entries.StepCancelled() if entry.path in under_way:
                assert not under_way[entry.path], f"{entry.path} ends before {under_way[entry.path]}"
                over.add(entry.path)


def a_step_is_reached_when_the_one_before_it_is_done(world: World) -> None:
    before = {
        join_path(frame_of(node.path), node.follower): node.step.id
        for node in world.definition.nodes.values()
        if node.follower is not None
    }
    done: set[str] = set()
    for entry in world.history:
        if isinstance(entry, REACHED) and strip_numbers(entry.path) in before:
            first = join_path(frame_of(entry.path), before[strip_numbers(entry.path)])
            is_timeout = isinstance(entry, entries.BlockStarted) and entry.kind == "on_timeout"
            assert is_timeout or first in done, f"{entry.path} is reached before {first} is done"
        if isinstance(entry, entries.StepCompleted | entries.StepSkipped):
            done.add(entry.path)
        if isinstance(entry, entries.StepsVoided):
            done -= {*entry.paths}


def only_cleanup_begins_in_an_ending_part(world: World) -> None:
    ending: set[str] = set()
    for entry in world.history:
        match entry:
            case entries.MainEnding():
                ending.add("")
            case entries.MainEnded():
                ending.discard("")
            case entries.RunRetried():
                ending.clear()
            case entries.BranchesCancelled():
                ending.add(entry.path)
            case entries.StepScheduled() | entries.BlockStarted():
                node = world.definition.nodes[entry.path]
                if node.is_inner or (isinstance(entry, entries.BlockStarted) and entry.kind == "on_timeout"):
                    continue
                for root in ending:
                    if is_within(entry.path, root):
                        within = [
                            each for each in node.around if is_within(each[0], strip_numbers(root)) or each[0] == root
                        ]
                        assert any(branch == FINALLY for _, branch in within), f"{entry.path} begins in '{root}'"


def a_finally_is_performed_once_for_every_try_that_was_entered(world: World) -> None:
    begun: Counter[str] = Counter()
    entered: set[str] = set()
    for entry in world.history:
        match entry:
            case entries.BranchStarted(branch="finally") if _is_try(world.definition, entry.path):
                begun[entry.path] += 1
            case entries.BranchStarted(branch="try") if _is_try(world.definition, entry.path):
                entered.add(entry.path)
                begun[entry.path] = 0
            case entries.BranchReopened() if _is_try(world.definition, entry.path) and entry.branch != FINALLY:
                begun[entry.path] = 0
            case entries.StepCompleted() | entries.StepFailed() | entries.StepCancelled() if entry.path in entered:
                has_cleanup = world.definition.blocks[entry.path].firsts[FINALLY] is not None
                assert begun[entry.path] == has_cleanup, f"{entry.path} ended without its cleanup"


def _is_try(definition: Definition, path: str) -> bool:
    node = definition.nodes[path]
    return isinstance(node, BlockNode) and isinstance(node.step, TryStep)


def every_attempt_of_a_step_gets_the_same_input(world: World) -> None:
    seen: dict[tuple[str, int], object] = {}
    for path, cleanup_pass, _, given, secrets, *_ in world.performed:
        assert seen.setdefault((path, cleanup_pass), (given, secrets)) == (given, secrets)
        if strip_numbers(path).endswith(f".{AGAIN}"):
            assert seen.get((frame_of(path), cleanup_pass), (given, secrets)) == (given, secrets)


def a_step_and_its_undo_have_the_connection_that_was_chosen(world: World) -> None:
    chosen: dict[str, str | None] = {}
    for entry in world.history:
        if isinstance(entry, entries.StepScheduled):
            chosen[entry.path] = entry.connection
            node = world.definition.nodes[entry.path]
            is_choice = isinstance(node.step, ActionStep) and isinstance(node.step.connection, ConnectionChoice)
            assert is_choice == (entry.connection is not None)
            if node.is_inner:
                assert chosen[frame_of(entry.path)] == entry.connection


def an_attempt_starts_once(world: World) -> None:
    tried = Counter((each.path, each.cleanup_pass, each.attempt) for each in world.performed)
    if not world.seen["InputRefused"]:  # the entry says that it never began
        assert not [each for each, count in tried.items() if count > 1], tried


def every_started_attempt_is_counted(world: World) -> None:
    steps = world.state.steps
    begun = Counter(
        each.path
        for each in world.performed
        if each.path in steps and each.cleanup_pass == steps[each.path].cleanup_pass and steps[each.path].attempt
    )
    begun.subtract(entry.path for entry in world.history if isinstance(entry, entries.InputRefused))
    few = {path: count for path, count in begun.items() if count > 0 and steps[path].attempt < count}
    assert not few, f"fewer attempts are counted than began: {few}"


def a_lost_attempt_does_not_count_against_the_policy(world: World) -> None:
    lost = Counter(entry.path for entry in world.history if isinstance(entry, entries.AttemptLost))
    failed: Counter[str] = Counter()
    resolved = {entry.path for entry in world.history if isinstance(entry, entries.StepResolved)}
    for entry in world.history:
        if isinstance(entry, entries.AttemptFailed):
            failed[entry.path] += 1
        if isinstance(entry, entries.PageCompleted):
            failed[entry.path] = 0
        if not isinstance(entry, entries.StepFailed) or entry.path in resolved or not lost[entry.path]:
            continue
        spec = world.definition.actions[entry.path].step
        is_policy = entry.error.error_class in spec.retry.errors and entry.error.error_class != "crash"
        if spec.on_crash == "retry" and is_policy and entry.output is None:
            assert failed[entry.path] >= spec.retry.max_attempts, entry


def a_parked_step_is_not_repeated_after_an_unknown_ending(world: World) -> None:
    uncertain: set[str] = set()
    tried = Counter(path for path, *_ in world.performed)
    starts = Counter(entry.path for entry in world.history if isinstance(entry, entries.AttemptStarted))
    for entry in world.history:
        match entry:
            case entries.StepUncertain():
                uncertain.add(entry.path)
            case entries.StepResolved():
                uncertain.discard(entry.path)
            case entries.StepsVoided():
                uncertain -= {*entry.paths}
            case entries.AttemptStarted():
                assert entry.path not in uncertain, f"{entry.path} is attempted again without a decision"
    assert all(count <= tried[path] for path, count in starts.items()), "a start is recorded once"


def an_undecided_step_pauses_its_run(world: World) -> None:
    """An uncertain step stays uncertain until a person resolves it or the run ends."""
    uncertain: dict[str, entries.AnyEntry] = {}
    for entry in world.history:
        match entry:
            case entries.StepUncertain():
                uncertain[entry.path] = entry
            case entries.StepResolved() | entries.StepCancelled():
                uncertain.pop(entry.path, None)
            case entries.StepsVoided():
                uncertain = {path: each for path, each in uncertain.items() if path not in entry.paths}
            case entries.StepCompleted() | entries.StepFailed():
                assert entry.path not in uncertain


def undo_reverts_effects_in_reverse_order_and_each_once(world: World) -> None:
    checkpoints: list[str] = []
    undone: set[str] = set()
    targets: dict[str, int] = {}
    last = -1
    for entry in world.history:
        match entry:
            case entries.UndoStarted():
                assert not undone & set(entry.targets)
                known = [path for path in entry.targets if path in checkpoints]
                order = [checkpoints.index(path) for path in known]
                assert order == sorted(order, reverse=True)
                targets = {path: number for number, path in enumerate(entry.targets)}
                last = -1
            case entries.StepCompleted() if _is_inner(entry.path, UNDO):
                assert frame_of(entry.path) not in undone, f"{entry.path} was undone already"
                undone.add(frame_of(entry.path))
            case entries.StepScheduled() if _is_inner(entry.path, UNDO) and frame_of(entry.path) in targets:
                assert frame_of(entry.path) not in undone
                assert targets[frame_of(entry.path)] > last
                last = targets[frame_of(entry.path)]
            case entries.StepCompleted() if _has_undo(world.definition, entry.path):
                checkpoints.append(entry.path)
            case entries.StepsVoided():
                checkpoints = [path for path in checkpoints if path not in entry.paths]


def _is_inner(path: str, kind: str) -> bool:
    return strip_numbers(path).endswith(f".{kind}")


def _has_undo(definition: Definition, path: str) -> bool:
    spec = definition.nodes[path].step
    return isinstance(spec, ActionStep) and spec.undo is not None


def every_undo_of_an_ended_run_is_done_failed_or_never_requested(world: World) -> None:
    if world.is_over:
        assert all(undo.status != "chosen" for undo in world.state.undos.values())
    targets: dict[str, tuple[str, ...]] = {}
    for entry in world.history:
        if isinstance(entry, entries.UndoStarted):
            targets[entry.path] = entry.targets
        if isinstance(entry, entries.StepCompleted) and world.definition.nodes[entry.path].step.id not in ("undo",):
            spec = world.definition.nodes[entry.path].step
            if isinstance(spec, ActionStep) and spec.use == "flow.undo":
                said = world.loaded(entry.output.load)
                assert isinstance(said, dict)
                assert len(said["undone"]) + len(said["not_undone"]) <= len(targets[entry.path])  # type: ignore[arg-type]


def a_foreach_outputs_its_items_in_order(world: World) -> None:
    ends: dict[tuple[str, int], str] = {}
    begun: dict[str, int] = {}
    for entry in world.history:
        if isinstance(entry, entries.StepsVoided):
            begun = {path: count for path, count in begun.items() if path not in entry.paths}
            ends = {each: status for each, status in ends.items() if each[0] not in entry.paths}
        if isinstance(entry, entries.BranchReopened) and entry.index is not None:
            ends.pop((entry.path, entry.index), None)
        if isinstance(entry, entries.BranchStarted) and entry.index is not None:
            assert entry.index == begun.get(entry.path, 0)
            begun[entry.path] = entry.index + 1
        if isinstance(entry, entries.BranchEnded) and entry.index is not None:
            ends[entry.path, entry.index] = entry.status
    for path, count in begun.items():
        node = world.definition.nodes[path]
        if isinstance(node.step, ForeachStep) and not node.around and path not in world.state.open | world.state.active:
            scope = RunScope(world.definition, world.state)
            output = scope["steps"][path]["output"]  # type: ignore[index]
            statuses = [each["status"] for each in output]
            assert statuses == [ends.get((path, index), "cancelled") for index in range(count)], path
            for each in output:
                for step in each["steps"].values():
                    world.loaded(partial(step.__getitem__, "output"))


def a_called_run_is_cancelled_when_its_caller_ends(world: World) -> None:
    calls = [entry for entry in world.history if isinstance(entry, entries.ChildCalled)]
    called = {entry.path: entry.run for entry in calls}
    assert len(set(called.values())) == len(called)
    told = Counter(post.run for post in world.posts if post.kind == "cancel")
    times = Counter(entry.run for entry in calls)
    assert all(count <= times[run] for run, count in told.items()), told
    for path, run in called.items():
        if path not in world.state.active and world.children[run].has_begun:
            child = world.children[run]
            assert child.is_over or child.is_told_to_end, f"{run} continues although its caller has ended"


def an_early_answer_is_used_when_its_wait_begins(world: World) -> None:
    early: set[tuple[str, str]] = set()
    waiting: set[str] = set()
    answered: str | None = None
    for entry in world.history:
        if answered:
            ended = isinstance(entry, ENDS) and entry.path == answered
            answered = None if ended else answered
        match entry:
            case entries.SignalReceived() if entry.path not in waiting:
                early.add((entry.path, entry.name))
            case entries.StepsVoided():
                early = {each for each in early if each[0] not in entry.paths}
            case entries.WaitStarted():
                waiting.add(entry.path)
                is_answered = any((entry.path, each.name) in early for each in entry.awaits)
                answered = entry.path if is_answered else answered
    assert answered is None or world.state.steps[answered].finished_at, f"{answered} was answered but keeps waiting"


def a_caller_is_notified_of_the_end_once(world: World) -> None:
    told = [post for post in world.posts if post.kind == "child"]
    parent = world.beginning.parent
    ends = sum(isinstance(entry, entries.RunFinished) for entry in world.history)
    assert len(told) == (ends if parent and not parent.is_detached else 0)
    for post in told:
        assert parent
        assert post.run == parent.run


AT_EVERY_STEP: tuple[Invariant, ...] = (
    the_state_equals_the_replayed_history,
    a_restart_has_the_outstanding_effects_of_an_uninterrupted_run,
    a_restart_finds_every_attempt_in_progress_lost,
    a_run_ends_or_shows_what_it_waits_for,
    no_ended_step_is_performed,
    a_foreach_runs_at_most_max_parallel_items,
    active_steps_and_blocks_are_inside_open_blocks,
)
AT_THE_END: tuple[Invariant, ...] = (
    a_part_of_a_run_ends_once,
    a_step_is_reached_once_and_ends_once,
    a_checkpoint_is_final_unless_a_retry_voids_it,
    a_step_has_one_key_and_a_further_pass_of_the_cleanup_another,
    no_page_is_performed_after_its_checkpoint,
    the_output_of_a_step_has_the_items_of_its_pages_in_order,
    a_retry_reopens_only_what_nothing_handled,
    a_branch_begins_once_and_ends_once_and_before_its_block,
    a_step_is_reached_when_the_one_before_it_is_done,
    only_cleanup_begins_in_an_ending_part,
    a_finally_is_performed_once_for_every_try_that_was_entered,
    every_attempt_of_a_step_gets_the_same_input,
    a_step_and_its_undo_have_the_connection_that_was_chosen,
    an_attempt_starts_once,
    every_started_attempt_is_counted,
    a_lost_attempt_does_not_count_against_the_policy,
    a_parked_step_is_not_repeated_after_an_unknown_ending,
    an_undecided_step_pauses_its_run,
    undo_reverts_effects_in_reverse_order_and_each_once,
    every_undo_of_an_ended_run_is_done_failed_or_never_requested,
    a_foreach_outputs_its_items_in_order,
    a_called_run_is_cancelled_when_its_caller_ends,
    a_caller_is_notified_of_the_end_once,
    an_early_answer_is_used_when_its_wait_begins,
    replaying_a_history_gives_the_same_decisions,
    no_entry_follows_the_end,
)
