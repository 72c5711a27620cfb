"""Reads the spans of runs from the journal, in slices of bounded size."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from durable.history.entries import RunStarted
from durable.journal.errors import RunUnreadable
from durable.journal.reads import Reads
from durable.journal.scan import Scan
from durable.journal.trace_exports import TraceExport
from durable.trace import make_span_id, make_trace_id
from durable.units import Run
from triggers.runs.version_steps import load_version_steps
from triggers.traces.builder import SpanBuilder, TracedRun
from triggers.traces.span import Span, SpanPlace

log = logging.getLogger("waypost.traces")


class TraceSlice(NamedTuple):
    """Spans of a run, up to the one that ends with entry number `sent`. `is_last`: nothing of the run follows now."""

    spans: list[Span]
    sent: int
    is_last: bool


class TraceReader:
    """Reads spans. `is_immediate`: whether an action calls nothing outside the process.

    The builder of a long run is kept between two slices, so that its history is read once.
    """

    def __init__(self, reads: Reads, is_immediate: Callable[[str], bool]) -> None:
        self._reads = reads
        self._is_immediate = is_immediate
        self._kept: SpanBuilder | None = None
        self._kept_of = ""

    async def read(self, export: TraceExport, most: int) -> TraceSlice:
        """Read the next spans of a run, `most` or a few more. A run that is gone or cannot be read has none."""
        run = await self._reads.find_run(export.run)
        if run is None:
            return TraceSlice([], export.sent, True)
        try:
            return await self._reads.scan(lambda scan: self._build(scan, run, export.sent, most), run.sequence)
        except RunUnreadable as unreadable:
            log.warning("the trace of a run is not exported: %s", unreadable.reason, extra={"run": run.id})
            return TraceSlice([], run.sequence, True)

    def _build(self, scan: Scan, run: Run, sent: int, most: int) -> TraceSlice:
        builder = self._kept if self._kept_of == run.id else None
        if builder is None or builder.entries != sent:
            builder = self._make_builder(scan, run, sent)
        self._kept = None
        for _, entry in scan.read_entries(run.id, builder.entries):
            builder.add(entry)
            if len(builder.spans) >= most:
                break
        spans, builder.spans = builder.spans, []
        is_last = builder.entries >= run.sequence
        if not is_last:
            self._kept, self._kept_of = builder, run.id
        return TraceSlice(spans if builder.is_sampled else [], builder.entries, is_last)

    def _make_builder(self, scan: Scan, run: Run, sent: int) -> SpanBuilder:
        steps = load_version_steps(scan.load_definition(run.version))
        names = run.id, run.pipeline, run.version, run.event, run.trigger
        traced = TracedRun(*names, steps, self._is_immediate)
        return SpanBuilder(traced, sent, lambda other: _find_place(scan, other))


def _find_place(scan: Scan, run: str) -> SpanPlace | None:
    """Return the span of another run; None if the run is gone."""
    try:
        _, started = next(scan.read_entries(run, 0, 1), (0, None))
    except RunUnreadable:
        return None
    if not isinstance(started, RunStarted):
        return None
    trace = started.traceparent.split("-")[1] if started.traceparent else make_trace_id(run)
    return SpanPlace(trace, make_span_id(run, "", 0))
