"""The state of a run, computed from its history."""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from durable.history.entries import MainEnded, MainEnding, RunFinished, RunForked, RunRetried, RunStarted
from durable.history.words import Await, Failure, RunStatus, SecretPlaceholder, StepStatus
from durable.path import frame_of, is_within, make_page_path, split_frame
from durable.values import NULL, Value

UndoStatus: TypeAlias = Literal["registered", "chosen", "done", "failed"]


class Memo(dict[str, Any]):
    """A cache of decoded values. It is not part of the state, so all memos compare equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memo)

    __hash__ = None


class PagesState(msgspec.Struct):
    """The pages of a step's output that have arrived.

    `number`: how many, which is the number of the page that comes next.
    `items`: their lists, until the step completes; `count` items of `size` bytes.
    `cursor`: where the next page begins.
    `marks`: the hashes of what must not come again.
    `attempts`, `crashes`: how many attempts these pages took, and how many of them were lost in a crash.
    """

    number: int = 0
    items: list[Value] = []
    count: int = 0
    size: int = 0
    cursor: Value = NULL
    marks: dict[str, None] = {}
    attempts: int = 0
    crashes: int = 0

    def locate(self, path: str, attempt: int) -> tuple[str, int]:
        """Return the path of the next page of the step at `path`, and the number that the step's attempt has for it."""
        return make_page_path(path, self.number), attempt - self.attempts


class StepState(msgspec.Struct):
    """The state of a step that was reached.

    `crashes`: how many attempts were lost in a crash.
    `uncounted`: how many of the other attempts its retry policy does not count, because the run was retried after them.
    `is_doubtful`: an attempt ended without a known result, so the step may have had its effect.
    `is_copied`: its checkpoint was copied from another run.
    `pages`: the pages that have arrived, if it gets its output in pages and there is more than one.
    `connection`: the connection that an expression has chosen.
    """

    status: StepStatus
    input: Value = NULL
    secrets: tuple[SecretPlaceholder, ...] = ()
    attempt: int = 0
    crashes: int = 0
    uncounted: int = 0
    cleanup_pass: int = 1
    is_started: bool = False  # the attempt's start is in the history
    is_doubtful: bool = False
    has_returned: bool = False  # the action returned an invalid output
    needs_person: bool = False
    due: int | None = None
    decided_at: int | None = None  # when `due` was decided
    output: Value = NULL
    error: Failure | None = None
    scheduled_at: int | None = None
    finished_at: int | None = None
    awaits: tuple[Await, ...] = ()
    child: str | None = None
    is_copied: bool = False
    pages: PagesState | None = None
    connection: str | None = None

    @property
    def can_be_answered(self) -> bool:
        """Whether the step waits for an answer or an event, and not only for a time."""
        return any(each.due is None for each in self.awaits)

    @property
    def waits_for_moment(self) -> bool:
        """Whether `due` is a time given by the pipeline, not the end of a delay."""
        return bool(self.awaits) and any(each.kind == "until" and each.due == self.due for each in self.awaits)

    @property
    def counted_attempts(self) -> int:
        """The number of attempts that its retry policy counts."""
        return self.attempt - self.crashes - self.uncounted

    @property
    def lost(self) -> int:
        """How many attempts were lost in a crash; of a step that gets its output in pages, those of the page."""
        return self.crashes - (self.pages.crashes if self.pages else 0)

    def may_be_attempted(self, at: int) -> bool:
        """Whether an attempt may be running that the history has no entry for: the first attempt, or a retry that was
        due."""
        is_due = self.due is not None and self.due <= at and not self.awaits and self.child is None
        return self.status == "running" or (self.status == "waiting" and is_due)

    def is_backing_off(self, at: int) -> bool:
        """Whether attempt number `attempt` is a retry that is not due yet at that time."""
        return self.status == "waiting" and self.attempt > 1 and not self.needs_person and not self.may_be_attempted(at)


