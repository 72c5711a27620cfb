"""Event subscriptions: waits for events, and the events that match them.

The commits of an event and of a wait cannot miss each other, because a single writer commits both: an event searches
for subscriptions, and a new subscription searches for a recent event. An event matches at most one wait of a run. A
wait is ended by a matching event, an answer or its timer, whichever is committed first.
"""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, or_, select

from durable.journal.dedupe import DedupeKeys
from durable.journal.dialect import SQL, Cursor
from durable.journal.inbox import InboxWrites
from durable.journal.payloads import decode_value
from durable.journal.tables import events, matched_events, subscriptions
from durable.messages import CancelMessage, EventMessage, encode_message
from durable.units import DedupeKey, Event, EventSubscription, PostOutcome
from durable.values import Value


class Match(NamedTuple):
    """The id of an event that matched the wait of a run at `path`. `name` is the name of a wait inside a `wait.any`."""

    run: str
    path: str
    name: str
    event: str


class SubscriptionStatements:
    """The statements on subscriptions and matched events."""

    def __init__(self, sql: SQL) -> None:
        of_run = subscriptions.c.run == bindparam("of")
        of_type = subscriptions.c.type == bindparam("of_type")
        about = subscriptions.c.subject == bindparam("about")
        about_any = subscriptions.c.subject.is_(None)
        wait = select(subscriptions.c.run, subscriptions.c.path, subscriptions.c.name)
        self.add = sql.compile(sql.insert(subscriptions).on_conflict_do_nothing())
        self.remove = sql.compile(delete(subscriptions).where(of_run, subscriptions.c.path == bindparam("place")))
        self.remove_all = sql.compile(delete(subscriptions).where(of_run))
        # Two index lookups: a single query with OR would scan all subscriptions to the type.
        self.find = [sql.compile(wait.where(of_type, about_any)), sql.compile(wait.where(of_type, about))]
        self.find_in_run = sql.compile(
            wait.where(of_run, of_type, or_(about_any, about)).order_by(subscriptions.c.path, subscriptions.c.name)
        )
        matched_by_run = matched_events.c.run == bindparam("of")
        earlier = (
            select(events.c.id)
            .where(events.c.type == bindparam("of_type"), events.c.time >= bindparam("since"))
            .where(events.c.id.not_in(select(matched_events.c.event).where(matched_by_run)))
            .order_by(events.c.time, events.c.id)
        )
        self.find_earlier = sql.compile(earlier)
        self.find_earlier_about = sql.compile(earlier.where(events.c.subject == bindparam("about")))
        self.find_event = sql.compile(
            select(events.c.type, events.c.subject).where(events.c.id == bindparam("of_event"))
        )
        self.add_matched = sql.compile(sql.insert(matched_events).on_conflict_do_nothing())
        self.remove_matched = sql.compile(
            delete(matched_events).where(matched_by_run, matched_events.c.event == bindparam("of_event"))
        )
        self.forget_matched = sql.compile(delete(matched_events).where(matched_by_run))


