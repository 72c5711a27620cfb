"""Searches of runs by a text in their inputs: the newest runs are read in slices, since no index has their inputs."""

import json
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Unpack

from durable.history.encoding import decode_entries
from durable.history.entries import RunStarted
from durable.journal.payloads import DECODING_ERRORS
from durable.journal.reads import Reads
from durable.journal.runs import RunFilter
from durable.journal.scan import Scan
from durable.units import Run
from triggers.runs.encoder import DocumentEncoder

LOOKED_AT = 10_000
"""The runs that one request looks at."""

SLICE = 500
"""The runs that are read at once, in about 10 ms. Other reads come in between."""


class SearchPage(NamedTuple):
    """The runs that were found, the cursor of the older ones, and how many were looked at."""

    runs: list[Run]
    after: str | None
    looked_at: int


async def search_runs(reads: Reads, text: str, *, may_answer: bool, **wanted: Unpack[RunFilter]) -> SearchPage:
    """Find runs with this text in their inputs, whatever its case, among those that a filter selects. Inputs that are
    large are left out. Without `may_answer`, links to waits are not searched."""
    found: list[Run] = []
    limit, looked_at = wanted.get("limit", 50), 0
    wanted["limit"] = SLICE
    while looked_at < LOOKED_AT:
        runs = await reads.list_runs(**wanted)
        matching = await reads.scan(partial(_find_matching, runs=runs, text=text, may_answer=may_answer))
        for run in runs:
            looked_at += 1
            if run.id in matching:
                found.append(run)
            if len(found) == limit:
                return SearchPage(found, run.id, looked_at)
        if len(runs) < SLICE:
            return SearchPage(found, None, looked_at)
        wanted["after"] = runs[-1].id
    return SearchPage(found, wanted["after"], looked_at)


def _find_matching(scan: Scan, runs: Sequence[Run], text: str, *, may_answer: bool) -> set[str]:
    """The ids of the runs of a slice that match."""
    appends = scan.load_first_appends([run.id for run in runs])
    needles = _spell(text)
    found = set()
    for run, stored in appends.items():
        scan.rest()
        if _has(stored, needles) and _has(_read_inputs(scan, run, stored, may_answer=may_answer), needles):
            found.add(run)
    return found


def _spell(text: str) -> tuple[bytes, ...]:
    """The text in JSON, as it is stored and with every other character escaped."""
    return tuple(
        json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode("utf-8", "surrogatepass").lower()
        for is_ascii in (False, True)
    )


def _has(data: bytes, needles: Sequence[bytes]) -> bool:
    lowered = data.lower()
    return any(needle in lowered for needle in needles)


def _read_inputs(scan: Scan, run: str, stored: bytes, *, may_answer: bool) -> bytes:
    """The inputs of a run as its reader gets them, as JSON; nothing if they are large or cannot be read."""
    try:
        started = decode_entries(stored)[0]
    except (*DECODING_ERRORS, IndexError):
        return b""
    if not isinstance(started, RunStarted) or not started.inputs.is_loaded:
        return b""
    encoder = DocumentEncoder(scan, run, may_answer=may_answer)
    return encoder.encode(encoder.raw(started.inputs))
