"""Reloading: changes of the config folder take effect from the next event on; runs in progress keep their version."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from watchfiles import awatch

from durable.engine import Engine
from durable.journal.errors import JournalError
from durable.problem import Problem
from triggers.config.connections import Connections
from triggers.config.discovery import Discoverer
from triggers.config.folder import Folder, PipelineFile
from triggers.trigger import Trigger

log = logging.getLogger("waypost.reload")

Identity: TypeAlias = tuple[int, int]

MISSING_SECONDS = 1.0
"""The time between two checks for a missing folder."""

DISCOVERY_SECONDS = 10.0
"""The time that a reload waits for services whose actions are not known."""

QUIET = 100
"""The milliseconds without another change after which the folder is read."""


class WayIn(Protocol):
    """What serves a kind of trigger: the webhooks, the schedules."""

    async def serve(self, triggers: Sequence[Trigger], broken: Collection[str] = ()) -> None:
        """Serve the triggers of its kind from now on. The pipelines that are `broken` serve none at the moment."""
        ...


class Reloader:
    """Watches the pipeline files and the connections, and serves their current content."""

    def __init__(self, folder: Folder, engine: Engine, ways_in: Sequence[WayIn]) -> None:
        self.discoverer: Discoverer | None = None
        self._folder = folder
        self._engine = engine
        self._ways_in = ways_in
        self._reported = _find_problems(folder.connections)  # reported at the start
        self._connectors = folder.connectors.folder.files
        self._unread = folder.unread
        self._trouble: str | None = None
        self._turn = asyncio.Lock()

    async def watch(self) -> None:
        """Reload at every change, until cancelled. A folder that is created again, or later, is watched from then
        on."""
        if not self._folder.path.is_dir():
            log.warning("there is no folder %s, so no pipeline is served", self._folder.path)
        while True:
            with suppress(OSError):
                paths = self._paths
                await self._watch(paths, [_identify(path) for path in paths])
            await asyncio.sleep(MISSING_SECONDS)

    async def discover(self) -> None:
        """Ask the services again whose actions are not known, until cancelled."""
        if self.discoverer:
            await self.discoverer.watch()

    @property
    def _paths(self) -> list[Path]:
        """Connections are in the parent folder, and editors replace their file."""
        return [self._folder.path, self._folder.path.parent, *self._folder.connectors.folder.folders]

    async def _watch(self, paths: list[Path], folders: list[Identity]) -> None:
        """Watch these folders until others take their place; raises OSError."""
        is_due = True  # something may have changed before the watch began
        watching = awatch(
            *paths, step=QUIET, debounce=2_000, rust_timeout=1_000, yield_on_timeout=True, recursive=False
        )
        async with aclosing(watching):
            async for changes in watching:
                if changes or is_due:
                    is_due = not await self._try_reload()
                if self._paths != paths or [_identify(path) for path in paths] != folders:
                    return

    async def _try_reload(self) -> bool:
        """Reload. A failure is logged once, and the reload is repeated."""
        try:
            await self.reload()
        except Exception as error:
            if str(error) != self._trouble:
                trace = None if isinstance(error, JournalError) else error
                log.warning("a change could not be loaded and will be retried: %s", error, exc_info=trace)
            self._trouble = str(error)
            return False
        self._trouble = None
        return True

    async def reload(self) -> None:
        """Read the folder, store new versions in the journal, serve what is valid, and log what changed and what was
        refused."""
        async with self._turn:  # the watch reloads too, and so does a change of the stored secrets
            await self._reload()

    async def _reload(self) -> None:
        loaded = await asyncio.to_thread(self._folder.read)
        if self.discoverer and await self.discoverer.follow(DISCOVERY_SECONDS):
            loaded = await asyncio.to_thread(self._folder.read)
        self._report_connectors()
        self._report_connections()
        self._report_unread()
        self._engine.apply_limits()
        for file in loaded.values():
            if file.definition and not self._engine.knows(file.definition):
                await self._engine.offer(file.definition)
        before = _by_path(self._folder.files)
        changed = self._folder.serve(loaded)
        await self.serve()
        after = _by_path(self._folder.files)  # a file that is valid in itself may want what another has
        for path in (file.path for file in changed):
            self._report(before.get(path), after.get(path))

    async def serve(self) -> None:
        """Give every way in the triggers of the folder."""
        for way_in in self._ways_in:
            await way_in.serve(self._folder.triggers, self._folder.broken)

    def _report(self, before: PipelineFile | None, now: PipelineFile | None) -> None:
        if now is None:
            if before and before.definition:
                self._report_removed(before)
        elif now.is_valid:
            where = _list_new_addresses(before, now)
            log.info("%s was reloaded%s", now.path.name, where, extra={"pipeline": now.name})
            _log_problems(now.problems)
        elif now.path.exists():  # if it was removed while it was read, the next reload reports it
            kept = "; its previous version stays in use" if now.is_refused else ""
            log.error("%s is invalid%s", now.path.name, kept)
            _log_problems(now.problems)

    def _report_removed(self, file: PipelineFile) -> None:
        is_elsewhere = self._folder.definition(file.name) is not None
        what = "is defined by another file now" if is_elsewhere else "is no longer served"
        log.info("%s was removed: %s %s", file.path.name, file.name, what)

    def _report_unread(self) -> None:
        """Log which files are not read, once for each."""
        before, self._unread = self._unread, self._folder.unread
        _log_problems(problem for problem in self._unread.lasting if problem not in before.problems)

    def _report_connectors(self) -> None:
        """Log which of the operator's connectors changed, and their problems."""
        before, self._connectors = self._connectors, self._folder.connectors.folder.files
        for name in sorted({*before, *self._connectors}):
            file = self._connectors.get(name)
            if file is None:
                log.info("%s was removed: there is no connector of this file now", before[name].path.name)
            elif file == before.get(name):
                continue
            elif file.is_valid:
                log.info("the connector %s was reloaded", file.path.name)
            else:
                kept = "; its previous version stays in use" if file.is_refused else ""
                log.error("the connector %s is invalid%s", file.path.name, kept)
            _log_problems(file.problems if file else ())

    def _report_connections(self) -> None:
        """Log how the connections changed and their problems, once."""
        connections = self._folder.connections
        problems = _find_problems(connections)
        if connections and problems != self._reported:
            _report_validity(connections)
            _log_problems(problems)
        self._reported = problems


def _identify(folder: Path) -> Identity:
    """What distinguishes a folder from another one at the same path; raises OSError."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _by_path(files: Iterable[PipelineFile]) -> Mapping[Path, PipelineFile]:
    return {file.path: file for file in files}


def _list_new_addresses(before: PipelineFile | None, now: PipelineFile) -> str:
    """The addresses of triggers that were not served before, in words."""
    known = _list_addresses(before) if before else []
    return "".join(f"; {address}" for address in _list_addresses(now) if address not in known)


def _list_addresses(file: PipelineFile) -> list[str]:
    return [each.address for triggers in file.triggers.values() for each in triggers if each.address]


def _find_problems(connections: Connections | None) -> Sequence[Problem]:
    return connections.problems if connections else ()


def _report_validity(connections: Connections) -> None:
    name = connections.path.name
    if not connections.path.exists():
        log.info("%s was removed: there are no connections now", name)
    elif connections.is_valid:
        log.info("%s was reloaded", name)
    else:
        kept = ", ".join(each for each in connections.names if connections.is_broken(each))
        log.error("%s is invalid%s", name, f"; its previous version stays in use for {kept}" if kept else "")


def _log_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
