"""Builds the spans of a run from its history, one entry at a time.

A run is a span. Below it are the attempts of its steps, each a span of its own with a link to the attempt before;
waits, calls and the other steps of the core; blocks; and the items or turns of loops. A span is complete with the entry
that ends it. Spans contain ids, times, names of the pipeline's file, statuses, and classes and codes of errors. Inputs,
outputs, messages, tags and names of people are data, and never part of one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from durable.blocks.core_actions import CORE_ACTIONS
from durable.history import entries
from durable.history.entries import AnyEntry
from durable.history.words import Failure, RunSource
from durable.path import frame_of, make_key, make_page_path, number_frame, split_frame, strip_numbers
from durable.steps.resolved import ActionStep
from durable.trace import make_span_id, make_trace_id
from triggers.runs.version_steps import VersionSteps
from triggers.traces.span import Attributes, Span, SpanEvent, SpanKind, SpanPlace

EVENTS_LIMIT = 100
"""The events of a run's span; later ones are left out."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

FindPlace = Callable[[str], SpanPlace | None]
"""Finds the span of another run; None if it is unknown."""


class TracedRun(msgspec.Struct, frozen=True):
    """What a run's spans contain that its history does not.

    `steps`: of its version. `is_immediate`: whether an action calls nothing outside the process.
    """

    id: str
    pipeline: str
    version: str
    event: str
    trigger: str | None
    steps: VersionSteps
    is_immediate: Callable[[str], bool]


class _OpenSpan(msgspec.Struct):
    """A span that has not ended: a block, an item, or a step of the core."""

    start: int
    attributes: Attributes


class _DueAttempt(msgspec.Struct):
    """An attempt whose end is not known yet, and when it was due."""

    number: int
    due: int


