"""Replay: compute the state of a run from its history.

`apply_entry` modifies the state in place, in time that does not depend on the length of the history.
"""

from collections.abc import Iterable
from typing import Any, get_args

from durable.blocks.block import Fold, merge_tables
from durable.blocks.kinds import BLOCKS, EVERY_KIND
from durable.blocks.pages import copy_pages, end_pages
from durable.history import entries
from durable.history.entries import AnyEntry, Entry
from durable.history.state import BlockState, State, StepState, UndoState
from durable.path import AGAIN, frame_of, is_repetition, is_within
from durable.values import NULL

_RESETS = frozenset(get_args(entries.Fact)) - {entries.StepCompleted}
"""The entries that are always facts. A checkpoint may also be a decision, and is a fact for certain only if it says
when its attempt started."""


def replay_entries(run: str, history: Iterable[AnyEntry]) -> State:
    """Compute the state of a run from its history."""
    state = State(run=run)
    for entry in history:
        apply_entry(state, entry)
    return state


def apply_entry(state: State, entry: AnyEntry) -> None:
    """Apply one entry to the state, in place."""
    kind = type(entry)
    state.entries += 1
    state.at = entry.at
    state.latest = max(state.latest, entry.at)
    state.since_fact = 0 if kind in _RESETS else state.since_fact + 1
    if (fold := _FOLDS.get(kind)) is not None:
        fold(state, entry)


# -- the run ----------------------------------------------------------------------------------------------------


def _start_run(state: State, entry: entries.RunStarted) -> None:
    state.started = entry
    state.is_queued = not entry.error and (entry.held_until is not None or entry.queued_for is not None)
    if entry.source is not None and entry.source.kind == "fork":
        state.fork_at = entry.source.step


def _start_held_run(state: State, entry: entries.StartDue) -> None:
    state.is_due = True
    state.is_queued = state.started is not None and state.started.queued_for is not None


def _grant_slot(state: State, entry: entries.SlotGranted) -> None:
    state.is_queued = False
    if state.forked is not None:
        state.fork_at = None


def _fork_run(state: State, entry: entries.RunForked) -> None:
    """End the copied part: its pauses are over, and what it did is not the new run's to undo."""
    state.forked, state.retried = entry, None
    state.pauses.clear()
    state.paused_at = None
    state.undos.clear()
    state.is_queued = state.started is not None and state.started.queued_for is not None
    if not state.is_queued:
        state.fork_at = None


def _pause(state: State, entry: entries.RunPaused) -> None:
    if not state.pauses:
        state.paused_at = state.latest  # an attempt that was due by then may have begun, even if the clock was set back
    state.pauses[entry.path or ""] = entry.reason


def _resume(state: State, entry: entries.RunResumed) -> None:
    _remove_pause(state, "")


def _remove_pause(state: State, path: str) -> None:
    """Remove one reason for the pause, if there is one."""
    if state.pauses.pop(path, None) is not None and not state.pauses:
        state.paused_at = None


def _announce_end(state: State, entry: entries.MainEnding) -> None:
    state.ending, state.is_queued = entry, False
    _remove_pause(state, "")
    _stop_blocks(state, "")


def _end_main(state: State, entry: entries.MainEnded) -> None:
    state.main, state.is_queued = entry, False
    state.pauses.clear()
    state.paused_at = None
    _close_part(state, entry.at)


def _finish_run(state: State, entry: entries.RunFinished) -> None:
    state.finished = entry
    _close_part(state, entry.at)


def _refuse_input(state: State, entry: entries.InputRefused) -> None:
    step = state.steps[entry.path]
    if step.child:
        return  # its due time is the timeout of the call, which goes on
    step.is_started = False
    # The attempt has not started, and cannot start before the pause that follows has ended: see `State.postpone`.
    step.due = max(step.due or 0, entry.at + 1)


