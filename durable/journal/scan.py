"""Reads whose length callers do not control: histories, folds and stored values, from one thread.

A thread that computes holds the interpreter's lock for 5 ms at a time, and the event loop and the writer would pay that
at each of their turns. So a scan pauses after each slice of work: measured beside two readers of a run of 10,000 items,
a webhook's 99th percentile is a tenth of what it is without the pauses.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, Select, bindparam, func, select, type_coerce
from sqlalchemy.types import NullType

from durable.history.encoding import decode_entries
from durable.history.entries import AnyEntry
from durable.history.state import State
from durable.history.words import RunStatus
from durable.journal.errors import RunUnreadable
from durable.journal.tables import definitions, entries, events, payloads, runs, tags
from durable.replay import apply_entry
from durable.units import Run, UnfinishedRun
from durable.values import Value

SLICE = 0.001
PAUSE = 0.0003
"""Seconds of work, and of the pause after it, in which others get the interpreter's lock."""

PAGE = 256
"""Appends that are read and decoded in one piece: it takes about a millisecond."""

# Made once, as every takeover asks for these: to make them anew costs more than to execute them.
LAST = 2**62
_STORED = type_coerce(entries.c.entries, NullType()).label("entries")  # undecoded
NEXT_PAGE = (
    select(entries.c.sequence, _STORED)
    .where(entries.c.run == bindparam("run"))
    .where(entries.c.sequence > bindparam("after"), entries.c.sequence <= bindparam("until"))
    .order_by(entries.c.sequence)
    .limit(bindparam("appends"))
)


class Append(Protocol):
    """A row of what one append wrote."""

    @property
    def sequence(self) -> int: ...

    @property
    def entries(self) -> bytes: ...


class Scan:
    """A journal as one thread reads it, over one connection. `note` is called for each run that cannot be read."""

    def __init__(self, connection: Connection, note: Callable[[str], None] = lambda run: None) -> None:
        self._connection = connection
        self._note = note
        self._pause_at = time.perf_counter() + SLICE

    def rest(self) -> None:
        """Let others work, if this thread has worked for long enough; to be called between small pieces of work."""
        if time.perf_counter() >= self._pause_at:
            time.sleep(PAUSE)
            self._pause_at = time.perf_counter() + SLICE

    def find_run(self, id: str) -> Run | None:
        found = run_rows(self._connection, select(runs).where(runs.c.id == id))
        return found[0] if found else None

    def find_statuses(self, ids: Sequence[str]) -> dict[str, RunStatus]:
        """The statuses of these runs; those that there are not are absent."""
        found: dict[str, RunStatus] = {}
        for start in range(0, len(ids), PAGE):
            query = select(runs.c.id, runs.c.status).where(runs.c.id.in_(ids[start : start + PAGE]))
            found |= {row.id: row.status for row in self._connection.execute(query)}
            self.rest()
        return found

    def list_unfinished(self, limit: int, after: str | None) -> list[UnfinishedRun]:
        """Unfinished runs from the oldest to the newest."""
        return [unfinished_run(row) for row in self._connection.execute(select_unfinished(limit, after))]

    def read_entries(self, run: str, after: int = 0, appends: int = PAGE) -> Iterator[tuple[int, AnyEntry]]:
        """A run's entries after number `after`, with their numbers, from 1; large values come without their bytes.
        So many `appends` are read in one piece.

        Raises `RunUnreadable` at the first that cannot be read or is missing.
        """
        first = select(func.max(entries.c.sequence)).where(entries.c.run == run, entries.c.sequence <= after + 1)
        last = (self._connection.scalar(first) or 1) - 1 if after else 0
        expected = last + 1
        wanted = {"run": run, "until": LAST, "appends": appends}
        while page := self._connection.execute(NEXT_PAGE, wanted | {"after": last}).all():
            for row in page:
                for number, entry in enumerate(read_append(run, row, expected), row.sequence):
                    expected = number + 1
                    if number > after:
                        yield number, entry
                    self.rest()
            last = page[-1].sequence

    def replay(
        self, run: str, sequence: int, see: Callable[[AnyEntry], None] | None = None
    ) -> tuple[State, RunUnreadable | None]:
        """The fold of a history of `sequence` entries, as far as it can be read, and why it cannot be read further.
        `see` is called with each entry."""
        state = State(run=run)
        try:
            for _, entry in self.read_entries(run):
                fold_entry(state, entry)
                if see:
                    see(entry)
            ensure_whole(run, state.entries, sequence)
        except RunUnreadable as unreadable:
            self._note(run)
            return state, unreadable
        return state, None

    def load_state(self, run: str) -> State:
        """The fold of a run's whole history; that of nothing if there is no such run. Raises `RunUnreadable`."""
        found = self.find_run(run)
        if found is None:
            return State(run=run)
        state, unreadable = self.replay(run, found.sequence)
        if unreadable:
            raise unreadable
        return state

    def replay_all(self, found: Sequence[UnfinishedRun]) -> Iterator[tuple[State, RunUnreadable | None]]:
        """The folds of some runs whose histories are short, read together."""
        query = select(entries.c.run, entries.c.sequence, _STORED)
        query = query.where(entries.c.run.in_([each.run for each in found]))
        appends: dict[str, list[Append]] = {}
        for row in self._connection.execute(query.order_by(entries.c.run, entries.c.sequence)).all():
            appends.setdefault(row.run, []).append(row)
        for each in found:
            state, unreadable = _fold_appends(each, appends.pop(each.run, []))
            if unreadable:
                self._note(each.run)
            yield state, unreadable
            self.rest()

    def load_value(self, value: Value) -> Value:
        """The value, with its bytes in memory; raises `RunUnreadable` if the journal has lost them."""
        if value.ref and not value.is_loaded:
            query = select(payloads.c.data).where(payloads.c.ref == value.ref)
            value.attach(ensure_payload(value.ref, self._connection.scalar(query)))
        return value

    def find_event_key(self, id: str) -> str | None:
        """By what an event is known to its source."""
        return self._connection.scalar(select(events.c.key).where(events.c.id == id))

    def find_unreadable(self, seconds: float) -> tuple[dict[str, str], int]:
        """Why each unfinished run that cannot be read cannot, and how many were looked at in so much time."""
        found: dict[str, str] = {}
        looked = 0
        after: str | None = None
        end = time.monotonic() + seconds
        definitions: dict[str, str] = {}
        while page := self.list_unfinished(PAGE, after):
            for run in page:
                if time.monotonic() > end:
                    return found, looked
                looked += 1
                if why := self._why_unreadable(run, definitions):
                    found[run.run] = why
            after = page[-1].run
        return found, looked

    def _why_unreadable(self, run: UnfinishedRun, definitions: dict[str, str]) -> str:
        state, unreadable = self.replay(run.run, run.sequence)
        if unreadable:
            return unreadable.reason
        row = self.find_run(run.run)
        if row and row.version not in definitions:
            is_there = self.load_definition(row.version) is not None
            definitions[row.version] = "" if is_there else f"the definition of its version {row.version} is missing"
        try:
            for path in state.active:
                self.load_value(state.steps[path].input).detach()
        except RunUnreadable as lost:
            return lost.reason
        return definitions[row.version] if row else ""

    def load_definition(self, version: str) -> bytes | None:
        data = self._connection.scalar(select(definitions.c.data).where(definitions.c.version == version))
        return None if data is None else bytes(data)


