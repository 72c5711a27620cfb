"""Appends: the unit that continues a run's history. Only the run's owner may append, and only after the entry that it
knows as the last."""

from collections.abc import Sequence

from durable.history.encoding import encode_entries
from durable.history.entries import (
    AnyEntry,
    MainEnding,
    RunFinished,
    RunPaused,
    RunResumed,
    SignalReceived,
    StepExhausted,
    StepResolved,
    StepUncertain,
    TimerFired,
    WaitStarted,
)
from durable.journal.dialect import Cursor, Params, Unit
from durable.journal.errors import Stale
from durable.journal.feed import Feed
from durable.journal.runs import encode_cause
from durable.journal.writes import Writes
from durable.units import RunView, SideEffects

CHANGES_WAITS = (
    *(WaitStarted, SignalReceived, TimerFired, StepUncertain, StepExhausted, StepResolved),
    *(RunPaused, RunResumed, MainEnding, RunFinished),
)
"""The entries with which something begins, or ends, that a person has to do."""


class AppendWrites:
    """Makes the append units."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def prepare(
        self,
        run: str,
        epoch: int,
        after: int,
        entries: Sequence[AnyEntry],
        view: RunView,
        taken: Sequence[int],
        side_effects: SideEffects | None,
        *,
        is_progress: bool,
    ) -> Unit[tuple[str, ...]]:
        """Encode an append in the caller's thread. The returned unit raises `Stale` if the run has another owner or
        other entries."""
        data, large = encode_entries(entries)
        row: Params = {
            "run": run,
            "of_epoch": epoch,
            "after": after,
            "sequence": after + len(entries),
            "kept": int(not is_progress),
            "status": view.status,
            "reason": view.reason,
            "due_at": view.due_at,
            "finished_at": view.finished_at,
            "cause": encode_cause(view.cause) if view.cause else None,
            "error_key": view.error_key,
        }
        at = entries[-1].at if entries else 0
        writes, feed = self._writes, self._writes.feed

        def unit(cursor: Cursor) -> tuple[str, ...]:
            cursor.execute(writes.runs.advance_sql, row)
            if cursor.rowcount != 1:
                raise Stale(f"run {run}: it is not at entry {after} of epoch {epoch} any more; its owner is another")
            if feed.is_watched:
                _note(feed, run, entries)
            if large:
                writes.payloads.add(cursor, run, large)
            if entries:
                cursor.execute(writes.histories.add_sql, {"run": run, "sequence": after + 1, "entries": data})
            for message in taken:
                writes.inboxes.take(cursor, run, message)
            if view.finished_at is not None:
                writes.inboxes.empty(cursor, run)
                if writes.trace_exports.is_on:
                    writes.trace_exports.note_end(cursor, run, row)
            return writes.side_effects.write(cursor, run, side_effects, at) if side_effects else ()

        return unit


def _note(feed: Feed, run: str, entries: Sequence[AnyEntry]) -> None:
    feed.note("runs", run)
    if any(isinstance(each, CHANGES_WAITS) for each in entries):
        feed.note("waits")
