"""What each unit does to the database.

A method prepares a unit in the caller's thread (values are encoded, parameters made) and returns what the writer
executes inside its transaction. A unit that raises a `JournalError` has written nothing.
"""

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import TypeAlias

import msgspec

from durable.history.encoding import encode_entries
from durable.history.entries import AnyEntry
from durable.journal.concurrency import ConcurrencyLimits
from durable.journal.cursor import Cursor, Params, Unit
from durable.journal.dedupe import DedupeKeys
from durable.journal.errors import Stale, TooManyRuns
from durable.journal.mending import ensure_sequence, mend_due_times
from durable.journal.statements import Statements
from durable.journal.subscriptions import EventSubscriptions, Match
from durable.messages import CancelMessage, EventMessage, SlotMessage, encode_message
from durable.units import (
    Admission,
    Admitted,
    ApiKey,
    Delivery,
    Descent,
    Event,
    NewRun,
    PostOutcome,
    RunView,
    ScheduleProgress,
    SideEffects,
    SlotOutcome,
    SlotRequest,
    Takeover,
)
from durable.values import Value

Payloads: TypeAlias = dict[str, bytes]
PreparedRun: TypeAlias = tuple[NewRun, tuple[Params, Params], tuple[Params, Params] | None]
"""A run to begin, with its row and its entries: if it has its slot, and if it is queued."""

FIRST_EPOCH = 1

_encode = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(Value).decode


def pack(value: Value, payloads: Payloads) -> bytes:
    """A value as a column keeps it; a large one goes to `payloads` and leaves its reference."""
    if value.ref is None:
        return _encode(value)
    if value.is_loaded:
        payloads[value.ref] = bytes(value.data)
    return _encode(value.reference())


def unpack(data: bytes) -> Value:
    return _decode_value(data)


