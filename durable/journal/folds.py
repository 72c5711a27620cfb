"""Folds: histories replayed for people who read, and kept between two reads.

Whoever looks at a run looks again a moment later. A kept fold replays only what was appended since, so that a poll of a
run of 10,000 steps costs what happened in between. Folds are used by the threads of scans alone; the event loop has
states of its own. To stay small, a fold keeps no large values and no more than the last attempts of a step.
"""

from collections import OrderedDict
from threading import Lock

import msgspec

from durable.history.encoding import list_value_fields
from durable.history.entries import AnyEntry, AttemptFailed, AttemptLost, StepReopened, StepsVoided
from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.histories import fold_entry
from durable.journal.outline import StepOutline
from durable.journal.timeline import AttemptEnd, Timeline
from durable.units import Run
from durable.values import Value

KEPT_FROM = 200
"""A history with fewer entries is not kept: its replay takes about 2 ms."""

BYTES_LIMIT = 64 * 1024 * 1024
"""The memory, roughly, of all folds that are kept; the one that was used least recently goes first."""

ENTRY_BYTES = 350
"""The memory, roughly, of an entry in a fold, without its texts: measured with 10,000 items of a `foreach`."""

VALUE_LIMIT = 256
"""A value with more bytes is not kept, but read again from its entry."""

TRIES_LIMIT = 20
"""The number of ended attempts of a step that are kept, the last ones."""


class StoredValue(Value, frozen=True):
    """A value that stays in its entry until it is loaded."""

    run: str = ""
    entry: int = 0
    field: str = ""


class StepTrace(msgspec.Struct, gc=False):
    """What the state of a step does not tell: the number of the entry that reached it, and how its last attempt and the
    `earlier` ones ended.

    Most steps have one attempt, and need no list for it: a collection of garbage, which stops all threads, visits none
    of the objects of such a step.
    """

    reached: int
    last: AttemptEnd | None = None
    earlier: list[AttemptEnd] | None = None

    @property
    def tries(self) -> list[AttemptEnd]:
        """The last attempts, oldest first."""
        return [*(self.earlier or ()), *([self.last] if self.last else [])]

    def add_try(self, end: AttemptEnd) -> None:
        if self.last is not None:
            self.earlier = [*(self.earlier or ()), self.last][-TRIES_LIMIT + 1 :]
        self.last = end


class Fold:
    """A run's state, replayed as far as its history can be read; `unreadable` says why the rest cannot be.

    `weight`: its memory in bytes, roughly.
    `outline`: made of the state when it is first needed, and dropped when the run has advanced.
    `timeline`: dropped when what has ended goes on.
    `lock`: held by the thread that uses it.
    """

    def __init__(self, run: str) -> None:
        self.state = State(run=run)
        self.traces: dict[str, StepTrace] = {}
        self.weight = 0
        self.outline: StepOutline | None = None
        self.timeline = Timeline()
        self.unreadable: RunUnreadable | None = None
        self.lock = Lock()

    def add(self, number: int, entry: AnyEntry) -> None:
        """Apply the next entry; raises `RunUnreadable` if it does not follow."""
        state = self.state
        entry = _lighten(state.run, number, entry)
        fold_entry(state, entry)
        self.outline = None
        self.weight += ENTRY_BYTES
        if isinstance(entry, StepsVoided):
            for voided in entry.paths:
                self.traces.pop(voided, None)
        if isinstance(entry, StepReopened | StepsVoided):
            self.timeline = Timeline()
        path: str | None = getattr(entry, "path", None)
        if path is None or path not in state.steps:
            return
        trace = self.traces.get(path)
        if trace is None:
            trace = self.traces[path] = StepTrace(number)
        if isinstance(entry, AttemptEnd) and entry.attempt:
            trace.add_try(entry)
            if isinstance(entry, AttemptFailed | AttemptLost):
                self.weight += len(entry.error.message or "") + entry.error.details.size


def _lighten(run: str, number: int, entry: AnyEntry) -> AnyEntry:
    """An entry without its larger values."""
    left: dict[str, Value] = {}
    for name in list_value_fields(entry):  # a loop: most entries have no large value, and this runs for every entry
        value: Value | None = getattr(entry, name)
        if value is not None and value.size > VALUE_LIMIT and value.ref is None:
            left[name] = StoredValue(ref=f"{run}/{number}/{name}", size=value.size, run=run, entry=number, field=name)
    return msgspec.structs.replace(entry, **left) if left else entry


class Folds:
    """The folds that are kept."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, Fold] = OrderedDict()

    def count_missing(self, run: Run) -> int:
        """Return how many entries of a run have to be read to know its state."""
        with self._lock:
            fold = self._kept.get(run.id)
            return max(0, run.sequence - fold.state.entries) if fold else run.sequence

    def take(self, run: str) -> Fold:
        """Return a run's fold, perhaps an empty one. Hold its lock while you use it, then `keep` it."""
        with self._lock:
            fold = self._kept.get(run)
            if fold is None:
                fold = self._kept[run] = Fold(run)
            self._kept.move_to_end(run)
            return fold

    def keep(self, fold: Fold) -> None:
        """Keep a fold that was used, if that is worth it, and drop others that no longer have room."""
        with self._lock:
            run = fold.state.run
            if self._kept.get(run) is not fold:
                return
            if fold.unreadable or fold.state.entries < KEPT_FROM or fold.weight > BYTES_LIMIT:
                del self._kept[run]
                return
            total = sum(each.weight for each in self._kept.values())
            while total > BYTES_LIMIT:
                _, dropped = self._kept.popitem(last=False)
                total -= dropped.weight
