"""Reads the spans of runs from the journal, in slices of bounded size."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from durable.history.entries import RunStarted
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.journal.trace_exports import TraceExport
from durable.trace import find_trace_id, make_span_id
from durable.units import Run
from triggers.runs.version_steps import VersionSteps, load_version_steps
from triggers.traces.builder import SpanBuilder, TracedRun
from triggers.traces.span import Span, SpanPlace

log = logging.getLogger("waypost.traces")

KEPT_VERSIONS = 64
"""The versions of pipelines whose steps are kept."""


class TraceSlice(NamedTuple):
    """Spans of several runs. `done`: how far the runs are in them; `left`: what follows, in the next slices."""

    spans: list[Span]
    done: list[TraceExport]
    left: list[TraceExport]


class TraceReader:
    """Reads spans. `is_immediate`: whether an action calls nothing outside the process.

    The builder of a long run is kept between two slices, so that its history is read once.
    """

    def __init__(self, reads: Reads, is_immediate: Callable[[str], bool]) -> None:
        self._reads = reads
        self._is_immediate = is_immediate
        self._kept: SpanBuilder | None = None
        self._kept_of = ""
        self._versions: dict[str, VersionSteps] = {}

    async def read(self, exports: Sequence[TraceExport], most: int) -> TraceSlice:
        """Read the next spans of runs, `most` or a few more. A run that is gone or cannot be read has none."""
        return await self._reads.scan(lambda scan: self._read(scan, exports, most))

    def _read(self, scan: Scan, exports: Sequence[TraceExport], most: int) -> TraceSlice:
        found = TraceSlice([], [], list(exports))
        rows = {run.id: run for run in scan.load_runs([export.run for export in exports])}
        while found.left and len(found.spans) < most:
            export = found.left.pop(0)
            run = rows.get(export.run)
            if run is None:
                continue
            try:
                builder = self._build(scan, run, export.sent, most - len(found.spans))
            except RunUnreadable as unreadable:
                log.warning("the trace of a run is not exported: %s", unreadable.reason, extra={"run": run.id})
                found.done.append(TraceExport(run.id, run.sequence))
                continue
            except Exception:
                log.exception("the trace of a run is not exported", extra={"run": run.id})
                found.done.append(TraceExport(run.id, run.sequence))
                continue
            if builder.is_sampled:
                found.spans.extend(builder.spans)
            builder.spans.clear()
            found.done.append(TraceExport(run.id, builder.entries))
            if builder.entries < run.sequence:
                self._kept, self._kept_of = builder, run.id
                found.left.insert(0, found.done[-1])
        return found

    def _build(self, scan: Scan, run: Run, sent: int, most: int) -> SpanBuilder:
        builder = self._kept if self._kept_of == run.id else None
        self._kept = None
        if builder is None or builder.entries != sent:
            builder = self._make_builder(scan, run, sent)
        for _, entry in scan.read_entries(run.id, builder.entries):
            builder.add(entry)
            if len(builder.spans) >= most:
                break
        return builder

    def _make_builder(self, scan: Scan, run: Run, sent: int) -> SpanBuilder:
        names = run.id, run.pipeline, run.version, run.event, run.trigger
        traced = TracedRun(*names, self._load_steps(scan, run.version), self._is_immediate)
        return SpanBuilder(traced, sent, lambda other: _find_place(scan, other))

    def _load_steps(self, scan: Scan, version: str) -> VersionSteps:
        if version not in self._versions:
            if len(self._versions) == KEPT_VERSIONS:
                self._versions.clear()
            self._versions[version] = load_version_steps(scan.load_definition(version))
        return self._versions[version]


def _find_place(scan: Scan, run: str) -> SpanPlace | None:
    """Return the span of another run; None if the run is gone."""
    try:
        _, started = next(scan.read_entries(run, 0, 1), (0, None))
    except RunUnreadable:
        return None
    if not isinstance(started, RunStarted):
        return None
    return SpanPlace(find_trace_id(run, started.traceparent), make_span_id(run, "", 0))
