"""What each unit does to the database.

A method prepares a unit in the caller's thread (values are encoded, parameters made) and returns what the writer
executes inside its transaction. A unit that raises a `JournalError` has written nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from durable.history import AnyEntry, decode_entries, encode_entries
from durable.journal.statements import Statements
from durable.journal.units import (
    Admission,
    Admitted,
    ApiKey,
    Claim,
    Claimed,
    Delivery,
    Event,
    NewRun,
    RunView,
    ScheduleRow,
    Stale,
)
from durable.values import Value

Answer = TypeVar("Answer")
Params: TypeAlias = dict[str, object]
Payloads: TypeAlias = dict[str, bytes]

FIRST_EPOCH = 1


class Cursor(Protocol):
    """What a unit needs of a driver's cursor."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, parameters: Mapping[str, object], /) -> object: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


Unit: TypeAlias = Callable[[Cursor], Answer]

_encode = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(Value).decode
_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode


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

    def admit(self, admission: Admission) -> Unit[Admitted]:
        payloads: Payloads = {}
        event = _event_params(admission.event, payloads)
        runs = [self._run_params(run, admission.event.id, payloads) for run in admission.runs]
        tags: list[Params] = [{"tag": tag, "run": run.id} for run in admission.runs for tag in run.tags]
        delivery = _delivery_params(admission.delivery, payloads) if admission.delivery else None
        ids = tuple(run.id for run in admission.runs)
        now = admission.event.time if admission.at is None else admission.at
        claims = admission.claims if runs else ()
        taken = [_claim_params(claim, admission.event.id, ids) for claim in claims]
        schedule = _schedule_params(admission.schedule) if admission.schedule else None
        sql = self._sql

        def unit(cursor: Cursor) -> Admitted:
            first = self._first_admission(cursor, admission.claims, now)
            if delivery:
                outcome = {"outcome": "duplicate"} if first else {}
                of_event = {"event": first.event if first else admission.event.id}
                cursor.execute(sql.add_delivery, delivery | outcome | of_event)
            if schedule:
                cursor.execute(sql.keep_schedule, schedule | _fired(first, ids))
            self._add_payloads(cursor, payloads)
            if first:
                return first
            cursor.execute(sql.add_event, event)
            for row, history in runs:
                cursor.execute(sql.add_run, row)
                cursor.execute(sql.add_entries, history)
            for tag in tags:
                cursor.execute(sql.add_tag, tag)
            for claim in taken:
                cursor.execute(sql.take_claim, claim)
            return Admitted(admission.event.id, ids)

        return unit

    def append(
        self, run: str, epoch: int, after: int, entries: Sequence[AnyEntry], view: RunView, taken: Sequence[int]
    ) -> Unit[None]:
        data, payloads = encode_entries(entries)
        row: Params = {"run": run, "of_epoch": epoch, "after": after, "sequence": after + len(entries), **_view(view)}
        history: Params = {"run": run, "sequence": after + 1, "entries": data}
        sql = self._sql

        def unit(cursor: Cursor) -> None:
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

        return unit

    def claim(self, run: str, at: int, *, count_recovery: bool) -> Unit[Claimed | None]:
        owner: Params = {"run": run, "owner": self._node, "now": at, "counted": int(count_recovery)}
        sql = self._sql

        def unit(cursor: Cursor) -> Claimed | None:
            cursor.execute(sql.take_over, owner)
            if cursor.rowcount != 1:
                return None
            cursor.execute(sql.find_fence, {"run": run})
            version, epoch, recoveries = cursor.fetchone()
            cursor.execute(sql.find_entries, {"run": run})
            history = [entry for (data,) in cursor.fetchall() for entry in decode_entries(data)]
            return Claimed(run, version, epoch, recoveries, history)

        return unit

    def release(self, runs: Sequence[str] | None) -> Unit[None]:
        sql = self._sql

        def unit(cursor: Cursor) -> None:
            if runs is None:
                cursor.execute(sql.release_all, {"owner": self._node})
            for run in runs or ():
                cursor.execute(sql.release, {"owner": self._node, "run": run})

        return unit

    def post(self, run: str, kind: str, data: Value, at: int) -> Unit[bool]:
        payloads: Payloads = {}
        message: Params = {"run": run, "kind": kind, "data": pack(data, payloads), "at": at}
        sql = self._sql

        def unit(cursor: Cursor) -> bool:
            cursor.execute(sql.find_unfinished, {"run": run})
            if cursor.fetchone() is None:
                return False
            self._add_payloads(cursor, payloads)
            cursor.execute(sql.add_message, message)
            return True

        return unit

    def define(self, version: str, pipeline: str, data: bytes, at: int) -> Unit[None]:
        definition: Params = {"version": version, "pipeline": pipeline, "data": data, "created_at": at}

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.add_definition, definition)

        return unit

    def keep_schedule(self, schedule: ScheduleRow) -> Unit[None]:
        row = _schedule_params(schedule)

        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.keep_schedule, row)

        return unit

    def forget_schedule(self, id: str) -> Unit[None]:
        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.forget_schedule, {"schedule": id})

        return unit

    def record(self, delivery: Delivery) -> Unit[None]:
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

    def probe(self) -> Unit[None]:
        def unit(cursor: Cursor) -> None:
            cursor.execute(self._sql.probe, {"name": "probe", "value": "1"})

        return unit

    def _first_admission(self, cursor: Cursor, claims: Sequence[Claim], now: int) -> Admitted | None:
        first: Admitted | None = None
        is_conflict = False
        for claim in claims:
            cursor.execute(self._sql.find_claim, {"scope": claim.scope, "key": claim.key, "now": now})
            row = cursor.fetchone()
            if row is None:
                continue
            fingerprint, event, runs = row
            is_conflict |= None not in (fingerprint, claim.fingerprint) and fingerprint != claim.fingerprint
            first = Admitted(
                first.event if first else event, first.runs if first else _decode_ids(runs), True, is_conflict
            )
        return first

    def _add_payloads(self, cursor: Cursor, payloads: Payloads) -> None:
        for ref, data in payloads.items():
            cursor.execute(self._sql.add_payload, {"ref": ref, "data": data})

    def _run_params(self, run: NewRun, event: str, payloads: Payloads) -> tuple[Params, Params]:
        data, more = encode_entries(run.entries)
        payloads.update(more)
        row: Params = {
            "id": run.id,
            "pipeline": run.pipeline,
            "version": run.version,
            "event": event,
            "trigger": run.trigger,
            "node": self._node,
            "epoch": FIRST_EPOCH,
            "sequence": len(run.entries),
            "recoveries": 0,
            "created_at": run.created_at,
            "claimed_at": run.created_at,
            **_view(run.view),
        }
        return row, {"run": run.id, "sequence": 1, "entries": data}


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


def _fired(first: Admitted | None, runs: Sequence[str]) -> Params:
    """What a schedule learns of its fire: the run that it started, or that it had started before."""
    return {"run": first.runs[-1], "outcome": "duplicate"} if first else {"run": runs[-1]}


def _schedule_params(schedule: ScheduleRow) -> Params:
    return {**asdict(schedule), "waiting": _encode(schedule.waiting)}


def _claim_params(claim: Claim, event: str, runs: tuple[str, ...]) -> Params:
    return {
        "scope": claim.scope,
        "key": claim.key,
        "until": claim.until,
        "fingerprint": claim.fingerprint,
        "event": event,
        "runs": _encode(runs),
    }
