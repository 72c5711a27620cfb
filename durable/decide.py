"""What must happen next: the pure core of a run.

`decide` goes from an entry that was just folded to the decisions and effects that follow from it; `Advance` folds a
fact and follows its consequences to their end; `outstanding` is what a restart performs. There is no clock here and
no chance: `now` is the time of the entry that caused the decision.
"""

import math
from collections import deque
from typing import TypeAlias, get_args

import msgspec

from durable import retry
from durable.action import ActionError, Ending, ErrorClass
from durable.definition import Definition, Node
from durable.expressions import ExpressionError
from durable.history import (
    AnyEntry,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    CancelRequested,
    DeadlinePassed,
    EndStatus,
    Fact,
    Failure,
    InputRefused,
    MainEnded,
    RecoveryStopped,
    RetryScheduled,
    RunFinished,
    RunPaused,
    RunStarted,
    StartDue,
    State,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepSkipped,
    StepUncertain,
    apply,
)
from durable.language.pipeline import parse_duration
from durable.scope import names
from durable.values import JSON, NULL, NotJSON, Value

CLEANUP_TIMEOUT = parse_duration("1h")
EXPIRED = "expired"
"""The reason of a run that did not begin in time."""

DETAILS_LIMIT = 8 * 1024
"""Bytes of `details` that a failure keeps in the history."""

RETRY_AFTER_LIMIT = 86_400 * 366
"""Seconds above which a service's `Retry-After` is nonsense."""


class Perform(msgspec.Struct, frozen=True):
    """Perform this attempt of a step, not before `due` (ms). `starts_durably`: its start must be committed first."""

    path: str
    attempt: int
    due: int
    starts_durably: bool = False


class Abandon(msgspec.Struct, frozen=True):
    """Stop the attempt of a step that is under way; nobody waits for it any more."""

    path: str


class AwaitStart(msgspec.Struct, frozen=True):
    """Report `StartDue`: at `due` (ms), but of a run that can expire only when there is a slot for it, and at
    `expires_at` in any case."""

    due: int
    expires_at: int | None = None


Effect: TypeAlias = Perform | Abandon | AwaitStart
Consequences: TypeAlias = tuple[list[AnyEntry], list[Effect]]


# -- the one door -----------------------------------------------------------------------------------------------


class Advance:
    """A fact on its way through the core: it and all that follows from it, folded into the state as it is decided.

    `follow` raises `PayloadMissing` where an expression needs a value that is not in memory; attach its bytes and call
    it again: it goes on where it stopped. A fact that comes too late changes nothing.
    """

    def __init__(self, definition: Definition, state: State, fact: Fact) -> None:
        self._definition = definition
        self.state = state
        self._pending: deque[AnyEntry] = deque([fact] if is_current(state, fact) else [])
        self._undecided: AnyEntry | None = None
        self.entries: list[AnyEntry] = []
        self.effects: list[Effect] = []

    def follow(self) -> None:
        """Fold and decide until nothing more follows; then `entries` are to be appended and `effects` performed."""
        while self._undecided or self._pending:
            entry = self._undecided or self._fold(self._pending.popleft())
            decisions, effects = decide(self._definition, self.state, entry)
            self._undecided = None
            self._pending.extend(decisions)
            self.effects.extend(effects)

    def _fold(self, entry: AnyEntry) -> AnyEntry:
        apply(self.state, entry)
        self.entries.append(entry)
        self._undecided = entry
        return entry


def is_current(state: State, fact: Fact) -> bool:
    """Whether the fact still concerns this run: nothing follows its end, and an attempt ends once."""
    if state.finished or (state.started is None) != isinstance(fact, RunStarted):
        return False
    match fact:
        case AttemptStarted() | StepCompleted() | AttemptFailed() | AttemptLost() | InputRefused():
            return fact.path in state.active and state.steps[fact.path].attempt == fact.attempt
        case StartDue():
            return state.is_queued and state.paused is None
        case CancelRequested():
            return state.main is None
        case RecoveryStopped():
            return state.paused is None
        case DeadlinePassed():
            return state.deadline is not None and fact.at >= state.deadline
    return True


