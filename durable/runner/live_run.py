"""A run in memory, and one that is set adrift."""

import asyncio
from dataclasses import dataclass, field

from durable.definition import Definition
from durable.history.state import State
from durable.runner.attempt import Attempt
from durable.runner.permits import SlotLine
from durable.runner.timing import Countdown


@dataclass(eq=False, slots=True)
class RetryLater:
    """A run that this node may own in the journal and does not advance: how long before it is taken up again, and
    whether that counts as a recovery. If it `is_unbegun`, no attempt of it is under way that its
    history does not tell of."""

    pause: Countdown
    counts: bool
    is_unbegun: bool = False


@dataclass(eq=False, slots=True)
class LiveRun:
    """A run in memory, owned by this node under `epoch`; `is_settling` while it is taken over, and `is_unbegun` from
    when the attempts that its last owner lost are in its history until the next may begin. It holds a `slot` from its
    beginning to its first attempt, if it could expire. `lines` are the steps that wait for a slot, and what they wait
    for. While it `is_taking` what is in its inbox, it may be `is_called` again. `countdowns` are of the spans of time
    that its steps wait for, and `deadline` that of the run; `early` is by how much (ms) it is due before the times in
    its history, as the clock was set back before it was taken over."""

    run: str
    definition: Definition
    state: State
    epoch: int
    is_settling: bool = False
    is_unbegun: bool = False
    is_gone: bool = False
    attempts: dict[str, Attempt] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    start: asyncio.Task[None] | None = None
    pending: int = 0
    moved_at: int = 0
    is_called: bool = False
    is_taking: bool = False
    slot: SlotLine | None = None
    lines: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    early: int = 0
    countdowns: dict[str, Countdown] = field(default_factory=dict)
    deadline: tuple[int, Countdown] | None = None
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    def due(self, now: int) -> int | None:
        """When something must happen to the run even if nothing arrives, by the present wall clock (ms)."""
        state = self.state
        if state.finished:
            return None
        dues = {} if state.pauses else {path: state.steps[path].due for path in state.active}
        if not state.pauses and state.start_due is not None:
            dues[""] = state.start_due
        dues |= {name: each.due(now) for name, each in self.countdowns.items() if dues.get(name) is not None}
        deadline = self.count_down_to_deadline(now)
        ends = deadline.due(now) if deadline else None
        return min((due for due in (ends, *dues.values()) if due is not None), default=None)

    def count_down_to_deadline(self, now: int) -> Countdown | None:
        """What is left until the part of the run that is under way must be over."""
        state, deadline = self.state, self.state.deadline
        if deadline is None:
            return None
        if self.deadline is None or self.deadline[0] != deadline:
            early = self.early if self.is_settling else 0
            self.deadline = deadline, Countdown(deadline, state.deadline_decided_at, now, early)
        return self.deadline[1]

    @property
    def is_at_work(self) -> bool:
        """Whether something of it is under way that its state does not tell of."""
        is_performing = any(attempt.context.is_open for attempt in self.attempts.values())
        return is_performing or self.pending > 0 or self.is_taking

    @property
    def waits(self) -> dict[str, str]:
        """The limits of Waypost's own that its steps wait for, by path."""
        return self.lines | {path: what for path, each in self.attempts.items() if (what := each.waits_for)}

    @property
    def priority(self) -> int:
        return self.state.started.priority if self.state.started else 0
