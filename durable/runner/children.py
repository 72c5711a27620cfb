"""Starts what steps request outside of their run: runs of other pipelines (`flow.call`) and events (`flow.emit`).

Each request is repeated after a crash; its dedupe key makes it happen once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from durable.blocks.call import find_called
from durable.clock import new_id
from durable.definition import InputsRefused
from durable.effects import EmitEvent, StartChild
from durable.engine import Overloaded, ServedPipelines, Start
from durable.history.entries import AttemptFailed, ChildEnded, Fact, InputRefused, StepCompleted
from durable.history.state import State
from durable.history.words import EndStatus, Failure, Parent
from durable.journal.errors import JournalBusy, JournalFull, TooManyRuns
from durable.journal.journal import Journal
from durable.path import make_key
from durable.runner.attempt import ActionRuntime
from durable.runner.descent import DescentBound
from durable.runner.intake import WRITE_PAUSE, Intake
from durable.runner.live_run import LiveRun
from durable.runner.payloads import call_with_payloads
from durable.runner.side_effects import make_dedupe_key
from durable.trace import make_traceparent
from durable.units import Admitted, Event, Run
from durable.values import JSON, NULL, Value

SOURCE = "waypost"
DETACHED = "detach"
NO_PIPELINE = "no_pipeline"
"""The code of the failure of a call for which no pipeline is served."""


class Children:
    """Starts the runs and sends the events that steps request, and makes the facts that report this to the step."""

    def __init__(
        self,
        journal: Journal,
        runtime: ActionRuntime,
        intake: Intake,
        pipelines: ServedPipelines,
        descent_bound: DescentBound,
    ) -> None:
        self._journal = journal
        self._runtime = runtime
        self._intake = intake
        self._pipelines = pipelines
        self._descent_bound = descent_bound

    async def start_child(self, run: LiveRun, effect: StartChild, *, is_recorded: bool) -> Fact | None:
        """Start the run that a step calls. Returns a fact if that fails, or if the step does not wait for the run's
        end."""
        path = effect.path
        given = await self._load_input(run, path)
        found = await self._journal.find_run(effect.run) if is_recorded or effect.is_again else None
        if found is None:
            admitted = await self._admit_child(run.state, effect, given)
            if admitted is None:
                return None
            if failure := await self._find_failure(effect, admitted):
                at = self._runtime.now()
                if failure.code == NO_PIPELINE and find_called(run.definition.actions[path].step.input):
                    attempt, reason = run.state.steps[path].attempt, failure.message or ""
                    return InputRefused(at=at, path=path, attempt=attempt, reason=reason)
                return ChildEnded(at=at, path=path, status="failed", error=failure)
        if given.get(DETACHED):
            output = Value.of({"run": effect.run})
            return StepCompleted(at=self._runtime.now(), path=path, attempt=1, output=output)
        return await self._report_end(path, found) if found and found.finished_at is not None else None

    async def _find_failure(self, effect: StartChild, admitted: Admitted | Failure) -> Failure | None:
        """Return why a called run does not start; None if it has started."""
        path = effect.path
        if isinstance(admitted, Failure):
            return admitted
        if not admitted.runs:
            return Failure.of(None, "skipped", "the pipeline's concurrency limit is reached", path)
        if admitted.is_duplicate and not await self._journal.find_run(effect.run):
            message = f"the called run {effect.run} was removed and cannot be retried; rerun this run instead"
            return Failure.of(None, "child_removed", message, path)
        return None

    async def _report_end(self, path: str, run: Run) -> ChildEnded:
        """Report the end of a called run that ended while its caller had ended, too. If its caller already knows, the
        report comes too late and changes nothing."""
        state = await self._journal.load_state(run.id)
        status: EndStatus = state.finished.status if state.finished else "failed"
        outputs = state.main.outputs if state.main else NULL
        at = self._runtime.now()
        return ChildEnded(at=at, path=path, run=run.id, status=status, outputs=outputs, error=state.error)

    async def emit_event(self, run: LiveRun, effect: EmitEvent) -> Fact | None:
        """Send the event of a step. The fact is the step's checkpoint, or why the event was not sent."""
        state, path, at = run.state, effect.path, self._runtime.now()
        event = _build_event(state, path, await self._load_input(run, path), at)
        depth, origin, span = state.depth + 1, state.origin, _make_traceparent(state, path)
        found = self._pipelines.starts(event)
        starts = [replace(start, depth=depth, origin=origin, traceparent=span) for start in found]
        admitted = await self._admit(state, path, event, starts)
        at = self._runtime.now()
        match admitted:
            case Admitted():
                output = Value.of({"event": admitted.event, "runs": list(admitted.runs)})
                return StepCompleted(at=at, path=path, attempt=1, output=output)
            case Failure():
                return AttemptFailed(at=at, path=path, attempt=1, error=admitted, ending="not_sent")
        return None

    async def _admit_child(self, state: State, effect: StartChild, given: dict[str, JSON]) -> Admitted | Failure | None:
        path, at = effect.path, self._runtime.now()
        start = self._build_start(state, path, effect.run, given)
        if isinstance(start, Failure):
            return start
        event = Event(id=new_id("evt", at), source=SOURCE, key=_make_event_key(state, path), type=None, time=at)
        return await self._admit(state, path, event, [start])

    def _build_start(self, state: State, path: str, run: str, given: dict[str, JSON]) -> Start | Failure:
        """Return the start of the run that a `flow.call` requests, or why it is impossible."""
        pipeline = str(given.get("pipeline"))
        definition = self._pipelines.definition(pipeline)
        if definition is None:
            return Failure.of("invalid", NO_PIPELINE, f"no pipeline {pipeline!r} is served", path)
        inputs = given.get("inputs")
        try:
            accepted = definition.accept(dict(inputs) if isinstance(inputs, dict) else {})
        except InputsRefused as refused:
            return Failure.of("invalid", "inputs", f"inputs of {pipeline}: {refused}", path)
        parent = Parent(state.run, path, state.depth + 1, is_detached=bool(given.get(DETACHED)))
        priority = state.started.priority if state.started else 0
        return Start(
            definition,
            "call",
            accepted,
            run=run,
            parent=parent,
            priority=priority,
            origin=state.origin,
            traceparent=_make_traceparent(state, path),
        )

    async def _load_input(self, run: LiveRun, path: str) -> dict[str, JSON]:
        given = await call_with_payloads(run.state.steps[path].input.load, self._runtime.payload)
        return given if isinstance(given, dict) else {}

    async def _admit(self, state: State, path: str, event: Event, starts: Sequence[Start]) -> Admitted | Failure | None:
        """Admit a step's request as soon as it can be written, or return why it failed; None if the service drains
        before that."""
        dedupe_keys, descent = [make_dedupe_key(state, path, event.time)], self._descent_bound.build_descent(state)
        while not self._intake.is_draining:
            try:
                return await self._intake.commit(event, starts, dedupe_keys, keeps_keys=True, descent=descent)
            except TooManyRuns as refusal:
                return self._descent_bound.refuse(refusal, state, path, starts)
            except (Overloaded, JournalFull, JournalBusy):
                await asyncio.sleep(WRITE_PAUSE)
        return None


def _build_event(state: State, path: str, given: dict[str, JSON], at: int) -> Event:
    """Return the event that a `flow.emit` sends."""
    subject = given.get("subject")
    return Event(
        id=new_id("evt", at),
        source=SOURCE,
        key=_make_event_key(state, path),
        type=str(given.get("type")),
        time=at,
        subject=subject if subject is None or isinstance(subject, str) else Value.of(subject).text,
        data=Value.of(given.get("data")),
    )


def _make_traceparent(state: State, path: str) -> str:
    """Return the span of a step that starts runs."""
    sender = state.started.traceparent if state.started else None
    return make_traceparent(state.run, state.run, path, state.retries, sender)


def _make_event_key(state: State, path: str) -> str:
    """Return a key that is unique for the step among all runs."""
    return make_key(state.run, path, state.steps[path].cleanup_pass)