class Writes:
    """Makes units for one node."""

    def __init__(self, statements: Statements, node: str) -> None:
        self._sql = statements
        self._node = node
        self._contending = ConcurrencyLimits(statements)
        self._claiming = DedupeKeys(statements)
        self._hearing = EventSubscriptions(statements, self._claiming)

    def admit(self, admission: Admission) -> Unit[Admitted]:
        payloads: Payloads = {}
        event = _event_params(admission.event, payloads)
        runs = [self._beginnings(run, admission, payloads) for run in admission.runs]
        tags: list[Params] = [{"tag": tag, "run": run.id} for run in admission.runs for tag in run.tags]
        delivery = _delivery_params(admission.delivery, payloads) if admission.delivery else None
        now = admission.event.time if admission.at is None else admission.at
        schedule = _schedule_params(admission.schedule) if admission.schedule else None
        sql = self._sql

        def unit(cursor: Cursor) -> Admitted:
            first = self._claiming.first(cursor, admission.dedupe_keys, now)
            began = first or self._begin(cursor, admission, runs)
            if delivery:
                outcome = {"outcome": "duplicate"} if first else _outcome(began)
                cursor.execute(sql.add_delivery, delivery | outcome | {"event": began.event})
            if schedule:
                cursor.execute(sql.keep_schedule, schedule | _describe_fire(began))
            self._add_payloads(cursor, payloads)
            if first:
                return first
            cursor.execute(sql.add_event, event)
            for tag in tags:
                if tag["run"] in began.runs:
                    cursor.execute(sql.add_tag, tag)
            for claim in admission.dedupe_keys if began.runs or admission.keeps_keys else ():
                self._claiming.take(cursor, claim, began.event, began.runs)
            return began

        return unit

    def _begin(self, cursor: Cursor, admission: Admission, runs: Sequence[PreparedRun]) -> Admitted:
        """Tell those who wait for the event, and write its runs, each as it stands with regard to its slot."""
        nth = self._count_descended(cursor, admission.descent, len(runs)) if admission.descent and runs else None
        outcomes: dict[SlotOutcome, list[str]] = {"held": [], "queued": [], "skipped": []}
        at = admission.event.time
        called = self._tell(cursor, admission.event)
        for begun in runs:
            new = begun[0]
            outcome = self._contending.place(cursor, new.id, new.slot_request) if new.slot_request else "held"
            outcomes[outcome].append(new.id)
            if outcome != "skipped":
                nth = None if nth is None else _number(begun, nth + 1)
                called += self._begin_run(cursor, begun, admission.event, is_queued=outcome == "queued")
            if outcome == "queued" and new.slot_request:
                called += self._evict_oldest(cursor, new.slot_request, at)
        begun_runs = tuple(new.id for new, _, _ in runs if new.id not in outcomes["skipped"])
        queued_runs, skipped = tuple(outcomes["queued"]), tuple(outcomes["skipped"])
        return Admitted(admission.event.id, begun_runs, queued=queued_runs, skipped=skipped, notified=tuple(called))

    def _count_descended(self, cursor: Cursor, descent: Descent, more: int) -> int:
        """How many runs descend from an event; raises `TooManyRuns` if these would be too many."""
        # The number of the youngest, which its row keeps: counting ten thousand rows would hold up every other commit.
        # It stays right when old runs are deleted, as long as the youngest is there.
        cursor.execute(self._sql.find_last, {"origin": descent.origin})
        count = cursor.fetchone()[0] or 0
        if count + more > descent.limit:
            raise TooManyRuns(descent.origin, count, descent.limit)
        return int(count)

    def _tell(self, cursor: Cursor, event: Event) -> list[str]:
        """Tell those who wait for an event; a run that it starts is not yet among them."""
        return [self._post_told(cursor, told, event.time) for told in self._hearing.find_matches(cursor, event)]

    def _post_told(self, cursor: Cursor, told: Match, at: int) -> str:
        message = EventMessage(told.path, told.name, told.event)
        self._post(cursor, told.run, *encode_message(message), at)
        return told.run

    def _begin_run(self, cursor: Cursor, begun: PreparedRun, event: Event, *, is_queued: bool) -> tuple[str, ...]:
        new, granted, queued = begun
        row, history = queued if is_queued and queued else granted
        side_effects = new.queued.side_effects if is_queued and new.queued else new.side_effects
        cursor.execute(self._sql.add_run, row)
        cursor.execute(self._sql.add_entries, history)
        if new.listens and event.type is not None:
            self._hearing.hear(cursor, new.id, event.id)
        return self._write_side_effects(cursor, new.id, side_effects, event.time) if side_effects else ()

    def _evict_oldest(self, cursor: Cursor, contention: SlotRequest, at: int) -> list[str]:
        message = encode_message(CancelMessage("a newer run took its place"))
        runs = self._contending.evict_oldest(cursor, contention)
        return [run for run in runs if self._post(cursor, run, *message, at)]

    def append(
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
        data, payloads = encode_entries(entries)
        row: Params = {
            "run": run,
            "of_epoch": epoch,
            "after": after,
            "sequence": after + len(entries),
            "kept": int(not is_progress),
            **_view(view),
        }
        history: Params = {"run": run, "sequence": after + 1, "entries": data}
        at = entries[-1].at if entries else 0
        sql = self._sql

        def unit(cursor: Cursor) -> tuple[str, ...]:
            cursor.execute(sql.advance, row)
            if cursor.rowcount != 1:
                raise Stale(f"run {run}: it is not at entry {after} of epoch {epoch} any more; its owner is another")
            self._add_payloads(cursor, payloads)
            if entries:
                cursor.execute(sql.add_entries, history)
            for message in taken:
                cursor.execute(sql.take_message, {"message": message, "of": run})
            if view.finished_at is not None:
                cursor.execute(sql.empty_inbox, {"of": run})
            return self._write_side_effects(cursor, run, side_effects, at) if side_effects else ()

        return unit

    def _write_side_effects(self, cursor: Cursor, run: str, side_effects: SideEffects, at: int) -> tuple[str, ...]:
        """What else stands in the commit of a run's entries; returns the runs that have got a message by it."""
        called: list[str] = []
        for post in side_effects.messages:
            if self._post(cursor, post.run, post.kind, post.data, at):
                called.append(post.run)
            elif post.dedupe_key and not self._claiming.first(cursor, [post.dedupe_key], at):
                self._claiming.take(cursor, post.dedupe_key, run)
        called += self._end_waits(cursor, run, side_effects.ended_waits, at)
        for each in side_effects.subscriptions:
            if told := self._hearing.listen(cursor, run, each, at):
                called.append(self._post_told(cursor, told, at))
        if side_effects.has_ended:
            self._hearing.forget(cursor, run)
            self._claiming.forget(cursor, run)
        granted: list[str] = []
        if side_effects.freed_slot is not None:
            granted = self._contending.free(cursor, run, side_effects.freed_slot)
        elif side_effects.slot_request:
            granted = self._contending.ask(cursor, run, side_effects.slot_request)
            called += self._evict_oldest(cursor, side_effects.slot_request, at)
        for each_run in granted:
            self._post(cursor, each_run, *encode_message(SlotMessage()), at)
        return (*called, *granted)

    def _end_waits(self, cursor: Cursor, run: str, paths: Sequence[str], at: int) -> list[str]:
        """These waits are over; an event that one of them was just about to be told of may answer another."""
        for path in paths:
            self._hearing.settle(cursor, run, path, at)
        called: list[str] = []
        for message, told in self._untold(cursor, run) if paths else ():
            if told.path in paths:
                cursor.execute(self._sql.take_message, {"message": message, "of": run})
                if again := self._hearing.pass_on(cursor, told, at):
                    called.append(self._post_told(cursor, again, at))
        return called

    def _untold(self, cursor: Cursor, run: str) -> list[tuple[int, Match]]:
        """The events of which a run was not yet told, with the messages that will."""
        cursor.execute(self._sql.find_messages, {"of": run, "of_kind": EventMessage.kind})
        untold: list[tuple[int, Match]] = []
        for id, data in cursor.fetchall():
            with contextlib.suppress(msgspec.MsgspecError, LookupError, TypeError, ValueError):  # its owner meets it
                each = msgspec.convert(unpack(data).load(), EventMessage)
                untold.append((id, Match(run, each.path, each.name, each.event)))
        return untold

    def _post(self, cursor: Cursor, run: str, kind: str, data: Value, at: int) -> bool:
        cursor.execute(self._sql.find_unfinished, {"run": run})
        if cursor.fetchone() is None:
            return False
        payloads: Payloads = {}
        message: Params = {"run": run, "kind": kind, "data": pack(data, payloads), "at": at}
        self._add_payloads(cursor, payloads)
        cursor.execute(self._sql.add_message, message)
        return True

    def take_over(self, run: str, at: int, *, count_recovery: bool) -> Unit[Takeover | None]:
        owner: Params = {"run": run, "owner": self._node, "now": at, "counted": int(count_recovery)}
        sql = self._sql

        def unit(cursor: Cursor) -> Takeover | None:
            cursor.execute(sql.find_owner, {"run": run})
            row = cursor.fetchone()
            if row is None:
                return None
            cursor.execute(sql.take_over, owner)
            cursor.execute(sql.find_fence, {"run": run})
            version, epoch, recoveries, sequence, due_at = cursor.fetchone()
            sequence = ensure_sequence(cursor, sql, run, sequence)
            due_at = due_at if isinstance(due_at, int) else None
            return Takeover(
                run, version, epoch, recoveries, sequence, due_at, was_owned=row[0] is not None, status=row[1]
            )

        return unit

    def release(self, runs: Sequence[str], due_at: int | None) -> Unit[None]:
        sql = self._sql

        def unit(cursor: Cursor) -> None:
            for run in runs:
                if due_at is not None:
                    cursor.execute(sql.make_due, {"owner": self._node, "run": run, "at": due_at})
                cursor.execute(sql.release, {"owner": self._node, "run": run})

        return unit

    def bring_forward(self, by: int) -> Unit[None]:
        sql = self._sql

        def unit(cursor: Cursor) -> None:
            cursor.execute(sql.bring_forward, {"by": by})

        return unit

    def mend_due_times(self) -> Unit[None]:
        return mend_due_times(self._sql)

    def release_all(self, kept: Collection[str], due: Collection[str]) -> Unit[None]:
        sql, node = self._sql, self._node

        def unit(cursor: Cursor) -> None:
            for run in due:
                cursor.execute(sql.make_due, {"owner": node, "run": run, "at": 0})
            if not kept:
                cursor.execute(sql.release_all, {"owner": node})
                return
            cursor.execute(sql.find_owned, {"owner": node})
            for (run,) in cursor.fetchall():
                if run not in kept:
                    cursor.execute(sql.release, {"owner": node, "run": run})

        return unit

    def pause(self, run: str, reason: str) -> Unit[None]:
        row: Params = {"run": run, "owner": self._node, "why": reason}

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.pause, row)

        return unit

    def post(self, run: str, kind: str, data: Value, at: int, wait: str | None) -> Unit[PostOutcome]:
        def unit(cursor: Cursor) -> PostOutcome:
            if wait is not None and self._is_over(cursor, run, wait, at):
                return "answered"
            if not self._post(cursor, run, kind, data, at):
                return "ended"
            if wait is not None:
                self._hearing.settle(cursor, run, wait, at)
            return "posted"

        return unit

    def _is_over(self, cursor: Cursor, run: str, wait: str, at: int) -> bool:
        """Whether a wait has its end, or the run is about to be told of its own."""
        if self._hearing.is_settled(cursor, run, wait, at):
            return True
        cursor.execute(self._sql.find_messages, {"of": run, "of_kind": CancelMessage.kind})
        return cursor.fetchone() is not None

    def add_definition(self, version: str, pipeline: str, data: bytes, at: int) -> Unit[None]:
        definition: Params = {"version": version, "pipeline": pipeline, "data": data, "created_at": at}

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.add_definition, definition)

        return unit

    def keep_schedule(self, schedule: ScheduleProgress) -> Unit[None]:
        row = _schedule_params(schedule)

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.keep_schedule, row)

        return unit

    def forget_schedule(self, id: str) -> Unit[None]:
        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.forget_schedule, {"schedule": id})

        return unit

    def add_delivery(self, delivery: Delivery) -> Unit[None]:
        payloads: Payloads = {}
        row = _delivery_params(delivery, payloads)

        def unit(cursor: Cursor) -> None:
            self._add_payloads(cursor, payloads)
            cursor.execute(self._sql.add_delivery, row)

        return unit

    def add_key(self, key: ApiKey) -> Unit[None]:
        row: Params = {
            "id": key.id,
            "name": key.name,
            "scope": key.scope,
            "hash": key.hash,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
        }

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.add_key, row)

        return unit

    def revoke_key(self, id: str, at: int) -> Unit[bool]:
        def unit(cursor: Cursor) -> bool:
            cursor.execute(self._sql.revoke_key, {"key": id, "at": at})
            return cursor.rowcount == 1

        return unit

    def probe(self, size: int) -> Unit[None]:
        value = os.urandom(8).hex().ljust(size, "0")

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.probe, {"name": "probe", "value": value})

        return unit

    def _add_payloads(self, cursor: Cursor, payloads: Payloads) -> None:
        for ref, data in payloads.items():
            cursor.execute(self._sql.add_payload, {"ref": ref, "data": data})

    def _beginnings(self, run: NewRun, admission: Admission, payloads: Payloads) -> PreparedRun:
        granted = self._run_params(run, run.entries, run.view, admission, payloads)
        later = run.queued
        queued = self._run_params(run, later.entries, later.view, admission, payloads) if later else None
        return run, granted, queued

    def _run_params(
        self, run: NewRun, entries: Sequence[AnyEntry], view: RunView, admission: Admission, payloads: Payloads
    ) -> tuple[Params, Params]:
        data, more = encode_entries(entries)
        payloads.update(more)
        row: Params = {
            "id": run.id,
            "pipeline": run.pipeline,
            "version": run.version,
            "event": admission.event.id,
            "trigger": run.trigger,
            "node": None if run.is_left else self._node,
            "epoch": FIRST_EPOCH,
            "sequence": len(entries),
            "recoveries": 0,
            "created_at": run.created_at,
            "claimed_at": run.created_at,
            "origin": admission.descent.origin if admission.descent else None,
            "nth": None,
            **_view(view),
        }
        return row, {"run": run.id, "sequence": 1, "entries": data}


