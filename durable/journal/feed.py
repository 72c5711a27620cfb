"""The feed: wakes those who watch a run, or all things of a kind, when a commit has changed them.

The units of the writer note what they change, in its thread; the feed publishes the notes after the commit. A watch has
no queue: it says *what* has changed, and its holder reads the journal again, so that a slow one costs no memory and
misses nothing. Nothing is noted while nobody watches.

`list_changes` returns the runs that have changed since a cursor, an opaque text. Where nodes share a database, each
node also publishes what it learns of the commits of others; watches and cursors stay the same.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

Kind: TypeAlias = Literal["runs", "waits", "deliveries", "events", "bulks", "schedules", "audit"]
"""What a commit can change. `waits` are also what people have to decide."""

CHANGES_LIMIT = 10_000
"""The number of changed runs that are remembered, for cursors."""

LINGER_SECONDS = 60.0
"""How long changes are noted after the last watch was closed, so that a client that connects again has its cursor."""

WAKES_A_TURN = 50
"""The watches that are woken in one turn of the event loop: each does some work at once, and 1,000 together would hold
the loop for 50 ms and more."""


class Notes(NamedTuple):
    """What a batch has changed: kinds, and ids of runs and bulks. Not complete if the batch began unwatched."""

    changed: list[tuple[Kind, str | None]]
    is_complete: bool


class RunChanges(NamedTuple):
    """The runs that changed after a cursor, the last one first, and the cursor for the next time."""

    runs: list[str]
    cursor: str


class Feed:
    """What the commits of a node change, and who watches it. Units note changes in the writer's thread, everything else
    is for the event loop. `node` makes cursors unique to the process."""

    def __init__(self, node: str) -> None:
        self.is_watched = False
        """Read by units before they note: the usual case costs no call."""
        self._noted: list[tuple[Kind, str | None]] = []
        self._node = node
        self._watches: dict[str, set[Watch]] = {}
        self._count = 0
        self._position = 0
        self._known_since = 0
        self._changed: dict[str, int] = {}
        """The position at which each run changed last, in that order."""
        self._to_wake: deque[Watch] = deque()
        self._lingering: asyncio.TimerHandle | None = None

    # -- in the writer's thread

    def note(self, kind: Kind, id: str | None = None) -> None:
        """Note that the unit changes this. A unit that raises an error must not have noted anything."""
        if self.is_watched:
            self._noted.append((kind, id))

    def count_notes(self) -> int:
        return len(self._noted)

    def drop_notes(self, kept: int) -> None:
        """Drop the notes of a transaction that was rolled back."""
        del self._noted[kept:]

    def take_notes(self, *, is_complete: bool) -> Notes:
        """Return the notes of the batch that was committed."""
        noted, self._noted = self._noted, []
        return Notes(noted, is_complete)

    # -- in the event loop

    @property
    def position(self) -> int:
        """The number of the last change."""
        return self._position

    def find_position(self, run: str) -> int:
        """Return the number of the last change of a run, or of a later one. Only whoever watches may use it."""
        return self._changed.get(run, self._known_since)

    def publish(self, notes: Notes) -> None:
        """Wake the watches of what a batch has changed; all of them if its notes are not complete."""
        if not notes.is_complete:
            self._forget_changes()
            self.wake(list(self._watches))
            return
        if not notes.changed:
            return
        self._position += 1
        for kind, id in notes.changed:
            if kind == "runs" and id is not None:
                self._changed.pop(id, None)
                self._changed[id] = self._position
        while len(self._changed) > CHANGES_LIMIT:
            run = next(iter(self._changed))
            self._known_since = self._changed.pop(run)
        self.wake(dict.fromkeys(_list_topics(notes.changed)))

    def wake(self, topics: Iterable[str]) -> None:
        """Wake the watches of these topics, some in each turn of the event loop."""
        is_idle = not self._to_wake
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                if not watch.changed:
                    self._to_wake.append(watch)
                watch.changed.add(topic)
        if is_idle and self._to_wake:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(WAKES_A_TURN, len(self._to_wake))):
            self._to_wake.popleft().signal.set()
        if self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_some)

    @property
    def cursor(self) -> str:
        """The cursor after the last change. Only whoever watches may use it."""
        return f"{self._node}-{self._position}"

    def list_changes(self, after: str) -> RunChanges | None:
        """Return the runs that changed after a cursor; None if that is not known any more."""
        node, _, number = after.rpartition("-")
        if node != self._node or not number.isdecimal() or not self._known_since <= int(number) <= self._position:
            return None
        runs: list[str] = []
        for run, position in reversed(self._changed.items()):
            if position <= int(number):
                break
            runs.append(run)
        return RunChanges(runs, self.cursor)

    def watch(self, *topics: str) -> "Watch":
        """Watch kinds of things, or single runs and bulks, as `run:ID`. Use the watch in a `with` statement, and begin
        to read what it watches inside."""
        return Watch(self, topics)

    def _add(self, watch: "Watch", topic: str) -> None:
        self._watches.setdefault(topic, set()).add(watch)

    def _discard(self, watch: "Watch", topic: str) -> None:
        watches = self._watches.get(topic, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(topic, None)

    def _open(self) -> None:
        self._count += 1
        self.is_watched = True
        if self._lingering:
            self._lingering.cancel()
            self._lingering = None

    def _close(self) -> None:
        self._count -= 1
        if not self._count:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._rest)

    def _rest(self) -> None:
        self.is_watched = False
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._position += 1
        self._known_since = self._position
        self._changed.clear()


def _list_topics(changed: Iterable[tuple[Kind, str | None]]) -> Iterator[str]:
    for kind, id in changed:
        yield kind
        if id is not None:
            yield f"{kind.removesuffix('s')}:{id}"


class Watch:
    """What somebody watches. `changed`: the topics that have changed since the last `wait`."""

    def __init__(self, feed: Feed, topics: Iterable[str]) -> None:
        self.changed: set[str] = set()
        self.signal = asyncio.Event()
        self._feed = feed
        self._topics = set(topics)

    def __enter__(self) -> Self:
        self._feed._open()
        for topic in self._topics:
            self._feed._add(self, topic)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in self._topics:
            self._feed._discard(self, topic)
        self._feed._close()

    def add(self, topic: str) -> None:
        """Also watch this."""
        self._topics.add(topic)
        self._feed._add(self, topic)

    def discard(self, topic: str) -> None:
        """No longer watch this."""
        self._topics.discard(topic)
        self._feed._discard(self, topic)

    async def wait(self, seconds: float | None = None) -> set[str]:
        """Return the topics that have changed since the last call, as soon as there is one; none if the `seconds` pass
        before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.signal.wait()
        self.signal.clear()
        changed, self.changed = self.changed, set()
        return changed
