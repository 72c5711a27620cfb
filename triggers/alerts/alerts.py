"""Raises alerts: looks every few seconds at what is in need, and starts the pipelines that are to know of it.

What an alert said last is its event in the journal, written in the commit that starts the run. So a crash neither
loses an alert nor repeats it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from durable.clock import new_id
from durable.durations import parse_duration
from durable.engine import Engine, Overloaded
from durable.journal.errors import JournalError
from durable.journal.events import find_event, list_events
from durable.journal.journal import Journal
from durable.journal.meta import find_note
from durable.links import hide_links
from durable.units import DedupeKey, Event
from durable.values import Value
from triggers.alerts.findings import LOOKBACK, Finding, Findings
from triggers.alerts.trigger import AlertTrigger
from triggers.trigger import EventFiltered

log = logging.getLogger("waypost.alerts")

AlertState: TypeAlias = Literal["firing", "resolved"]

LASTING = frozenset({"waypost.connection_broken", "waypost.silence"})
"""Alerts about a state: it lasts until it is found no more. The others are about things that happen: they are over when
nothing more has happened for a time."""

KNOWN_ALERTS = 1_000
"""How many of the last alerts of a trigger are read when it is checked first."""

DEDUPE_TIME = parse_duration("7d")


class AlertBody(msgspec.Struct, frozen=True):
    """What an alert says: `trigger.body` in its pipeline. `count`: since the last alert about the same cause; `total`:
    in the last seven days. `url`: the page that shows more."""

    state: AlertState
    text: str
    detail: str | None
    count: int
    total: int
    pipelines: tuple[str, ...]
    error: str | None
    run: str | None
    url: str
    mark: str


class LastAlert(msgspec.Struct, frozen=True):
    """The last alert about a group, and when it was raised (ms). A filtered one has no event."""

    at: int
    body: AlertBody


class Alerts:
    """Raises the alerts that pipelines ask for; `find_triggers` gives those that are served. `url` is where people
    reach the dashboard."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        find_triggers: Callable[[], Sequence[AlertTrigger]],
        findings: Findings,
        url: str,
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._find_triggers = find_triggers
        self._findings = findings
        self._url = url
        self._now = now
        self._checking = asyncio.Lock()
        self._begun: dict[str, int] = {}
        self._last: dict[str, dict[str, LastAlert]] = {}

    async def check(self) -> None:
        """Raise what is due. What cannot be raised now is tried again at the next check."""
        async with self._checking:
            await self._check_all()

    async def _check_all(self) -> None:
        triggers = self._find_triggers()
        excluded = {trigger.definition.id for trigger in triggers}
        for trigger in triggers:
            if self._engine.is_draining:
                return
            try:
                await self._check(trigger, excluded)
            except (JournalError, Overloaded) as error:
                log.warning("%s: alerts cannot be raised now: %s", trigger.name, error)

    async def _check(self, trigger: AlertTrigger, excluded: set[str]) -> None:
        now = self._now()
        since, last = await self._find_begin(trigger), await self._load_last(trigger)
        found = {each.group: each for each in await self._findings.find(trigger, since, now, excluded)}
        for finding in found.values():
            if _is_due(trigger, finding, last.get(finding.group), now):
                await self._raise(trigger, finding, "firing", last)
        if trigger.spec.resolved:
            for group, alert in list(last.items()):
                if alert.body.state == "firing" and _is_over(trigger, found.get(group), alert, now):
                    await self._raise(trigger, found.get(group) or _repeat(group, alert, now), "resolved", last)

    async def _find_begin(self, trigger: AlertTrigger) -> int:
        """When a trigger was served first (ms): what is older is not its concern."""
        if trigger.name not in self._begun:
            note = f"alert/{trigger.name}"
            kept = await self._journal.read(find_note, note)
            if kept is None:
                kept = str(self._now())
                await self._journal.keep_note(note, kept)
            self._begun[trigger.name] = int(kept)
        return self._begun[trigger.name]

    async def _load_last(self, trigger: AlertTrigger) -> dict[str, LastAlert]:
        """The last alert about each group, from the journal the first time."""
        if trigger.name not in self._last:
            found: dict[str, LastAlert] = {}
            known = await self._journal.read(list_events, source=trigger.name, type=trigger.kind, limit=KNOWN_ALERTS)
            for line in known:
                if line.subject and line.subject not in found and line.time > self._now() - LOOKBACK - trigger.every:
                    event = await self._journal.read(find_event, line.id)
                    if event is not None:
                        found[line.subject] = LastAlert(event.time, msgspec.convert(event.data.load(), AlertBody))
            self._last[trigger.name] = found
        return self._last[trigger.name]

    async def _raise(
        self, trigger: AlertTrigger, finding: Finding, state: AlertState, last: dict[str, LastAlert]
    ) -> None:
        now, before = self._now(), last.get(finding.group)
        body = self._make_body(trigger, finding, state, before)
        event = Event(
            id=new_id("evt", now),
            source=trigger.name,
            key=f"{finding.group}/{now}",
            type=trigger.kind,
            time=now,
            subject=finding.group,
            data=Value.of(hide_links(msgspec.to_builtins(body))),
        )
        last[finding.group] = LastAlert(now, body)
        document = trigger.rebuild_document(event)
        try:
            trigger.check_when(document)
        except EventFiltered as filtered:
            log.info("%s: %s: %s", trigger.name, body.text, filtered)
            return
        claim = DedupeKey(f"alert/{trigger.name}", f"{finding.group}/{before.at if before else 0}", now + DEDUPE_TIME)
        try:
            await self._engine.admit(event, [trigger.make_start(document)], dedupe_keys=[claim])
        except BaseException:
            _restore(last, finding.group, before)
            raise
        log.info("%s: %s (%s)", trigger.name, body.text, state)

    def _make_body(
        self, trigger: AlertTrigger, finding: Finding, state: AlertState, before: LastAlert | None
    ) -> AlertBody:
        counted = before.body.total if before and before.body.state == "firing" and trigger.kind not in LASTING else 0
        return AlertBody(
            state=state,
            text=finding.text if state == "firing" else f"over: {finding.text}",
            detail=finding.detail,
            count=finding.count - counted if counted <= finding.count else finding.count,
            total=finding.count,
            pipelines=finding.pipelines,
            error=finding.error,
            run=finding.run,
            url=f"{self._url}{finding.page}",
            mark=finding.mark,
        )


def _is_due(trigger: AlertTrigger, finding: Finding, last: LastAlert | None, now: int) -> bool:
    if last is None:
        return True
    is_new = trigger.kind in LASTING or finding.mark != last.body.mark
    return is_new and (last.body.state == "resolved" or now - last.at >= trigger.every)


def _is_over(trigger: AlertTrigger, finding: Finding | None, last: LastAlert, now: int) -> bool:
    if trigger.kind in LASTING:
        return finding is None
    return now - max(last.at, finding.at if finding else 0) >= trigger.every


def _repeat(group: str, alert: LastAlert, now: int) -> Finding:
    """What an alert was about, once it is found no more."""
    body = alert.body
    page = "/" + body.url.partition("://")[2].partition("/")[2]
    return Finding(
        group, body.mark, body.text, body.detail, page, now, body.total, body.pipelines, body.error, body.run
    )


def _restore(last: dict[str, LastAlert], group: str, before: LastAlert | None) -> None:
    if before is None:
        last.pop(group, None)
    else:
        last[group] = before
