"""What reruns and forks have in common: the start of a run that repeats another, and its inputs."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from durable.clock import new_id
from durable.definition import Definition, InputsRefused
from durable.engine import Start
from durable.history.words import RunSource
from durable.journal.journal import Journal
from durable.units import Admitted
from durable.values import JSON
from triggers.config.folder import Folder
from triggers.repeats.documents import load_document
from triggers.repeats.recorded import RecordedRun
from triggers.repeats.refusal import RepeatRefused
from triggers.trigger import Trigger, build_trigger_document

InputsOrigin: TypeAlias = Literal["mapped", "recorded", "given"]
"""Where the inputs of a repeated run come from: the trigger's newest mapping, the run that is repeated, or a person."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A run that repeats another.

    `is_duplicate`: an earlier request with the same key started it.
    `earlier`: the newest run that already repeated the same one, of a rerun.
    `copied`: how many checkpoints it has from the other run.
    `again`: the steps that are performed anew beside the one from which it goes on.
    """

    run: str
    version: str
    inputs: InputsOrigin
    is_duplicate: bool
    copied: int = 0
    again: tuple[str, ...] = ()
    earlier: str | None = None


def find_trigger(folder: Folder, recorded: RecordedRun) -> Trigger | None:
    """The trigger that started the run, as its pipeline has it now; None if it has none of that id any more."""
    of_pipeline = (each for each in folder.triggers if each.definition.id == recorded.row.pipeline)
    return next((each for each in of_pipeline if each.id == recorded.trigger), None)


async def load_arrival(journal: Journal, trigger: Trigger | None, recorded: RecordedRun) -> JSON:
    """The `trigger` document of the run's event; None if what arrived was not kept."""
    event = recorded.event
    if recorded.arrival is not None:
        return recorded.arrival
    if trigger is not None:
        return await load_document(journal, trigger, event)
    is_from_api = recorded.trigger is None and recorded.started.parent is None
    return build_trigger_document(event.key, event.source, event.time) if is_from_api else None


def mark_repeat(start: Start, recorded: RecordedRun, source: RunSource, at: int) -> Start:
    """The start of a run that repeats another: it has the other's tags, priority and depth, and begins now.

    The runs that descend from it are counted anew, so that a repeated run is not stopped by the bound of the first.
    """
    run, first = new_id("run", at), recorded.started
    return replace(
        start,
        run=run,
        origin=run,
        tags=first.tags,
        priority=first.priority,
        depth=recorded.depth,
        source=source,
        at=at,
    )


def accept_recorded(definition: Definition, recorded: RecordedRun) -> dict[str, JSON]:
    """The inputs of the run that is repeated; raises `RepeatRefused` if the version does not take them."""
    if recorded.inputs is None:
        what = f"run {recorded.row.id} has no inputs: they could not be computed, and its request was not kept"
        raise RepeatRefused(f"{what}; provide them: `waypost fork {recorded.row.id} --inputs JSON`", is_unfit=True)
    try:
        return definition.accept(recorded.inputs)
    except InputsRefused as refused:
        raise make_unfit(recorded.row.id, definition, str(refused)) from None


def ensure_arrival(definition: Definition, arrival: JSON) -> None:
    """Raise `RepeatRefused` if a step of the version reads `trigger`, and nothing was kept that it could read."""
    if arrival is None and definition.reads_arrival:
        raise RepeatRefused(
            f"version {definition.version[:12]} reads `trigger`, but the request of this run was not kept"
        )


def make_unfit(run: str, definition: Definition, problems: str) -> RepeatRefused:
    what = f"the inputs do not fit version {definition.version[:12]}: {problems}"
    return RepeatRefused(f"{what}; provide others: `waypost fork {run} --inputs JSON`", is_unfit=True)


def ensure_admitted(admitted: Admitted) -> str:
    """The id of the run that was started; raises `RepeatRefused` if none was."""
    if admitted.is_conflict:
        raise RepeatRefused("this idempotency key was used for another request; use a new key", is_unfit=True)
    if not admitted.runs:
        raise RepeatRefused("the concurrency limit of the pipeline is reached, and further runs are skipped")
    return admitted.runs[0]
