"""From entries to the state: `apply_entry` folds one in, in place, and costs the same at every length."""

from collections.abc import Iterable
from typing import get_args

from durable.history.entries import (
    AnyEntry,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    BlockStarted,
    BranchEnded,
    BranchesCancelled,
    BranchStarted,
    CancelRequested,
    ChildCalled,
    ChildEnded,
    DeadlinePassed,
    Fact,
    InputRefused,
    MainEnded,
    MainEnding,
    RecoveryStopped,
    RetryScheduled,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    SignalReceived,
    SlotGranted,
    StartDue,
    StepCancelled,
    StepCompleted,
    StepExhausted,
    StepFailed,
    StepResolved,
    StepScheduled,
    StepSkipped,
    StepUncertain,
    TimerFired,
    TimerSet,
    UndoFailed,
    UndoStarted,
    WaitStarted,
)
from durable.history.state import BlockState, State, StepState, UndoState
from durable.path import frame_of, is_repetition, is_within, join_path
from durable.values import NULL

_FACTS = frozenset(get_args(Fact))
_WITH_OUTPUT = frozenset({"foreach", "repeat"})


def replay_entries(run: str, entries: Iterable[AnyEntry]) -> State:
    """The state that a history amounts to."""
    state = State(run=run)
    for entry in entries:
        apply_entry(state, entry)
    return state


def apply_entry(state: State, entry: AnyEntry) -> None:
    """Fold one entry into the state, in place."""
    state.entries += 1
    state.at = entry.at
    state.since_fact = 0 if type(entry) in _FACTS else state.since_fact + 1
    match entry:
        case StepScheduled():
            _schedule_step(state, entry)
        case StepCompleted() | StepSkipped() | StepFailed() | StepCancelled():
            _end_step(state, entry)
        case BlockStarted() | BranchStarted() | BranchEnded() | BranchesCancelled() | UndoStarted():
            _apply_to_block(state, entry)
        case AttemptStarted() | AttemptFailed() | AttemptLost() | RetryScheduled() | StepUncertain() | StepExhausted():
            _apply_to_attempt(state, entry)
        case TimerSet() | TimerFired() | WaitStarted() | SignalReceived() | ChildCalled() | ChildEnded():
            _apply_to_wait(state, entry)
        case UndoFailed():
            undo = state.undos[entry.path]
            undo.status, undo.error = "failed", entry.error
        case StepResolved():
            _unpause(state, entry.path)
            state.steps[entry.path].needs_person = False
        case _:
            _apply_to_run(state, entry)


def _apply_to_run(
    state: State,
    entry: (
        RunStarted
        | StartDue
        | SlotGranted
        | RunPaused
        | RunResumed
        | MainEnding
        | MainEnded
        | RunFinished
        | InputRefused
        | CancelRequested
        | DeadlinePassed
        | RecoveryStopped
    ),
) -> None:
    match entry:
        case RunStarted():
            state.started = entry
            state.is_queued = not entry.error and (entry.held_until is not None or entry.queued_for is not None)
        case StartDue():
            state.is_due = True
            state.is_queued = state.started is not None and state.started.queued_for is not None
        case SlotGranted():
            state.is_queued = False
        case RunPaused():
            state.paused_at = state.paused_at if state.pauses else entry.at
            state.pauses[entry.path or ""] = entry.reason
        case RunResumed():
            _unpause(state, "")
        case MainEnding():
            state.ending, state.is_queued = entry, False
            _unpause(state, "")
            _stop_blocks(state, "")
        case MainEnded():
            state.main, state.is_queued = entry, False
            state.pauses.clear()
            state.paused_at = None
            _close_part(state, entry.at)
        case RunFinished():
            state.finished = entry
            _close_part(state, entry.at)
        case InputRefused():
            step = state.steps[entry.path]
            step.is_started = False
            # The attempt has not begun, and does not before the pause that follows is over: see `_due_of_attempt`.
            step.due = max(step.due or 0, entry.at + 1)
        case CancelRequested() | DeadlinePassed() | RecoveryStopped():
            pass