# -- what can be read -------------------------------------------------------------------------------------------


def read_append(run: str, row: Append, expected: int) -> list[AnyEntry]:
    """The entries of an append, the first of which has the number `expected`; raises `RunUnreadable`."""
    if row.sequence != expected:
        raise RunUnreadable(run, f"entry {expected} of its history is missing")
    try:
        return decode_entries(row.entries)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise RunUnreadable(run, f"entry {expected} of its history cannot be read: {_in_words(error)}") from error


def ensure_payload(ref: str, data: bytes | None) -> bytes:
    """The bytes of a large value; raises `RunUnreadable` if they are missing or others."""
    if data is None:
        raise RunUnreadable("", f"the journal holds no payload {ref}, which is a value of the run")
    if hashlib.sha256(data).hexdigest() != ref:
        raise RunUnreadable("", f"the journal's payload {ref}, which is a value of the run, is damaged")
    return bytes(data)


def ensure_whole(run: str, entries: int, sequence: int) -> None:
    """Raise `RunUnreadable` for a history of `entries` entries whose run's row tells of more."""
    if entries < sequence:
        raise RunUnreadable(run, f"entry {entries + 1} of its history is missing")


def _in_words(error: Exception) -> str:
    if "Invalid value" in str(error) and ".type`" in str(error):
        return "this version of Waypost does not know its kind: a newer version wrote it, or it is damaged"
    return f"it is damaged ({error})"


def fold_entry(state: State, entry: AnyEntry) -> None:
    """Fold one entry into the state, in place; raises `RunUnreadable` if it cannot follow what is before it."""
    try:
        apply_entry(state, entry)
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        what = f"entry {state.entries} of its history does not follow from those before it ({error!r})"
        raise RunUnreadable(state.run, what) from error


def _fold_appends(run: UnfinishedRun, appends: Sequence[Append]) -> tuple[State, RunUnreadable | None]:
    state = State(run=run.run)
    try:
        for row in appends:
            for entry in read_append(run.run, row, state.entries + 1):
                fold_entry(state, entry)
        ensure_whole(run.run, state.entries, run.sequence)
    except RunUnreadable as unreadable:
        return state, unreadable
    return state, None


# -- rows -------------------------------------------------------------------------------------------------------


def select_unfinished(limit: int, after: str | None) -> Select[Any]:
    """Unfinished runs, the oldest first."""
    query = select(runs.c.id, runs.c.pipeline, runs.c.due_at, runs.c.recoveries, runs.c.node, runs.c.sequence).where(
        runs.c.finished_at.is_(None)
    )
    if after is not None:
        query = query.where(runs.c.id > after)
    return query.order_by(runs.c.id).limit(limit)


def unfinished_run(row: Row[Any]) -> UnfinishedRun:
    was_busy = row.node is not None
    return UnfinishedRun(row.id, row.pipeline, row.due_at, row.recoveries, was_busy=was_busy, sequence=row.sequence)


def run_rows(connection: Connection, query: Select[Any]) -> list[Run]:
    """The runs that a query finds, with their tags."""
    found = connection.execute(query).mappings().all()
    of = tags.c.run.in_([row["id"] for row in found])
    put = connection.execute(select(tags.c.run, tags.c.tag).where(of).order_by(tags.c.tag)).all()
    tags_of: dict[str, list[str]] = {}
    for run, tag in put:
        tags_of.setdefault(run, []).append(tag)
    return [Run(**row, tags=tuple(tags_of.get(row["id"], ()))) for row in found]