class SpanBuilder:
    """Builds spans. Those that end with entry number `sent` or before are left out. `entries`: how many it has read;
    `spans`: what it has built, for the caller to take."""

    def __init__(self, run: TracedRun, sent: int, find_place: FindPlace) -> None:
        self.entries = 0
        self.spans: list[Span] = []
        self.is_sampled = True
        self._run = run
        self._sent = sent
        self._find_place = find_place
        self._trace = make_trace_id(run.id)
        self._requested_by: str | None = None
        self._is_called = False
        self._source: RunSource | None = None
        self._more: dict[str, str] = {}
        self._start = 0
        self._retries = 0
        self._error: Failure | None = None
        self._events: list[SpanEvent] = []
        self._open: dict[str, _OpenSpan] = {}
        self._due: dict[str, _DueAttempt] = {}
        self._pages: dict[str, tuple[int, int]] = {}
        """The number of the page that comes next, and how many attempts the earlier ones took, by step."""
        self._passes: dict[str, int] = {}
        """The pass of the cleanup, by step, if it is not the first."""
        self._tried: dict[str, SpanPlace] = {}
        """The last attempt of each step that has no checkpoint."""
        self._undone_by: dict[str, str] = {}
        self._is_copied = False

    def add(self, entry: AnyEntry) -> None:
        """Read the next entry."""
        self.entries += 1
        read = _READERS.get(type(entry))
        if read is not None:
            read(self, entry)

    # -- the run ------------------------------------------------------------------------------------------------

    def _start_run(self, entry: entries.RunStarted) -> None:
        self._start, self._source, self._error = entry.at, entry.source, entry.error
        self._is_copied = entry.source is not None and entry.source.kind == "fork" and entry.source.step is not None
        self._is_called = entry.parent is not None
        if entry.url:
            self._more["waypost.url"] = entry.url
        if entry.traceparent:
            _, self._trace, self._requested_by, flags = entry.traceparent.split("-")
            self.is_sampled = flags != "00"

    def _fork_run(self, entry: entries.RunForked) -> None:
        """Begin after the copied part, which is in the trace of the other run."""
        self._is_copied, self._start, self._error = False, entry.at, None
        self._events.clear()
        for each in self._open.values():
            each.start = entry.at
        for due in self._due.values():
            due.due = entry.at

    def _retry_run(self, entry: entries.RunRetried) -> None:
        self._retries, self._start, self._error = self._retries + 1, entry.at, None
        self._events.clear()

    def _end_main(self, entry: entries.MainEnded) -> None:
        self._error = entry.error
        self._close_all(entry.at)

    def _end_run(self, entry: entries.RunFinished) -> None:
        self._close_all(entry.at)
        run = self._run
        attributes: dict[str, str | int | bool] = {
            "waypost.run": run.id,
            "waypost.pipeline": run.pipeline,
            "waypost.version": run.version,
            "waypost.event": run.event,
            "waypost.status": entry.status,
            "waypost.retries": self._retries,
            **self._more,
        }
        if run.trigger:
            attributes["waypost.trigger"] = run.trigger
        if self._source:
            attributes["waypost.repeats"], attributes["waypost.repeated_as"] = self._source.of, self._source.kind
        is_failed = entry.status == "failed"
        self._add(
            self._locate("", self._retries),
            self._requested_by,
            run.pipeline,
            "internal" if self._is_called else "consumer",
            (self._start, entry.at),
            {**attributes, **_describe_error(self._error if is_failed else None)},
            links=self._find_links(),
            events=tuple(self._events),
            error=_summarize_error(self._error) if is_failed else None,
        )

    def _find_links(self) -> tuple[SpanPlace, ...]:
        if self._retries:
            return (self._locate("", self._retries - 1),)
        place = self._find_place(self._source.of) if self._source and self._source.kind != "replay" else None
        return (place,) if place else ()

    def _note(self, entry: AnyEntry) -> None:
        """Add an event to the span of the run."""
        if len(self._events) == EVENTS_LIMIT:
            return
        attributes = {"waypost.step": path} if (path := getattr(entry, "path", None)) else {}
        if isinstance(entry, entries.StepResolved):
            attributes["waypost.verdict"] = entry.verdict
        self._events.append(SpanEvent(f"waypost.{entry.__struct_config__.tag}", entry.at, attributes))

    # -- steps --------------------------------------------------------------------------------------------------

    def _schedule_step(self, entry: entries.StepScheduled) -> None:
        path = entry.path
        if self._is_core(path):
            self._open[path] = _OpenSpan(entry.at, self._describe_step(path))
        else:
            self._due[path] = _DueAttempt(1, entry.at)
            if entry.cleanup_pass > 1:
                self._passes[path] = entry.cleanup_pass

    def _schedule_retry(self, entry: entries.RetryScheduled) -> None:
        self._due[entry.path] = _DueAttempt(entry.attempt, entry.due)

    def _start_attempt(self, entry: entries.AttemptStarted) -> None:
        if entry.path in self._due:
            self._due[entry.path].due = entry.at

    def _reopen_step(self, entry: entries.StepReopened) -> None:
        path = entry.path
        if self._is_core(path) or not isinstance(self._run.steps.find_step(path), ActionStep):
            self._open[path] = _OpenSpan(entry.at, self._describe_step(path))

    def _complete_step(self, entry: entries.StepCompleted) -> None:
        if entry.path in self._open:
            self._close(entry.path, entry.at, "completed")
        elif entry.path in self._due:
            self._end_attempt(entry.path, entry.started_at, entry.at, "completed")

    def _fail_step(self, entry: entries.StepFailed) -> None:
        if entry.path in self._open:
            self._close(entry.path, entry.at, "failed", entry.error)
        self._due.pop(entry.path, None)

    def _cancel_step(self, entry: entries.StepCancelled) -> None:
        if entry.path in self._open:
            self._close(entry.path, entry.at, "cancelled")
        self._cancel_attempt(entry.path, entry.at)

    def _complete_page(self, entry: entries.PageCompleted) -> None:
        self._end_attempt(entry.path, entry.started_at, entry.at, "completed")
        self._pages[entry.path] = entry.page + 1, entry.attempt
        self._due[entry.path] = _DueAttempt(entry.attempt + 1, entry.at if entry.due is None else entry.due)

    def _fail_attempt(self, entry: entries.AttemptFailed) -> None:
        if entry.path in self._due:
            self._end_attempt(entry.path, entry.started_at, entry.at, "failed", entry.error)

    def _lose_attempt(self, entry: entries.AttemptLost) -> None:
        if entry.path in self._due:
            self._end_attempt(entry.path, entry.started_at, entry.at, "lost", entry.error)

    def _start_undo(self, entry: entries.UndoStarted) -> None:
        self._undone_by |= dict.fromkeys(entry.targets, entry.path)

    def _end_attempt(self, path: str, started: int | None, at: int, outcome: str, error: Failure | None = None) -> None:
        attempt = self._due.pop(path)
        start = attempt.due if started is None else started
        place, number = self._locate_attempt(path, attempt.number)
        key = make_key(self._run.id, path, self._passes.get(path, 1)) + place.removeprefix(path)
        own, before = SpanPlace(self._trace, make_span_id(key, place, number)), self._tried.pop(path, None)
        if outcome != "completed":
            self._tried[path] = own
        use = self._run.steps.find_use(path)
        attributes = self._describe_step(path) | {"waypost.attempt": number, "waypost.outcome": outcome}
        self._add(
            own,
            self._find_parent(path),
            strip_numbers(path),
            "internal" if use is None or self._run.is_immediate(use) else "client",
            (min(start, at), at),
            attributes | {"waypost.step": place} | _describe_error(error),
            links=(before,) if before else (),
            error=_summarize_error(error) if error else None,
        )

    def _cancel_attempt(self, path: str, at: int) -> None:
        """End an attempt that will not report its end, if it has begun."""
        attempt = self._due.get(path)
        if attempt is None:
            return
        if attempt.due < at:
            self._end_attempt(path, attempt.due, at, "cancelled")
        else:
            del self._due[path]

    def _locate_attempt(self, path: str, number: int) -> tuple[str, int]:
        """Return the path and the number with which the attempt's requests name their span."""
        if not self._run.steps.is_paged(path):
            return path, number
        page, before = self._pages.get(path, (0, 0))
        return make_page_path(path, page), number - before

    # -- blocks -------------------------------------------------------------------------------------------------

    def _start_block(self, entry: entries.BlockStarted) -> None:
        if entry.path not in self._open:  # a wait that timed out goes on as a block
            self._open[entry.path] = _OpenSpan(
                entry.at, self._describe_step(entry.path) | {"waypost.block": entry.kind}
            )

    def _start_item(self, entry: entries.BranchStarted | entries.BranchReopened) -> None:
        if entry.index is not None:
            path = number_frame(entry.path, entry.index)
            self._open[path] = _OpenSpan(entry.at, {"waypost.step": path, "waypost.item": entry.index})

    def _end_item(self, entry: entries.BranchEnded) -> None:
        path = number_frame(entry.path, entry.index)
        if entry.index is not None and path in self._open:
            self._close(path, entry.at, entry.status, entry.error)

    def _close(self, path: str, at: int, status: str, error: Failure | None = None) -> None:
        span = self._open.pop(path)
        self._add(
            self._locate(path, self._retries),
            self._find_parent(path),
            strip_numbers(path),
            "internal",
            (span.start, at),
            {**span.attributes, "waypost.outcome": status} | _describe_error(error),
            error=_summarize_error(error) if error else None,
        )

    def _close_all(self, at: int) -> None:
        """End what a part of the run leaves behind, innermost first."""
        for path in [*self._due]:
            self._cancel_attempt(path, at)
        for path in reversed([*self._open]):
            self._close(path, at, "cancelled")

    # -- what all spans have in common --------------------------------------------------------------------------

    def _add(
        self,
        place: SpanPlace,
        parent: str | None,
        name: str,
        kind: SpanKind,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        links: tuple[SpanPlace, ...] = (),
        events: tuple[SpanEvent, ...] = (),
        error: str | None = None,
    ) -> None:
        if self._is_copied or self.entries <= self._sent:
            return
        start, end = times
        self.spans.append(Span(place, parent, name, kind, start, max(start, end), attributes, links, events, error))

    def _find_parent(self, path: str) -> str:
        """Return the innermost open span around a step."""
        around = frame_of(path) if not path.endswith("]") else split_frame(path)[0]
        while around:
            if around in self._undone_by and around not in self._open:
                around = self._undone_by[around]
            if around in self._open:
                return make_span_id(self._run.id, around, self._retries)
            block, index = split_frame(around)
            around = frame_of(around) if index is None else block
        return make_span_id(self._run.id, "", self._retries)

    def _locate(self, path: str, number: int) -> SpanPlace:
        return SpanPlace(self._trace, make_span_id(self._run.id, path, number))

    def _is_core(self, path: str) -> bool:
        return self._run.steps.find_use(path) in CORE_ACTIONS

    def _describe_step(self, path: str) -> dict[str, str | int | bool]:
        use = self._run.steps.find_use(path)
        described: dict[str, str | int | bool] = {"waypost.step": path}
        return described | {"waypost.action": use} if use and "." in use else described


