"""`wait.*`: waits for a time, an answer or an event, until a timeout."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from durable.action import Inputs
from durable.blocks.block import NONE, Block, CoreAction, write_inputs
from durable.blocks.correlation import CorrelationKey
from durable.blocks.endings import complete_step, refuse_step
from durable.blocks.syntax import CoreSyntax, Outline, hold
from durable.durations import Duration, parse_duration, parse_moment
from durable.effects import Abandon, BeginBranch, Consequences, Effect, FollowUp, Listen, Wake
from durable.expressions.expression import ExpressionError
from durable.history import entries
from durable.history.state import State, StepState
from durable.history.words import Await, AwaitKind, Failure
from durable.known_values import KnownMapping, KnownValue, is_template
from durable.path import join_path
from durable.problem import DataProblem, Pointer
from durable.scope import RunScope
from durable.spec_model import Identifier, Mapped, get_in, get_list, get_mapping
from durable.steps.node import CompiledPipeline
from durable.values import JSON, NULL, NotJSON, Value
from durable.wording import quote

ANY = "wait.any"

KINDS: dict[str, AwaitKind] = {f"wait.{kind}": kind for kind in get_args(AwaitKind)}
"""The kinds of waits by the names of their actions."""

ON_TIMEOUT = "on_timeout"
"""The branch that is performed when the wait times out."""


# -- inputs -----------------------------------------------------------------------------------------------------


class DelayInputs(Inputs, title="Delay"):
    """Wait for a fixed time."""

    duration: Duration = Field(alias="for", description="How long to wait: 500ms, 30s, 5m, 2h, 7d")


class UntilInputs(Inputs, title="Until"):
    """Wait until a point in time."""

    time: str = Field(description="An ISO 8601 time with a UTC offset, such as 2027-01-31T09:00:00+01:00")

    @field_validator("time")
    @classmethod
    def _is_moment(cls, text: str) -> str:
        parse_moment(text)
        return text


class WebhookWaitInputs(Inputs, title="Webhook"):
    """Wait for one request to a single-use URL."""

    title: str | None = Field(None, description="The question, shown to a person who opens the URL")


class ApprovalInputs(Inputs, title="Approval"):
    """Wait for a person's decision."""

    to: str | list[str] = Field(description="The person or people to ask")
    title: str = Field(description="The question")
    fields: dict[str, Any] | None = Field(
        None, description="Fields of the form that the person fills in: JSON Schemas by name"
    )


class EventWaitInputs(Inputs, title="AwaitEvent"):
    """Wait for an event."""

    type: str = Field(description="The event's type")
    match: CorrelationKey = Field(
        None, description="The subject of the event (the correlation key); default: any event of the type"
    )
    look_back: Duration | None = Field(
        None, description="Also accept an event that arrived up to this long before the wait began"
    )


class OneOfWaits(Inputs, title="Waited"):
    """One of the waits of a `wait.any`."""

    use: Literal["wait.delay", "wait.until", "wait.webhook", "wait.approval", "wait.event"] = Field(
        description="The wait action"
    )
    with_: dict[str, Any] | None = Field(None, alias="with", description="The inputs of the wait")


class AnyInputs(Inputs, title="AwaitAny"):
    """Wait for the first of several waits; the others are cancelled."""

    waits: dict[Identifier, OneOfWaits] = Field(min_length=1, description="The waits by name")


def _write_waits(action: CoreAction, given: JSON) -> JSON:
    """Adapt the inputs of a `wait.any` and those of its waits."""
    if isinstance(given, dict) and isinstance(waits := given.get("waits"), dict):
        return {**given, "waits": {name: _write_wait(wait) for name, wait in waits.items()}}
    return write_inputs(action, given)


def _write_wait(wait: JSON) -> JSON:
    if not isinstance(wait, dict) or "with" not in wait or (action := _SINGLE.get(str(wait.get("use")))) is None:
        return wait
    return {**wait, "with": write_inputs(action, wait["with"])}


# -- how it is written ----------------------------------------------------------------------------------------

_WRITTEN = "write it out; each wait's own inputs may be expressions"


