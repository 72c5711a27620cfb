"""Queues: the runs that wait for a slot of their pipeline's concurrency, and the limits that attempts share."""

from typing import Annotated, Self

from msgspec import Struct

from durable.ids import parse_time
from durable.reports import PermitReport, PermitShare, QueueReport
from triggers.documents.fields import Time, format_time, note


class QueueDocument(Struct, frozen=True):
    """The runs of a pipeline with the same concurrency key."""

    pipeline: str
    key: Annotated[str | None, note("What `concurrency.key` gave; null if the pipeline has none")]
    working: Annotated[int, note("How many runs hold a slot")]
    limit: Annotated[int, note("How many may hold one at the same time")]
    waiting: Annotated[int, note("How many runs are queued for a slot")]
    oldest: Annotated[str | None, note("The run that is next")]
    oldest_at: Annotated[Time | None, note("When that run was created")]
    behind: Annotated[str | None, note("The run that has held a slot for longest")]
    why: Annotated[str | None, note("Why runs wait, in a sentence")]

    @classmethod
    def of(cls, report: QueueReport) -> Self:
        pipeline, has_key, key = report.key.partition(":")
        return cls(
            pipeline=pipeline,
            key=key if has_key else None,
            working=report.held,
            limit=report.limit,
            waiting=report.waiting,
            oldest=report.oldest,
            oldest_at=format_time(parse_time(report.oldest) if report.oldest else None),
            behind=report.behind,
            why=_explain(report),
        )


class PermitShareDocument(Struct, frozen=True):
    """The attempts of one pipeline, or those at one origin."""

    name: Annotated[str | None, note("The pipeline; or the origin or the connector; null: actions of the core")]
    in_flight: int
    waiting: Annotated[int, note("How many attempts in memory wait for a permit")]
    limit: Annotated[int | None, note("How many may run at the same time; null: no limit but the one of the service")]

    @classmethod
    def of(cls, share: PermitShare) -> Self:
        return cls(share.name, share.held, share.waiting, share.limit)


class AttemptsDocument(Struct, frozen=True):
    """The attempts of the service, which share its permits fairly by pipeline and by origin."""

    in_flight: int
    limit: Annotated[int, note("The setting `max_attempts_in_flight`")]
    waiting: Annotated[int, note("How many attempts in memory wait for a permit")]
    pipelines: Annotated[list[PermitShareDocument], note("The pipelines with attempts, the most first, 50 at most")]
    origins: Annotated[list[PermitShareDocument], note("The origins of attempts, the most first, 50 at most")]

    @classmethod
    def of(cls, report: PermitReport) -> Self:
        pipelines = [PermitShareDocument.of(each) for each in report.pipelines]
        origins = [PermitShareDocument.of(each) for each in report.targets]
        return cls(report.number - report.free, report.number, report.waiting, pipelines, origins)


class CommitsDocument(Struct, frozen=True):
    """The commits of the journal, each of a group of changes."""

    waiting: Annotated[int, note("How many changes wait for their commit")]
    a_second: Annotated[float, note("Commits in a second, over the last minute or less")]
    group: Annotated[float | None, note("Changes in a commit, on average over that time; null if there was none")]


class DelayedDocument(Struct, frozen=True):
    """Queued runs whose time has not come."""

    count: int
    has_more: Annotated[bool, note("Whether there may be more: 10,000 queued runs are looked at")]
    next_at: Annotated[Time | None, note("When the first of them is due")]


class QueuesDocument(Struct, frozen=True):
    """What waits, and for what. Connections that hold attempts back are in `GET /api/connections`."""

    queues: Annotated[list[QueueDocument], note("Those in which runs wait first, the longest wait first")]
    has_more: bool
    attempts: AttemptsDocument
    commits: CommitsDocument
    delayed: DelayedDocument


def _explain(report: QueueReport) -> str | None:
    if not report.waiting:
        return None
    if report.held >= report.limit:
        return f"the limit of {report.limit} is reached; the next run starts when one of those that work has ended"
    return "a slot is free, and the next run is about to start"