def _describe_error(error: Failure | None) -> dict[str, str]:
    """Return the class and the code of an error; a code that may be data is left out, as the message is."""
    if error is None:
        return {}
    described: dict[str, str] = {"error.type": error.error_class or "_OTHER"}
    if error.code and _CODE.fullmatch(error.code):
        described["waypost.error_code"] = error.code
    return described


def _summarize_error(error: Failure | None) -> str:
    return " ".join(_describe_error(error).values())


_READERS: Mapping[type[entries.Entry], Callable[[SpanBuilder, Any], None]] = {
    entries.RunStarted: SpanBuilder._start_run,
    entries.RunForked: SpanBuilder._fork_run,
    entries.RunRetried: SpanBuilder._retry_run,
    entries.MainEnded: SpanBuilder._end_main,
    entries.RunFinished: SpanBuilder._end_run,
    entries.StepScheduled: SpanBuilder._schedule_step,
    entries.RetryScheduled: SpanBuilder._schedule_retry,
    entries.AttemptStarted: SpanBuilder._start_attempt,
    entries.StepReopened: SpanBuilder._reopen_step,
    entries.StepCompleted: SpanBuilder._complete_step,
    entries.StepFailed: SpanBuilder._fail_step,
    entries.StepCancelled: SpanBuilder._cancel_step,
    entries.PageCompleted: SpanBuilder._complete_page,
    entries.AttemptFailed: SpanBuilder._fail_attempt,
    entries.AttemptLost: SpanBuilder._lose_attempt,
    entries.UndoStarted: SpanBuilder._start_undo,
    entries.BlockStarted: SpanBuilder._start_block,
    entries.BranchStarted: SpanBuilder._start_item,
    entries.BranchReopened: SpanBuilder._start_item,
    entries.BranchEnded: SpanBuilder._end_item,
    **dict.fromkeys(
        (
            entries.StartDue,
            entries.SlotGranted,
            entries.RunPaused,
            entries.RunResumed,
            entries.StepResolved,
            entries.CancelRequested,
            entries.DeadlinePassed,
            entries.RecoveryStopped,
        ),
        SpanBuilder._note,
    ),
}