def _check(step: Mapped, outline: Outline) -> Iterator[DataProblem]:
    """Check that a wait which no timer ends has `on_timeout`, and `timeout` with it."""
    use = str(step.get("use"))
    waits = get_mapping(get_in(step, "with", "waits")) if use == ANY else {}
    if "on_timeout" in step and "timeout" not in step:
        what, hint = "'on_timeout' without 'timeout' never happens", "say how long it waits, for example 'timeout: 2d'"
        yield DataProblem(("on_timeout",), what, hint, is_key=True)
    elif "on_timeout" not in step and not any(map(_ends_by_itself, (use, *map(_get_use, waits.values())))):
        hint = "add 'timeout: 2d' and 'on_timeout: fail', or a value or steps instead of fail"
        yield DataProblem(("use",), f"{quote(use)} does not say what happens when nothing comes", hint)


def _check_any(step: Mapped, outline: Outline) -> Iterator[DataProblem]:
    yield from _check(step, outline)
    at: Pointer = ("with", "waits")
    waits = get_in(step, "with", "waits")
    if is_template(waits):
        yield DataProblem(at, "the waits cannot be made by an expression", _WRITTEN)
    if not isinstance(waits, dict):
        return  # the model rejects it
    if len(waits) == 1:
        what, hint = "a wait.any of one wait", "use that wait itself, or add another to 'waits'"
        yield DataProblem(at, what, hint, is_key=True, severity="warning")
    for name, each in waits.items():
        yield from _check_one(each, (*at, name))
    for after in get_list(step.get("on_timeout")):
        id = get_mapping(after).get("id")
        if isinstance(id, str) and id in waits:  # they would share a path, and therefore a link
            what = f"{quote(id)} is a step of 'on_timeout' as well"
            yield DataProblem((*at, id), what, "rename one of them", is_key=True)


def _check_one(each: JSON, at: Pointer) -> Iterator[DataProblem]:
    use = get_mapping(each).get("use")
    if is_template(each) or is_template(use):
        where = at if is_template(each) else (*at, "use")
        yield DataProblem(where, "a wait cannot be made by an expression", _WRITTEN)
    elif _get_use(each) in _SINGLE and is_template(get_mapping(each).get("with")):
        yield DataProblem((*at, "with"), "the inputs as a whole cannot be made by an expression", _WRITTEN)


def _list_inner(given: Mapped) -> Iterator[tuple[Pointer, str]]:
    for name, each in get_mapping(given.get("waits")).items():
        if _get_use(each) in _SINGLE and not is_template(get_mapping(each).get("with")):
            yield ("waits", name, "with"), _get_use(each)


def _find_written_links(given: Mapped) -> Collection[str] | None:
    waits = get_mapping(given.get("waits"))
    return {name for name, each in waits.items() if KINDS.get(_get_use(each)) in LINKED} or None


def _get_use(wait: JSON) -> str:
    return str(get_mapping(wait).get("use"))


def _ends_by_itself(use: str) -> bool:
    return use in _SINGLE and _SINGLE[use].syntax.ends_by_itself


def _hold_approval(given: Mapped) -> KnownValue:
    fields = given.get("fields")
    filled = KnownMapping(dict.fromkeys(fields)) if isinstance(fields, dict) else None
    return KnownMapping({**dict.fromkeys(("approved", "by", "comment", "at")), "fields": filled})


_BY_CLOCK = {"properties": {"use": {"enum": ["wait.delay", "wait.until"]}}, "required": ["use"]}
_WITHOUT_CLOCK = {
    "properties": {
        "use": {"const": ANY},
        "with": {"properties": {"waits": {"additionalProperties": {"not": _BY_CLOCK}}}},
    },
    "required": ["use"],
}
"""A `wait.any` without a `wait.delay` or `wait.until`."""

_SYNTAX = CoreSyntax(keys=frozenset({"timeout", "keep", "on_timeout"}), check=_check, needs_timeout=True)
_CLOCK_SYNTAX = replace(_SYNTAX, returns=hold(), ends_by_itself=True, needs_timeout=False)
_WEBHOOK_SYNTAX = replace(
    _SYNTAX, returns=hold("body", "query", "headers", "method", "at"), find_links=lambda given: ()
)
_APPROVAL_SYNTAX = replace(_SYNTAX, returns=_hold_approval, find_links=lambda given: (), schemas="fields")
_EVENT_SYNTAX = replace(_SYNTAX, returns=hold("id", "type", "source", "subject", "time", "data"))
_ANY_SYNTAX = replace(
    _SYNTAX,
    returns=hold("name", "output"),
    check=_check_any,
    list_inner=_list_inner,
    find_links=_find_written_links,
    needs_timeout=_WITHOUT_CLOCK,
)


# -- what is waited for -----------------------------------------------------------------------------------------


