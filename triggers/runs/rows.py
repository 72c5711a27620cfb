"""Find a run in the journal, and make the lines of lists of runs."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from durable.journal.concurrency import find_places
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import QueuePlace, Run
from triggers.documents.runs import RunLineDocument
from triggers.not_found import RunNotFound
from triggers.runs.why import explain_run
from triggers.waits.proofs import disarm_links

ExplainProgress: TypeAlias = Callable[[Run], str | None]
"""What the service knows of an unfinished run: the step that it performs, or the limit that it waits for."""


def explain_nothing(run: Run) -> None:
    """Nothing more is known of a run where no service performs it."""


async def find_run(reads: Reads, run: str) -> Run:
    """A run's row; raises `RunNotFound`."""
    found = await reads.find_run(run)
    if found is None:
        raise RunNotFound(run)
    return found


async def list_run_lines(
    reads: Reads, found: Sequence[Run], now: int, *, may_answer: bool, explain: ExplainProgress
) -> list[RunLineDocument]:
    """Runs as the lines of a list. Without `may_answer`, their texts have no links to waits."""
    queued = {run.id: run.cause.target for run in found if run.cause and run.cause.kind == "slot" and run.cause.target}
    places = await reads.read(find_places, queued) if queued else {}
    lines = [make_run_line(run, now, explain, places.get(run.id)) for run in found]
    if may_answer or not any(map(_has_text, lines)):
        return lines
    return await reads.scan(lambda scan: [_disarm(scan, line) for line in lines], len(lines))


def make_run_line(run: Run, now: int, explain: ExplainProgress, place: QueuePlace | None) -> RunLineDocument:
    """One run as a line of a list; `place` is that of a queued run."""
    progress = explain(run) if run.finished_at is None else None
    return RunLineDocument.of(run, explain_run(run, now, place=place, progress=progress))


def _has_text(line: RunLineDocument) -> bool:
    """Whether the line has a text that may contain a link."""
    return line.reason is not None or line.why is not None


def _disarm(scan: Scan, line: RunLineDocument) -> RunLineDocument:
    return disarm_links(scan, line.id, line) if _has_text(line) else line
