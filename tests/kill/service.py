"""The real service, doomed: it kills itself with SIGKILL at the n-th passing of a named point.

    KILL_AT=append:7 python -m tests.kill.service serve …

The points are watched where Python's own `sqlite3` connects, outside of everything that Waypost is made of: no
program that is shipped knows of them.

    accept      an event's commit is durable, and nobody has been answered yet
    append      a commit of what runs have decided is durable, and none of its effects has begun
    statement   within a unit: the event's row is written, its run is not
    commit      the statements of a transaction are executed, and it is not committed
    recovery    runs have been taken over from a process that died, and nothing of them has been performed
"""

import os
import signal
import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

from durable.journal.sqlite import SQLite
from tests.kill import lifeline
from triggers.cli import main

VARIABLE = "KILL_AT"

Point: TypeAlias = Literal["accept", "append", "statement", "commit", "recovery"]
POINTS: tuple[Point, ...] = get_args(Point)


class Doom:
    """Where the process ends: at the n-th passing of a point, or nowhere."""

    def __init__(self, wanted: str) -> None:
        self._point, _, passings = wanted.partition(":")
        self._left = int(passings or 0)

    def passing(self, point: Point) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


_doom = Doom(os.environ.get(VARIABLE, ""))
_statements = SQLite(Path()).statements()
_after_commit: Mapping[str, Point] = {
    _statements.add_event: "accept",
    _statements.advance: "append",
    _statements.take_over: "recovery",
}


class Connection(sqlite3.Connection):
    """Remembers what the transaction under way has done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._done: set[Point] = set()

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or Cursor)

    def executed(self, sql: str) -> None:
        if sql == _statements.add_event:
            _doom.passing("statement")
        if point := _after_commit.get(sql):
            self._done.add(point)

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
    """Tells its connection what it has executed."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        super().execute(sql, parameters)
        if isinstance(self.connection, Connection):
            self.connection.executed(sql)
        return self


if __name__ == "__main__":
    lifeline.hold()
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))  # noqa: B010  # its type is overloads
    main()