def _number(begun: PreparedRun, nth: int) -> int:
    """Note that the run is the `nth` that descends from its origin; a unit that is tried again does so anew."""
    _, granted, queued = begun
    for row, _ in (granted, queued) if queued else (granted,):
        row["nth"] = nth
    return nth


def _outcome(began: Admitted) -> Params:
    """What a delivery says of runs that were not made."""
    if began.runs or not began.skipped:
        return {}
    return {"outcome": "skipped", "reason": "as many runs as the pipeline's concurrency allows are under way"}


def _view(view: RunView) -> Params:
    return {
        "status": view.status,
        "reason": view.reason,
        "due_at": view.due_at,
        "finished_at": view.finished_at,
    }


def _event_params(event: Event, payloads: Payloads) -> Params:
    return {
        "id": event.id,
        "source": event.source,
        "key": event.key,
        "type": event.type,
        "time": event.time,
        "subject": event.subject,
        "data": pack(event.data, payloads),
    }


def _delivery_params(delivery: Delivery, payloads: Payloads) -> Params:
    return {
        "id": delivery.id,
        "trigger": delivery.trigger,
        "path": delivery.path,
        "method": delivery.method,
        "at": delivery.at,
        "outcome": delivery.outcome,
        "reason": delivery.reason,
        "headers": pack(delivery.headers, payloads),
        "body_hash": delivery.body_hash,
        "size": delivery.size,
        "event": None,
    }


def _describe_fire(began: Admitted) -> Params:
    """What a schedule learns of its fire: the run that it started, or that it had started before."""
    if began.is_duplicate:
        return {"run": began.runs[-1], "outcome": "duplicate"}
    return {"run": began.runs[-1]} if began.runs else {"outcome": "skipped"}


def _schedule_params(schedule: ScheduleProgress) -> Params:
    return {**asdict(schedule), "waiting": _encode(schedule.waiting)}
