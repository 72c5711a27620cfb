"""Forks: a new run of the same event from the start with other inputs, or from a step with copied checkpoints."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from durable.decide.copy import ForkRefused
from durable.definition import Definition, InputsRefused
from durable.engine import Engine, ForkOrder, RecordedInput, Start
from durable.history.words import RunSource
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.secrets import Secrets
from durable.units import DedupeKey
from durable.values import JSON
from triggers.config.folder import Folder
from triggers.repeats.edits import InputEdit, ensure_no_secret
from triggers.repeats.recorded import RecordedRun, find_served, load_recorded_run
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.repeated import (
    InputsOrigin,
    Repeated,
    accept_recorded,
    ensure_admitted,
    ensure_arrival,
    find_trigger,
    load_arrival,
    make_unfit,
    mark_repeat,
)


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a person wants to be different.

    `step`: the path of the step from which the fork goes on; None: from the start.
    `input`: the whole input of the step. `inputs`: all inputs of the run, for a fork from the start.
    `changes`: values by name that are put over the input of the step, or over the inputs of the run.
    `is_newest`: the fork runs on the newest version, not on that of the run.
    """

    step: str | None = None
    input: Mapping[str, JSON] | None = None
    inputs: Mapping[str, JSON] | None = None
    changes: Mapping[str, JSON] | None = None
    is_newest: bool = False


class Forks:
    """Forks of runs that have ended or are paused."""

    def __init__(
        self, engine: Engine, journal: Journal, folder: Folder, secrets: Secrets, now: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._folder = folder
        self._secrets = secrets
        self._now = now

    async def fork(
        self, run: str, request: ForkRequest, *, by: str | None, reason: str | None = None, key: DedupeKey | None = None
    ) -> Repeated:
        """Fork a run, and return after the commit. With a `key`, only the first request does.

        Raises `RepeatRefused`, `RunNotFound`, `RunUnreadable`, `Overloaded` and a `JournalError`.
        """
        if request.step is None and request.input is not None:
            raise RepeatRefused(
                "`input` is the input of a step: name the step with `step`, or send `inputs`", is_unfit=True
            )
        if request.step is not None and request.inputs is not None:
            raise RepeatRefused("`inputs` are for a fork from the start: send `input` for a step", is_unfit=True)
        recorded = await load_recorded_run(self._journal, run)
        definition = await self._find_definition(recorded, is_newest=request.is_newest)
        source = RunSource("fork", run, request.step, by, reason)
        keys = [key] if key else []
        if request.step is None:
            start, origin = await self._build_start(definition, recorded, request)
            start = mark_repeat(start, recorded, source, self._now())
            admitted = await self._engine.admit(recorded.event, [start], dedupe_keys=keys, is_recorded=True)
            return Repeated(ensure_admitted(admitted), definition.version, origin, admitted.is_duplicate)
        start = mark_repeat(await self._make_start(definition, recorded), recorded, source, self._now())
        order = ForkOrder(run, request.step, self._make_edit(definition, request.step, request))
        try:
            forked = await self._engine.fork(recorded.event, start, order, dedupe_keys=keys)
        except ForkRefused as refused:
            raise RepeatRefused(str(refused)) from None
        id, is_duplicate = ensure_admitted(forked.admitted), forked.admitted.is_duplicate
        return Repeated(id, definition.version, "recorded", is_duplicate, forked.copied, forked.again)

    async def _find_definition(self, recorded: RecordedRun, *, is_newest: bool) -> Definition:
        row = recorded.row
        if is_newest:
            return find_served(self._folder, row.pipeline)
        served = self._folder.definition(row.pipeline)
        if served is not None and served.version == row.version:
            return served
        data = await self._journal.load_definition(row.version)
        if data is None:
            raise RunUnreadable(row.id, f"the journal holds no definition of its version {row.version}")
        return await asyncio.to_thread(Definition.load, data)

    async def _build_start(
        self, definition: Definition, recorded: RecordedRun, request: ForkRequest
    ) -> tuple[Start, InputsOrigin]:
        """The start of a run from the beginning."""
        if request.inputs is None and not request.changes:
            return await self._make_start(definition, recorded), "recorded"
        given = {**(recorded.inputs or {} if request.inputs is None else request.inputs), **(request.changes or {})}
        edited: list[JSON] = [dict(request.inputs or {}), dict(request.changes or {})]
        await asyncio.to_thread(ensure_no_secret, self._secrets.redactor, edited)
        try:
            inputs = definition.accept(given)
        except InputsRefused as refused:
            raise make_unfit(recorded.row.id, definition, str(refused)) from None
        return await self._make_start(definition, recorded, inputs), "given"

    async def _make_start(
        self, definition: Definition, recorded: RecordedRun, inputs: dict[str, JSON] | None = None
    ) -> Start:
        """The start of a run with these inputs, or with the recorded ones, which another version must take as well."""
        arrival = recorded.arrival
        if definition.version != recorded.row.version:
            arrival = await load_arrival(self._journal, find_trigger(self._folder, recorded), recorded)
            ensure_arrival(definition, arrival)
        if inputs is None:
            is_same = definition.version == recorded.row.version and recorded.inputs is not None
            inputs = recorded.inputs if is_same else accept_recorded(definition, recorded)
        return Start(definition, recorded.row.trigger, inputs or {}, arrival)

    def _make_edit(
        self, definition: Definition, step: str, request: ForkRequest
    ) -> Callable[[RecordedInput | None], RecordedInput] | None:
        """The function that edits the step's input, in the thread that reads the run; None if it is not edited."""
        if request.input is None and not request.changes:
            return None
        return InputEdit(self._folder, self._secrets, definition, step, request.input, request.changes or {}).edit
