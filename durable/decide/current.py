"""Filters obsolete input: facts that arrive too late, and follow-ups whose step or block has ended in the meantime."""

from durable.effects import BeginBranch
from durable.history import entries
from durable.history.entries import Fact
from durable.history.state import State, StepState

NEED_ACTIVE = frozenset(
    {entries.StepScheduled, entries.RetryScheduled, entries.WaitStarted, entries.ChildCalled, entries.TimerSet}
)
NEED_OPEN = frozenset(
    {
        BeginBranch,
        entries.BlockStarted,
        entries.BranchStarted,
        entries.BranchReopened,
        entries.BranchEnded,
        entries.UndoStarted,
    }
)
"""Follow-ups that are dropped if their step is no longer active, or their block is no longer open."""


def is_current(state: State, fact: Fact) -> bool:
    """Whether the fact still concerns the run: nothing happens after the run's end except a retry, and each attempt or
    wait ends once."""
    if isinstance(fact, entries.RunRetried):
        return state.finished is not None and state.finished.status != "completed"
    if state.finished or (state.started is None) != isinstance(fact, entries.RunStarted):
        return False
    match fact:
        case entries.AttemptStarted() if fact.path in state.steps and state.steps[fact.path].is_started:
            return False
        case (
            entries.AttemptStarted()
            | entries.StepCompleted()
            | entries.PageCompleted()
            | entries.AttemptFailed()
            | entries.AttemptLost()
            | entries.InputRefused()
        ):
            step = _get_active(state, fact.path)
            return step is not None and step.attempt == fact.attempt and not step.needs_person and not step.awaits
        case entries.TimerFired():
            step = _get_active(state, fact.path)
            waits_for_it = step is not None and (fact.path in state.open or step.awaits or step.child)
            return bool(waits_for_it and step and step.due is not None and fact.at >= step.due)
        case entries.SignalReceived():
            step = _get_active(state, fact.path)
            if step is None:
                return fact.path not in state.steps
            return any(each.name == fact.name for each in step.awaits)
        case entries.ChildEnded():
            step = _get_active(state, fact.path)
            # A fork copies the end of the run that the step called in the other run.
            return step is not None and step.child is not None and (fact.run in (None, step.child) or is_copying(state))
        case entries.StepResolved():
            step = _get_active(state, fact.path)
            return step is not None and step.needs_person
    return _concerns_run(state, fact)


def is_copying(state: State) -> bool:
    """Whether the facts come from the run that this one forks."""
    return state.fork_at is not None and state.forked is None


def _get_active(state: State, path: str) -> StepState | None:
    return state.steps[path] if path in state.active else None


def _concerns_run(state: State, fact: Fact) -> bool:
    match fact:
        case entries.StartDue():
            is_expired = state.is_due and state.start_due is not None and fact.at >= state.start_due
            return state.is_queued and (is_expired or not state.is_due) and not state.pauses and not state.retried
        case entries.SlotGranted():
            return state.is_queued
        case entries.CancelRequested():
            return state.main is None and state.ending is None
        case entries.RunResumed():
            return "" in state.pauses
        case entries.RecoveryStopped():
            return not state.pauses
        case entries.DeadlinePassed():
            return state.deadline is not None and fact.at >= state.deadline
        case entries.RunForked():
            return is_copying(state)
    return True
