"""`waypost runs --follow`: a line whenever the status of a run changes, until Ctrl-C.

The service sends the present state of each run that has changed. If the connection is lost, it is made again and goes
on after the last state that arrived. A service that was started again sends all unfinished and the newest runs anew;
only what differs is shown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import msgspec
from rich.console import Console
from rich.text import Text

from durable.history.words import RunStatus
from durable.wording import make_printable
from triggers.commands.output import format_json, format_time, open_console, style_status
from triggers.documents.streams import RunStateDocument
from triggers.not_found import RunNotFound
from triggers.reading.client import ServiceClient
from triggers.reading.event_stream import ServerEvent
from triggers.signals import watch_stop_signals

UNFINISHED = frozenset[RunStatus]({"queued", "running", "waiting", "paused"})
EXPLAINED = frozenset[RunStatus]({"failed", "paused"})
"""The statuses whose reason is asked for."""

KNOWN = 10_000
"""The runs whose status is remembered; the one that changed least recently is forgotten first."""

PAUSE = 2.0
"""Seconds after which a lost connection is made again."""


class KnownRuns:
    """The status of each run, as it was received. Of those that the first events bring, the last `first` are new."""

    def __init__(self, first: int) -> None:
        self._first: int | None = first
        self._statuses: dict[str, RunStatus] = {}
        self._reset: list[RunStateDocument] | None = None
        self._missing: set[str] = set()

    def take(self, event: ServerEvent) -> list[RunStateDocument]:
        """Return the states that are new."""
        if event.name == "reset":
            self._reset = []
            self._missing = {run for run, status in self._statuses.items() if status in UNFINISHED}
        changed = self._note(event.data) if event.name == "run" else []
        if self._reset is None:
            return changed
        self._reset += changed
        if event.id is None:
            return []
        found, self._reset = self._reset, None
        first, self._first = self._first, None
        return found if first is None else found[len(found) - min(first, len(found)) :]

    def _note(self, data: str) -> list[RunStateDocument]:
        state = msgspec.json.decode(data, type=RunStateDocument)
        self._missing.discard(state.run)
        before = self._statuses.pop(state.run, None)
        self._statuses[state.run] = state.status
        if len(self._statuses) > KNOWN:
            del self._statuses[next(iter(self._statuses))]
        return [] if state.status == before else [state]

    def take_missing(self) -> list[str]:
        """Return the runs that have ended while nothing was received: a reset brings all that are unfinished."""
        if self._reset is not None:
            return []
        missing, self._missing = sorted(self._missing), set()
        for run in missing:
            del self._statuses[run]
        return missing


async def follow_runs(
    service: ServiceClient,
    pipeline: str | None,
    tag: str | None,
    status: str | None,
    first: int,
    *,
    as_json: bool,
) -> None:
    """Show the last runs, then each change, of those that the filters select."""
    out = open_console()

    async def show(state: RunStateDocument) -> None:
        if status is None or state.status == status:
            await (_print_json(out, state) if as_json else _print_line(out, service, state))

    stopping = asyncio.create_task(watch_stop_signals().wait())
    following = asyncio.create_task(_follow(service, pipeline, tag, KnownRuns(first), show))
    await asyncio.wait({stopping, following}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, following):
        task.cancel()
    if following.done():
        following.result()


async def _follow(
    service: ServiceClient,
    pipeline: str | None,
    tag: str | None,
    known: KnownRuns,
    show: Callable[[RunStateDocument], Awaitable[None]],
) -> None:
    notes = open_console(err=True)
    cursor, is_lost = None, False
    notes.print(f"following the runs at {service.url}; Ctrl-C to stop", soft_wrap=True)
    while True:
        try:
            async for event in service.stream_runs(pipeline, tag, cursor):
                if is_lost:
                    notes.print("connected again", soft_wrap=True)
                is_lost, cursor = False, event.id or cursor
                for state in known.take(event):
                    await show(state)
                for run in known.take_missing():
                    if ended := await _find_state(service, run):
                        await show(ended)
        except httpx.TransportError:
            pass
        if not is_lost:
            notes.print(f"the connection to {service.url} is lost, and is made again …", soft_wrap=True)
        is_lost = True
        await asyncio.sleep(PAUSE)


async def _find_state(service: ServiceClient, run: str) -> RunStateDocument | None:
    try:
        found = await service.get_run(run)
    except RunNotFound:
        return None
    return RunStateDocument(run, found.pipeline, found.status, None, 0)


async def _print_line(out: Console, service: ServiceClient, state: RunStateDocument) -> None:
    note = state.step if state.status in UNFINISHED else None
    if state.status in EXPLAINED:
        try:
            found = await service.get_run(state.run)
            note = found.why or found.reason or note
        except RunNotFound:
            pass  # it was removed in the meantime
    at = Text(f"{format_time(datetime.now(UTC).isoformat())[11:23]}  ")
    status = Text(f"{state.status:9}  ", style_status(state.status).style)
    parts = (state.run, state.pipeline, make_printable(note or ""))
    out.print(Text.assemble(at, status, "  ".join(filter(None, parts))), soft_wrap=True)
    out.file.flush()


async def _print_json(out: Console, state: RunStateDocument) -> None:
    out.print(format_json(state), soft_wrap=True)
    out.file.flush()
