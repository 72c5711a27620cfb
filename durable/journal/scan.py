"""Scans: reads of unbounded length (histories, replays, stored values), in one thread.

A computing thread holds the interpreter's lock for 5 ms at a time, and would delay each turn of the event loop and the
writer by as much. A scan therefore pauses after each slice of work: measured with two readers of a run of 10,000 items,
the pauses reduce a webhook's 99th percentile to a tenth.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from durable.history.entries import AnyEntry, RunStarted
from durable.history.state import State
from durable.history.words import RunSource, RunStatus
from durable.journal.definitions import count_version_runs, load_definition
from durable.journal.errors import RunUnreadable
from durable.journal.events import find_event_key
from durable.journal.folds import Fold, Folds, StoredValue
from durable.journal.histories import (
    PAGE,
    Append,
    decode_append,
    ensure_whole,
    find_append_before,
    fold_entry,
    list_appends,
    list_appends_of,
    load_first_appends,
)
from durable.journal.outline import StepOutline
from durable.journal.payloads import load_payload
from durable.journal.runs import find_run, find_statuses, list_repeats, list_unfinished, load_runs
from durable.reports import VersionRuns
from durable.units import Run, UnfinishedRun
from durable.values import Value

SLICE = 0.001
PAUSE = 0.0003
"""The length, in seconds, of a slice of work and of the pause after it, in which other threads get the interpreter's
lock."""


class Scan:
    """A journal as read by one thread over one connection. `note` is called for each run that cannot be read. `folds`
    are those of earlier scans."""

    def __init__(
        self, connection: Connection, note: Callable[[str], None] = lambda run: None, folds: Folds | None = None
    ) -> None:
        self._connection = connection
        self._note = note
        self._folds = folds or Folds()
        self._last_append: tuple[str, int, list[AnyEntry]] = ("", 0, [])
        self._pause_at = time.perf_counter() + SLICE

    def rest(self) -> None:
        """Pause if this thread has worked long enough; call this between small pieces of work."""
        if time.perf_counter() >= self._pause_at:
            time.sleep(PAUSE)
            self._pause_at = time.perf_counter() + SLICE

    def find_run(self, id: str) -> Run | None:
        return find_run(self._connection, id)

    def load_runs(self, ids: Sequence[str]) -> list[Run]:
        """Return these runs, without those that do not exist."""
        return load_runs(self._connection, ids)

    def find_statuses(self, ids: Sequence[str]) -> dict[str, RunStatus]:
        """Return the statuses of these runs, without those that do not exist."""
        found: dict[str, RunStatus] = {}
        for start in range(0, len(ids), PAGE):
            found |= find_statuses(self._connection, ids[start : start + PAGE])
            self.rest()
        return found

    def list_repeats(self, run: str, limit: int) -> list[Run]:
        """Return the newest runs that repeat this run."""
        return list_repeats(self._connection, run, limit)

    def find_source(self, run: str) -> RunSource | None:
        """Return what a run repeats; None if it repeats nothing, or if its start cannot be read."""
        try:
            _, started = next(self.read_entries(run, 0, 1), (0, None))
        except RunUnreadable:
            return None
        return started.source if isinstance(started, RunStarted) else None

    def load_first_appends(self, runs: Sequence[str]) -> dict[str, bytes]:
        """Return the first append of each of these runs, undecoded."""
        return load_first_appends(self._connection, runs)

    def find_event_key(self, id: str) -> str | None:
        """Return the id that the event's source gave it."""
        return find_event_key(self._connection, id)

    def load_definition(self, version: str) -> bytes | None:
        return load_definition(self._connection, version)

    def count_version_runs(self, version: str) -> VersionRuns:
        """Count the newest runs of a version by their status."""
        return count_version_runs(self._connection, version)

    def load_value(self, value: Value) -> Value:
        """Return the value with its bytes in memory; raises `RunUnreadable` if they are missing or damaged."""
        if value.is_loaded:
            return value
        if isinstance(value, StoredValue):
            value.attach(self.load_value(getattr(self.read_entry(value.run, value.entry), value.field)).data)
        elif value.ref:
            value.attach(load_payload(self._connection, value.ref))
        return value

    def read_entries(self, run: str, after: int = 0, appends: int = PAGE) -> Iterator[tuple[int, AnyEntry]]:
        """Return a run's entries after number `after`, numbered from 1; large values are not loaded. Reads this many
        `appends` at a time.

        Raises `RunUnreadable` at the first entry that is missing or cannot be read.
        """
        last = find_append_before(self._connection, run, after) - 1 if after else 0
        expected = last + 1
        while page := list_appends(self._connection, run, last, limit=appends):
            for row in page:
                for number, entry in enumerate(decode_append(run, row, expected), row.sequence):
                    expected = number + 1
                    if number > after:
                        yield number, entry
                    self.rest()
            last = page[-1].sequence

    def read_entry(self, run: str, number: int) -> AnyEntry:
        """Return one entry of a run; raises `RunUnreadable`."""
        last_run, first, entries = self._last_append
        if last_run != run or not first <= number < first + len(entries):  # neighbours are often read one after another
            first = find_append_before(self._connection, run, number - 1)
            rows = list_appends(self._connection, run, first - 1, limit=1)
            entries = decode_append(run, rows[0], first) if rows else []
            ensure_whole(run, first + len(entries) - 1, number)
            self._last_append = run, first, entries
        return entries[number - first]

    @contextmanager
    def open_fold(self, run: Run) -> Iterator[Fold]:
        """Replay a run's history as far as it can be read, from where an earlier scan has kept it. No other thread uses
        the fold meanwhile."""
        fold = self._folds.take(run.id)
        with fold.lock:
            if fold.unreadable:  # another thread met this while it waited for the lock, and has dropped the fold
                fold = Fold(run.id)
            try:
                self._advance_fold(fold, run.sequence)
                yield fold
            finally:
                self._folds.keep(fold)

    def _advance_fold(self, fold: Fold, sequence: int) -> None:
        run, known = fold.state.run, fold.state.entries
        try:
            if known < sequence:
                for number, entry in self.read_entries(run, known):
                    fold.add(number, entry)
            ensure_whole(run, fold.state.entries, sequence)
        except RunUnreadable as unreadable:
            self._note(run)
            fold.unreadable = unreadable

    def open_outline(self, fold: Fold) -> StepOutline:
        """Return the outline of a fold that this thread has opened."""
        if fold.outline is None:
            fold.outline = StepOutline(fold.state, fold.traces, self.rest)
        return fold.outline

    def replay(self, run: str, sequence: int) -> tuple[State, RunUnreadable | None]:
        """Replay a history of `sequence` entries as far as it can be read; returns the state, and why the rest cannot
        be read."""
        state = State(run=run)
        try:
            for _, entry in self.read_entries(run):
                fold_entry(state, entry)
            ensure_whole(run, state.entries, sequence)
        except RunUnreadable as unreadable:
            self._note(run)
            return state, unreadable
        return state, None

    def load_state(self, run: str) -> State:
        """Load a run's state; it is empty if there is no such run. Raises `RunUnreadable`."""
        found = self.find_run(run)
        if found is None:
            return State(run=run)
        state, unreadable = self.replay(run, found.sequence)
        if unreadable:
            raise unreadable
        return state

    def replay_all(self, found: Sequence[UnfinishedRun]) -> Iterator[tuple[State, RunUnreadable | None]]:
        """Replay several runs with short histories, in one read."""
        appends = list_appends_of(self._connection, [each.run for each in found])
        for each in found:
            state, unreadable = _replay_appends(each, appends.pop(each.run, []))
            if unreadable:
                self._note(each.run)
            yield state, unreadable
            self.rest()

    def find_unreadable(self, seconds: float) -> tuple[dict[str, str], int]:
        """Return why each unreadable unfinished run cannot be read, and how many runs were examined within the time."""
        found: dict[str, str] = {}
        examined = 0
        after: str | None = None
        end = time.monotonic() + seconds
        definitions: dict[str, str] = {}
        while page := list_unfinished(self._connection, PAGE, after):
            for run in page:
                if time.monotonic() > end:
                    return found, examined
                examined += 1
                if why := self._explain_unreadable(run, definitions):
                    found[run.run] = why
            after = page[-1].run
        return found, examined

    def _explain_unreadable(self, run: UnfinishedRun, definitions: dict[str, str]) -> str:
        state, unreadable = self.replay(run.run, run.sequence)
        if unreadable:
            return unreadable.reason
        row = self.find_run(run.run)
        if row and row.version not in definitions:
            is_stored = self.load_definition(row.version) is not None
            definitions[row.version] = "" if is_stored else f"the definition of its version {row.version} is missing"
        try:
            for path in state.active:
                self.load_value(state.steps[path].input).detach()
        except RunUnreadable as lost:
            return lost.reason
        return definitions[row.version] if row else ""


def _replay_appends(run: UnfinishedRun, appends: Sequence[Append]) -> tuple[State, RunUnreadable | None]:
    state = State(run=run.run)
    try:
        for row in appends:
            for entry in decode_append(run.run, row, state.entries + 1):
                fold_entry(state, entry)
        ensure_whole(run.run, state.entries, run.sequence)
    except RunUnreadable as unreadable:
        return state, unreadable
    return state, None