def decide(definition: Definition, state: State, entry: AnyEntry) -> Consequences:
    """What follows from an entry that was just folded into the state; looks only at what the entry touched."""
    match entry:
        case RunStarted(error=Failure() as error):
            return [_main_ended(definition, "failed", entry.at, error=error)], []
        case RunStarted(held_until=int() as due):
            return [], [AwaitStart(due, entry.expires_at)]
        case RunStarted():
            return _enter(definition, state, definition.first("main"), entry.at), []
        case StartDue():
            return _begin(definition, state, entry), []
        case StepScheduled():
            return _perform(definition, state, entry)
        case AttemptFailed():
            return _after_failure(definition, state, entry)
        case AttemptLost():
            return _after_loss(definition, state, entry)
        case InputRefused():
            reason = f"step {entry.path} cannot go on with its recorded input: {entry.reason}"
            return [RunPaused(at=entry.at, reason=reason)], []
        case RetryScheduled():
            return [], [_attempt(definition, entry.path, entry.attempt, entry.due)]
        case StepCompleted() | StepSkipped():
            return _after_step(definition, state, entry), []
        case StepFailed():
            return [_part_failed(definition, entry.path, entry.error, entry.at)], []
        case CancelRequested():
            return _stop(definition, state, entry.at, "cancelled", reason=entry.reason)
        case DeadlinePassed():
            return _out_of_time(definition, state, entry.at)
        case RecoveryStopped():
            reason = f"recovered {entry.count} times without any progress: it may be what ends the process"
            return [RunPaused(at=entry.at, reason=reason)], [Abandon(path) for path in state.active]
        case MainEnded():
            return _after_main(definition, state, entry), []
        case AttemptStarted() | StepUncertain() | StepCancelled() | RunPaused() | RunFinished():
            return [], []


def outstanding(definition: Definition, state: State, at: int) -> tuple[list[Fact], list[Effect]]:
    """What a restart owes a run: facts to report about attempts that were lost, and attempts to perform."""
    if state.finished or state.paused is not None:
        return [], []
    facts: list[Fact] = []
    effects: list[Effect] = []
    if state.started and state.start_due is not None:
        effects.append(AwaitStart(state.start_due, state.started.expires_at))
    for path in state.active:
        step = state.steps[path]
        if step.is_started:
            facts.append(AttemptLost(at=at, path=path, attempt=step.attempt))
        else:
            effects.append(_attempt(definition, path, step.attempt, step.due or at))
    return facts, effects


# -- how an attempt ended ---------------------------------------------------------------------------------------


def returned(
    definition: Definition,
    state: State,
    path: str,
    attempt: int,
    output: JSON,
    *,
    problem: str | None = None,
    started_at: int,
    at: int,
) -> StepCompleted | AttemptFailed:
    """The fact that an action returned. Where the output is unfit (`problem`, no JSON, or `keep` fails on it), the
    effect is not repeated: the raw output is kept with the failure."""
    keep = definition.nodes[path].keep
    raw = NULL
    try:
        raw = Value.of(output)
        if problem:
            raise NotJSON(problem)
        kept = Value.of(keep.render(names(definition, state, output=output))[0]) if keep else raw
    except (NotJSON, ExpressionError) as error:
        what = "keep" if isinstance(error, ExpressionError) else "the action's output"
        failure = Failure.of("invalid", "output", f"{what}: {error}", path, attempt)
        return AttemptFailed(
            at=at, path=path, attempt=attempt, started_at=started_at, error=failure, ending="answered", output=raw
        )
    return StepCompleted(at=at, path=path, attempt=attempt, started_at=started_at, output=kept)


def raised(path: str, attempt: int, error: ActionError, *, started_at: int, at: int) -> AttemptFailed:
    """The fact that an attempt failed. What an action says of its error is taken as far as it makes sense."""
    failure = Failure.of(
        error.error_class if error.error_class in get_args(ErrorClass) else "internal",
        error.code,
        error.message,
        path,
        attempt,
        details=_bounded(error.details),
        retry_after=_milliseconds(error.retry_after),
    )
    ending = error.ending if error.ending in get_args(Ending) else "unknown"
    return AttemptFailed(at=at, path=path, attempt=attempt, started_at=started_at, error=failure, ending=ending)


def _milliseconds(seconds: object) -> int | None:
    is_time = isinstance(seconds, int | float) and math.isfinite(seconds) and 0 <= seconds < RETRY_AFTER_LIMIT
    return int(seconds * 1000) if is_time else None  # type: ignore[operator]  # a number, by the line above


