"""A run in memory, and one that is set adrift."""

import asyncio
from dataclasses import dataclass, field

from durable.definition import Definition
from durable.history import State
from durable.runner.attempt import Attempt
from durable.runner.slots import SlotLine


@dataclass(eq=False, slots=True)
class Adrift:
    """A run that this node may own in the journal and does not advance: when to take it up again, after how many
    failures, and whether that counts as a recovery. If it `is_unbegun`, no attempt of it is under way that its history
    does not tell of."""

    due: int
    failures: int
    counts: bool
    is_unbegun: bool = False


@dataclass(eq=False, slots=True)
class Live:
    """A run in memory, owned by this node under `epoch`; `is_settling` while it is taken over, and `is_unbegun` from
    when the attempts that its last owner lost are in its history until the next may begin. It holds a `slot` from its
    beginning to its first attempt, if it could expire. `lines` are the steps that wait for a slot, and what they wait
    for. While it `is_taking` what is in its inbox, it may be `is_called` again."""

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
    errands: int = 0
    moved_at: int = 0
    is_called: bool = False
    is_taking: bool = False
    slot: SlotLine | None = None
    lines: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_at_work(self) -> bool:
        """Whether something of it is under way that its state does not tell of."""
        is_performing = any(attempt.context.is_open for attempt in self.attempts.values())
        return is_performing or self.errands > 0 or self.is_taking

    @property
    def waits(self) -> dict[str, str]:
        """The limits of Waypost's own that its steps wait for, by path."""
        return self.lines | {path: what for path, each in self.attempts.items() if (what := each.waits_for)}

    @property
    def priority(self) -> int:
        return self.state.started.priority if self.state.started else 0
