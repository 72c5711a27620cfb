"""What a text can mean: an id or a part of one, a key that a sender gave, a tag, a pipeline.

Indexes answer everything but the end of an id, which is sought only if nothing else was found.
"""

import re
from collections.abc import Collection, Iterable
from typing import get_args

from durable.journal.dedupe import list_results_of_key
from durable.journal.ids import IdMatch, find_ids, find_ids_by_beginning
from durable.journal.reads import Reads
from durable.journal.runs import load_runs
from durable.units import IdKind, Run
from triggers.documents.fields import format_time
from triggers.documents.found import HitDocument
from triggers.short_ids import SHORTEST

LIMIT = 20
"""What is shown of each kind."""

PREFIXES: dict[str, IdKind] = {"run_": "run", "evt_": "event", "dlv_": "delivery", "blk_": "bulk"}

_ID_PART = re.compile(r"[0-9a-z_]+")


async def find_meanings(reads: Reads, text: str, pipelines: Collection[str]) -> list[HitDocument]:
    """Find what a text can mean. `pipelines`: the names of those that are served."""
    word = text.strip()
    part = word.removeprefix("…").removeprefix("...").lower()
    is_part = len(part) >= SHORTEST and _ID_PART.fullmatch(part) is not None
    kind = next((kind for prefix, kind in PREFIXES.items() if part.startswith(prefix)), None)
    kinds: tuple[IdKind, ...] = (kind,) if kind else get_args(IdKind)
    hits: list[HitDocument] = []
    if is_part:
        for each in kinds:
            found = await reads.read(find_ids_by_beginning, each, part, LIMIT)
            hits += _describe_ids(each, found, "its id begins so")
    if kind is None:
        hits += await _search_words(reads, word, pipelines)
    if not hits and is_part:
        for each in kinds:
            hits += _describe_ids(each, await reads.read(find_ids, each, part, LIMIT), "its id ends so")
    return hits


async def _search_words(reads: Reads, word: str, pipelines: Collection[str]) -> list[HitDocument]:
    """What is found by a key, a tag, or a name."""
    hits = [
        HitDocument("pipeline", name, None, None, None, "its name")
        for name in sorted(pipelines, key=lambda name: (name != word, name))
        if word.lower() in name.lower()
    ][:LIMIT]
    if tagged := await reads.list_runs(tag=word, limit=1):
        hits.append(HitDocument("tag", word, None, None, format_time(tagged[0].created_at), "the tag of runs"))
    results = await reads.read(list_results_of_key, word, LIMIT)
    runs = await reads.read(load_runs, [run for _, runs in results for run in runs][:LIMIT])
    hits += _describe_runs(runs, "the key of the request that started it")
    return hits


def _describe_ids(kind: IdKind, found: Iterable[IdMatch], why: str) -> list[HitDocument]:
    return [HitDocument(kind, each.id, each.about, each.status, format_time(each.at), why) for each in found]


def _describe_runs(runs: Iterable[Run], why: str) -> list[HitDocument]:
    return [HitDocument("run", run.id, run.pipeline, run.status, format_time(run.created_at), why) for run in runs]
