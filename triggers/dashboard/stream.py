"""The live updates of pages: `/stream?page=ADDRESS` sends the live blocks of a page again whenever they have changed.

A page that several tabs show is rendered once for all of them: each block is kept with the hash of its text, and a
stream sends the blocks whose hash it has not sent. A tab that comes back names the hashes that it has.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request

from triggers.html.assets import ASSETS
from triggers.keys import KeyHolder
from triggers.realtime.events import StreamEvent, make_event
from triggers.realtime.sources import EventBatch

PAUSE_SECONDS = 0.25
LIST_PAUSE_SECONDS = 1.0
"""How long, at least, between two renderings of a page: of a run or a bulk, and of what shows many things. On a busy
service the latter change all the time."""

RENDERED_AT_ONCE = 2
"""The pages that are rendered at the same time. A commit may change all that are open, and each holds the event loop
for some milliseconds."""

WORK_SHARE = 0.1
"""The part of its time that a page is rendered in, at most: one that takes long is rendered less often."""

Blocks = Mapping[str, str]
"""The live blocks of a page as HTML, by name."""


class LiveBlocks(NamedTuple):
    """A page as it is now: its live blocks, and the topics of the feed that they depend on."""

    blocks: Blocks
    watches: tuple[str, ...]


RenderLive = Callable[[], Awaitable[LiveBlocks]]


class PageTurn:
    """A page that is open somewhere. Whoever wants it while it waits for its turn gets the same rendering."""

    def __init__(self, render: RenderLive, renderers: asyncio.Semaphore) -> None:
        self._render = render
        self._renderers = renderers
        self._rendering: asyncio.Task[LiveBlocks] | None = None
        self._tasks: set[asyncio.Task[LiveBlocks]] = set()
        self._due = 0.0

    async def render(self) -> LiveBlocks:
        """Render the page, as soon as its last rendering is long enough ago. What has changed since a rendering began
        may be missing in it, so it is for those only who asked before it began."""
        if self._rendering is None:
            self._rendering = asyncio.create_task(self._render_in_turn())
            self._tasks.add(self._rendering)
            self._rendering.add_done_callback(self._tasks.discard)
        return await asyncio.shield(self._rendering)

    async def _render_in_turn(self) -> LiveBlocks:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(0)  # everyone who was woken by the same commit asks in this turn
        await asyncio.sleep(self._due - clock())
        async with self._renderers:
            self._rendering = None
            began = clock()
            self._due = began + LIST_PAUSE_SECONDS
            shown = await self._render()
        pause = PAUSE_SECONDS if all(":" in topic for topic in shown.watches) else LIST_PAUSE_SECONDS
        self._due = began + max(pause, (clock() - began) / WORK_SHARE)
        return shown

    def stop(self) -> None:
        """End what is rendered: nobody waits for it any more, and the journal may be closed next."""
        for task in self._tasks:
            task.cancel()


class OpenPages:
    """The pages that are open, each by its address and by who sees it."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, KeyHolder], tuple[PageTurn, int]] = {}
        self._renderers = asyncio.Semaphore(RENDERED_AT_ONCE)

    def open(self, url: str, visitor: KeyHolder, render: RenderLive) -> PageTurn:
        """The page for one more reader."""
        turn, readers = self._open.get((url, visitor), (PageTurn(render, self._renderers), 0))
        self._open[url, visitor] = turn, readers + 1
        return turn

    def close(self, url: str, visitor: KeyHolder) -> None:
        """A reader has gone."""
        turn, readers = self._open[url, visitor]
        if readers > 1:
            self._open[url, visitor] = turn, readers - 1
        else:
            turn.stop()
            del self._open[url, visitor]


SIGNED_OUT = make_event("bye", {"why": "signed-out"})


class PageEvents:
    """The changes of a page, as the source of a stream. `is_signed_in` is asked again before each rendering."""

    pause = 0.0  # the page has its own

    def __init__(
        self, turn: PageTurn, topics: tuple[str, ...], known: Mapping[str, str], is_signed_in: Callable[[], bool]
    ) -> None:
        self.topics = topics
        self._turn = turn
        self._known = dict(known)
        self._is_signed_in = is_signed_in

    async def read(self) -> EventBatch:
        """The blocks that have changed since the last read; the end for who is no longer signed in."""
        if not self._is_signed_in():
            return EventBatch([], is_over=True)
        return EventBatch(self._list_changes((await self._turn.render()).blocks))

    def _list_changes(self, blocks: Blocks) -> Sequence[StreamEvent]:
        changed = []
        for name, text in blocks.items():
            hash = hash_block(text)
            if self._known.get(name) != hash:
                self._known[name] = hash
                changed.append(make_event("swap", {"id": name, "hash": hash, "html": text}))
        return changed

    def make_heartbeat(self) -> Sequence[StreamEvent]:
        """A sign of life, which says that the person was signed out where that is so."""
        return () if self._is_signed_in() else [SIGNED_OUT]


def hash_block(text: str) -> str:
    """What tells two renderings of a block apart."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_known(request: Request) -> dict[str, str]:
    """The hashes of the blocks that a tab has, as `known=NAME:HASH,…`."""
    pairs = (each.partition(":") for each in request.query_params.get("known", "").split(",")[:50])
    return {name: hash for name, _, hash in pairs if hash}


def is_other_build(request: Request) -> bool:
    """Whether the tab's page was made by another build, whose scripts and blocks may not fit."""
    return request.query_params.get("build", ASSETS.build) != ASSETS.build
