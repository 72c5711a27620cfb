"""What arrives at a service from now on: deliveries, runs and their ends, and requests to unknown paths.

The service is asked over its API twice a second. It commits deliveries and runs a moment after their ids are made, so
that each question looks back a little, and what was seen already is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from durable.ids import first_id
from triggers.documents.deliveries import DeliveryDocument
from triggers.documents.runs import RunLineDocument
from triggers.documents.unknown_paths import UnknownPathDocument
from triggers.reading.client import ServiceClient

Arrival: TypeAlias = DeliveryDocument | RunLineDocument | UnknownPathDocument

LOOK_BACK = 2_000
"""Milliseconds before the last question that are asked for again."""

PAGE = 20
PAGES_LIMIT = 50
"""The most pages that one question reads; a service that takes more in half a second is not watched line by line."""

FOLLOWED = 200
"""The runs whose end is waited for. The oldest is forgotten first."""

ASKED_ALONE = 5
"""The runs that are no longer on the first page and that one question asks for, one by one."""


@dataclass
class Arrivals:
    """What arrived since `start` (ms) on a pipeline or on one of its triggers, if one is named."""

    service: ServiceClient
    start: int
    pipeline: str | None = None
    trigger: str | None = None
    _seen: dict[str, str] = field(default_factory=dict)
    """The status of each run, and the outcome of each delivery, that was seen."""

    _followed: dict[str, None] = field(default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _asked_at: int = 0

    async def begin(self) -> None:
        """Note what is there already."""
        self._asked_at = self.start
        self._counts = {_key(each): each.count for each in await self.service.list_unknown_paths()}

    async def ask(self, at: int) -> list[Arrival]:
        """What is new at a time (ms), in the order of time."""
        since = max(self._asked_at - LOOK_BACK, self.start)
        found: list[Arrival] = [
            *await self._ask_deliveries(since),
            *await self._ask_runs(since),
            *await self._ask_unknown_paths(since),
        ]
        self._asked_at = at
        return sorted(found, key=find_time)

    async def _ask_deliveries(self, since: int) -> list[DeliveryDocument]:
        name = f"{self.pipeline}/{self.trigger}" if self.trigger else None
        filters = {"trigger": name, "from": _format_time(since), "limit": PAGE}
        new: list[DeliveryDocument] = []
        after = None
        for _ in range(PAGES_LIMIT):
            page = await self.service.list_deliveries(**filters, after=after)
            new += [each for each in page if self._note(each.id, each.outcome)]
            if len(page) < PAGE:
                break
            after = page[-1].id
        own = f"{self.pipeline}/"
        return [each for each in new if self.pipeline is None or each.trigger.startswith(own)]

    async def _ask_runs(self, since: int) -> list[RunLineDocument]:
        new: list[RunLineDocument] = []
        seen_now: set[str] = set()
        after = None
        for _ in range(PAGES_LIMIT):
            page = await self.service.list_runs(pipeline=self.pipeline, after=after, limit=PAGE)
            recent = [each for each in page if each.id >= first_id("run", self.start)]
            seen_now.update(each.id for each in recent)
            new += self._note_runs(recent)
            if len(page) < PAGE or page[-1].id < first_id("run", since):
                break
            after = page[-1].id
        for run in [run for run in self._followed if run not in seen_now][:ASKED_ALONE]:
            new += self._note_runs([await self.service.get_run(run)])
            if run in self._followed:  # the next question asks for others first
                self._followed[run] = self._followed.pop(run)
        return new

    def _note_runs(self, runs: list[RunLineDocument]) -> Iterator[RunLineDocument]:
        for run in runs:
            if self.trigger and run.trigger != self.trigger:
                continue
            if run.finished_at:
                self._followed.pop(run.id, None)
            else:
                self._followed[run.id] = None
                if len(self._followed) > FOLLOWED:
                    del self._followed[next(iter(self._followed))]
            if self._note(run.id, run.status):
                yield run

    async def _ask_unknown_paths(self, since: int) -> list[UnknownPathDocument]:
        found = await self.service.list_unknown_paths(_format_time(since))
        new = [each for each in found if each.count > self._counts.get(_key(each), 0)]
        self._counts |= {_key(each): each.count for each in new}
        return new

    def _note(self, id: str, status: str) -> bool:
        """Note a delivery or a run; whether it is new or has another status."""
        is_new = self._seen.get(id) != status
        self._seen[id] = status
        if len(self._seen) > 10 * PAGE * PAGES_LIMIT:
            del self._seen[next(iter(self._seen))]
        return is_new


def _format_time(at: int) -> str:
    """A time (ms) as the API reads it."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat()


def _key(path: UnknownPathDocument) -> tuple[str, str]:
    return path.method, path.path


def find_time(arrival: Arrival) -> str:
    """When it arrived, or when it ended, as the API writes times."""
    match arrival:
        case DeliveryDocument():
            return arrival.at or ""
        case UnknownPathDocument():
            return arrival.last_at or ""
        case RunLineDocument():
            return arrival.finished_at or arrival.created_at or ""
