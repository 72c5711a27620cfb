"""What alerts are about, as it is now: failures by their cause, missed schedules, broken connections, silence.

It is read from the journal and from what is served, by the loop of `triggers.alerts.alerts`; nothing is noted when a
run fails.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeAlias

import msgspec

from durable.durations import parse_duration, parse_moment
from durable.ids import first_id
from durable.journal.events import list_events
from durable.journal.failures import list_failures
from durable.journal.reads import Reads
from durable.reports import FailureGroup
from triggers.alerts.trigger import (
    AlertTrigger,
    ConnectionBrokenSpec,
    RunFailedSpec,
    ScheduleMissedSpec,
    SilenceSpec,
)
from triggers.documents.connections import ConnectionDocument
from triggers.documents.schedules import ScheduleDocument

LOOKBACK = parse_duration("7d")
"""A failure counts if its run started in this time."""

GROUPS = 200
"""The causes that are looked at, those with the newest runs first."""


class Finding(msgspec.Struct, frozen=True):
    """A group that is in need now.

    `group`: what tells it apart. `mark`: changes with each thing that joins the group; alerts with the same mark would
    say the same. `count`: how many things it has. `at`: when the last of them happened (ms).
    """

    group: str
    mark: str
    text: str
    detail: str | None
    page: str
    at: int
    count: int = 1
    pipelines: tuple[str, ...] = ()
    error: str | None = None
    run: str | None = None


ListConnections: TypeAlias = Callable[[], Sequence[ConnectionDocument]]
ListSchedules: TypeAlias = Callable[[], Sequence[ScheduleDocument]]


class Findings:
    """Finds what alerts are about."""

    def __init__(self, reads: Reads, connections: ListConnections, schedules: ListSchedules) -> None:
        self._reads = reads
        self._connections = connections
        self._schedules = schedules

    async def find(self, trigger: AlertTrigger, since: int, now: int, excluded: Collection[str]) -> list[Finding]:
        """What an alert is about now. `since`: when it was served first (ms); what happened before does not count.
        `excluded`: pipelines that are alerts themselves."""
        match trigger.spec:
            case RunFailedSpec() as spec:
                return [each for each in await self._find_failures(spec, now, excluded) if each.at >= since]
            case ScheduleMissedSpec() as spec:
                return [each for each in self._find_missed(spec) if each.at >= since]
            case ConnectionBrokenSpec() as spec:
                return list(self._find_broken(spec, now))
            case SilenceSpec() as spec:
                return await self._find_silence(spec, since, now)
        raise AssertionError(trigger.kind)

    async def _find_failures(self, spec: RunFailedSpec, now: int, excluded: Collection[str]) -> list[Finding]:
        groups = await self._reads.read(list_failures, since=first_id("run", now - LOOKBACK), limit=GROUPS)
        findings = []
        for group in groups:
            cause = group.newest.cause
            concerned = [each for each in group.pipelines if each not in excluded]
            if spec.pipelines is not None:
                concerned = [each for each in concerned if each in spec.pipelines]
            if concerned and (spec.classes is None or (cause and cause.error_class in spec.classes)):
                findings.append(_make_failure(group, concerned))
        return findings

    def _find_missed(self, spec: ScheduleMissedSpec) -> Iterator[Finding]:
        for each in self._schedules():
            missed = each.overdue or each.missed_at
            if missed is None or (spec.schedules is not None and each.id not in spec.schedules):
                continue
            text = f"the schedule {each.id} did not fire at {missed}"
            why = "the service was down, or too busy" if each.overdue is None else "its fire is overdue"
            at = parse_moment(missed)
            yield Finding(each.id, missed, text, why, "/schedules", at, max(each.missed, 1), pipelines=(each.pipeline,))

    def _find_broken(self, spec: ConnectionBrokenSpec, now: int) -> Iterator[Finding]:
        for each in self._connections():
            if spec.connections is not None and each.name not in spec.connections:
                continue
            is_open = each.gate is not None and each.gate.state == "circuit_open"
            if each.status == "ready" and not is_open:
                continue
            why = each.gate.reason if each.status == "ready" and each.gate else each.reason
            text = f"the connection {each.name} cannot be used"
            page = f"/connections/{each.name}"
            yield Finding(each.name, each.status, text, why, page, now, pipelines=tuple(each.pipelines))

    async def _find_silence(self, spec: SilenceSpec, since: int, now: int) -> list[Finding]:
        last = await self._find_last(spec)
        heard = max(last or 0, since)
        if now - heard < parse_duration(spec.for_):
            return []
        what = f"no request was accepted by {spec.webhook}" if spec.webhook else f"no event {spec.event} was received"
        if spec.pipeline:
            what = f"no run of {spec.pipeline} has started"
        page = f"/deliveries?trigger={spec.webhook}" if spec.webhook else "/events"
        if spec.pipeline:
            page = f"/runs?pipeline={spec.pipeline}"
        group = spec.webhook or spec.event or spec.pipeline or ""
        return [Finding(group, str(heard), f"{what} for {spec.for_}", None, page, now)]

    async def _find_last(self, spec: SilenceSpec) -> int | None:
        """When the last one of what is expected came (ms)."""
        if spec.webhook:
            [*deliveries] = await self._reads.list_deliveries(trigger=spec.webhook, outcome="accepted", limit=1)
            return deliveries[0].at if deliveries else None
        if spec.event:
            [*events] = await self._reads.read(list_events, type=spec.event, limit=1)
            return events[0].time if events else None
        [*runs] = await self._reads.list_runs(pipeline=spec.pipeline, limit=1)
        return runs[0].created_at if runs else None


def _make_failure(group: FailureGroup, pipelines: Sequence[str]) -> Finding:
    more, newest = "+" if group.has_more else "", group.newest
    number = f"{group.count:,}{more} run{'s' * (group.count != 1 or group.has_more)}"
    where = pipelines[0] if len(pipelines) == 1 else f"{len(pipelines)} pipelines"
    cause = newest.cause
    why = ": ".join(part for part in (cause.step, cause.message) if part) if cause else None
    return Finding(
        group=group.key,
        mark=f"{newest.id}/{group.count}",
        text=f"{number} of {where} failed",
        detail=why or None,
        page=f"/errors/{group.key}",
        at=newest.finished_at or newest.created_at,
        count=group.count,
        pipelines=tuple(pipelines),
        error=group.key,
        run=newest.id,
    )
