"""The inputs that people and programs have given to a pipeline lately, so that a form can offer them again."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from durable.history.entries import RunStarted
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.samples import sample_runs
from durable.journal.scan import Scan
from durable.reports import RunSample
from triggers.documents.fields import format_time
from triggers.documents.pipelines import GivenInputsDocument, RecentInputsDocument
from triggers.runs.encoder import DocumentEncoder
from triggers.runs.lists import API

SHOWN = 5

RUNS_LIMIT = 2_000
"""The runs of the pipeline of which those of the API are sought."""

READ_LIMIT = 50
"""The runs whose inputs are read."""

BYTES_LIMIT = 8_000
"""Larger inputs are left out: nobody reads them in a form."""


async def read_recent_inputs(reads: Reads, pipeline: str, *, may_answer: bool) -> RecentInputsDocument:
    """The last distinct inputs that the API was given. Without `may_answer`, they have no links to waits."""
    found = await reads.read(sample_runs, pipeline, RUNS_LIMIT, trigger=API)

    def describe(scan: Scan) -> list[GivenInputsDocument]:
        known: dict[str, GivenInputsDocument] = {}
        for run in found[:READ_LIMIT]:
            for document in _read_inputs(scan, run, may_answer=may_answer):
                known.setdefault(json.dumps(document.inputs, sort_keys=True), document)
            if len(known) == SHOWN:
                break
        return list(known.values())

    return RecentInputsDocument(await reads.scan(describe))


def _read_inputs(scan: Scan, run: RunSample, *, may_answer: bool) -> Iterator[GivenInputsDocument]:
    """The inputs of a run; nothing if they are large, or cannot be read."""
    try:
        _, started = next(scan.read_entries(run.id, 0, 1), (0, None))
    except RunUnreadable:
        return
    if isinstance(started, RunStarted) and started.inputs.size <= BYTES_LIMIT:
        encoder = DocumentEncoder(scan, run.id, may_answer=may_answer)
        inputs: Any = msgspec.json.decode(encoder.encode(encoder.raw(started.inputs)))
        if isinstance(inputs, dict):
            yield GivenInputsDocument(run.id, format_time(run.created_at), inputs)
