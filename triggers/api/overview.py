"""Operations that tell how the service does, and what needs a person."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field
from starlette.responses import Response

from durable.durations import parse_duration
from durable.engine import Engine
from durable.journal.journal import Journal
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.value_types import PastMoment
from triggers.config.folder import Folder
from triggers.documents.connections import ConnectionDocument
from triggers.documents.overview import AttentionDocument, OverviewDocument, Period
from triggers.documents.schedules import ScheduleDocument
from triggers.overview.attention import Attention
from triggers.overview.overview import Overviews
from triggers.runs.lists import RunLists

ATTENTION_PERIOD = parse_duration("24h")
"""Older failures are not shown as news (ms)."""


class OnePeriod(Parameters):
    period: Period = Field("day", description="The time that ends now")


class RecentTime(Parameters):
    since: PastMoment | None = Field(
        None,
        alias="from",
        description="Only failures of runs that started since then; by default, of the last 24 hours",
    )


class OverviewOperations:
    """Tells how the service does."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        folder: Folder,
        connections: Callable[[], Sequence[ConnectionDocument]],
        schedules: Callable[[], Sequence[ScheduleDocument]],
        now: Callable[[], int],
    ) -> None:
        lists = RunLists(journal, folder.list_names, now, engine.explain_progress)
        self._overviews = Overviews(journal, lambda: sorted(folder.list_names().pipelines), now)
        self._attention = Attention(journal, folder, lists, connections, schedules, now)
        self._now = now

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/overview", self.get_overview, "read", OnePeriod, Nothing, {200: OverviewDocument}),
            Operation("GET", "/attention", self.get_attention, "read", RecentTime, Nothing, {200: AttentionDocument}),
        ]

    async def get_overview(self, asked: ApiRequest[OnePeriod, Nothing]) -> Response:
        """Return how the service does: the runs of a period in columns of time, what is unfinished now, and how the
        newest runs of each pipeline went."""
        return respond(await self._overviews.make(asked.parameters.period))

    async def get_attention(self, asked: ApiRequest[RecentTime, Nothing]) -> Response:
        """Return what needs a person, in groups: failures, decisions, approvals, broken files and connections, missed
        schedules, refused deliveries."""
        since = asked.parameters.since
        wanted = self._now() - ATTENTION_PERIOD if since is None else since
        return respond(await self._attention.find(wanted, may_answer=asked.may_answer))