class EventSubscriptions:
    """Reads and writes waits, and events that match them, for units."""

    def __init__(self, sql: SQL, keys: DedupeKeys, inboxes: InboxWrites) -> None:
        self._sql = SubscriptionStatements(sql)
        self._keys = keys
        self._inboxes = inboxes

    def match_event(self, cursor: Cursor, event: Event) -> list[str]:
        """Match an event with one wait of each run that subscribes to it; returns the runs that got a message."""
        return [self._post(cursor, match, event.time) for match in self.find_matches(cursor, event)]

    def find_matches(self, cursor: Cursor, event: Event) -> list[Match]:
        """Return the waits that an event ends, one for each run that subscribes to it."""
        found: list[tuple[str, str, str]] = []
        for find in self._sql.find:
            cursor.execute(find, {"of_type": event.type, "about": event.subject})
            found += cursor.fetchall()
        first: dict[str, Match] = {}
        for run, path, name in sorted(found):
            first.setdefault(run, Match(run, path, name, event.id))
        for match in first.values():
            self._record_match(cursor, match, event.time)
        return list(first.values())

    def subscribe(self, cursor: Cursor, run: str, wanted: EventSubscription, at: int) -> list[str]:
        """Add a subscription, unless a matching event has already arrived or the wait was answered before it started.
        Returns the run if it got a message."""
        path, name = wanted.path, wanted.name
        if name and self._is_over(cursor, run, path, at):
            return []
        find = self._sql.find_earlier if wanted.subject is None else self._sql.find_earlier_about
        cursor.execute(find, {"of_type": wanted.type, "since": wanted.since, "of": run, "about": wanted.subject})
        if found := cursor.fetchone():
            match = Match(run, path, name, found[0])
            self._record_match(cursor, match, at)
            return [self._post(cursor, match, at)]
        row = {"run": run, "path": path, "name": name, "type": wanted.type, "subject": wanted.subject}
        cursor.execute(self._sql.add, row)
        return []

    def end_waits(self, cursor: Cursor, run: str, paths: Sequence[str], at: int) -> list[str]:
        """End these waits. An event that matched one of them, but has not reached the run yet, may match another wait.
        Returns the run if it got a message."""
        for path in paths:
            self._end(cursor, run, path, at)
        notified: list[str] = []
        for message, match in self._list_unread(cursor, run) if paths else ():
            if match.path in paths:
                self._inboxes.take(cursor, run, message)
                if again := self._rematch(cursor, match, at):
                    notified.append(self._post(cursor, again, at))
        return notified

    def post(
        self, cursor: Cursor, run: str, kind: str, data: Value, at: int, wait: str | None, once: DedupeKey | None
    ) -> PostOutcome:
        """Post a message. If several messages end the same `wait` (a path), only the first is posted; and only the
        first with the key `once`."""
        if once is not None and self._keys.is_taken(cursor, once, at):
            return "posted"
        if wait is not None and (
            self._is_over(cursor, run, wait, at) or self._inboxes.list_kind(cursor, run, CancelMessage.kind)
        ):
            return "answered" if self._inboxes.is_open(cursor, run) else "ended"
        if not self._inboxes.post(cursor, run, kind, data, at):
            return "ended"
        if wait is not None:
            self._end(cursor, run, wait, at)
        if once is not None:
            self._keys.take(cursor, once, run)
        return "posted"

    def exclude_event(self, cursor: Cursor, run: str, event: str) -> None:
        """Prevent an event from matching any wait of the run."""
        cursor.execute(self._sql.add_matched, {"run": run, "event": event})

    def reopen_waits(self, cursor: Cursor, run: str, paths: Sequence[str], at: int) -> None:
        """Let waits that have ended be answered again."""
        for path in paths:
            self._keys.remove(cursor, _make_end_key(run, path, at))

    def end_run(self, cursor: Cursor, run: str) -> None:
        """Remove the waits of a run that has ended."""
        cursor.execute(self._sql.remove_all, {"of": run})

    def forget_matches(self, cursor: Cursor, run: str) -> None:
        """Remove the record of the events that matched the waits of a run that has completed."""
        cursor.execute(self._sql.forget_matched, {"of": run})

    def _post(self, cursor: Cursor, match: Match, at: int) -> str:
        message = EventMessage(match.path, match.name, match.event)
        self._inboxes.post(cursor, match.run, *encode_message(message), at)
        return match.run

    def _is_over(self, cursor: Cursor, run: str, path: str, at: int) -> bool:
        """Whether a wait has ended, or was answered before it started."""
        return self._keys.is_taken(cursor, _make_end_key(run, path, at), at)

    def _end(self, cursor: Cursor, run: str, path: str, at: int) -> None:
        self._keys.take(cursor, _make_end_key(run, path, at), run)
        cursor.execute(self._sql.remove, {"of": run, "place": path})

    def _list_unread(self, cursor: Cursor, run: str) -> list[tuple[int, Match]]:
        """Return the matches that have not reached the run yet, with the ids of their messages."""
        unread: list[tuple[int, Match]] = []
        for id, data in self._inboxes.list_kind(cursor, run, EventMessage.kind):
            with contextlib.suppress(
                msgspec.MsgspecError, LookupError, TypeError, ValueError
            ):  # the run's owner reports it
                each = msgspec.convert(decode_value(data).load(), EventMessage)
                unread.append((id, Match(run, each.path, each.name, each.event)))
        return unread

    def _rematch(self, cursor: Cursor, match: Match, at: int) -> Match | None:
        """Match an event again whose wait ended before the event reached the run. A wait that starts later may also
        find it."""
        cursor.execute(self._sql.remove_matched, {"of": match.run, "of_event": match.event})
        cursor.execute(self._sql.find_event, {"of_event": match.event})
        of_type, about = cursor.fetchone()
        cursor.execute(self._sql.find_in_run, {"of": match.run, "of_type": of_type, "about": about})
        if (found := cursor.fetchone()) is None:
            return None
        run, path, name = found
        again = Match(run, path, name, match.event)
        self._record_match(cursor, again, at)
        return again

    def _record_match(self, cursor: Cursor, match: Match, at: int) -> None:
        self.exclude_event(cursor, match.run, match.event)
        if match.name:  # another wait of a `wait.any` may be answered; a single wait ends with its message
            self._end(cursor, match.run, match.path, at)
        else:
            cursor.execute(self._sql.remove, {"of": match.run, "place": match.path})


def _make_end_key(run: str, path: str, at: int) -> DedupeKey:
    """Make the key that ends a wait; the first taker wins. All waits of a `wait.any` share one key."""
    return DedupeKey.of_step("answer", run, path, at)
