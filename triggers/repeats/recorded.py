"""What the journal holds of a run that is repeated."""

from dataclasses import dataclass
from typing import get_args

from durable.definition import Definition
from durable.history.entries import RunStarted
from durable.history.words import EndStatus
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.units import Event, Run
from durable.values import JSON
from triggers.config.folder import Folder
from triggers.repeats.refusal import RepeatRefused
from triggers.runs.rows import find_run

AT_REST = frozenset({*get_args(EndStatus), "paused"})
"""The statuses of runs that can be repeated. Any other run still works on its event."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run as it was started: its row, its event, its first entry, and the values in that entry. `inputs` is None if
    they could not be made; `arrival` is the value of `trigger`, None if it was not kept."""

    row: Run
    event: Event
    started: RunStarted
    inputs: dict[str, JSON] | None
    arrival: JSON

    @property
    def trigger(self) -> str | None:
        """The id of the trigger in the pipeline's file that started it; None if the API or another run did."""
        is_from_api = self.row.trigger == "api" and self.event.source == f"api/{self.row.pipeline}"
        return None if is_from_api or self.started.parent else self.row.trigger

    @property
    def depth(self) -> int:
        """How many runs, each started by a call or an event of the one before, led to this run."""
        return (self.started.parent.depth if self.started.parent else 0) + self.started.depth


async def load_recorded_run(journal: Journal, run: str) -> RecordedRun:
    """Load what a run was started with; raises `RunNotFound`, `RunUnreadable`, and `RepeatRefused` if the run still
    works on its event."""
    row = await find_run(journal, run)
    if row.status not in AT_REST:
        raise RepeatRefused(
            f"run {run} is {row.status}: wait until it ends, or cancel it first (`waypost cancel {run}`)"
        )
    event = await journal.find_event(row.event)
    if event is None:
        raise RepeatRefused(f"the event {row.event} of run {run} is no longer in the journal")
    return await journal.scan(lambda scan: _load(scan, row, event))


def _load(scan: Scan, row: Run, event: Event) -> RecordedRun:
    _, started = next(scan.read_entries(row.id, 0, 1), (0, None))
    if not isinstance(started, RunStarted):
        raise RunUnreadable(row.id, "its history does not begin with its start")
    scan.load_value(event.data)
    inputs, arrival = (scan.load_value(value).load() for value in (started.inputs, started.arrival))
    return RecordedRun(row, event, started, inputs if isinstance(inputs, dict) else None, arrival)


def find_served(folder: Folder, pipeline: str) -> Definition:
    """The newest version of a pipeline; raises `RepeatRefused` with the reason why none is served."""
    definition = folder.definition(pipeline)
    if definition is not None:
        return definition
    for file in folder.files:
        if file.name == pipeline:
            why = "; ".join(map(str, file.problems)) or "it is disabled"
            raise RepeatRefused(f"the pipeline {pipeline} is not served: {why}")
    raise RepeatRefused(f"the pipeline {pipeline} is not served: no file defines it any more")
