"""Side effects: changes for other runs and for the run's own waits, written in the same commit as its entries."""

from durable.journal.concurrency import ConcurrencyLimits
from durable.journal.dedupe import DedupeKeys
from durable.journal.dialect import Cursor
from durable.journal.inbox import InboxWrites
from durable.journal.reopening import ReopeningWrites
from durable.journal.subscriptions import EventSubscriptions
from durable.units import SideEffects


class SideEffectWrites:
    """Writes side effects."""

    def __init__(
        self,
        inboxes: InboxWrites,
        keys: DedupeKeys,
        subscriptions: EventSubscriptions,
        limits: ConcurrencyLimits,
        reopening: ReopeningWrites,
    ) -> None:
        self._inboxes = inboxes
        self._keys = keys
        self._subscriptions = subscriptions
        self._limits = limits
        self._reopening = reopening

    def write(self, cursor: Cursor, run: str, side_effects: SideEffects, at: int) -> tuple[str, ...]:
        """Write side effects; returns the runs that got a message."""
        notified: list[str] = []
        if side_effects.reopened_waits:
            self._subscriptions.reopen_waits(cursor, run, side_effects.reopened_waits, at)
        # A called run is retried before a message may cancel it: its calling step may end again in the same commit.
        notified += [each.run for each in side_effects.retried if self._reopening.reopen_called(cursor, each, at)]
        for message in side_effects.messages:
            if self._inboxes.post(cursor, message.run, message.kind, message.data, at):
                notified.append(message.run)
            elif message.dedupe_key and not self._keys.find_first(cursor, [message.dedupe_key], at):
                self._keys.take(cursor, message.dedupe_key, run)
        notified += self._subscriptions.end_waits(cursor, run, side_effects.ended_waits, at)
        for subscription in side_effects.subscriptions:
            notified += self._subscriptions.subscribe(cursor, run, subscription, at)
        if side_effects.has_ended:
            self._subscriptions.end_run(cursor, run)
        if side_effects.forgets_keys:
            self._subscriptions.forget_matches(cursor, run)
            self._keys.forget_run(cursor, run)
        if side_effects.freed_slot is not None:
            notified += self._limits.release(cursor, run, side_effects.freed_slot, at)
        elif side_effects.slot_request:
            notified += self._limits.queue(cursor, run, side_effects.slot_request, at)
        return tuple(notified)
