"""Events that runs wait for: neither the commit of an event nor that of a wait can miss the other.

Both are committed by the one writer, one after the other: an event looks for those who listen, and a step that begins
to listen looks for an event that came shortly before. An event answers one wait of a run, once, and a wait is ended by
one thing only: the event that it hears, an answer or its time, whichever is committed first.
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, or_, select

from durable.journal.cursor import Cursor
from durable.journal.dedupe import DedupeKeys
from durable.journal.statements import Statements
from durable.journal.tables import events, heard, listeners
from durable.units import DedupeKey, Event, EventSubscription


class Match(NamedTuple):
    """What a run is to be told: that this event came for the wait of that path and name."""

    run: str
    path: str
    name: str
    event: str


class EventSubscriptions:
    """What the units do about waits, and about events and those who wait for them."""

    def __init__(self, statements: Statements, claiming: DedupeKeys) -> None:
        sql, insert = statements.compile, statements.insert
        self._claiming = claiming
        of_run = listeners.c.run == bindparam("of")
        of_type = listeners.c.type == bindparam("of_type")
        about = listeners.c.subject == bindparam("about")
        about_any = listeners.c.subject.is_(None)
        place = select(listeners.c.run, listeners.c.path, listeners.c.name)
        self._add = sql(insert(listeners).on_conflict_do_nothing())
        self._remove = sql(delete(listeners).where(of_run, listeners.c.path == bindparam("place")))
        self._remove_all = sql(delete(listeners).where(of_run))
        # Two searches of the index: with an OR in one, all who wait for the type would be looked through.
        self._find = [sql(place.where(of_type, about_any)), sql(place.where(of_type, about))]
        self._find_in_run = sql(
            place.where(of_run, of_type, or_(about_any, about)).order_by(listeners.c.path, listeners.c.name)
        )
        was_heard = select(heard.c.event).where(heard.c.run == bindparam("of"))
        earlier = (
            select(events.c.id)
            .where(events.c.type == bindparam("of_type"), events.c.time >= bindparam("since"))
            .where(events.c.id.not_in(was_heard))
            .order_by(events.c.time, events.c.id)
        )
        self._earlier = sql(earlier)
        self._earlier_about = sql(earlier.where(events.c.subject == bindparam("about")))
        self._find_event = sql(select(events.c.type, events.c.subject).where(events.c.id == bindparam("of_event")))
        self._hear = sql(insert(heard).on_conflict_do_nothing())
        was_it = (heard.c.run == bindparam("of"), heard.c.event == bindparam("of_event"))
        self._unhear = sql(delete(heard).where(*was_it))
        self._forget = sql(delete(heard).where(heard.c.run == bindparam("of")))

    def find_matches(self, cursor: Cursor, event: Event) -> list[Match]:
        """The waits that an event answers: one of each run that listens."""
        if event.type is None:
            return []
        found: list[tuple[str, str, str]] = []
        for find in self._find:
            cursor.execute(find, {"of_type": event.type, "about": event.subject})
            found += cursor.fetchall()
        first: dict[str, Match] = {}
        for run, path, name in sorted(found):
            first.setdefault(run, Match(run, path, name, event.id))
        for told in first.values():
            self._record_match(cursor, told, event.time)
        return list(first.values())

    def listen(self, cursor: Cursor, run: str, listening: EventSubscription, at: int) -> Match | None:
        """Begin to listen, unless such an event has come already, or the wait was answered before it began."""
        path, name = listening.path, listening.name
        if name and self.is_settled(cursor, run, path, at):
            return None
        wanted = {"of_type": listening.type, "since": listening.since, "of": run, "about": listening.subject}
        find = self._earlier if listening.subject is None else self._earlier_about
        cursor.execute(find, wanted)
        if found := cursor.fetchone():
            told = Match(run, path, name, found[0])
            self._record_match(cursor, told, at)
            return told
        listener = {"run": run, "path": path, "name": name}
        cursor.execute(self._add, listener | {"type": listening.type, "subject": listening.subject})
        return None

    def is_settled(self, cursor: Cursor, run: str, path: str, at: int) -> bool:
        """Whether a wait has its end, or has got its answer before it began."""
        return self._claiming.is_taken(cursor, _end_of(run, path, at), at)

    def settle(self, cursor: Cursor, run: str, path: str, at: int) -> None:
        """A wait has its end, and hears nothing any more."""
        self._claiming.take(cursor, _end_of(run, path, at), run)
        cursor.execute(self._remove, {"of": run, "place": path})

    def pass_on(self, cursor: Cursor, told: Match, at: int) -> Match | None:
        """The wait that heard an event was over before it was told: another of the run hears it, or may look back."""
        cursor.execute(self._unhear, {"of": told.run, "of_event": told.event})
        cursor.execute(self._find_event, {"of_event": told.event})
        of_type, about = cursor.fetchone()
        cursor.execute(self._find_in_run, {"of": told.run, "of_type": of_type, "about": about})
        found = cursor.fetchone()
        if found is None:
            return None
        run, path, name = found
        again = Match(run, path, name, told.event)
        self._record_match(cursor, again, at)
        return again

    def forget(self, cursor: Cursor, run: str) -> None:
        """The run has ended."""
        cursor.execute(self._remove_all, {"of": run})
        cursor.execute(self._forget, {"of": run})

    def hear(self, cursor: Cursor, run: str, event: str) -> None:
        """The event answers no wait of the run any more."""
        cursor.execute(self._hear, {"run": run, "event": event})

    def _record_match(self, cursor: Cursor, told: Match, at: int) -> None:
        self.hear(cursor, told.run, told.event)
        if told.name:  # among several somebody may answer another; of a wait for an event alone its message is first
            self.settle(cursor, told.run, told.path, at)
        else:
            cursor.execute(self._remove, {"of": told.run, "place": told.path})


def _end_of(run: str, path: str, at: int) -> DedupeKey:
    """What the one thing takes that ends a wait; of a `wait.any`, whichever of its waits it is for."""
    return DedupeKey.of_step("answer", run, path, at)
