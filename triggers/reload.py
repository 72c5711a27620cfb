"""Reload: a change in the config folder is served from the next event on; runs under way keep what they began with."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from watchfiles import awatch

from durable.journal import JournalError
from durable.language.problem import Problem
from durable.runner import Runner
from triggers.folder import Folder, PipelineFile
from triggers.schedules.schedules import Schedules
from triggers.webhooks.webhook import Webhooks

log = logging.getLogger("waypost.reload")

QUIET = 100
"""Milliseconds without another change after which the folder is read."""


class Reload:
    """Watches the pipeline files and the connections, and serves what they say now."""

    def __init__(self, folder: Folder, runner: Runner, webhooks: Webhooks, schedules: Schedules) -> None:
        self._folder = folder
        self._runner = runner
        self._webhooks = webhooks
        self._schedules = schedules
        self._told: Sequence[Problem] = ()
        self._trouble: str | None = None

    async def watch(self) -> None:
        """Reload at every change, until cancelled."""
        if not self._folder.path.is_dir():
            log.warning("there is no folder %s: no pipeline is served", self._folder.path)
            return
        is_due = True  # something may have changed between the service's start and the watch's
        paths = (self._folder.path, self._folder.path.parent)  # connections stand above; an editor replaces their file
        watching = awatch(
            *paths, step=QUIET, debounce=2_000, rust_timeout=1_000, yield_on_timeout=True, recursive=False
        )
        async for changes in watching:
            if changes or is_due:
                is_due = not await self._succeeds()

    async def _succeeds(self) -> bool:
        """Reload; what cannot be served now is tried again, and told once."""
        try:
            await self.reload()
        except Exception as error:
            if str(error) != self._trouble:
                trace = None if isinstance(error, JournalError) else error
                log.warning("what changed is not served yet: %s; it is tried again", error, exc_info=trace)
            self._trouble = str(error)
            return False
        self._trouble = None
        return True

    async def reload(self) -> None:
        """Read the folder and serve what is valid, once the journal has it; say what changed and what was refused."""
        loaded = await asyncio.to_thread(self._folder.read)
        self._tell_of_connections()
        for file in loaded.values():
            if file.definition and not self._runner.knows(file.definition):
                await self._runner.offer(file.definition)
        changed = self._folder.serve(loaded)
        self._webhooks.serve(self._folder.hooks)
        await self._schedules.serve(self._folder.schedules, self._folder.broken)
        for file in changed:
            self._tell(file)

    def _tell(self, file: PipelineFile) -> None:
        if not file.path.exists():
            log.info("%s is gone: %s is served no more", file.path.name, file.name)
        elif file.is_valid:
            log.info("%s is served as it is now", file.path.name, extra={"pipeline": file.name})
        else:
            kept = "; what it said before is served on" if file.is_refused else ""
            log.error("%s is refused%s", file.path.name, kept)
        _list(file.problems)

    def _tell_of_connections(self) -> None:
        """Say what is wrong with them, once."""
        problems = self._folder.connections.problems if self._folder.connections else ()
        if problems != self._told:
            _list(problems)
        self._told = problems


def _list(problems: Iterable[Problem]) -> None:
    for problem in problems:
        log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
