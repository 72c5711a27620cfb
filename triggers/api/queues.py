"""The operation that shows what waits for Waypost's own limits."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import Field
from starlette.responses import Response

from durable.engine import Engine
from durable.journal.concurrency import count_delayed, list_queues
from durable.journal.journal import Journal
from durable.metrics import CommitTotals, count_commits
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.value_types import Limit
from triggers.documents.fields import format_time
from triggers.documents.queues import AttemptsDocument, CommitsDocument, DelayedDocument, QueueDocument, QueuesDocument

RATE_PERIOD = 60_000
"""The longest time (ms) over which commits are averaged."""

SAMPLE_INTERVAL = 1_000
"""The shortest time (ms) between two samples of the number of commits."""


class QueueParameters(Parameters):
    pipeline: str | None = Field(None, description="Only the queues of this pipeline")
    limit: Limit = Field(100, description="The maximum number")


class _CommitSample(NamedTuple):
    at: int
    totals: CommitTotals


class QueueOperations:
    """Shows the queues, and averages the commits between its calls."""

    def __init__(self, engine: Engine, journal: Journal, now: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._now = now
        self._samples = deque([_CommitSample(now(), count_commits())])

    def operations(self) -> list[Operation[Any, Any]]:
        return [Operation("GET", "/queues", self.get_queues, "read", QueueParameters, Nothing, {200: QueuesDocument})]

    async def get_queues(self, asked: ApiRequest[QueueParameters, Nothing]) -> Response:
        """Show what waits for slots of concurrency and for permits, and how the journal commits."""
        wanted, now = asked.parameters, self._now()
        found = await self._journal.read(list_queues, wanted.limit + 1, wanted.pipeline)
        delayed = await self._journal.read(count_delayed, now)
        document = QueuesDocument(
            queues=[QueueDocument.of(each) for each in found[: wanted.limit]],
            has_more=len(found) > wanted.limit,
            attempts=AttemptsDocument.of(self._engine.report_permits()),
            commits=self._describe_commits(now),
            delayed=DelayedDocument(delayed.count, delayed.has_more, format_time(delayed.next_at)),
        )
        return respond(document)

    def _describe_commits(self, now: int) -> CommitsDocument:
        samples, totals = self._samples, count_commits()
        while len(samples) > 1 and samples[1].at <= now - RATE_PERIOD:
            samples.popleft()
        first = samples[0]
        if now - samples[-1].at >= SAMPLE_INTERVAL:
            samples.append(_CommitSample(now, totals))
        commits, units = totals.commits - first.totals.commits, totals.units - first.totals.units
        seconds = max(now - first.at, SAMPLE_INTERVAL) / 1_000
        group = round(units / commits, 2) if commits else None
        return CommitsDocument(self._journal.waiting, round(commits / seconds, 2), group)
