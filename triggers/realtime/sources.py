"""What a stream sends: the entries of one run, or the states of many.

A source has a cursor and no queue: each read returns what follows the cursor, however long the last read was ago.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from triggers.documents.streams import RunStateDocument
from triggers.realtime.entry_pages import EntryPages
from triggers.realtime.entry_view import EntryView
from triggers.realtime.events import StreamEvent, make_event
from triggers.realtime.progress_events import ProgressReader, make_topic


class EventBatch(msgspec.Struct, frozen=True):
    """What a read returns. `is_partial`: more can be read at once; `is_over`: nothing follows."""

    events: Sequence[StreamEvent]
    is_partial: bool = False
    is_over: bool = False


class EventSource(Protocol):
    """A source of events. `topics` are those of the feed that say when there is something to read; `pause` is how long
    (s) to wait then for further changes."""

    topics: tuple[str, ...]
    pause: float

    async def read(self) -> EventBatch:
        """Return what is new; raises the journal's errors and `RunNotFound`."""
        ...

    def make_heartbeat(self) -> Sequence[StreamEvent]:
        """What is sent if there was nothing new for some time; nothing: a comment."""
        ...


class RunEvents:
    """The entries of a run after a number, each once and in order, then `end`. Between them, `run` is its state, and
    `progress` what its attempts report."""

    pause = 0.0

    def __init__(
        self, pages: EntryPages, run: str, after: int, view: EntryView, progress: ProgressReader | None
    ) -> None:
        self.topics: tuple[str, ...] = (f"run:{run}", make_topic(run)) if progress else (f"run:{run}",)
        self._progress = progress
        self._pages = pages
        self._run = run
        self._after = after
        self._view = view
        self._state: RunStateDocument | None = None

    async def read(self) -> EventBatch:
        page = await self._pages.read(self._run, self._after, self._view)
        self._after = page.last
        if not page.is_whole:
            return EventBatch(page.entries, is_partial=True)
        events = list(page.entries)
        if page.has_ended:
            return EventBatch([*events, make_event("end", page.state)], is_over=True)
        if self._state is None or (page.state.status, page.state.step) != (self._state.status, self._state.step):
            events.append(make_event("run", page.state))
            self._state = page.state
        if self._progress:
            events += self._progress.read()
        return EventBatch(events)

    def make_heartbeat(self) -> Sequence[StreamEvent]:
        return ()
