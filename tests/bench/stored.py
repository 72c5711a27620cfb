"""Create the data folder of a service that stopped while many runs waited, through the journal itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

from durable.clock import new_id
from durable.definition import Definition
from durable.engine import Start
from durable.journal.journal import Journal
from durable.language.catalogue import Catalogue
from durable.language.load import load_pipeline
from durable.language.resolve import resolve_pipeline
from durable.runner.start import RunAddresses, begin_run
from durable.units import Admission, Event
from durable.values import JSON
from triggers.config.catalogue import load_connectors

ACTIONS = load_connectors().actions
TOGETHER = 500
"""Runs of one admission."""

Inputs = Callable[[int], dict[str, JSON]]


def compile_definition(id: str, text: str) -> Definition:
    """Compile a text to a definition as a service does."""
    loaded = load_pipeline(dedent(text), file=f"{id}.yaml", catalogue=Catalogue(ACTIONS, {}))
    assert loaded.pipeline, [str(problem) for problem in loaded.problems]
    return resolve_pipeline(loaded.pipeline, ACTIONS.get)


async def fill(data: Path, definition: Definition, count: int, at: int, inputs: Inputs) -> None:
    """Begin `count` runs at a given time (ms) and release them; `inputs` returns the inputs of a run by its number."""
    journal = await Journal.open(data, node=new_id("node", at), on_fatal=_never)
    addresses = RunAddresses(lambda run: None, "http://127.0.0.1/waits")
    await journal.add_definition(definition.version, definition.id, definition.data, at)
    for first in range(0, count, TOGETHER):
        event = Event(id=new_id("evt", at), source="bench", key=str(first), type=None, time=at)
        begun = [
            begin_run(event, Start(definition, "bench", inputs(number)), addresses)
            for number in range(first, min(first + TOGETHER, count))
        ]
        admitted = await journal.admit(Admission(event, [run.build_row(event) for run in begun]))
        assert len(admitted.runs) == len(begun)
        await asyncio.sleep(0)
    await journal.release_all()
    await journal.close()


def _never(error: BaseException) -> None:
    raise AssertionError(error)