def read_awaits(use: str, given: JSON, at: int) -> tuple[Await, ...]:
    """Return what a wait waits for, given its inputs; raises `ValueError` if they are invalid."""
    given = given if isinstance(given, dict) else {}
    if use != ANY:
        return (_read_await(use, "", given, at),)
    waits = given.get("waits")
    if not isinstance(waits, dict) or not waits:
        raise ValueError("'waits' must be a mapping of waits by name")
    return tuple(_read_named(name, each, at) for name, each in waits.items())


def _read_named(name: str, each: JSON, at: int) -> Await:
    if not isinstance(each, dict) or not isinstance(each.get("use"), str):
        raise ValueError(f"the wait {name!r} must be written {{use: wait.…, with: …}}")
    given = each.get("with") or {}
    if not isinstance(given, dict):
        raise ValueError(f"the wait {name!r} must have a mapping under 'with'")
    return _read_await(str(each["use"]), name, given, at)


def _read_await(use: str, name: str, given: dict[str, JSON], at: int) -> Await:
    match use:
        case "wait.delay":
            return Await("delay", name, due=at + parse_duration(str(given.get("for"))))
        case "wait.until":
            return Await("until", name, due=_read_moment(given.get("time")))
        case "wait.webhook":
            return Await("webhook", name)
        case "wait.approval":
            return Await("approval", name)
        case "wait.event":
            since = at - parse_duration(str(given.get("look_back") or "0s"))
            match = given.get("match")
            return Await("event", name, type=str(given.get("type")), match=_read_match(match), since=since)
    raise ValueError(f"{use!r} cannot be waited for")


def _read_match(match: JSON) -> str | None:
    if isinstance(match, dict | list):
        raise ValueError("'match' must be a text or a number")
    return match if match is None or isinstance(match, str) else Value.of(match).text


def _read_moment(time: JSON) -> int:
    """Convert an ISO 8601 time to milliseconds; a number is already in milliseconds."""
    is_number = isinstance(time, int) and not isinstance(time, bool)
    return time if is_number else parse_moment(str(time))  # type: ignore[return-value]  # a number, by the line above


def _get_signal_key(path: str, name: str) -> str:
    return join_path(path, name) if name else path


# -- state ------------------------------------------------------------------------------------------------------


def _fold_start(state: State, entry: entries.WaitStarted) -> None:
    step = state.steps[entry.path]
    step.status, step.due, step.decided_at = "waiting", entry.due, entry.at
    step.awaits = entry.awaits


def _fold_signal(state: State, entry: entries.SignalReceived) -> None:
    """Keep data that arrive before the wait has started."""
    if entry.path not in state.active:
        state.early[_get_signal_key(entry.path, entry.name)] = entry.data


# -- decisions --------------------------------------------------------------------------------------------------


def _begin(
    pipeline: CompiledPipeline, state: State, entry: entries.StepScheduled | entries.StepReopened
) -> Consequences:
    path, at = entry.path, entry.at
    step = pipeline.actions[path].step
    try:
        awaits = read_awaits(step.use, state.steps[path].input.load(), at)
    except (ValueError, OverflowError) as error:
        return [refuse_step(path, at, f"{step.use}: {error}")], []
    dues = [each.due for each in awaits if each.due is not None]
    if step.timeout is not None:
        dues.append(at + step.timeout)
    return [entries.WaitStarted(at=at, path=path, awaits=awaits, due=min(dues, default=None))], []


def _follow_start(pipeline: CompiledPipeline, state: State, entry: entries.WaitStarted) -> Consequences:
    """Process what arrived before the wait started."""
    for each in entry.awaits:
        if (data := state.early.get(_get_signal_key(entry.path, each.name))) is not None:
            return [_complete(pipeline, state, entry.path, each.name, data, entry.at)], []
    return [], _look_out(entry.path, entry.awaits, entry.due)


def _look_out(path: str, awaits: tuple[Await, ...], due: int | None) -> list[Effect]:
    """Return the effects that make the engine report the time or the event."""
    wake: list[Effect] = [] if due is None else [Wake(path, due)]
    events = (each for each in awaits if each.kind == "event")
    return [*wake, *(Listen(path, each.name, each.type or "", each.match, each.since or 0) for each in events)]


def owe_wait(path: str, step: StepState) -> list[Effect]:
    return _look_out(path, step.awaits, step.due)