def _bounded(details: JSON) -> Value:
    try:
        value = Value.of(details)
    except NotJSON as error:
        value = Value.of(f"the details are no JSON: {error}")
    if value.size <= DETAILS_LIMIT:
        return value
    return Value.of(bytes(value.data)[:DETAILS_LIMIT].decode(errors="ignore") + " …")


# -- going on ---------------------------------------------------------------------------------------------------


def _begin(definition: Definition, state: State, entry: StartDue) -> list[AnyEntry]:
    expires_at = state.started.expires_at if state.started else None
    if expires_at is not None and entry.at >= expires_at:
        return [_main_ended(definition, "cancelled", entry.at, reason=EXPIRED)]
    return _enter(definition, state, definition.first("main"), entry.at)


def _enter(definition: Definition, state: State, path: str | None, at: int) -> list[AnyEntry]:
    """Reach a step, or the end of its sequence."""
    if path is None:
        return [_main_completed(definition, state, at)]
    node = definition.nodes[path]
    scope = names(definition, state)
    try:
        if node.condition and not node.condition.holds(scope):
            return [StepSkipped(at=at, path=path)]
        rendered, secrets = node.input.render(scope)
        return [StepScheduled(at=at, path=path, input=Value.of(rendered), secrets=secrets)]
    except (ExpressionError, NotJSON) as error:
        return [
            StepFailed(
                at=at, path=path, error=Failure.of("invalid", "expression", _explained(state, node, error), path)
            )
        ]


def _perform(definition: Definition, state: State, entry: StepScheduled) -> Consequences:
    at, path = entry.at, entry.path
    match definition.nodes[path].spec.use:
        case "flow.stop":
            return [StepCompleted(at=at, path=path, attempt=1)], []
        case "flow.fail":
            given = _flow_input(state, path)
            failure = Failure.of(None, _text(given, "code") or "failed", _text(given, "message"), path)
            return [StepFailed(at=at, path=path, error=failure)], []
    return [], [_attempt(definition, path, 1, at)]


def _after_step(definition: Definition, state: State, entry: StepCompleted | StepSkipped) -> list[AnyEntry]:
    node = definition.nodes[entry.path]
    if isinstance(entry, StepCompleted) and node.spec.use == "flow.stop":
        if node.part == "cleanup":
            return [RunFinished(at=entry.at, status=_main_status(state))]
        return [_stopped(definition, state, entry)]
    if node.follower is None and node.part == "cleanup":
        return [RunFinished(at=entry.at, status=_main_status(state))]
    return _enter(definition, state, node.follower, entry.at)


def _after_failure(definition: Definition, state: State, entry: AttemptFailed) -> Consequences:
    node, path, at = definition.nodes[entry.path], entry.path, entry.at
    if entry.output is not None:
        return [StepFailed(at=at, path=path, error=entry.error, output=entry.output)], []
    if entry.ending == "unknown" and node.spec.on_crash == "park":
        return _uncertain(state, path, entry.attempt, entry.error, at), []
    policy = node.spec.retry
    attempts = entry.attempt - state.steps[path].crashes
    given_up = entry.ending == "unknown" and node.spec.on_crash == "fail"
    if given_up or not retry.repeats(policy, attempts, entry.error.error_class):
        return [StepFailed(at=at, path=path, error=entry.error)], []
    fraction = retry.jitter(state.run, path, entry.attempt)
    due = at + retry.delay(policy, attempts, fraction, entry.error.retry_after)
    return [RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=due)], []


def _after_loss(definition: Definition, state: State, entry: AttemptLost) -> Consequences:
    path, at = entry.path, entry.at
    failure = Failure.of("crash", "process_lost", "the process ended during the attempt", path, entry.attempt)
    match definition.nodes[path].spec.on_crash:
        case "park":
            return _uncertain(state, path, entry.attempt, failure, at), []
        case "fail":
            return [StepFailed(at=at, path=path, error=failure)], []
        case "retry":
            return [RetryScheduled(at=at, path=path, attempt=entry.attempt + 1, due=at)], []


def _uncertain(state: State, path: str, attempt: int, failure: Failure, at: int) -> list[AnyEntry]:
    reason = f"step {path} is uncertain: nobody knows whether attempt {attempt} took effect ({failure.message})"
    return [
        StepUncertain(at=at, path=path, attempt=attempt, error=failure),
        RunPaused(at=at, reason=reason),
    ]


# -- ends -------------------------------------------------------------------------------------------------------


