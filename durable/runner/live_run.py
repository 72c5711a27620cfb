"""A run in memory, as an actor: facts arrive in its mailbox, and its loop processes them one at a time.

The loop's task exists only while the mailbox is not empty. A run that waits for a timer or a message has no task.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TypeAlias

from durable.effects import Effect
from durable.history.entries import AttemptLost, DeadlinePassed, Fact
from durable.runner.advancer import Advancer, OwnedRun
from durable.runner.attempt import Attempt
from durable.runner.gates import GateTurn
from durable.runner.inbox import InboxReader
from durable.runner.permits import PermitLine
from durable.runner.retries import Retries
from durable.runner.timing import Countdown, RunTimer


class Notice(Enum):
    """What a mailbox may contain besides facts."""

    INBOX = "messages wait in the run's inbox"


INBOX = Notice.INBOX
Mail: TypeAlias = Fact | Notice
Done: TypeAlias = Callable[[], None]
"""Called when an item of a mailbox has been processed."""


@dataclass(eq=False, slots=True)
class StepWork:
    """The current work of the step at `path`, or of the start of the run: a timer until it is due, then a task, which
    may run an attempt with its permit. `turn` was granted by the gate of its connection, and is not used yet; `number`
    is that of its turns."""

    path: str
    timer: RunTimer | None = None
    task: "asyncio.Task[None] | None" = None
    attempt: Attempt | None = None
    permit: PermitLine | None = None
    turn: GateTurn | None = None
    number: int = 0

    @property
    def is_under_way(self) -> bool:
        """Whether it will report something. An abandoned attempt may continue for a while, but reports nothing."""
        if self.task is None:
            return True
        return not self.task.done() and (self.attempt is None or self.attempt.context.is_open)

    def cancel(self) -> None:
        """Stop the work, except for the current task."""
        if self.timer:
            self.timer.cancel()
        if self.attempt:
            self.attempt.context.close()
        if self.task and self.task is not asyncio.current_task():
            self.task.cancel()


@dataclass(eq=False, slots=True)
class LiveRun(OwnedRun):
    """A run in memory.

    `early`: how much earlier (ms) it is due than its history says, because the clock was set back before it was taken
    over.
    `works`: the performer's current work, by step path.
    `lines`: the steps that wait for a permit or at a gate; as text, what they wait for.
    `pending`: how many runs and events it is currently starting.
    `permit`: held by a run that can expire, from its start to its first attempt.
    """

    loop: "RunLoop"
    early: int = 0
    is_gone: bool = False
    works: dict[str, StepWork] = field(default_factory=dict)
    lines: dict[str, str | GateTurn] = field(default_factory=dict)
    pending: int = 0
    permit: PermitLine | None = None
    has_progressed: bool = False
    deadline: tuple[int, Countdown] | None = None
    mailbox: deque[Mail] = field(default_factory=deque)
    waiting: dict[int, list[Done]] = field(default_factory=dict)
    """Callbacks for the end of the processing of a mailbox item, by the item's `id`."""
    busy: "asyncio.Future[None] | None" = None
    """The loop's task; during a takeover, a future that keeps the loop from starting."""
    _progress: "asyncio.Future[None] | None" = None

    def put(self, mail: Mail, done: Done | None = None) -> None:
        """Put a fact into the mailbox, or a notice that there are messages; a second notice is dropped. `done` is
        called when the fact is appended and its effects have started, or when the run has left memory."""
        if self.is_gone:
            if done:
                done()
            return
        if done:
            self.waiting.setdefault(id(mail), []).append(done)
        if mail is not INBOX or INBOX not in self.mailbox:
            self.mailbox.append(mail)
        if self.busy is None:
            self.loop.start(self)

    async def put_and_wait(self, mail: Mail) -> None:
        """Put an item into the mailbox, and return when it has been processed."""
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.put(mail, partial(_complete, handled))
        await handled

    @asynccontextmanager
    async def hold_mailbox(self) -> AsyncIterator[None]:
        """Keep the loop from starting; items remain in the mailbox."""
        assert self.busy is None
        self.busy = held = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            self.busy = None
            if not held.done():
                held.set_result(None)
            if self.mailbox:
                self.loop.start(self)

    def leave_memory(self) -> None:
        """Stop all work without reporting anything."""
        self.is_gone = True
        for work in self.works.values():
            work.cancel()
        if self.busy and self.busy is not asyncio.current_task():
            self.busy.cancel()
        self.mailbox.clear()
        waiting, self.waiting = self.waiting, {}
        for each in waiting.values():
            for done in each:
                done()
        self.note_progress()

    def note_progress(self) -> None:
        """Wake the tasks in `wait_for_progress`: the run has made progress, or left memory."""
        self.has_progressed = True
        if self._progress and not self._progress.done():
            self._progress.set_result(None)

    async def wait_for_progress(self) -> None:
        """Return when the run has made progress since it came into memory, or has left it."""
        if not self.has_progressed:
            self._progress = asyncio.get_running_loop().create_future()
            await self._progress

    def compute_due(self, now: int) -> int | None:
        """Return when the run has to be resumed even if no message arrives, by the current wall clock (ms)."""
        state = self.state
        if state.finished:
            return None
        dues = {} if state.pauses else {path: state.steps[path].due for path in state.active}
        if not state.pauses and state.start_due is not None:
            dues[""] = state.start_due
        for path, work in self.works.items():
            if work.timer and work.timer.countdown and dues.get(path) is not None:
                dues[path] = work.timer.countdown.compute_due(now)
        deadline = self.count_down_to_deadline(now)
        ends = deadline.compute_due(now) if deadline else None
        return min((due for due in (ends, *dues.values()) if due is not None), default=None)

    def count_down_to_deadline(self, now: int, early: int = 0) -> Countdown | None:
        """Return the countdown to the deadline of the run's current part."""
        state, deadline = self.state, self.state.deadline
        if deadline is None:
            return None
        if self.deadline is None or self.deadline[0] != deadline:
            self.deadline = deadline, Countdown(deadline, state.deadline_decided_at, now, early)
        return self.deadline[1]

    def find_passed_deadline(self, now: int) -> DeadlinePassed | None:
        """Return a fact if the deadline of the current part has passed."""
        deadline = None if self.state.finished else self.count_down_to_deadline(now)
        if deadline is None or deadline.seconds_left:
            return None
        return DeadlinePassed(at=max(now, self.state.deadline or 0))

    @property
    def attempts(self) -> list[Attempt]:
        """The running attempts."""
        found = (work.attempt for work in self.works.values())
        return [attempt for attempt in found if attempt and attempt.context.is_open]

    @property
    def has_task(self) -> bool:
        """Whether the run does more than wait for a time or a message."""
        for work in self.works.values():  # noqa: SIM110  # a generator would cost a call for each step
            if work.task:
                return True
        return False

    @property
    def is_at_work(self) -> bool:
        """Whether there is work that the run's state does not show."""
        return self.busy is not None or self.pending > 0 or bool(self.attempts)

    @property
    def waits(self) -> dict[str, str]:
        """The limits of Waypost's own that its steps wait for, by path."""
        in_line = {path: str(each) for path, each in self.lines.items()}
        return in_line | {each.path: what for each in self.attempts if (what := each.waits_for)}

    @property
    def priority(self) -> int:
        return self.state.started.priority if self.state.started else 0