def _follow_signal(pipeline: CompiledPipeline, state: State, entry: entries.SignalReceived) -> Consequences:
    """Complete the wait with what has arrived."""
    if entry.path not in state.active:
        return NONE
    return [_complete(pipeline, state, entry.path, entry.name, entry.data, entry.at)], [Abandon(entry.path)]


def fire_wait(pipeline: CompiledPipeline, state: State, entry: entries.TimerFired) -> Consequences:
    """End the wait at its due time: complete it if that is the time it waited for; otherwise it times out."""
    path, at = entry.path, entry.at
    step = state.steps[path]
    for each in step.awaits:
        if each.due is not None and each.due == step.due:
            return [_complete(pipeline, state, path, each.name, NULL, at)], [Abandon(path)]
    return [_time_out(pipeline, state, path, at)], [Abandon(path)]


def _time_out(pipeline: CompiledPipeline, state: State, path: str, at: int) -> FollowUp:
    node = pipeline.actions[path]
    match node.step.times_out:
        case "steps":
            return entries.BlockStarted(at=at, path=path, kind=ON_TIMEOUT)
        case "value" if node.timeout_value:
            try:
                output = Value.of(node.timeout_value.render(RunScope(pipeline, state, path))[0])
            except (ExpressionError, NotJSON) as error:
                return refuse_step(path, at, f"on_timeout: {error}")
            return entries.StepCompleted(at=at, path=path, attempt=1, output=output)
    message = f"nothing arrived within {(node.step.timeout or 0) / 1000:g} s"
    return entries.StepFailed(at=at, path=path, error=Failure.of("timeout", "wait_timeout", message, path))


def _complete(pipeline: CompiledPipeline, state: State, path: str, name: str, data: Value, at: int) -> FollowUp:
    node = pipeline.actions[path]
    output = Value.of({"name": name, "output": data.load()}) if node.step.use == ANY else data
    return complete_step(pipeline, state, node, path, at, output)


def _begin_steps(pipeline: CompiledPipeline, state: State, entry: entries.BlockStarted) -> Consequences:
    return [BeginBranch(entry.at, entry.path, ON_TIMEOUT)], []


def _reopen_steps(pipeline: CompiledPipeline, state: State, entry: entries.StepReopened) -> Consequences:
    return [entries.BranchReopened(at=entry.at, path=entry.path, branch=ON_TIMEOUT)], []


TIMEOUT_BLOCK = Block(kind=ON_TIMEOUT, begin=_begin_steps, reopen=_reopen_steps)
"""The steps of `on_timeout`: a wait that times out becomes a block with one branch."""


# -- the actions ------------------------------------------------------------------------------------------------


def _find_own_link(given: Any) -> tuple[str, ...] | None:
    return ()


def _find_links(given: Any) -> tuple[str, ...] | None:
    """Return the names of all waits of a `wait.any`, if one of them has a link."""
    waits = given.get("waits") if isinstance(given, dict) else None
    waits = waits if isinstance(waits, dict) else {}
    uses = [each.get("use") for each in waits.values() if isinstance(each, dict)]
    return tuple(waits) if any(KINDS.get(str(use)) in LINKED for use in uses) else None


def _make_action(use: str, input: type[Inputs], **more: Any) -> CoreAction:
    return CoreAction(use=use, input=input, begin=_begin, fire=fire_wait, owe=owe_wait, counts_once=True, **more)


_SINGLE = {
    action.use: action
    for action in (
        _make_action("wait.delay", DelayInputs, syntax=_CLOCK_SYNTAX),
        _make_action("wait.until", UntilInputs, syntax=_CLOCK_SYNTAX),
        _make_action("wait.webhook", WebhookWaitInputs, syntax=_WEBHOOK_SYNTAX, links=_find_own_link),
        _make_action("wait.approval", ApprovalInputs, syntax=_APPROVAL_SYNTAX, links=_find_own_link),
        _make_action("wait.event", EventWaitInputs, syntax=_EVENT_SYNTAX, listens=True),
    )
}

LINKED = frozenset(KINDS[use] for use, action in _SINGLE.items() if action.links)
"""The kinds of waits that are answered through a link."""

ACTIONS = (
    *_SINGLE.values(),
    _make_action(
        ANY,
        AnyInputs,
        syntax=_ANY_SYNTAX,
        write=_write_waits,
        links=_find_links,
        listens=True,
        decisions={entries.WaitStarted: _follow_start, entries.SignalReceived: _follow_signal},
        folds={entries.WaitStarted: _fold_start, entries.SignalReceived: _fold_signal},
    ),
)