class BlockState(msgspec.Struct):
    """The state of a block that was reached.

    `items`, `count`: the list that a `foreach` iterates over, and its length.
    `running`: how many of its branches are running.
    `begun`: how many items or turns have started.
    `branch`, `branch_at`: the branch that started last, and when.
    `turns_before`: how many turns of a `repeat` began before the run was retried; `max_times` does not count them.
    `error`: the failure that the block ends with, or that its `catch` handles.
    `caught`: the failure of the `try` branch.
    `is_stopping`: nothing more starts in the block, except `finally`.
    `is_cancelled`: the block ends as cancelled.
    `is_cleaning`: its `finally` is running.
    `is_handled`: a handler of its `catch` has completed.
    `survives_cancel`: the block runs to its end even if the run is cancelled.
    """

    kind: str
    items: Value = NULL
    count: int = 0
    running: int = 0
    begun: int = 0
    branch: str = ""
    branch_at: int = 0
    turns_before: int = 0
    error: Failure | None = None
    caught: Failure | None = None
    failures: dict[int, Failure] = {}
    cancelled: dict[int, None] = {}
    targets: tuple[str, ...] = ()
    is_stopping: bool = False
    is_cancelled: bool = False
    is_cleaning: bool = False
    is_handled: bool = False
    survives_cancel: bool = False


class UndoState(msgspec.Struct):
    """The state of the undo of a step.

    `input`: the input of the undo action; None until the step has a checkpoint.
    `by`: the path of the `flow.undo` that performs it.
    `passes`: how many times a `flow.undo` has attempted it.
    """

    status: UndoStatus = "registered"
    input: Value | None = None
    secrets: tuple[SecretPlaceholder, ...] = ()
    by: str | None = None
    passes: int = 0
    error: Failure | None = None


