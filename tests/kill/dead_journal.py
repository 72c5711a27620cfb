"""Reads the journal of a dead process: the checkpoints that every later life must honour."""

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from durable.history.encoding import decode_entries
from durable.history.state import State
from durable.journal.sqlite.files import FILE_NAME
from durable.path import make_page_path
from durable.replay import apply_entry


class DeadJournal:
    """Reads a copy, so that the next life finds the files untouched, including the write-ahead log."""

    def __init__(self, data: Path, scratch: Path) -> None:
        self._file = data / FILE_NAME
        self._scratch = scratch
        self._last_row = 0
        self.states: dict[str, State] = {}

    def read(self) -> None:
        """Replay what was appended since the last death."""
        for run, data in self._new_rows():
            state = self.states.setdefault(run, State(run=run))
            for entry in decode_entries(data):
                apply_entry(state, entry)

    def find_checkpoints(self) -> set[tuple[str, str]]:
        """Every run and step that is checkpointed, has failed finally or was skipped, and every page that arrived."""
        steps = [(run, path, step) for run, state in self.states.items() for path, step in state.steps.items()]
        ended = {(run, path) for run, path, step in steps if step.status in ("completed", "failed", "skipped")}
        return ended | {
            (run, make_page_path(path, number))
            for run, path, step in steps
            if step.pages
            for number in range(step.pages.number)
        }

    def in_flight(self) -> int:
        """The number of attempts that may have been in progress: of running steps, and of steps with an attempt due."""
        now = time.time_ns() // 1_000_000
        return sum(
            state.steps[path].may_be_attempted(now)
            for state in self.states.values()
            if not state.finished
            for path in state.active
            if path not in state.open
        )

    def events(self) -> Counter[tuple[str, str]]:
        """How often each typed event was written, by its source and its id there."""
        with self._copy() as connection:
            return Counter(connection.execute("SELECT source, key FROM events WHERE type IS NOT NULL").fetchall())

    def _new_rows(self) -> list[tuple[str, bytes]]:
        if not self._file.exists():
            return []
        with self._copy() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                return []
            query = "SELECT rowid, run, entries FROM entries WHERE rowid > ? ORDER BY rowid"
            rows = connection.execute(query, (self._last_row,)).fetchall()
        self._last_row = rows[-1][0] if rows else self._last_row
        return [(run, data) for _, run, data in rows]

    @contextmanager
    def _copy(self) -> Iterator[sqlite3.Connection]:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        for file in (self._file, self._file.with_name(f"{FILE_NAME}-wal")):
            if file.exists():
                shutil.copyfile(file, self._scratch / file.name)
        with closing(sqlite3.connect(self._scratch / FILE_NAME)) as connection:
            yield connection
