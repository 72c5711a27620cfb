"""The real service, which kills itself with SIGKILL at the n-th passing of a named point.

    KILL_AT=append:7 python -m tests.kill.service serve …

The points are observed in Python's own `sqlite3`, outside Waypost's code: no
shipped code contains them.

    accept      an event's commit is durable, and no client has been answered yet
    append      a commit of decisions of runs is durable, and none of their effects has begun
    statement   within a unit: the event's row is written, its run is not
    commit      the statements of a transaction are executed, and it is not committed
    recovery    runs have been taken over from a dead process, and none of their effects has been performed
    call        a run has committed that it calls another, which is not admitted yet
    child       a called run has committed its end, or a run that it cancels, and its caller has not been notified
    event       an event is committed, with a message to a run that waits for it and has not got it yet
    answer      an answer is committed, and the run has not got it yet
    cancel      a cancel is committed, and the run has not got it yet
    resolve     a person's decision is committed, and the run has not got it yet
    retry       a failed run was reopened, and has not been taken over yet
    slot        a slot was freed and granted, and the run queued for it has not been notified
    emit        an event that a run sends is committed, and the run's checkpoint is not
    undo        in the middle of an undo
    burst       in the middle of a `foreach` that begins items in a burst
    paused      a run has just been paused

`SABOTAGE` names a deliberate fault, which the evidence must notice.
"""

import os
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

from durable.journal.feed import Feed
from durable.journal.sqlite.database import SQLite
from durable.journal.writes import Writes
from tests.kill import lifeline
from tests.kill.sabotage import SABOTAGES
from triggers.cli import main

VARIABLE = "KILL_AT"
SABOTAGE = "SABOTAGE"

Plain: TypeAlias = Literal["accept", "append", "statement", "commit", "recovery"]
"""The points that every run passes."""

Special: TypeAlias = Literal[
    "call", "child", "event", "answer", "cancel", "resolve", "retry", "slot", "emit", "undo", "burst", "paused"
]
"""The points that only some constructs pass."""

Point: TypeAlias = Plain | Special
PLAIN: tuple[Plain, ...] = get_args(Plain)
SPECIAL: tuple[Special, ...] = get_args(Special)
POINTS: tuple[Point, ...] = (*PLAIN, *SPECIAL)

BURST = 50
"""Items that begin in one commit of a burst, at least."""


class Doom:
    """The point at whose n-th passing the process ends, or none."""

    def __init__(self, wanted: str) -> None:
        self._point, _, passings = wanted.partition(":")
        self._left = int(passings or 0)

    def passing(self, point: Point) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


_doom = Doom(os.environ.get(VARIABLE, ""))
_writes = Writes(SQLite(Path()).sql(), "", Feed(""))
_after_commit: Mapping[str, Point] = {
    _writes.events.add_sql: "accept",
    _writes.runs.advance_sql: "append",
    _writes.ownership.take_over_sql: "recovery",
}
_of_message: Mapping[str, Point] = {
    "child": "child",
    "event": "event",
    "answer": "answer",
    "cancel": "cancel",
    "resolve": "resolve",
    "retry": "retry",
    "slot": "slot",
}


def _list_passed_points(sql: str, parameters: Any) -> Iterator[Point]:
    """The points passed by a commit that contains this statement."""
    if point := _after_commit.get(sql):
        yield point
    if sql == _writes.inboxes.add_sql and (message := _of_message.get(parameters["kind"])):
        yield message
    if sql == _writes.events.add_sql and parameters["source"] == "waypost" and parameters["type"]:
        yield "emit"
    if sql == _writes.histories.add_sql:
        yield from _list_decision_points(parameters["entries"])


def _list_decision_points(entries: bytes) -> Iterator[Point]:
    if b'"child_called"' in entries:
        yield "call"
    if b'.undo"' in entries:
        yield "undo"
    if b'"run_paused"' in entries:
        yield "paused"
    if entries.count(b'"branch_started"') >= BURST:
        yield "burst"


class Connection(sqlite3.Connection):
    """Records what the current transaction has done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._done: set[Point] = set()

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or Cursor)

    def record_statement(self, sql: str, parameters: Any) -> None:
        if sql == _writes.events.add_sql:
            _doom.passing("statement")
        self._done.update(_list_passed_points(sql, parameters))

    def commit(self) -> None:
        done, self._done = self._done, set()
        if done:
            _doom.passing("commit")
        super().commit()
        for point in done:
            _doom.passing(point)

    def rollback(self) -> None:
        self._done.clear()
        super().rollback()


class Cursor(sqlite3.Cursor):
    """Reports executed statements to its connection."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        super().execute(sql, parameters)
        if isinstance(self.connection, Connection):
            self.connection.record_statement(sql, parameters)
        return self


if __name__ == "__main__":
    lifeline.hold()
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))  # noqa: B010  # its type is overloads
    if sabotage := os.environ.get(SABOTAGE):
        SABOTAGES[sabotage]()
    main()