class State(msgspec.Struct):
    """The state of a run. `durable.replay.apply_entry` modifies it in place.

    `active`: running steps, and blocks that wait for a time, in the order in which they started.
    `open`: blocks that have not ended.
    `closed`: blocks that failed or were cancelled, in case the run is retried; loops remain in `blocks`.
    `undos`: steps whose effect can be undone, in the order in which they completed.
    `early`: data that arrived for a wait before it started.
    `pauses`: the reasons of a pause, keyed by the step that a person has to decide on; `paused_at` is when it started.
    `at`: the time of the last entry; `latest`: the latest time of any entry, because the clock may have been set back.
    `fork_at`: the step before which a fork stops until its checkpoints are copied and it may start; `forked` is the
    entry after the copied ones.
    `since_fact`: the number of decisions since the last fact; it bounds a loop whose body needs no fact to continue.
    """

    run: str
    entries: int = 0
    started: RunStarted | None = None
    steps: dict[str, StepState] = {}
    active: dict[str, None] = {}
    blocks: dict[str, BlockState] = {}
    open: dict[str, None] = {}
    closed: dict[str, BlockState] = {}
    undos: dict[str, UndoState] = {}
    early: dict[str, Value] = {}
    is_queued: bool = False  # held back: no step was reached yet
    is_due: bool = False  # its start time has passed; it waits only for a slot
    pauses: dict[str, str] = {}
    paused_at: int | None = None
    answer: Value | None = None  # the first answer wins
    ending: MainEnding | None = None
    main: MainEnded | None = None
    is_stopping: bool = False  # the cleanup ends before its last step
    fork_at: str | None = None
    forked: RunForked | None = None
    finished: RunFinished | None = None
    retried: RunRetried | None = None  # the last retry
    retries: int = 0
    at: int = 0
    latest: int = 0
    since_fact: int = 0
    memo: Memo = msgspec.field(default_factory=Memo)

    @property
    def pause_reason(self) -> str | None:
        """Why the run is paused; None if it is not paused."""
        return "; ".join(self.pauses.values()) if self.pauses else None

    @property
    def status(self) -> RunStatus:
        if self.finished:
            return self.finished.status
        if self.pauses:
            return "paused"
        if self.is_queued:
            return "queued"
        if not self.active:
            return "running"
        for path in self.active:  # a loop: a generator would cost a call for each step
            if self.steps[path].status != "waiting":
                return "running"
        return "waiting"

    @property
    def reason(self) -> str | None:
        """Why the run is paused, queued, or ended as it did."""
        if self.pauses:
            return self.pause_reason
        if self.is_queued and self.started and (self.is_due or self.retried or self.started.held_until is None):
            return f"it waits for a slot of {self.started.queued_for or self.started.slot}"
        return self.main.reason if self.main else None

    @property
    def error(self) -> Failure | None:
        return self.main.error if self.main else None

    @property
    def inputs(self) -> Value:
        return self.started.inputs if self.started else NULL

    @property
    def depth(self) -> int:
        """How many runs, each started by a call or an event of the one before, led to this run."""
        return (self.started.parent.depth if self.started.parent else 0) + self.started.depth if self.started else 0

    @property
    def origin(self) -> str:
        """The id of the first event that led to this run; the run's own id if no event did."""
        return (self.started.origin or self.started.event if self.started else None) or self.run

    @property
    def deadline(self) -> int | None:
        """When the current part of the run must have ended."""
        if self.main:
            return self.main.deadline
        if self.ending:
            return self.ending.deadline
        if self.retried:
            return self.retried.at + self.timeout
        began = self.forked or self.started
        return began.deadline if began else None

    @property
    def timeout(self) -> int:
        """The run's timeout, in ms."""
        began = self.forked or self.started
        return began.deadline - began.at if began else 0

    @property
    def started_at(self) -> int:
        return self.started.at if self.started else 0

    @property
    def deadline_decided_at(self) -> int:
        """When `deadline` was decided."""
        decided = self.main or self.ending or self.retried or self.forked or self.started
        return decided.at if decided else 0

    @property
    def start_due(self) -> int | None:
        """When a held-back run may start, or, if it waits only for a slot, when it expires; None for any other run."""
        if not self.started or not self.is_queued or self.retried:
            return None
        return self.started.expires_at if self.is_due else self.started.held_until

    @property
    def due(self) -> int | None:
        """When the run has to be resumed even if no message arrives; None once it has finished."""
        if self.finished:
            return None
        earliest = self.deadline
        if self.pauses:
            return earliest
        if self.is_queued and (start := self.start_due) is not None and (earliest is None or start < earliest):
            earliest = start
        if self.is_queued:
            return earliest  # the steps that a queued fork performs anew are not due yet
        for path in self.active:  # a loop: a generator would cost a call for each step
            due = self.steps[path].due
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def postpone(self, due: int) -> int:
        """Return when an attempt is due. No attempt starts while the run is paused, so its due time is moved to one
        millisecond after the start of the pause; `outstanding.find_lost_attempts` compares the two times."""
        return due if self.paused_at is None else max(due, self.paused_at + 1)

    def block_around(self, path: str) -> tuple[str, int | None] | None:
        """Return the path of the innermost block that contains a step, and the index of its item or turn; None at the
        top level."""
        frame = frame_of(path)
        return split_frame(frame) if frame else None

    def list_cleaning(self, root: str = "") -> list[str]:
        """Return the blocks inside a block (or the run) whose `finally` is running; a cancel does not interrupt it."""
        return [path for path in self.open if self.blocks[path].is_cleaning and is_within(path, root)]

    def list_interruptible(self, root: str = "") -> Iterator[str]:
        """Iterate over the running steps inside a block (or the run) that a cancel interrupts."""
        spared = self.list_cleaning(root)
        for path in self.active:
            is_spared = self.is_undoing(path) or any(is_within(path, block) for block in spared)
            if is_within(path, root) and not is_spared:
                yield path

    def is_undoing(self, path: str) -> bool:
        """Whether the step undoes the effect of another, or repeats it to learn the output that the undo needs."""
        undo = self.undos.get(frame_of(path))
        return undo is not None and undo.by is not None
