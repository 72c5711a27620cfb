"""Events of progress: what attempts report while they run, to those who follow the run."""

import asyncio
from collections.abc import Iterator

import msgspec

from durable.journal.feed import Feed
from durable.progress import ProgressBoard
from triggers.documents.streams import ProgressDocument
from triggers.realtime.events import StreamEvent, make_event

NOTIFY_SECONDS = 0.1
"""How often those who follow a run learn of its progress. An action may report for each word that a model writes."""


class ProgressNotifier:
    """Wakes the watches of runs whose attempts have reported something, from any thread."""

    def __init__(self, feed: Feed, loop: asyncio.AbstractEventLoop) -> None:
        self._feed = feed
        self._loop = loop
        self._runs: set[str] = set()

    def notify(self, run: str) -> None:
        """Wake those who watch the progress of a run, soon."""
        if not self._feed.is_watched or run in self._runs:
            return
        self._runs.add(run)
        self._loop.call_soon_threadsafe(self._loop.call_later, NOTIFY_SECONDS, self._wake, run)

    def _wake(self, run: str) -> None:
        self._runs.discard(run)
        self._feed.wake([make_topic(run)])


def make_topic(run: str) -> str:
    """The topic of a run's progress."""
    return f"progress:{run}"


class ProgressReader:
    """Reads the progress of a run for one stream, and remembers how much of it was sent."""

    def __init__(self, board: ProgressBoard, run: str) -> None:
        self._board = board
        self._run = run
        self._number = 0
        self._sent: dict[str, tuple[int, int]] = {}
        """For each step, the attempt and the length of its text."""

    def read(self) -> Iterator[StreamEvent]:
        """The events of what was reported since the last call."""
        number = self._number
        for each in self._board.list_reports(self._run, number):
            self._number = max(self._number, each.number)
            attempt, offset = self._sent.get(each.path, (each.attempt, 0))
            offset = offset if attempt == each.attempt else 0
            text = each.text[offset:]
            self._sent[each.path] = each.attempt, offset + len(text)
            value = msgspec.Raw(each.value)
            yield make_event("progress", ProgressDocument(self._run, each.path, each.attempt, value, text, offset))