@dataclass(frozen=True, slots=True)
class RunLoop:
    """The loop of every run.

    `perform`: performs effects.
    `wake`: notifies a run that it has a message.
    `settle`: lets an idle run leave memory.
    `fail`: drops a run that cannot continue, and retries it later.
    """

    advancer: Advancer
    inbox: InboxReader
    retries: Retries
    perform: "Callable[[LiveRun, Sequence[Effect]], None]"
    wake: Callable[[str], None]
    settle: "Callable[[LiveRun], None]"
    fail: "Callable[[LiveRun, Exception], None]"

    def start(self, run: LiveRun) -> None:
        """Start the loop, unless the run has left memory."""
        if not run.is_gone:
            run.busy = asyncio.get_running_loop().create_task(self._work(run))

    async def _work(self, run: LiveRun) -> None:
        try:
            while run.mailbox and not run.is_gone:
                mail = run.mailbox.popleft()
                waiting = run.waiting.pop(id(mail), ()) if run.waiting else ()
                try:
                    await (self.take_inbox(run) if isinstance(mail, Notice) else self.advance(run, mail))
                finally:
                    for done in waiting:
                        done()
        except Exception as error:  # noqa: BLE001  # the run is retried after any error
            self.fail(run, error)
        finally:
            run.busy = None
        self.settle(run)

    async def advance(self, run: LiveRun, fact: Fact, taken: Sequence[int] = ()) -> None:
        """Advance a run by a fact and perform the effects."""
        advanced = await self.advancer.advance(run, fact, taken)
        if advanced is None:
            return
        if not run.has_progressed and not isinstance(fact, AttemptLost):
            self.retries.note_progress(run.id)
            run.note_progress()
        self.perform(run, advanced.effects)
        for each in advanced.notified:
            self.wake(each)

    async def take_inbox(self, run: LiveRun) -> None:
        """Advance a run by each message in its inbox."""
        for message in await self.inbox.list_messages(run.id):
            if run.is_gone:
                return
            fact = await self.inbox.make_fact(message)
            if fact is None:
                await self.advancer.update(run, (message.id,))
            else:
                await self.advance(run, fact, (message.id,))


def _complete(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