def _unpause(state: State, path: str) -> None:
    """One reason for the pause is gone, if it was there."""
    if state.pauses.pop(path, None) is not None and not state.pauses:
        state.paused_at = None


# -- steps ------------------------------------------------------------------------------------------------------


def _schedule_step(state: State, entry: StepScheduled) -> None:
    state.steps[entry.path] = StepState(
        "running",
        entry.input,
        entry.secrets,
        attempt=1,
        due=_due_of_attempt(state, entry.at),
        decided_at=entry.at,
        scheduled_at=entry.at,
    )
    state.active[entry.path] = None
    if entry.has_undo:
        state.undos[entry.path] = UndoState()


def _due_of_attempt(state: State, due: int) -> int:
    """When an attempt may begin: in a paused run none does, so that it is due after the pause began. In the same
    millisecond, the two could not be told apart."""
    return due if state.paused_at is None else max(due, state.paused_at + 1)


def _apply_to_attempt(
    state: State,
    entry: AttemptStarted | AttemptFailed | AttemptLost | RetryScheduled | StepUncertain | StepExhausted,
) -> None:
    step = state.steps[entry.path]
    match entry:
        case AttemptStarted():
            step.is_started = True
        case AttemptFailed():
            step.error, step.is_started = entry.error, False
            step.is_doubtful |= entry.ending == "unknown"
        case AttemptLost():
            step.error = entry.error
            step.crashes, step.is_started, step.is_doubtful = step.crashes + 1, False, True
        case RetryScheduled():
            step.status, step.attempt, step.decided_at = "waiting", entry.attempt, entry.at
            step.due = _due_of_attempt(state, entry.due)
        case StepUncertain():
            step.status, step.error, step.due = "uncertain", entry.error, None
            step.is_started, step.is_doubtful, step.needs_person = False, True, True
        case StepExhausted():
            step.status, step.error, step.due, step.needs_person = "waiting", entry.error, None, True


def _end_step(state: State, entry: StepCompleted | StepSkipped | StepFailed | StepCancelled) -> None:
    path = entry.path
    step = state.steps.get(path)
    if step is None:
        step = state.steps[path] = StepState("pending")
    may_be_attempted, is_backing_off = step.may_be_attempted(entry.at), step.is_backing_off(entry.at)
    state.active.pop(path, None)
    state.open.pop(path, None)
    _unpause(state, path)
    step.due, step.finished_at, step.needs_person = None, entry.at, False
    match entry:
        case StepCompleted():
            step.status, step.output, step.error = "completed", entry.output, None
            if entry.is_answer and state.answer is None:
                state.answer = entry.output
        case StepSkipped():
            step.status = "skipped"
        case StepFailed():
            step.status, step.error = "failed", entry.error
            step.output, step.has_returned = entry.output or NULL, entry.output is not None
        case StepCancelled() if step.status != "uncertain":
            step.is_doubtful |= may_be_attempted
            step.attempt -= is_backing_off
            step.status = "cancelled"
    state.memo.pop(path, None)
    _end_block(state, path)
    _note_undo(state, entry)


def _end_block(state: State, path: str) -> None:
    block = state.blocks.get(path)
    if block and block.kind not in _WITH_OUTPUT:
        del state.blocks[path]


def _note_undo(state: State, entry: StepCompleted | StepSkipped | StepFailed | StepCancelled) -> None:
    """A checkpoint makes a step's effect one that can be taken back, as the last one; and that it was taken back is
    known by the end of the undo."""
    if undo := state.undos.get(entry.path):
        if isinstance(entry, StepCompleted):
            undo.input, undo.secrets = entry.undo, entry.undo_secrets
            state.undos[entry.path] = state.undos.pop(entry.path)
        return
    target = frame_of(entry.path)
    undone = state.undos.get(target)
    if undone and undone.by and not is_repetition(entry.path) and isinstance(entry, StepCompleted):
        undone.status = "done"