def _retry(state: State, entry: entries.RunRetried) -> None:
    """Continue a run that has ended. Decisions reopen its steps."""
    state.retried, state.retries = entry, state.retries + 1
    state.finished = state.main = state.ending = state.paused_at = None
    state.pauses.clear()
    state.is_stopping = False
    is_copied = state.fork_at is not None and state.forked is None
    state.is_queued = state.started is not None and state.started.slot is not None and not is_copied
    if state.forked is not None:
        state.fork_at = None  # it failed before it had a slot


# -- steps ------------------------------------------------------------------------------------------------------


def _schedule_step(state: State, entry: entries.StepScheduled) -> None:
    path, at = entry.path, entry.at
    due = at if state.paused_at is None else state.postpone(at)
    # The repetition of a step, and a step of a fork that is performed anew, go on with the pages that have arrived.
    before = state.steps.get(frame_of(path) if AGAIN in path and is_repetition(path) else path)
    state.steps[path] = StepState(
        "running",
        entry.input,
        entry.secrets,
        attempt=1,
        cleanup_pass=entry.cleanup_pass,
        due=due,
        decided_at=at,
        scheduled_at=at,
        pages=copy_pages(before.pages) if before is not None and before.pages is not None else None,
        connection=entry.connection,
    )
    state.active[path] = None
    if entry.has_undo:
        state.undos[path] = UndoState()


def _start_attempt(state: State, entry: entries.AttemptStarted) -> None:
    state.steps[entry.path].is_started = True


def _fail_attempt(state: State, entry: entries.AttemptFailed) -> None:
    step = state.steps[entry.path]
    step.error, step.is_started = entry.error, False
    step.is_doubtful |= entry.ending == "unknown"


def _lose_attempt(state: State, entry: entries.AttemptLost) -> None:
    step = state.steps[entry.path]
    step.error = entry.error
    step.crashes, step.is_started, step.is_doubtful = step.crashes + 1, False, True


def _schedule_retry(state: State, entry: entries.RetryScheduled) -> None:
    step = state.steps[entry.path]
    step.status, step.attempt, step.decided_at = "waiting", entry.attempt, entry.at
    step.due = state.postpone(entry.due)


def _mark_uncertain(state: State, entry: entries.StepUncertain) -> None:
    step = state.steps[entry.path]
    step.status, step.error, step.due = "uncertain", entry.error, None
    step.is_started, step.is_doubtful, step.needs_person = False, True, True


def _mark_exhausted(state: State, entry: entries.StepExhausted) -> None:
    step = state.steps[entry.path]
    step.status, step.error, step.due, step.needs_person = "waiting", entry.error, None, True


def _resolve_step(state: State, entry: entries.StepResolved) -> None:
    _remove_pause(state, entry.path)
    state.steps[entry.path].needs_person = False


def _complete_step(state: State, entry: entries.StepCompleted) -> None:
    step = _end_step(state, entry.path, entry.at)
    step.status, step.output, step.error = "completed", entry.output, None
    if state.closed:
        state.closed.pop(entry.path, None)
    step.is_copied = state.fork_at is not None
    if step.pages is not None:
        end_pages(step.pages, entry)
    if entry.started_at is not None:
        state.since_fact = 0
    if entry.is_answer and state.answer is None:
        state.answer = entry.output
    if state.undos:
        _note_undo(state, entry)


def _skip_step(state: State, entry: entries.StepSkipped) -> None:
    _end_step(state, entry.path, entry.at).status = "skipped"


def _fail_step(state: State, entry: entries.StepFailed) -> None:
    step = _end_step(state, entry.path, entry.at)
    step.status, step.error = "failed", entry.error
    step.output, step.has_returned = entry.output or NULL, entry.output is not None


def _cancel_step(state: State, entry: entries.StepCancelled) -> None:
    step = state.steps.get(entry.path)
    if step is None:
        step = state.steps[entry.path] = StepState("pending")
    _cancel_attempt(step, entry.at)
    _end_step(state, entry.path, entry.at)


