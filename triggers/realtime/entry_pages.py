"""Pages of a run's new entries: read and encoded once for all streams that need the same page at the same time."""

import asyncio
from collections import OrderedDict

import msgspec

from durable.history.entries import AnyEntry
from durable.journal.feed import Feed
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from triggers.documents.streams import RunStateDocument
from triggers.not_found import RunNotFound
from triggers.realtime.entry_view import EntryView
from triggers.realtime.events import StreamEvent

PAGE_ENTRIES = 500
PAGE_BYTES = 512 * 1024

READERS = 4
"""The pages that are read at the same time. Further ones wait, so that a crowd of clients leaves room for other
reads."""

ENTRIES_OF_STEP = 8
"""How many of the last entries are read to find a step: those at the end of a run, or of a block, name none."""

KEPT_PAGES = 64
"""The last pages, for the streams that ask for them a moment later."""


class EntryPage(msgspec.Struct, frozen=True):
    """A run's state, and its entries after a number, at most a page. `last`: the number of the last of them."""

    state: RunStateDocument
    entries: tuple[StreamEvent, ...]
    last: int
    has_ended: bool

    @property
    def is_whole(self) -> bool:
        """Whether no further entry follows."""
        return self.last >= self.state.sequence


class EntryPages:
    """Reads pages. One that was begun after the run's last change is shared."""

    def __init__(self, reads: Reads, feed: Feed) -> None:
        self._reads = reads
        self._feed = feed
        self._readers = asyncio.Semaphore(READERS)
        self._begun: OrderedDict[tuple[str, int, EntryView], tuple[int, asyncio.Task[EntryPage]]] = OrderedDict()

    async def read(self, run: str, after: int, view: EntryView) -> EntryPage:
        """Return the entries of a run after a number; raises `RunNotFound`, `RunUnreadable` and `JournalBusy`. Only for
        those who watch the run."""
        key = run, after, view
        position, task = self._begun.get(key, (-1, None))
        if task is None or position < self._feed.find_position(run) or _has_failed(task):
            task = asyncio.create_task(self._read(run, after, view))
            self._begun[key] = self._feed.position, task
            if len(self._begun) > KEPT_PAGES:
                self._begun.popitem(last=False)
        return await asyncio.shield(task)  # which others may wait for as well

    async def _read(self, run: str, after: int, view: EntryView) -> EntryPage:
        async with self._readers:
            return await self._reads.scan(lambda scan: read_page(scan, run, after, view))


def _has_failed(task: asyncio.Task[EntryPage]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def read_page(scan: Scan, id: str, after: int, view: EntryView) -> EntryPage:
    """Read a page; raises `RunNotFound` and `RunUnreadable`."""
    run = scan.find_run(id)
    if run is None:
        raise RunNotFound(id)
    encoder = view.make_encoder(scan, id)
    entries: list[StreamEvent] = []
    size, last = 0, after
    for number, entry in scan.read_entries(id, after) if after < run.sequence else ():
        if number > run.sequence or len(entries) == PAGE_ENTRIES or size > PAGE_BYTES:
            break
        data = view.encode(id, number, entry, encoder)
        entries.append(StreamEvent(str(entry.__struct_config__.tag), data, str(number)))
        size, last = size + len(data), number
    state = RunStateDocument.of(run, find_step(scan, run))
    return EntryPage(state, tuple(entries), last, run.finished_at is not None)


def find_step(scan: Scan, run: Run) -> str | None:
    """The path of the step that a run waits for or failed at, or that its last entries are about."""
    if run.cause and run.cause.step:
        return run.cause.step
    for _, entry in reversed(list(scan.read_entries(run.id, max(0, run.sequence - ENTRIES_OF_STEP)))):
        if path := _find_path(entry):
            return path
    return None


def _find_path(entry: AnyEntry) -> str | None:
    path: str | None = getattr(entry, "path", None)
    return path or None
