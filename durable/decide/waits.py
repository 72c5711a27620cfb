"""Waits: what a step waits for, and what ends it: the clock, an answer, an event, or that nothing came in time."""

from durable.decide.sequence import refuse_step
from durable.definition.definition import Definition
from durable.durations import parse_duration, parse_moment
from durable.effects import Abandon, Consequences, Effect, FollowUp, Listen, Wake
from durable.expressions import ExpressionError
from durable.history.entries import (
    BlockStarted,
    SignalReceived,
    StepCompleted,
    StepFailed,
    StepScheduled,
    TimerFired,
    WaitStarted,
)
from durable.history.state import State
from durable.history.words import Await, Failure
from durable.path import join_path
from durable.scope import build_scope
from durable.values import JSON, NULL, NotJSON, Value

ANY = "wait.any"


def read_awaits(use: str, given: JSON, at: int) -> tuple[Await, ...]:
    """What a wait waits for, as its input says; raises `ValueError` with what is wrong with that."""
    given = given if isinstance(given, dict) else {}
    if use != ANY:
        return (_await(use, "", given, at),)
    waits = given.get("waits")
    if not isinstance(waits, dict) or not waits:
        raise ValueError("'waits' must be a mapping of waits by name")
    return tuple(_named(name, each, at) for name, each in waits.items())


def _named(name: str, each: JSON, at: int) -> Await:
    if not isinstance(each, dict) or not isinstance(each.get("use"), str):
        raise ValueError(f"the wait {name!r} must be written {{use: wait.…, with: …}}")
    given = each.get("with") or {}
    if not isinstance(given, dict):
        raise ValueError(f"the wait {name!r} must have a mapping under 'with'")
    return _await(str(each["use"]), name, given, at)


def _await(use: str, name: str, given: dict[str, JSON], at: int) -> Await:
    match use:
        case "wait.delay":
            return Await("delay", name, due=at + parse_duration(str(given.get("for"))))
        case "wait.until":
            return Await("until", name, due=_moment(given.get("time")))
        case "wait.webhook":
            return Await("webhook", name)
        case "wait.approval":
            return Await("approval", name)
        case "wait.event":
            since = at - parse_duration(str(given.get("look_back") or "0s"))
            match = given.get("match")
            return Await("event", name, type=str(given.get("type")), match=_text(match), since=since)
    raise ValueError(f"{use!r} cannot be waited for")


def _text(match: JSON) -> str | None:
    if isinstance(match, dict | list):
        raise ValueError("'match' must be a text or a number")
    return match if match is None or isinstance(match, str) else Value.of(match).text


def _moment(time: JSON) -> int:
    """Milliseconds of an ISO 8601 time; a number is milliseconds already."""
    is_number = isinstance(time, int) and not isinstance(time, bool)
    return time if is_number else parse_moment(str(time))  # type: ignore[return-value]  # a number, by the line above


# -- beginning --------------------------------------------------------------------------------------------------


def begun(definition: Definition, state: State, entry: StepScheduled) -> list[FollowUp]:
    """A wait was reached."""
    path, at = entry.path, entry.at
    spec = definition.action(path).spec
    try:
        awaits = read_awaits(spec.use, state.steps[path].input.load(), at)
    except (ValueError, OverflowError) as error:
        return [refuse_step(path, at, f"{spec.use}: {error}")]
    dues = [each.due for each in awaits if each.due is not None]
    if spec.timeout is not None:
        dues.append(at + spec.timeout)
    return [WaitStarted(at=at, path=path, awaits=awaits, due=min(dues, default=None))]


def wait_started(definition: Definition, state: State, entry: WaitStarted) -> Consequences:
    """What came before the wait had begun counts."""
    for each in entry.awaits:
        if (data := state.early.get(_key(entry.path, each.name))) is not None:
            return [_completed(definition, state, entry.path, each.name, data, entry.at)], []
    return [], list(asked(entry.path, entry.awaits, entry.due))


def asked(path: str, awaits: tuple[Await, ...], due: int | None) -> list[Effect]:
    """What the shell is to look out for because of a wait."""
    wake: list[Effect] = [] if due is None else [Wake(path, due)]
    events = (each for each in awaits if each.kind == "event")
    return [*wake, *(Listen(path, each.name, each.type or "", each.match, each.since or 0) for each in events)]


def _key(path: str, name: str) -> str:
    return join_path(path, name) if name else path


# -- ending -----------------------------------------------------------------------------------------------------


def answered(definition: Definition, state: State, entry: SignalReceived) -> Consequences:
    """What a wait waited for has come; before its beginning it is kept for then."""
    if entry.path not in state.active:
        return [], []
    return [_completed(definition, state, entry.path, entry.name, entry.data, entry.at)], [Abandon(entry.path)]


def timer_fired(definition: Definition, state: State, entry: TimerFired) -> Consequences:
    """The time that was waited for has come, or that until which was waited: what was due first, however late it is."""
    path, at = entry.path, entry.at
    step = state.steps[path]
    for each in step.awaits:
        if each.due is not None and each.due == step.due:
            return [_completed(definition, state, path, each.name, NULL, at)], [Abandon(path)]
    return [_timed_out(definition, state, path, at)], [Abandon(path)]


def _timed_out(definition: Definition, state: State, path: str, at: int) -> FollowUp:
    node = definition.action(path)
    match node.spec.times_out:
        case "steps":
            return BlockStarted(at=at, path=path, kind="on_timeout")
        case "value" if node.timeout_value:
            try:
                output = Value.of(node.timeout_value.render(build_scope(definition, state, path))[0])
            except (ExpressionError, NotJSON) as error:
                return refuse_step(path, at, f"on_timeout: {error}")
            return StepCompleted(at=at, path=path, attempt=1, output=output)
    message = f"nothing came within {(node.spec.timeout or 0) / 1000:g} s"
    return StepFailed(at=at, path=path, error=Failure.of("timeout", "wait_timeout", message, path))


def _completed(definition: Definition, state: State, path: str, name: str, data: Value, at: int) -> FollowUp:
    node = definition.action(path)
    output = Value.of({"name": name, "output": data.load()}) if node.spec.use == ANY else data
    if node.keep:
        try:
            output = Value.of(node.keep.render(build_scope(definition, state, path, output=output.load()))[0])
        except (ExpressionError, NotJSON) as error:
            return refuse_step(path, at, f"keep: {error}")
    return StepCompleted(at=at, path=path, attempt=1, output=output)
