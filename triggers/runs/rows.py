"""Find a run in the journal, and make the lines of lists of runs."""

from collections.abc import Sequence

from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from triggers.documents.runs import RunLineDocument
from triggers.not_found import RunNotFound
from triggers.waits.proofs import disarm_links


async def find_run(reads: Reads, run: str) -> Run:
    """A run's row; raises `RunNotFound`."""
    found = await reads.find_run(run)
    if found is None:
        raise RunNotFound(run)
    return found


async def list_run_lines(reads: Reads, found: Sequence[Run], *, may_answer: bool) -> list[RunLineDocument]:
    """Runs as the lines of a list. Without `may_answer`, their reasons have no links to waits."""
    lines = [RunLineDocument.of(run) for run in found]
    if may_answer or not any(line.reason for line in lines):
        return lines
    return await reads.scan(lambda scan: [_disarm(scan, line) for line in lines], len(lines))


def _disarm(scan: Scan, line: RunLineDocument) -> RunLineDocument:
    return disarm_links(scan, line.id, line) if line.reason else line
