"""Builds the side effects of a run's entries: messages to other runs, event subscriptions, its slot."""

from collections.abc import Sequence

from durable.blocks.endings import explain_abandonment
from durable.definition import Definition
from durable.effects import Abandon, AwaitSlot, Effect, Listen, PostMessage, RetryChild
from durable.history.entries import (
    AnyEntry,
    RunFinished,
    SignalReceived,
    StepReopened,
    StepsVoided,
    TimerFired,
)
from durable.history.state import State
from durable.messages import RetryMessage
from durable.path import number_pass
from durable.units import CalledRetry, DedupeKey, EventSubscription, NewMessage, SideEffects, SlotRequest


def build_side_effects(
    definition: Definition, state: State, entries: Sequence[AnyEntry], effects: Sequence[Effect]
) -> SideEffects | None:
    """Return what is committed with these entries; usually None."""
    has_ended = bool(entries) and isinstance(entries[-1], RunFinished)
    signalled = entries[0].path if entries and isinstance(entries[0], SignalReceived | TimerFired) else None
    messages: list[NewMessage] = []
    subscriptions: list[EventSubscription] = []
    ended_waits: list[str] = []
    retried: list[CalledRetry] = []
    slot_request = None
    for effect in effects:
        match effect:
            case PostMessage():
                messages.append(_make_message(state, effects, effect))
            case Listen(path=path) if path in state.active:
                subscriptions.append(EventSubscription(path, effect.name, effect.type, effect.match, effect.since))
            case Abandon(path=path) if path not in state.active and path != signalled and not has_ended:
                if state.steps[path].can_be_answered:  # not for steps of a paused run, which are still active
                    ended_waits.append(path)
            case RetryChild():
                retried.append(_make_retry(state, effect))
            case AwaitSlot():
                slot_request = _make_slot_request(definition, state)
    freed_slot = state.started.slot if has_ended and state.started else None
    frees_waits = has_ended and definition.has_claims
    reopened = _list_reopened(definition, entries) if state.retried and definition.has_claims else ()
    if not (
        messages
        or subscriptions
        or ended_waits
        or slot_request
        or frees_waits
        or reopened
        or retried
        or freed_slot is not None
    ):
        return None
    return SideEffects(
        messages,
        subscriptions,
        ended_waits,
        slot_request,
        freed_slot,
        has_ended=frees_waits,
        forgets_keys=frees_waits and state.status == "completed",
        reopened_waits=reopened,
        retried=retried,
    )


def _list_reopened(definition: Definition, entries: Sequence[AnyEntry]) -> list[str]:
    """Return the waits that begin again because the run is retried."""
    paths: list[str] = []
    for entry in entries:
        if isinstance(entry, StepReopened):
            paths.append(entry.path)
        elif isinstance(entry, StepsVoided):
            paths += entry.paths
    return [path for path in paths if path in definition.actions and definition.actions[path].counts_once]


def _make_retry(state: State, effect: RetryChild) -> CalledRetry:
    """Return the retry of a called run, with the request for the retry of its caller."""
    retried = state.retried
    message = RetryMessage(retried.by if retried else None, retried.reason if retried else None)
    because, key = explain_abandonment(state, effect.path), make_dedupe_key(state, effect.path, state.at)
    return CalledRetry(effect.run, message, because, key, effect.is_detached)


def _make_message(state: State, effects: Sequence[Effect], effect: PostMessage) -> NewMessage:
    """Return a message to another run. If the caller abandons a called run before it has started, the run never
    starts."""
    stopped = (each.path for each in effects if isinstance(each, Abandon))
    caller = next((path for path in stopped if state.steps[path].child == effect.run), None)
    dedupe_key = make_dedupe_key(state, caller, state.at) if caller else None
    return NewMessage(effect.run, effect.kind, effect.data, dedupe_key)


def _make_slot_request(definition: Definition, state: State) -> SlotRequest | None:
    """Return the slot request of a run that is no longer held back."""
    concurrency, started = definition.pipeline.concurrency, state.started
    if concurrency is None or started is None or started.slot is None:
        return None
    return SlotRequest(started.slot, concurrency.limit, concurrency.overflow)


def make_dedupe_key(state: State, path: str, at: int) -> DedupeKey:
    """Return the key that makes a call or an event of a step happen once."""
    return DedupeKey.of_step("flow", state.run, number_pass(path, state.steps[path].cleanup_pass), at)
