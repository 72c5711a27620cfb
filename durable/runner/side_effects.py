"""What else stands in the commit of a run's entries: messages to other runs, what its steps listen for, its slot."""

from collections.abc import Sequence

from durable.definition import Definition
from durable.effects import Abandon, AwaitSlot, Effect, Listen, PostMessage
from durable.history.entries import AnyEntry, RunFinished, SignalReceived, TimerFired
from durable.history.state import State
from durable.units import DedupeKey, EventSubscription, SideEffects, SlotRequest
from durable.units import NewMessage as Message


def build_side_effects(
    definition: Definition, state: State, entries: Sequence[AnyEntry], effects: Sequence[Effect]
) -> SideEffects | None:
    """What is to be committed with these entries; None if it is nothing, as it mostly is."""
    has_ended = bool(entries) and isinstance(entries[-1], RunFinished)
    frees = state.started.slot if has_ended and state.started else None
    forgets = has_ended and definition.has_claims
    posts = [_message(state, effects, each) for each in effects if isinstance(each, PostMessage)]
    listening = [_listening(each) for each in effects if isinstance(each, Listen) and each.path in state.active]
    over = [] if has_ended else _over(state, entries, effects)
    asks = any(isinstance(each, AwaitSlot) for each in effects)
    if not (posts or listening or over or asks or forgets or frees is not None):
        return None
    return SideEffects(posts, listening, over, _contention(definition, state) if asks else None, frees, forgets)


def _message(state: State, effects: Sequence[Effect], effect: PostMessage) -> Message:
    """A called run that is told of its end before it has begun does not begin any more."""
    stopped = (each.path for each in effects if isinstance(each, Abandon))
    caller = next((path for path in stopped if state.steps[path].child == effect.run), None)
    return Message(effect.run, effect.kind, effect.data, make_dedupe_key(state, caller, state.at) if caller else None)


def _listening(effect: Listen) -> EventSubscription:
    return EventSubscription(effect.path, effect.name, effect.type, effect.match, effect.since)


def _over(state: State, entries: Sequence[AnyEntry], effects: Sequence[Effect]) -> list[str]:
    """The waits that end here though nothing came for them, as what they stand in ends; those of a run that is only
    paused go on."""
    came_for = entries[0].path if entries and isinstance(entries[0], SignalReceived | TimerFired) else None
    stopped = (each.path for each in effects if isinstance(each, Abandon) and each.path != came_for)
    return [path for path in stopped if path not in state.active and state.steps[path].can_be_answered]


def _contention(definition: Definition, state: State) -> SlotRequest | None:
    """The slot that a run asks for which was held back until now."""
    concurrency, started = definition.spec.concurrency, state.started
    if concurrency is None or started is None or started.slot is None:
        return None
    return SlotRequest(started.slot, concurrency.limit, concurrency.overflow)


def make_dedupe_key(state: State, path: str, at: int) -> DedupeKey:
    """What makes a call or an event of a step happen once."""
    return DedupeKey.of_step("flow", state.run, path, at)
