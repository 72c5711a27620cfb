"""What needs a person, as groups: one outage is one line, however many runs it has.

Runs are grouped by what their rows say. A run that waits for several things is grouped by the one that comes first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote as quote_path
from urllib.parse import urlencode

from sqlalchemy import Connection

from durable.ids import first_id
from durable.journal.counts import count_rejected, count_unfinished_by_status, list_halted
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.path import strip_numbers
from durable.problem import Problem
from durable.reports import HaltedRun
from durable.units import Cause
from triggers.config.folder import Folder, PipelineFile
from triggers.documents.connections import ConnectionDocument
from triggers.documents.errors import ErrorGroupDocument
from triggers.documents.fields import format_time
from triggers.documents.overview import AttentionDocument, AttentionKind, AttentionLineDocument
from triggers.documents.schedules import ScheduleDocument
from triggers.documents.waits import PendingKind
from triggers.runs.lists import RunLists, RunQuery
from triggers.runs.why import explain_halted
from triggers.waits.proofs import disarm_links

FAILURES = 20
"""The groups of failures that are listed."""

PAUSED = 500
"""The oldest paused runs that are looked at."""

WAITING = 3_000
APPROVALS = 500
"""The oldest waiting runs among which approvals are sought, and how many of those are counted."""

REJECTED = 1_000
"""The newest rejected deliveries that are counted."""

WAIT_KINDS: Mapping[AttentionKind, PendingKind] = {
    "uncertain": "decision",
    "exhausted": "decision",
    "paused": "resume",
    "approval": "approval",
}
"""The kinds of waits, in which the inbox lists what runs ask of a person; in the order of their lines."""


class Attention:
    """Finds what needs a person. `connections`, `schedules`: those that are served, as the API lists them."""

    def __init__(
        self,
        reads: Reads,
        folder: Folder,
        lists: RunLists,
        connections: Callable[[], Sequence[ConnectionDocument]],
        schedules: Callable[[], Sequence[ScheduleDocument]],
        now: Callable[[], int],
    ) -> None:
        self._reads = reads
        self._folder = folder
        self._lists = lists
        self._connections = connections
        self._schedules = schedules
        self._now = now

    async def find(self, since: int, *, may_answer: bool) -> AttentionDocument:
        """Find the groups: failures and refused deliveries since a time (ms), and what is so now. Without `may_answer`,
        they have no links to waits."""
        found = await self._lists.list_errors(RunQuery(since=since, limit=FAILURES), may_answer=may_answer)
        halted, is_partial = await self._reads.read(_list_halted)
        rejected = await self._reads.read(count_rejected, first_id("dlv", since), REJECTED)
        paused = Counter(run.error_key for run in halted if run.status == "paused")
        lines = [
            *_describe_damage(self._reads.damage),
            *(line for group in found.errors if (line := describe_failure(group, paused[group.key]))),
            *describe_halted(halted, self._now()),
            *self._describe_files(),
            *_describe_connections(self._connections()),
            *_describe_schedules(self._schedules(), since),
            *(_describe_rejected(*each) for each in rejected),
        ]
        if not may_answer:
            lines = await self._reads.scan(lambda scan: [_disarm(scan, line) for line in lines])
        return AttentionDocument(format_time(since), lines, is_partial)

    def _describe_files(self) -> Iterator[AttentionLineDocument]:
        connections = self._folder.connections
        if connections and (wrong := _find_errors(connections.problems)):  # invalid connections have their line here
            yield _describe_file(None, wrong, "what it had before stays in force", "/connections")
        for file in self._folder.files:
            if not file.is_valid and (wrong := _find_errors(file.problems)):
                yield _describe_pipeline_file(file, wrong)


def _disarm(scan: Scan, line: AttentionLineDocument) -> AttentionLineDocument:
    """The line without links to waits, which the message of its run may have."""
    return disarm_links(scan, line.run, line) if line.run and line.detail else line


def _list_halted(connection: Connection) -> tuple[list[HaltedRun], bool]:
    """The runs that may wait for a person, and whether there are so many that not all were looked at."""
    paused = list_halted(connection, "paused", PAUSED)
    asking = list_halted(connection, "waiting", APPROVALS, mention="approval", looked_at=WAITING)
    counts = count_unfinished_by_status(connection)
    is_partial = counts["paused"] > PAUSED or counts["waiting"] > WAITING or len(asking) == APPROVALS
    return [*paused, *asking], is_partial


def _describe_damage(damage: str | None) -> Iterator[AttentionLineDocument]:
    if damage is not None:
        yield _make_line("journal", None, "the journal is damaged", damage, page="/settings/about")


def describe_failure(group: ErrorGroupDocument, paused: int) -> AttentionLineDocument | None:
    """A group of failures as a line. So many of its runs are `paused` and have a line as decisions; None if all are."""
    count = group.count if group.has_more else group.count - paused
    if count <= 0:
        return None
    number = f"{count:,}{'+' if group.has_more else ''} run{'s' * (count != 1)}"
    where = f"of {group.pipelines[0]}" if len(group.pipelines) == 1 else f"of {len(group.pipelines)} pipelines"
    return AttentionLineDocument(
        kind="failure",
        about=group.pipelines[0] if len(group.pipelines) == 1 else None,
        text=f"{number} {where} failed",
        detail=group.why,
        count=count,
        has_more=group.has_more,
        oldest=group.first_seen,
        newest=group.last_seen,
        page=f"/runs/{group.newest}" if count == group.count == 1 else f"/errors/{quote_path(group.key, safe='')}",
        error=group.key,
        run=group.newest,
    )


class HaltedGroup(NamedTuple):
    """What runs have in common that wait for the same decision."""

    kind: AttentionKind
    pipeline: str
    step: str | None


def describe_halted(runs: Iterable[HaltedRun], now: int) -> Iterator[AttentionLineDocument]:
    """The runs that wait for a person as lines: one for each kind of decision at a step of a pipeline."""
    groups: dict[HaltedGroup, list[HaltedRun]] = {}
    for run in runs:
        if group := _find_group(run):
            groups.setdefault(group, []).append(run)
    order = list(WAIT_KINDS)
    for group in sorted(groups, key=lambda group: order.index(group.kind)):
        yield _describe_group(group, groups[group], now)


def _find_group(run: HaltedRun) -> HaltedGroup | None:
    cause = run.cause
    step = strip_numbers(cause.step) if cause and cause.step else None
    if run.status == "paused":
        return HaltedGroup(_find_pause(cause), run.pipeline, step)
    if cause and (cause.kind == "approval" or "approval" in cause.awaits):
        return HaltedGroup("approval", run.pipeline, step)
    return None


def _find_pause(cause: Cause | None) -> AttentionKind:
    match cause:
        case Cause(kind="uncertain"):
            return "uncertain"
        case Cause(kind="exhausted"):
            return "exhausted"
    return "paused"


def _describe_group(group: HaltedGroup, runs: Sequence[HaltedRun], now: int) -> AttentionLineDocument:
    oldest, newest = runs[0], runs[-1]
    many = len(runs) > 1
    words = {
        "uncertain": f"{len(runs):,} steps are uncertain" if many else "a step is uncertain",
        "exhausted": f"{len(runs):,} steps have used up their attempts" if many else "a step has used up its attempts",
        "paused": f"{len(runs):,} runs are paused" if many else "a run is paused",
        "approval": f"{len(runs):,} approvals are awaited" if many else "an approval is awaited",
    }
    where = f"{group.pipeline} › {group.step}" if group.step else group.pipeline
    people = oldest.cause.to if oldest.cause else None
    detail = (f"for {people}" if people else None) if group.kind == "approval" else explain_halted(oldest, now)
    step = oldest.cause.step if oldest.cause else None
    one = f"/waits/{oldest.id}/{quote_path(step, safe='')}" if step else f"/runs/{oldest.id}"
    return AttentionLineDocument(
        kind=group.kind,
        about=group.pipeline,
        text=f"{words[group.kind]}: {where}",
        detail=detail,
        count=len(runs),
        has_more=False,
        oldest=format_time(oldest.created_at),
        newest=format_time(newest.created_at),
        page=one if not many else f"/waits?{urlencode({'kind': WAIT_KINDS[group.kind]})}",
        run=oldest.id,
    )


def _find_errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity == "error"]


def _describe_pipeline_file(file: PipelineFile, wrong: Sequence[Problem]) -> AttentionLineDocument:
    kept = "the version before stays in force" if file.definition else "nothing of it is served"
    page = f"/pipelines/{quote_path(file.name, safe='')}/text#L{wrong[0].line}"
    return _describe_file(file.name, wrong, kept, page)


def _describe_file(name: str | None, wrong: Sequence[Problem], kept: str, page: str) -> AttentionLineDocument:
    first = wrong[0]
    where = f"{Path(first.file).name}:{first.line}:{first.column}"
    more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
    detail = f"{first.hint}; {kept}" if first.hint else kept
    return _make_line("file", name, f"{where}: {first.message}{more}", detail, len(wrong), page=page)


def _describe_connections(connections: Iterable[ConnectionDocument]) -> Iterator[AttentionLineDocument]:
    for each in connections:
        page = f"/connections/{quote_path(each.name, safe='')}"
        if each.status in ("lacks_secret", "needs_login"):
            words = {"lacks_secret": "lacks a secret", "needs_login": "needs a login"}
            yield _make_line(
                "connection", each.name, f"the connection {each.name} {words[each.status]}", each.reason, page=page
            )
        elif each.gate and each.gate.state == "circuit_open":
            text = f"the service behind the connection {each.name} fails; attempts are held back"
            yield _make_line("connection", each.name, text, each.gate.reason, page=page, since=each.gate.since)


def _describe_schedules(schedules: Iterable[ScheduleDocument], since: int) -> Iterator[AttentionLineDocument]:
    for each in schedules:
        page = f"/schedules#{quote_path(each.id)}"
        if each.overdue:
            text, detail = f"the schedule {each.id} is overdue", "a fire was due and has not started a run"
            yield _make_line("schedule", each.id, text, detail, page=page, since=each.overdue)
        elif each.missed and each.missed_at and each.missed_at >= (format_time(since) or ""):
            times = "a fire" if each.missed == 1 else f"{each.missed:,} fires"
            text, detail = f"the schedule {each.id} missed {times}", "no service was running at that time"
            yield _make_line("schedule", each.id, text, detail, each.missed, page=page, since=each.missed_at)


def _describe_rejected(trigger: str, count: int, first: int, last: int) -> AttentionLineDocument:
    number = f"{count:,} deliveries" if count > 1 else "a delivery"
    return AttentionLineDocument(
        kind="rejected",
        about=trigger,
        text=f"{number} to {trigger} {'were' if count > 1 else 'was'} refused",
        detail=None,
        count=count,
        has_more=count >= REJECTED,
        oldest=format_time(first),
        newest=format_time(last),
        page=f"/deliveries?{urlencode({'trigger': trigger, 'outcome': 'rejected'})}",
    )


def _make_line(
    kind: AttentionKind,
    about: str | None,
    text: str,
    detail: str | None,
    count: int = 1,
    *,
    page: str,
    since: str | None = None,
) -> AttentionLineDocument:
    return AttentionLineDocument(kind, about, text, detail, count, False, since, since, page)
