"""Short ids: the beginning or the end of an id, or `latest`, instead of the whole of it."""

import re

from durable.ids import is_whole_id
from durable.journal.ids import IdMatch, find_ids, find_newest
from durable.journal.reads import Reads
from durable.units import IdKind
from durable.wording import quote
from triggers.documents.fields import format_time
from triggers.not_found import IdAmbiguous, IdNotFound

LATEST = "latest"

SHORTEST = 4
"""The fewest characters of an id that are looked up."""

CANDIDATES = 5
"""How many ids are listed that a short one could mean."""

_PART = re.compile(r"[0-9a-z_]+")


async def find_id(reads: Reads, kind: IdKind, text: str, pipeline: str | None = None) -> str:
    """Return the id that a text means; raises `IdNotFound` and `IdAmbiguous`. A whole id is not looked up. With
    `pipeline`, `latest` is the newest run of that pipeline."""
    given = text.strip().removeprefix("…").removeprefix("...").lower()
    if is_whole_id(given):
        return given
    if given == LATEST:
        newest = await reads.read(find_newest, kind, pipeline)
        if newest is None:
            of = f" of a pipeline {quote(pipeline)}" if pipeline else ""
            raise IdNotFound(kind, f"there is no {kind}{of} yet")
        return newest
    if len(given) < SHORTEST or not _PART.fullmatch(given):
        what = f"{quote(text)} is not the id of {'an' if kind == 'event' else 'a'} {kind}"
        raise IdNotFound(kind, f"{what}: give {SHORTEST} or more characters of its beginning or end, or {LATEST!r}")
    found = await reads.read(find_ids, kind, given, CANDIDATES + 1)
    if not found:
        raise IdNotFound(kind, f"there is no {kind} whose id begins or ends with {quote(text)}")
    if len(found) > 1:
        raise IdAmbiguous(_list_candidates(text, found))
    return found[0].id


def _list_candidates(text: str, found: list[IdMatch]) -> str:
    many = f"more than {CANDIDATES}" if len(found) > CANDIDATES else str(len(found))
    lines = [
        "  ".join(filter(None, (each.id, each.about, each.status, format_time(each.at)))) for each in found[:CANDIDATES]
    ]
    return "\n  ".join([f"{quote(text)} matches {many} ids; give more characters:", *lines])
