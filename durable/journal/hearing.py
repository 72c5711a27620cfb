"""Events that runs wait for: neither the commit of an event nor that of a wait can miss the other.

Both are committed by the one writer, one after the other: an event looks for those who listen, and a step that begins
to listen looks for an event that came shortly before. An event answers one wait of a run, once.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from durable.journal.cursor import Cursor
from durable.journal.statements import Statements
from durable.journal.tables import events, heard, listeners
from durable.journal.units import Event, Listening

HEARD = "event"
"""The kind of message that tells a run of an event; it says which, and for which wait."""


class Hearing:
    """What the units do about events and those who wait for them."""

    def __init__(self, statements: Statements) -> None:
        sql, insert = statements.compile, statements.insert
        of_run = listeners.c.run == bindparam("of")
        of_type = listeners.c.type == bindparam("of_type")
        place = (listeners.c.run, listeners.c.path, listeners.c.name)
        self._add = sql(insert(listeners).on_conflict_do_nothing())
        self._remove = sql(delete(listeners).where(of_run, listeners.c.path == bindparam("place")))
        self._remove_all = sql(delete(listeners).where(of_run))
        # Two searches of the index: with an OR in one, all who wait for the type would be looked through.
        self._find = [
            sql(select(*place).where(of_type, listeners.c.subject.is_(None))),
            sql(select(*place).where(of_type, listeners.c.subject == bindparam("about"))),
        ]
        was_heard = select(heard.c.event).where(heard.c.run == bindparam("of"))
        earlier = (
            select(events.c.id)
            .where(events.c.type == bindparam("of_type"), events.c.time >= bindparam("since"))
            .where(events.c.id.not_in(was_heard))
            .order_by(events.c.time, events.c.id)
        )
        self._earlier = sql(earlier)
        self._earlier_about = sql(earlier.where(events.c.subject == bindparam("about")))
        self._hear = sql(insert(heard).on_conflict_do_nothing())
        self._forget = sql(delete(heard).where(heard.c.run == bindparam("of")))

    def happened(self, cursor: Cursor, event: Event) -> list[tuple[str, str, str]]:
        """The waits that an event answers: run, path and name of each; they listen no more."""
        if event.type is None:
            return []
        found: list[tuple[str, str, str]] = []
        for find in self._find:
            cursor.execute(find, {"of_type": event.type, "about": event.subject})
            found += cursor.fetchall()
        first: dict[str, tuple[str, str, str]] = {}
        for run, path, name in sorted(found):
            first.setdefault(run, (run, path, name))
        for run, path, _ in first.values():
            self._heard(cursor, run, path, event.id)
        return list(first.values())

    def listen(self, cursor: Cursor, run: str, listening: Listening) -> str | None:
        """Begin to listen, unless such an event has come already: then the answer is its id."""
        wanted = {"of_type": listening.type, "since": listening.since, "of": run, "about": listening.subject}
        find = self._earlier if listening.subject is None else self._earlier_about
        cursor.execute(find, wanted)
        found = cursor.fetchone()
        if found:
            self._heard(cursor, run, listening.path, found[0])
            return str(found[0])
        listener = {"run": run, "path": listening.path, "name": listening.name}
        cursor.execute(self._add, listener | {"type": listening.type, "subject": listening.subject})
        return None

    def deafen(self, cursor: Cursor, run: str, paths: Sequence[str]) -> None:
        """These steps wait no more."""
        for path in paths:
            cursor.execute(self._remove, {"of": run, "place": path})

    def forget(self, cursor: Cursor, run: str) -> None:
        """The run has ended."""
        cursor.execute(self._remove_all, {"of": run})
        cursor.execute(self._forget, {"of": run})

    def hear(self, cursor: Cursor, run: str, event: str) -> None:
        """The event answers no wait of the run any more."""
        cursor.execute(self._hear, {"run": run, "event": event})

    def _heard(self, cursor: Cursor, run: str, path: str, event: str) -> None:
        self.hear(cursor, run, event)
        self.deafen(cursor, run, [path])
