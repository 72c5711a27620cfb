"""Admissions: the unit that commits an event, with its delivery, its dedupe keys and the runs that it starts."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from durable.history.encoding import encode_entries
from durable.history.entries import AnyEntry
from durable.journal.deliveries import encode_delivery
from durable.journal.dialect import Cursor, Params, Unit
from durable.journal.events import encode_event
from durable.journal.ownership import FIRST_EPOCH
from durable.journal.payloads import Payloads
from durable.journal.runs import encode_cause
from durable.journal.writes import Writes
from durable.units import Admission, Admitted, Event, NewRun, RunView

EncodedStart: TypeAlias = tuple[Params, Params, Payloads]
"""A run's row, the row of its first entries, and the payloads that these refer to."""

EncodedRun: TypeAlias = tuple[NewRun, EncodedStart, EncodedStart | None]
"""A run to create: its rows if it gets a slot, and its rows if it is queued."""


class AdmissionWrites:
    """Makes the admission units of one node."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def prepare(self, admission: Admission) -> Unit[Admitted]:
        """Encode an admission in the caller's thread. The returned unit raises `TooManyRuns`."""
        in_event: Payloads = {}
        event = encode_event(admission.event, in_event)
        runs = [self._encode_run(run, admission) for run in admission.runs]
        delivery = encode_delivery(admission.delivery) if admission.delivery else None
        now = admission.event.time if admission.at is None else admission.at
        writes, feed = self._writes, self._writes.feed

        def unit(cursor: Cursor) -> Admitted:
            keys = admission.dedupe_keys
            first = writes.dedupe_keys.find_first(cursor, keys, now) if keys else None
            if first and first.runs:
                first = msgspec.structs.replace(first, failed=writes.runs.find_failed(cursor, first.runs))
            if first and first.has_failed and admission.renews is not None:
                if first.runs != admission.renews:
                    return first
                first = None
            admitted = first or self._begin_runs(cursor, admission, runs, now)
            if delivery:
                if feed.is_watched:
                    feed.note("deliveries")
                cursor.execute(writes.deliveries.add_sql, delivery | _describe_outcome(admitted))
            if admission.schedule:
                writes.schedules.keep_fire(cursor, admission.schedule, admitted)
            if first:
                return first
            if not admission.is_recorded:
                if feed.is_watched:
                    feed.note("events")
                cursor.execute(writes.events.add_sql, event)
                if in_event:
                    writes.payloads.add(cursor, admission.event.id, in_event)
            if admitted.runs or admission.keeps_keys:
                for key in keys:
                    writes.dedupe_keys.take(cursor, key, admitted.event, admitted.runs)
                for key in admission.free_keys:
                    if not writes.dedupe_keys.is_taken(cursor, key, now):
                        writes.dedupe_keys.take(cursor, key, admitted.event, admitted.runs)
            return admitted

        return unit

    def _begin_runs(self, cursor: Cursor, admission: Admission, runs: Sequence[EncodedRun], at: int) -> Admitted:
        """Notify the runs that wait for the event, then create its own runs, whose waits it does not match."""
        writes, event, descent = self._writes, admission.event, admission.descent
        # This comes first, because a unit that raises must have written nothing.
        number = writes.runs.count_descendants(cursor, descent, len(runs)) if descent and runs else None
        is_new = event.type is not None and not admission.is_recorded
        notified = writes.subscriptions.match_event(cursor, event) if is_new else []
        begun: list[str] = []
        queued: list[str] = []
        skipped: list[str] = []
        for new, granted_start, queued_start in runs:
            request = new.slot_request
            outcome = writes.limits.place(cursor, new.id, request) if request else "granted"
            if outcome == "skipped":
                skipped.append(new.id)
                continue
            begun.append(new.id)
            start, side_effects = granted_start, new.side_effects
            if outcome == "queued":
                queued.append(new.id)
                if new.queued and queued_start:
                    start, side_effects = queued_start, new.queued.side_effects
            if number is not None:
                number += 1
                start[0]["nth"] = number  # set on every try of the unit
            self._begin_run(cursor, new, start, event)
            if side_effects:
                notified += writes.side_effects.write(cursor, new.id, side_effects, at)
            if outcome == "queued" and request:
                notified += writes.limits.evict_oldest(cursor, request, at)
        return Admitted(event.id, tuple(begun), False, False, tuple(queued), tuple(skipped), tuple(notified))

    def _begin_run(self, cursor: Cursor, new: NewRun, start: EncodedStart, event: Event) -> None:
        writes, (row, entries, large) = self._writes, start
        if writes.feed.is_watched:
            writes.feed.note("runs", new.id)
        cursor.execute(writes.runs.add_sql, row)
        cursor.execute(writes.histories.add_sql, entries)
        if large:
            writes.payloads.add(cursor, new.id, large)
        if row["finished_at"] is not None and writes.trace_exports.is_on:
            writes.trace_exports.note_end(cursor, new.id, row)
        for tag in new.tags:
            cursor.execute(writes.runs.add_tag_sql, {"tag": tag, "run": new.id})
        if new.listens and event.type is not None:
            writes.subscriptions.exclude_event(cursor, new.id, event.id)

    def _encode_run(self, run: NewRun, admission: Admission) -> EncodedRun:
        row: Params = {
            "id": run.id,
            "pipeline": run.pipeline,
            "version": run.version,
            "event": admission.event.id,
            "trigger": run.trigger,
            "node": None if run.is_unowned else self._writes.node,
            "epoch": FIRST_EPOCH,
            "recoveries": 0,
            "created_at": run.created_at,
            "claimed_at": run.created_at,
            "origin": admission.descent.origin if admission.descent else None,
            "nth": None,
            "source": run.source,
        }
        granted = _encode_start(row, run.entries, run.view)
        return run, granted, _encode_start(row, run.queued.entries, run.queued.view) if run.queued else None


def _encode_start(row: Params, entries: Sequence[AnyEntry], view: RunView) -> EncodedStart:
    data, large = encode_entries(entries)
    started = {
        **row,
        "sequence": len(entries),
        "status": view.status,
        "reason": view.reason,
        "due_at": view.due_at,
        "finished_at": view.finished_at,
        "cause": encode_cause(view.cause) if view.cause else None,
        "error_key": view.error_key,
    }
    return started, {"run": row["id"], "sequence": 1, "entries": data}, large


def _describe_outcome(admitted: Admitted) -> Params:
    """Return the columns of a delivery that depend on its admission."""
    if admitted.is_duplicate:
        duplicate: Params = {"event": admitted.event, "outcome": "duplicate"}
        return duplicate | {"reason": _explain_failed(admitted.failed)} if admitted.failed else duplicate
    if admitted.runs or not admitted.skipped:
        return {"event": admitted.event}
    reason = "the pipeline's concurrency limit is reached"
    return {"event": admitted.event, "outcome": "skipped", "reason": reason}


def _explain_failed(failed: Sequence[str]) -> str:
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"the run of the first delivery has failed: {failed[0]}{more}"