def _main_completed(definition: Definition, state: State, at: int) -> MainEnded:
    outputs = NULL
    if definition.outputs is not None:
        try:
            outputs = Value.of(definition.outputs.render(names(definition, state))[0])
        except (ExpressionError, NotJSON) as error:
            failure = Failure.of("invalid", "outputs", f"outputs: {error}")
            return _main_ended(definition, "failed", at, error=failure)
    return MainEnded(at=at, status="completed", outputs=outputs)


def _stopped(definition: Definition, state: State, entry: StepCompleted) -> MainEnded:
    given = _flow_input(state, entry.path)
    status: EndStatus = "cancelled" if given.get("status") == "cancelled" else "completed"
    return _main_ended(definition, status, entry.at, reason=_text(given, "reason"))


def _main_ended(
    definition: Definition, status: EndStatus, at: int, *, error: Failure | None = None, reason: str | None = None
) -> MainEnded:
    has_cleanup = status == "failed" and definition.first("cleanup") is not None
    deadline = at + CLEANUP_TIMEOUT if has_cleanup else None
    return MainEnded(at=at, status=status, error=error, reason=reason, deadline=deadline)


def _part_failed(definition: Definition, path: str, error: Failure, at: int) -> AnyEntry:
    if definition.nodes[path].part == "cleanup":
        return RunFinished(at=at, status="failed", cleanup_error=error)
    return _main_ended(definition, "failed", at, error=error)


def _after_main(definition: Definition, state: State, entry: MainEnded) -> list[AnyEntry]:
    if entry.deadline is None:
        return [RunFinished(at=entry.at, status=entry.status)]
    return _enter(definition, state, definition.first("cleanup"), entry.at)


def _out_of_time(definition: Definition, state: State, at: int) -> Consequences:
    if state.main is None:
        failure = Failure.of("timeout", "run_timeout", "the run's timeout is over")
        return _stop(definition, state, at, "failed", error=failure)
    cancelled, effects = _interrupt(definition, state, at)
    failure = Failure.of("timeout", "cleanup_timeout", "the cleanup's deadline is over")
    return [*cancelled, RunFinished(at=at, status=_main_status(state), cleanup_error=failure)], effects


def _stop(
    definition: Definition,
    state: State,
    at: int,
    status: EndStatus,
    *,
    error: Failure | None = None,
    reason: str | None = None,
) -> Consequences:
    """End the main part while steps may be under way."""
    interrupted, effects = _interrupt(definition, state, at)
    return [*interrupted, _main_ended(definition, status, at, error=error, reason=reason)], effects


def _interrupt(definition: Definition, state: State, at: int) -> Consequences:
    """End the steps that are under way; what may have taken effect and may not be repeated stays uncertain."""
    entries: list[AnyEntry] = []
    for path in state.active:
        step = state.steps[path]
        if step.is_started and definition.nodes[path].spec.on_crash == "park":
            failure = Failure.of("crash", "interrupted", "the run ended during the attempt", path, step.attempt)
            entries.append(StepUncertain(at=at, path=path, attempt=step.attempt, error=failure))
        else:
            entries.append(StepCancelled(at=at, path=path))
    return entries, [Abandon(path) for path in state.active]


# -- small things -----------------------------------------------------------------------------------------------


def _attempt(definition: Definition, path: str, attempt: int, due: int) -> Perform:
    return Perform(path, attempt, due, starts_durably=definition.nodes[path].spec.on_crash != "retry")


def _main_status(state: State) -> EndStatus:
    return state.main.status if state.main else "failed"


def _flow_input(state: State, path: str) -> dict[str, JSON]:
    given = state.steps[path].input.load()
    return given if isinstance(given, dict) else {}


def _text(given: dict[str, JSON], name: str) -> str | None:
    value = given.get(name)
    return value if value is None or isinstance(value, str) else Value.of(value).text


def _explained(state: State, node: Node, error: Exception) -> str:
    """The error's message, and which of the steps that the expression reads was not performed."""
    trees = [tree for tree in (node.condition, node.input) if tree]
    read = {path[1] for tree in trees for path in tree.names if path[0] == "steps" and len(path) > 1}
    missing = [
        f"step {step!r} was {state.steps[step].status if step in state.steps else 'not performed'}"
        for step in sorted(read)
        if step not in state.steps or state.steps[step].status == "skipped"
    ]
    return f"{error} ({', '.join(missing)})" if missing else str(error)