# -- blocks -----------------------------------------------------------------------------------------------------


def _apply_to_block(
    state: State, entry: BlockStarted | BranchStarted | BranchEnded | BranchesCancelled | UndoStarted
) -> None:
    path = entry.path
    match entry:
        case BlockStarted():
            step = state.steps.get(path)
            if step is None:
                step = state.steps[path] = StepState("running", scheduled_at=entry.at)
            step.status, step.due = "running", None
            state.active.pop(path, None)
            state.open[path] = None
            state.blocks[path] = BlockState(entry.kind, entry.items, entry.count)
        case BranchStarted():
            block = state.blocks[path]
            block.running += 1
            block.branch, block.branch_at = entry.branch, entry.at
            if entry.index is not None:
                block.begun = entry.index + 1
        case BranchEnded():
            _end_branch(state.blocks[path], entry)
        case BranchesCancelled():
            if path:
                state.blocks[path].is_stopping = True
            else:
                state.is_stopping = True
            _stop_blocks(state, path)
        case UndoStarted():
            state.active.pop(path, None)
            state.open[path] = None
            state.blocks[path] = BlockState("undo", targets=entry.targets)
            for target in entry.targets:
                undo = state.undos[target]
                undo.status, undo.by, undo.passes = "chosen", path, undo.passes + 1


def _end_branch(block: BlockState, entry: BranchEnded) -> None:
    block.running -= 1
    if entry.status == "failed":
        if block.kind == "try" or block.error is None:
            block.error = entry.error
        if entry.index is not None and entry.error:
            block.failures[entry.index] = entry.error
    elif entry.status == "cancelled":
        if entry.index is not None:
            block.cancelled[entry.index] = None
    elif block.kind == "try" and entry.branch.startswith("catch"):
        block.error = None


def _stop_blocks(state: State, root: str) -> None:
    """Nothing begins any more in the blocks inside a block (or the run), but in a `finally` that is under way."""
    spared = state.list_cleaning(root)
    for path in state.open:
        if is_within(path, root) and not any(is_within(path, block) for block in spared):
            block = state.blocks[path]
            if block.kind != "undo":
                block.is_stopping = block.is_cancelled = True


def _close_part(state: State, at: int) -> None:
    """A part of the run is over: what of it was still under way is cancelled."""
    for block, index in filter(None, map(state.block_around, [*state.active, *state.open])):
        if index is not None:
            state.blocks[block].cancelled[index] = None
    for path in [*state.active, *state.open]:
        step = state.steps[path]
        if step.status != "uncertain":
            step.is_doubtful |= path in state.active and step.may_be_attempted(at)
            step.attempt -= path in state.active and step.is_backing_off(at)
            step.status = "cancelled"
        step.due, step.finished_at, step.needs_person = None, at, False
        _end_block(state, path)
    state.active.clear()
    state.open.clear()
    for undo in state.undos.values():
        if undo.status == "chosen":
            undo.status = "registered"


# -- waits ------------------------------------------------------------------------------------------------------


def _apply_to_wait(
    state: State, entry: TimerSet | TimerFired | WaitStarted | SignalReceived | ChildCalled | ChildEnded
) -> None:
    step = state.steps.get(entry.path)
    match entry:
        case SignalReceived():
            if entry.path not in state.active:
                state.early[join_path(entry.path, entry.name) if entry.name else entry.path] = entry.data
        case _ if step is None:
            return
        case TimerSet():
            state.active[entry.path] = None
            step.status, step.due, step.decided_at = "waiting", entry.due, entry.at
        case TimerFired():
            if entry.path in state.open:
                state.active.pop(entry.path, None)
                step.status, step.due = "running", None
        case WaitStarted():
            step.status, step.due, step.decided_at = "waiting", entry.due, entry.at
            step.awaits = entry.awaits
        case ChildCalled():
            step.status, step.due, step.child = "waiting", None, entry.run
        case ChildEnded():
            pass
