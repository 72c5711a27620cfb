"""The grid of a pipeline: its newest runs, and how each of its steps ended in them.

A history is as long as its author made it. Each request replays a bounded number of entries, and what it has learnt is
kept for the next one; a longer history shows only what the run's row tells: the step that failed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import NamedTuple, TypeAlias

from durable.history.words import StepStatus
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.units import Run
from triggers.documents.fields import format_time
from triggers.documents.pipelines import GridDocument, GridRunDocument, GridStepDocument
from triggers.runs.version_steps import VersionSteps, load_version_steps

RUNS = 30
"""The runs of a grid by default."""

ENTRIES_LIMIT = 20_000
"""The entries that one request replays: about 200 ms, in a thread that yields to others."""

KEPT_RUNS = 3_000


class Cell(NamedTuple):
    """What became of a step of a run. `milliseconds`: from its beginning to its end."""

    status: StepStatus
    milliseconds: int | None


Cells: TypeAlias = dict[str, Cell]
"""The cells of a run, by the ids of the steps of the first level."""


class PipelineGrids:
    """Reads grids, and keeps the cells of runs as long as nothing is appended to their histories."""

    def __init__(self, reads: Reads, entries_limit: int = ENTRIES_LIMIT) -> None:
        self._reads = reads
        self._entries_limit = entries_limit
        self._kept: OrderedDict[str, tuple[int, Cells]] = OrderedDict()

    async def read_grid(self, pipeline: str, served: VersionSteps | None, limit: int = RUNS) -> GridDocument:
        """The grid of a pipeline; `served` are the steps of the version that is served."""
        found = await self._reads.list_runs(pipeline=pipeline, limit=limit)
        wanted = self._choose_readable([run for run in found if self._find_kept(run) is None])
        if wanted:
            read = await self._reads.scan(lambda scan: [(run, read_cells(scan, run)) for run in wanted])
            for run, cells in read:
                self._keep(run, cells)
        rows = [(run, self._find_kept(run)) for run in found]
        return make_grid(rows, served)

    def _choose_readable(self, runs: Iterable[Run]) -> list[Run]:
        """The runs whose histories fit into the limit together, the newest first."""
        chosen, left = [], self._entries_limit
        for run in runs:
            if run.sequence <= left:
                chosen.append(run)
                left -= run.sequence
        return chosen

    def _find_kept(self, run: Run) -> Cells | None:
        sequence, cells = self._kept.get(run.id, (0, {}))
        return cells if sequence == run.sequence else None

    def _keep(self, run: Run, cells: Cells) -> None:
        self._kept[run.id] = run.sequence, cells
        self._kept.move_to_end(run.id)
        while len(self._kept) > KEPT_RUNS:
            self._kept.popitem(last=False)


def read_cells(scan: Scan, run: Run) -> Cells:
    """Replay a run, and return its cells."""
    main = load_version_steps(scan.load_definition(run.version)).main
    with scan.open_fold(run) as fold:
        steps = fold.state.steps
        return {
            id: Cell(step.status, _measure(step.scheduled_at, step.finished_at))
            for id in main
            if (step := steps.get(id)) is not None
        }


def _measure(start: int | None, end: int | None) -> int | None:
    return end - start if start is not None and end is not None else None


def make_grid(rows: Sequence[tuple[Run, Cells | None]], served: VersionSteps | None) -> GridDocument:
    """The document of a grid. The steps of the served version come first, in its order."""
    main = served.main if served else ()
    ids = dict.fromkeys([*main, *(id for _, cells in rows for id in cells or ())])
    return GridDocument(
        steps=[_describe_step(id, [cells[id] for _, cells in rows if cells and id in cells], served) for id in ids],
        runs=[_make_row(run, cells, list(ids)) for run, cells in rows],
        unread=sum(cells is None for _, cells in rows),
    )


def _describe_step(id: str, cells: Sequence[Cell], served: VersionSteps | None) -> GridStepDocument:
    times = [cell.milliseconds for cell in cells if cell.status == "completed" and cell.milliseconds is not None]
    return GridStepDocument(
        id=id,
        use=served.find_use(id) if served else None,
        failed=sum(cell.status == "failed" for cell in cells),
        median_ms=median_low(times) if times else None,
        is_served=served is not None and id in served.main,
    )


def _make_row(run: Run, cells: Cells | None, ids: Sequence[str]) -> GridRunDocument:
    known = _find_failed(run) if cells is None else {id: cell.status for id, cell in cells.items()}
    return GridRunDocument(
        id=run.id,
        status=run.status,
        created_at=format_time(run.created_at),
        finished_at=format_time(run.finished_at),
        cells=[known.get(id) for id in ids],
        is_read=cells is not None,
    )


def _find_failed(run: Run) -> dict[str, StepStatus]:
    """The step of the first level in which a run failed, as its row tells."""
    step = run.cause.step if run.cause else None
    return {step.partition(".")[0].partition("[")[0]: "failed"} if step and run.status == "failed" else {}
