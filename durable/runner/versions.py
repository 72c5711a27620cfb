"""The pipeline versions that this process knows: those that were offered, and those of its runs."""

import asyncio

from durable.definition import Definition
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal


class Versions:
    """Definitions by version."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._definitions: dict[str, Definition] = {}
        self._offered: set[str] = set()

    async def offer(self, *definitions: Definition, at: int) -> None:
        """Store definitions in the journal, so that runs of them can start."""
        self._offered.update(each.version for each in definitions)
        await asyncio.gather(
            *(self._journal.add_definition(each.version, each.id, each.data, at) for each in definitions)
        )
        self._definitions |= {each.version: each for each in definitions}

    def knows(self, definition: Definition) -> bool:
        """Whether the definition was offered."""
        return definition.version in self._definitions

    def needs(self, version: str) -> bool:
        """Whether a definition must remain in the journal: it was offered, or a run of it was taken over."""
        return version in self._offered or version in self._definitions

    async def load_definition(self, run: str, version: str) -> Definition:
        """Return the definition of a run; raises `RunUnreadable`."""
        if version not in self._definitions:
            data = await self._journal.load_definition(version)
            if data is None:
                raise RunUnreadable(run, f"the journal holds no definition of its version {version}")
            try:
                self._definitions[version] = Definition.load(data)
            except (ValueError, LookupError, TypeError) as error:
                raise RunUnreadable(run, f"the definition of its version {version} is damaged ({error})") from error
        return self._definitions[version]

    def find_shortest_timeout(self, pipeline: str) -> int | None:
        """Return the shortest timeout, in ms, of all known versions of a pipeline."""
        timeouts = (each.pipeline.timeout for each in self._definitions.values() if each.id == pipeline)
        return min(timeouts, default=None)
