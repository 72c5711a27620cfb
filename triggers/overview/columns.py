"""Counts of runs in columns of time, for charts: derived from the rows, and kept for as long as they hardly change.

A column changes after its time: its runs end later, or are retried. The last two columns are always counted, an older
one again after a twentieth of its age, so that a chart of a million runs costs what happened lately.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection

from durable.durations import parse_duration
from durable.ids import first_id
from durable.journal.counts import count_runs
from durable.journal.reads import Reads
from durable.reports import RunCounts
from triggers.documents.overview import Period

AGE_SHARE = 20
"""The part of its age for which the count of a column is kept."""

KEPT = 2_000
"""The columns that are kept: about 300 bytes each."""


class Division(NamedTuple):
    """How a period is divided: the number of its columns, and the length of each in ms."""

    number: int
    length: int


DIVISIONS: Mapping[Period, Division] = {
    "hour": Division(60, parse_duration("1m")),
    "day": Division(48, parse_duration("30m")),
    "week": Division(56, parse_duration("3h")),
}


class Place(NamedTuple):
    """A column: the runs of a pipeline, or of all, that start from `start` on for `length` (ms)."""

    pipeline: str | None
    start: int
    length: int


Columns: TypeAlias = dict[int, RunCounts]
"""Counts by the start of their column, the oldest first."""


class RunColumns:
    """Counts runs in columns."""

    def __init__(self, reads: Reads, now: Callable[[], int]) -> None:
        self._reads = reads
        self._now = now
        self._kept: OrderedDict[Place, tuple[int, RunCounts]] = OrderedDict()

    async def count(self, period: Period, pipeline: str | None = None) -> Columns:
        """Count the runs of a period that ends now."""
        number, length = DIVISIONS[period]
        now = self._now()
        last = now // length * length
        places = [Place(pipeline, last - (number - 1 - index) * length, length) for index in range(number)]
        due = [place for place in places if self._is_due(place, now)]
        for place, counts in (await self._reads.read(_count_places, due)).items():
            self._keep(place, now, counts)
        return {place.start: self._kept[place][1] for place in places}

    def _is_due(self, place: Place, now: int) -> bool:
        kept = self._kept.get(place)
        age = now - place.start - 2 * place.length
        return kept is None or age < 0 or now - kept[0] > age / AGE_SHARE

    def _keep(self, place: Place, now: int, counts: RunCounts) -> None:
        self._kept[place] = now, counts
        self._kept.move_to_end(place)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _count_places(connection: Connection, places: Iterable[Place]) -> dict[Place, RunCounts]:
    return {place: _count(connection, place) for place in places}


def _count(connection: Connection, place: Place) -> RunCounts:
    since, before = first_id("run", place.start), first_id("run", place.start + place.length)
    return count_runs(connection, since, before, place.pipeline)
