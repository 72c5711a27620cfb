"""Realtime: opens what a stream sends to somebody, whatever carries it, and makes tokens."""

import asyncio
from collections.abc import Callable

from durable.journal.journal import Journal
from durable.progress import ProgressBoard
from durable.wording import quote
from triggers.documents.fields import format_time
from triggers.documents.streams import See, TokenDocument, TokenScopeDocument
from triggers.keys import Keys
from triggers.not_found import RunNotFound
from triggers.realtime.entry_pages import EntryPages
from triggers.realtime.entry_view import EntryView
from triggers.realtime.permit import StreamPermit
from triggers.realtime.progress_events import ProgressNotifier, ProgressReader
from triggers.realtime.run_states import RunStates, StateEvents, StateFilter
from triggers.realtime.sources import EventSource, RunEvents
from triggers.realtime.streams import Streams
from triggers.realtime.tokens import StreamTokens
from triggers.refusals import StreamRefused, TokenRefused
from triggers.runs.lists import ServedNames, ensure_known
from triggers.runs.rows import find_run


class Realtime:
    """The streams of a service, at most `limit`, and the board on which attempts report their progress."""

    def __init__(
        self, journal: Journal, keys: Keys, names: Callable[[], ServedNames], now: Callable[[], int], limit: int
    ) -> None:
        self._names = names
        self.board = ProgressBoard(ProgressNotifier(journal.feed, asyncio.get_running_loop()).notify)
        self.tokens = StreamTokens(keys, now)
        self.streams = Streams(journal.feed, keys.is_active, now, limit)
        self._journal = journal
        self._keys = keys
        self._pages = EntryPages(journal, journal.feed)
        self._states = RunStates(journal, journal.feed)

    def identify(self, presented: str) -> StreamPermit:
        """What the holder of a token, or of an API key, may follow; raises `TokenRefused`."""
        if holder := self._keys.find_holder(presented):
            if not holder.may("read"):
                raise TokenRefused("this key may only answer; follow runs with a key that has the scope `read`")
            return StreamPermit(holder.key, "history", may_answer=holder.may("start", "answer"))
        return self.tokens.verify(presented)

    async def open_run(self, run: str, after: int, see: See | None, permit: StreamPermit) -> EventSource:
        """The entries of a run after a number; raises `RunNotFound`, also for a run that is not permitted, and
        `StreamRefused`."""
        shown = permit.narrow(see)
        if see is not None and shown != see:
            raise StreamRefused(
                f"the token shows no more than {quote(permit.see)}: leave `see` out, or ask for another token"
            )
        found = await find_run(self._journal, run)
        if not permit.includes(found):
            raise RunNotFound(run)
        progress = ProgressReader(self.board, run) if shown != "status" else None
        return RunEvents(self._pages, run, after, EntryView(shown, permit.may_answer), progress)

    async def open_states(
        self, tag: str | None, pipeline: str | None, after: str | None, permit: StreamPermit
    ) -> EventSource:
        """The states of the runs that meet the conditions and are permitted, after a cursor. Raises `PipelineNotFound`
        for those who may follow every run: others would learn which pipelines there are."""
        if permit.scope is None:
            await ensure_known(self._journal, self._names, pipeline, None)
        return StateEvents(self._states, StateFilter(permit, tag, pipeline), after)

    def make_token(self, key: str, scope: TokenScopeDocument, see: See, lifetime: int) -> TokenDocument:
        """Make a token that is signed for a key, given its id, and lasts so long (ms)."""
        token, expires_at = self.tokens.sign(key, scope, see, lifetime)
        return TokenDocument(token, format_time(expires_at) or "", scope, see)
