"""Schedules: the progress of each."""

import logging

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Connection, Row, bindparam, delete, select

from durable.journal.dialect import SQL, Cursor, Params
from durable.journal.feed import Feed
from durable.journal.payloads import DECODING_ERRORS
from durable.journal.tables import schedules
from durable.units import Admitted, ScheduleProgress

log = logging.getLogger("waypost.journal")

_encode = msgspec.json.Encoder().encode
_decode_fires = msgspec.json.Decoder(tuple[int, ...]).decode


class ScheduleWrites:
    """Writes schedules, for units."""

    def __init__(self, sql: SQL, feed: Feed) -> None:
        self._feed = feed
        new = sql.insert(schedules)
        changing = [column.name for column in schedules.c if column.name != "id"]
        self._keep_sql = sql.compile(
            new.on_conflict_do_update(index_elements=["id"], set_={name: new.excluded[name] for name in changing})
        )
        self._forget_sql = sql.compile(delete(schedules).where(schedules.c.id == bindparam("schedule")))

    def keep(self, cursor: Cursor, schedule: ScheduleProgress) -> None:
        cursor.execute(self._keep_sql, _encode_row(schedule))
        self._feed.note("schedules")

    def keep_fire(self, cursor: Cursor, schedule: ScheduleProgress, fire: Admitted) -> None:
        """Store the progress of a schedule whose fire was admitted, with the run that the fire started, now or
        earlier."""
        row = _encode_row(schedule)
        if fire.is_duplicate:
            row |= {"run": fire.runs[-1], "outcome": "duplicate"}
        else:
            row |= {"run": fire.runs[-1]} if fire.runs else {"outcome": "skipped"}
        cursor.execute(self._keep_sql, row)
        self._feed.note("schedules")

    def forget(self, cursor: Cursor, id: str) -> None:
        cursor.execute(self._forget_sql, {"schedule": id})
        self._feed.note("schedules")


def list_schedules(connection: Connection) -> list[ScheduleProgress]:
    return [_decode_row(row) for row in connection.execute(select(schedules).order_by(schedules.c.id))]


def _encode_row(schedule: ScheduleProgress) -> Params:
    return {**asdict(schedule), "waiting": _encode(schedule.waiting)}


def _decode_row(row: Row[tuple[object, ...]]) -> ScheduleProgress:
    try:
        waiting = _decode_fires(row.waiting)
    except DECODING_ERRORS:
        log.error("the queued fires of schedule %s cannot be read and are skipped", row.id)
        waiting = ()
    return ScheduleProgress(**{**row._mapping, "waiting": waiting})