def _cancel_attempt(step: StepState, at: int) -> None:
    """Cancel an attempt. If it was due, it may have had an effect; if it was not due yet, it is not counted."""
    if step.status != "uncertain":
        may_be_attempted, is_backing_off = step.may_be_attempted(at), step.is_backing_off(at)
        step.is_doubtful |= may_be_attempted
        step.attempt -= is_backing_off
        step.status = "cancelled"


def _end_step(state: State, path: str, at: int) -> StepState:
    """Record what all ends of a step have in common."""
    step = state.steps.get(path)
    if step is None:
        step = state.steps[path] = StepState("pending")
    state.active.pop(path, None)
    if state.pauses:
        _remove_pause(state, path)
    step.due, step.finished_at, step.needs_person = None, at, False
    if path in state.blocks:
        _end_block(state, path)
    return step


def _end_block(state: State, path: str) -> None:
    state.open.pop(path, None)
    state.memo.pop(path, None)
    if not BLOCKS[state.blocks[path].kind].is_loop:  # a loop's state is needed for the step's output
        state.closed[path] = state.blocks.pop(path)


def _reopen_step(state: State, entry: entries.StepReopened) -> None:
    path = entry.path
    step = state.steps[path]
    step.finished_at = None
    block = state.closed.pop(path, None) or state.blocks.get(path)
    if block is None:
        state.active[path] = None
        step.awaits, step.is_started, step.uncounted = (), False, step.attempt - step.crashes
        if step.status != "uncertain":
            step.status = "running"
        return
    step.status, step.error = "running", None
    state.open[path] = None
    state.blocks[path] = block
    block.running, block.turns_before, block.error = 0, block.begun, None
    block.is_stopping = block.is_cancelled = block.is_cleaning = False


def _void_steps(state: State, entry: entries.StepsVoided) -> None:
    parts: list[dict[str, Any]] = [state.steps, state.blocks, state.closed, state.undos, state.memo]
    for part in filter(None, parts):  # a cleanup may have had thousands of steps, and seldom any of the others
        for path in entry.paths:
            part.pop(path, None)
    if state.early:
        voided = frozenset(entry.paths)
        for key in [key for key in state.early if key in voided or frame_of(key) in voided]:
            del state.early[key]


def _note_undo(state: State, entry: entries.StepCompleted) -> None:
    """Record a checkpoint: a step with an undo becomes the next to undo; an undo is marked as done."""
    if undo := state.undos.get(entry.path):
        undo.input, undo.secrets = entry.undo, entry.undo_secrets
        state.undos[entry.path] = state.undos.pop(entry.path)
        return
    undone = state.undos.get(frame_of(entry.path))
    if undone and undone.by and not is_repetition(entry.path):
        undone.status = "done"


# -- blocks -----------------------------------------------------------------------------------------------------


def _start_block(state: State, entry: entries.BlockStarted) -> None:
    path = entry.path
    if entry.kind not in BLOCKS:
        raise LookupError(f"a block of the kind {entry.kind!r}, which this Waypost does not know")
    step = state.steps.get(path)
    if step is None:
        step = state.steps[path] = StepState("running")
    if step.scheduled_at is None:
        step.scheduled_at = entry.at
    step.status, step.due = "running", None
    state.active.pop(path, None)
    state.open[path] = None
    state.blocks[path] = BlockState(entry.kind, entry.items, entry.count)


def _start_branch(state: State, entry: entries.BranchStarted) -> None:
    block = state.blocks[entry.path]
    block.running += 1
    block.branch, block.branch_at = entry.branch, entry.at
    block.is_cleaning = entry.branch == BLOCKS[block.kind].cleanup
    if entry.index is not None:
        block.begun = entry.index + 1


