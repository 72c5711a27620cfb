"""What follows from an entry that was just folded into the state, or from a move whose turn has come.

There is no clock here and no chance: the time of every decision is that of the fact that caused it.
"""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from durable.decide import attempts, blocks, children, ends, undo, waits
from durable.decide.sequence import end_sequence, enter_step, follow_step, refuse_step
from durable.definition.definition import PROBLEMS_LIMIT, Definition
from durable.definition.step import ActionStep
from durable.effects import (
    Abandon,
    AwaitSlot,
    AwaitStart,
    BeginBranch,
    Consequences,
    Effect,
    EmitEvent,
    EnterStep,
    FollowUp,
    PublishAnswer,
    StartChild,
    Wake,
)
from durable.flow import CORE_ACTIONS
from durable.history.entries import (
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
from durable.history.state import State, StepState
from durable.history.words import Failure, LossCause
from durable.respond import Respond
from durable.values import JSON, Value
from durable.wording import explain_error


def is_current(state: State, fact: Fact) -> bool:
    """Whether the fact still concerns this run: nothing follows its end, and what is under way ends once."""
    if state.finished or (state.started is None) != isinstance(fact, RunStarted):
        return False
    match fact:
        case AttemptStarted() if fact.path in state.steps and state.steps[fact.path].is_started:
            return False
        case AttemptStarted() | StepCompleted() | AttemptFailed() | AttemptLost() | InputRefused():
            step = _under_way(state, fact.path)
            return step is not None and step.attempt == fact.attempt and not step.needs_person and not step.awaits
        case TimerFired():
            step = _under_way(state, fact.path)
            waits_for_it = step is not None and (fact.path in state.open or step.awaits or step.child)
            return bool(waits_for_it and step and step.due is not None and fact.at >= step.due)
        case SignalReceived():
            step = _under_way(state, fact.path)
            if step is None:
                return fact.path not in state.steps
            return any(each.name == fact.name for each in step.awaits)
        case ChildEnded():
            step = _under_way(state, fact.path)
            return step is not None and step.child is not None and fact.run in (None, step.child)
        case StepResolved():
            step = _under_way(state, fact.path)
            return step is not None and step.needs_person
    return _concerns_run(state, fact)


def _under_way(state: State, path: str) -> StepState | None:
    return state.steps[path] if path in state.active else None


def _concerns_run(state: State, fact: Fact) -> bool:
    match fact:
        case StartDue():
            is_expired = state.is_due and state.start_due is not None and fact.at >= state.start_due
            return state.is_queued and (is_expired or not state.is_due) and not state.pauses
        case SlotGranted():
            return state.is_queued
        case CancelRequested():
            return state.main is None and state.ending is None
        case RunResumed():
            return "" in state.pauses
        case RecoveryStopped():
            return not state.pauses
        case DeadlinePassed():
            return state.deadline is not None and fact.at >= state.deadline
    return True


def decide(definition: Definition, state: State, move: FollowUp) -> Consequences:
    """What follows; looks only at what the entry touched. Raises `PayloadMissing` where it needs a stored value."""
    if not _holds_still(state, move):
        return [], []
    match move:
        case EnterStep():
            return enter_step(definition, state, move), []
        case BeginBranch():
            return blocks.begin(definition, state, move), []
        case StepScheduled():
            return _scheduled(definition, state, move)
        case StepCompleted() | StepSkipped() | StepFailed() | StepCancelled():
            return _step_ended(definition, state, move)
        case BlockStarted():
            return blocks.started(definition, state, move), []
        case BranchStarted():
            return blocks.branch_started(definition, state, move), []
        case BranchEnded():
            return blocks.branch_ended(definition, state, move), []
        case BranchesCancelled():
            return blocks.branches_cancelled(definition, state, move)
        case AttemptFailed():
            return attempts.follow_failure(definition, state, move)
        case AttemptLost():
            return attempts.follow_loss(definition, state, move)
        case RetryScheduled():
            return [], [attempts.build_attempt(definition, move.path, move.attempt, move.due)]
        case TimerSet():
            return blocks.timer_set(move)
        case TimerFired():
            return _timer_fired(definition, state, move)
        case WaitStarted():
            return waits.wait_started(definition, state, move)
        case SignalReceived():
            return waits.answered(definition, state, move)
        case ChildCalled():
            return children.child_called(definition, move)
        case ChildEnded():
            return children.child_ended(definition, state, move), [Abandon(move.path)]
        case UndoStarted():
            return undo.go_on(definition, state, move.path, move.at), []
        case UndoFailed():
            return undo.go_on(definition, state, state.undos[move.path].by or "", move.at), []
        case StepResolved():
            return attempts.resolve_step(definition, state, move)
        case AttemptStarted() | StepUncertain() | StepExhausted() | RunPaused():
            return [], []
        case _:
            return _of_run(definition, state, move)


def _holds_still(state: State, move: FollowUp) -> bool:
    """Whether what was decided meanwhile has not made it pointless."""
    match move:
        case StepScheduled() | RetryScheduled() | WaitStarted() | ChildCalled() | TimerSet():
            return move.path in state.active
        case BeginBranch() | BlockStarted() | BranchStarted() | BranchEnded() | UndoStarted():
            return move.path in state.open
        case BranchesCancelled():
            return not move.path or move.path in state.open
        case MainEnding():
            return state.main is None
    return True


def _of_run(
    definition: Definition,
    state: State,
    entry: (
        RunStarted
        | StartDue
        | SlotGranted
        | InputRefused
        | RunResumed
        | CancelRequested
        | DeadlinePassed
        | RecoveryStopped
        | MainEnding
        | MainEnded
        | RunFinished
    ),
) -> Consequences:
    match entry:
        case RunStarted(error=Failure() as error):
            return [ends.end_main(definition, "failed", entry.at, error=error)], []
        case RunStarted(held_until=int() as due):
            return [], [AwaitStart(due, entry.expires_at)]
        case RunStarted(queued_for=str()):
            return [], [AwaitSlot()]
        case RunStarted():
            return ends.enter_main(definition, entry.at), []
        case StartDue() | SlotGranted():
            return ends.begin_held_run(definition, state, entry)
        case InputRefused():
            reason = f"step {entry.path} cannot go on with its recorded input: {entry.reason}"
            return [RunPaused(at=entry.at, reason=reason)], []
        case RunResumed():
            return [], []
        case CancelRequested():
            return [ends.announce_end(entry.at, "cancelled", reason=entry.reason)], []
        case DeadlinePassed():
            return ends.end_by_deadline(definition, state, entry)
        case RecoveryStopped():
            reason = f"recovered {entry.count} times without any progress: it may be what ends the process"
            return [RunPaused(at=entry.at, reason=reason)], [Abandon(path) for path in state.active]
        case MainEnding():
            return ends.follow_announcement(definition, state, entry)
        case MainEnded():
            return ends.follow_main(definition, state, entry), []
        case RunFinished():
            return [], ends.report_end(state, entry)


def _scheduled(definition: Definition, state: State, entry: StepScheduled) -> Consequences:
    """A step's input is made: what kind of step it is says what is done with that."""
    at, path = entry.at, entry.path
    use = definition.action(path).spec.use
    if use in CORE_ACTIONS and (misfit := _misfit(use, _given(state, path))):
        return [refuse_step(path, at, f"{use}: {misfit}")], []
    match use:
        case "flow.stop":
            return [StepCompleted(at=at, path=path, attempt=1)], []
        case "flow.fail":
            given = _given(state, path)
            failure = Failure.of(None, _text(given, "code") or "failed", _text(given, "message"), path)
            return [StepFailed(at=at, path=path, error=failure)], []
        case "flow.undo":
            return undo.begun(definition, state, entry), []
        case "flow.call":
            return children.called(definition, state, entry), []
        case "flow.emit":
            return children.emitted(state, entry)
        case "flow.respond":
            said = Value.of(Respond.model_validate(_given(state, path)).model_dump(mode="json"))
            return [StepCompleted(at=at, path=path, attempt=1, output=said, is_answer=True)], [PublishAnswer()]
    if use.startswith("wait."):
        return waits.begun(definition, state, entry), []
    return [], [attempts.build_attempt(definition, path, 1, at)]


def _step_ended(
    definition: Definition, state: State, entry: StepCompleted | StepSkipped | StepFailed | StepCancelled
) -> Consequences:
    path, at = entry.path, entry.at
    node = definition.node(path)
    if node.is_inner:
        return undo.step_ended(definition, state, entry) if isinstance(entry, StepCompleted | StepFailed) else [], []
    match entry:
        case StepFailed():
            return end_sequence(definition, state, path, at, "failed", entry.error), []
        case StepCancelled():
            return end_sequence(definition, state, path, at, "cancelled"), []
        case StepCompleted() if isinstance(node.spec, ActionStep) and node.spec.use == "flow.stop":
            return _stopped(definition, state, entry), []
    return follow_step(definition, state, path, at), []


def _stopped(definition: Definition, state: State, entry: StepCompleted) -> list[FollowUp]:
    """`flow.stop` ends the part of the run that it stands in; where that is to end already, only its sequence."""
    path, at = entry.path, entry.at
    is_cleanup = definition.node(path).part == "cleanup"
    if state.is_stopping if is_cleanup else state.ending:
        return end_sequence(definition, state, path, at, "completed")
    inside = end_sequence(definition, state, path, at, "cancelled") if state.block_around(path) else []
    if is_cleanup:
        return (
            [BranchesCancelled(at=at, path=""), *inside]
            if inside
            else end_sequence(definition, state, path, at, "completed")
        )
    given = _given(state, path)
    status = "cancelled" if given.get("status") == "cancelled" else "completed"
    announced = ends.announce_end(at, status, reason=_text(given, "reason"))  # type: ignore[arg-type]  # one of the two
    return [announced, *inside]


def _timer_fired(definition: Definition, state: State, entry: TimerFired) -> Consequences:
    step = state.steps[entry.path]
    if step.awaits and entry.path not in state.open:
        return waits.timer_fired(definition, state, entry)
    if step.child is not None:
        return children.timer_fired(definition, state, entry)
    return blocks.timer_fired(definition, state, entry), []


def find_lost_attempts(
    definition: Definition, state: State, at: int, *, is_orphan: bool, cause: LossCause = "crash"
) -> list[AttemptLost]:
    """The attempts of which a new owner will never hear: those whose start is in the history and, if the run
    `is_orphan` (its owner was gone without letting go of it), those that may have begun without an entry."""
    if state.finished:
        return []
    return [
        AttemptLost(at=at, path=path, attempt=step.attempt, cause=cause)
        for path, step in ((path, state.steps[path]) for path in state.active)
        if step.is_started or (is_orphan and _may_have_begun(definition, state, path, step, at))
    ]


def _may_have_begun(definition: Definition, state: State, path: str, step: StepState, at: int) -> bool:
    """Whether an attempt may have begun that writes no entry before its end. In a paused run none begins."""
    if path in state.open or step.awaits or step.child is not None or step.needs_person:
        return False
    spec = definition.action(path).spec
    if spec.use == "flow.emit" or spec.on_crash != "retry":
        return False
    if state.paused_at is None:
        return step.may_be_attempted(at) or at < state.at  # the clock was set back since the last entry
    return step.due is not None and step.due <= state.paused_at


def find_outstanding(definition: Definition, state: State, at: int) -> list[Effect]:
    """The effects that a restart owes a run; the attempts that its last owner lost must be in the history already."""
    if state.finished or state.pauses:
        return []
    effects: list[Effect] = []
    if state.started and state.start_due is not None:
        effects.append(AwaitStart(state.start_due, state.started.expires_at))
    if state.is_queued and (state.is_due or state.start_due is None):
        effects.append(AwaitSlot())
    for path in state.active:
        step = state.steps[path]
        if not step.is_started and not step.needs_person:
            effects += _owed(definition, state, path, step, at)
    return effects


def _owed(definition: Definition, state: State, path: str, step: StepState, at: int) -> list[Effect]:
    """What a step that is under way waits for."""
    if path in state.open:
        return [] if step.due is None else [Wake(path, step.due)]
    if step.awaits:
        return waits.asked(path, step.awaits, step.due)
    if step.child is not None:
        call: list[Effect] = [StartChild(path, step.child)]
        return call if step.due is None else [*call, Wake(path, step.due)]
    if definition.action(path).spec.use == "flow.emit":
        return [EmitEvent(path)]
    return [attempts.build_attempt(definition, path, step.attempt, step.due or at)]


def _misfit(use: str, given: dict[str, JSON]) -> str | None:
    """What is wrong with the rendered input of one of the core's own actions."""
    try:
        CORE_ACTIONS[use].model_validate(given)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        return "; ".join(map(_said, found[:PROBLEMS_LIMIT]))
    return None


def _said(problem: ErrorDetails) -> str:
    """In words that histories hold: another wording would be another decision."""
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {explain_error(problem)}" if where else explain_error(problem)


def _given(state: State, path: str) -> dict[str, JSON]:
    given = state.steps[path].input.load()
    return given if isinstance(given, dict) else {}


def _text(given: dict[str, JSON], name: str) -> str | None:
    value = given.get(name)
    return value if value is None or isinstance(value, str) else Value.of(value).text