def _end_branch(state: State, entry: entries.BranchEnded) -> None:
    block = state.blocks[entry.path]
    block.running -= 1
    BLOCKS[block.kind].fold_end(block, entry)


def _reopen_branch(state: State, entry: entries.BranchReopened) -> None:
    block = state.blocks[entry.path]
    kind = BLOCKS[block.kind]
    block.running += 1
    block.branch = entry.branch
    block.is_cleaning = entry.branch == kind.cleanup
    kind.fold_reopening(block, entry)


def _cancel_branches(state: State, entry: entries.BranchesCancelled) -> None:
    if entry.path:
        state.blocks[entry.path].is_stopping = True
    else:
        state.is_stopping = True
    _stop_blocks(state, entry.path)


def _stop_blocks(state: State, root: str) -> None:
    """Prevent the blocks inside a block (or the run) from starting anything more, except in a running `finally`."""
    spared = state.list_cleaning(root)
    for path in state.open:
        if is_within(path, root) and not any(is_within(path, block) for block in spared):
            block = state.blocks[path]
            if not block.survives_cancel:
                block.is_stopping = block.is_cancelled = True


def _close_part(state: State, at: int) -> None:
    """Cancel everything that is still running when a part of the run ends."""
    for block, index in filter(None, map(state.block_around, [*state.active, *state.open])):
        if index is not None:
            state.blocks[block].cancelled[index] = None
    for path in [*state.active, *state.open]:
        step = state.steps[path]
        if path in state.active:
            _cancel_attempt(step, at)
        elif step.status != "uncertain":
            step.status = "cancelled"
        step.due, step.finished_at, step.needs_person = None, at, False
        if path in state.blocks:
            _end_block(state, path)
    state.active.clear()
    state.open.clear()
    for undo in state.undos.values():
        if undo.status == "chosen":
            undo.status = "registered"


# -- timers -----------------------------------------------------------------------------------------------------


def _set_timer(state: State, entry: entries.TimerSet) -> None:
    step = state.steps[entry.path]
    state.active[entry.path] = None
    step.status, step.due, step.decided_at = "waiting", entry.due, entry.at


def _fire_timer(state: State, entry: entries.TimerFired) -> None:
    if entry.path in state.open:
        step = state.steps[entry.path]
        state.active.pop(entry.path, None)
        step.status, step.due = "running", None


_OWN: dict[type[Entry], Fold] = {
    entries.RunStarted: _start_run,
    entries.StartDue: _start_held_run,
    entries.SlotGranted: _grant_slot,
    entries.RunForked: _fork_run,
    entries.RunPaused: _pause,
    entries.RunResumed: _resume,
    entries.RunRetried: _retry,
    entries.MainEnding: _announce_end,
    entries.MainEnded: _end_main,
    entries.RunFinished: _finish_run,
    entries.InputRefused: _refuse_input,
    entries.StepScheduled: _schedule_step,
    entries.AttemptStarted: _start_attempt,
    entries.AttemptFailed: _fail_attempt,
    entries.AttemptLost: _lose_attempt,
    entries.RetryScheduled: _schedule_retry,
    entries.StepUncertain: _mark_uncertain,
    entries.StepExhausted: _mark_exhausted,
    entries.StepResolved: _resolve_step,
    entries.StepCompleted: _complete_step,
    entries.StepSkipped: _skip_step,
    entries.StepFailed: _fail_step,
    entries.StepCancelled: _cancel_step,
    entries.BlockStarted: _start_block,
    entries.BranchStarted: _start_branch,
    entries.BranchEnded: _end_branch,
    entries.StepReopened: _reopen_step,
    entries.BranchReopened: _reopen_branch,
    entries.StepsVoided: _void_steps,
    entries.BranchesCancelled: _cancel_branches,
    entries.TimerSet: _set_timer,
    entries.TimerFired: _fire_timer,
}
_FOLDS = merge_tables(_OWN, *(kind.folds for kind in EVERY_KIND))
