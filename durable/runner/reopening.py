"""Retries failed runs at a person's request: checks that a run can do better, reopens it in the journal, and takes it
over.

Ends the pause of a paused run where that means the same.
"""

import asyncio
import logging
import shlex
from collections.abc import Callable, Sequence

from durable import metrics
from durable.decide.advance import Advance
from durable.decide.run import UNDONE
from durable.definition import Definition
from durable.engine import RetryOutcome
from durable.history.entries import Fact, RunRetried, SlotGranted
from durable.history.state import State
from durable.journal.dedupe import is_key_taken
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.messages import InboxMessage, ResolveMessage, ResumeMessage, RetryMessage
from durable.runner.live_runs import LiveRuns
from durable.runner.messenger import Messenger
from durable.runner.takeover import RunTakeover
from durable.runner.versions import Versions
from durable.units import DedupeKey, Run
from durable.values import PayloadMissing

log = logging.getLogger("waypost.run")


class Reopener:
    """Retries runs. A retry that would fail in the same way, without any attempt, is refused."""

    def __init__(
        self,
        journal: Journal,
        runs: LiveRuns,
        versions: Versions,
        messenger: Messenger,
        takeover: RunTakeover,
        now: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._runs = runs
        self._versions = versions
        self._messenger = messenger
        self._takeover = takeover
        self._now = now

    async def retry(self, id: str, by: str | None, reason: str | None, once: DedupeKey | None = None) -> RetryOutcome:
        """Let a failed or paused run continue, and return after the commit. Raises a `JournalError`."""
        if once is not None and await self._journal.read(is_key_taken, once, self._now()):
            return RetryOutcome("retried")
        run = await self._journal.find_run(id)
        if run is None:
            return RetryOutcome("missing", f"there is no run {id}")
        try:
            if run.status == "paused":
                return await self._end_pause(run, by, reason, once)
            if run.status != "failed":
                return RetryOutcome("refused", _explain_status(run))
            if refusal := await self._find_refusal(run):
                return RetryOutcome("refused", refusal)
        except RunUnreadable as unreadable:
            return RetryOutcome("refused", f"run {id} cannot be read: {unreadable.reason}")
        reopening = self._journal.reopen(id, run.sequence, RetryMessage(by, reason), self._now(), once)
        if not await asyncio.shield(reopening):
            return RetryOutcome("refused", f"run {id} is no longer failed: another request has retried it")
        metrics.count_run_retried(run.pipeline)
        log.info("run retried", extra={"run": id, "pipeline": run.pipeline, "by": by, "reason": reason})
        await self._bring_in(run)
        return RetryOutcome("retried")

    async def _find_refusal(self, run: Run) -> str | None:
        definition = await self._versions.load_definition(run.id, run.version)
        return await self._journal.scan(lambda scan: _explain_refusal(scan, definition, run, self._now()), run.sequence)

    async def _bring_in(self, run: Run) -> None:
        """Take the run over, unless other runs of its pipeline come first; then the sweep does."""
        while (live := self._runs.by_id.get(run.id)) and live.busy:  # it has just failed, and is about to leave memory
            await asyncio.wait({live.busy})
        if self._runs.is_draining:
            return
        backlog = self._runs.backlog
        if not backlog.must_wait(run.pipeline, 0):
            await self._takeover.take_over(run.id)
            return
        backlog.add(run.pipeline, 0)
        if backlog.is_wanted(run.pipeline):
            self._takeover.take_over_soon(run.pipeline)

    async def _end_pause(self, run: Run, by: str | None, reason: str | None, once: DedupeKey | None) -> RetryOutcome:
        """Attempt the steps again that have no attempts left, and resume the run; an uncertain step needs a person."""
        state = await self._journal.scan(lambda scan: scan.load_state(run.id), run.sequence)
        messages: list[InboxMessage] = []
        for path in state.pauses:
            if not path:
                messages.append(ResumeMessage(by, reason))
            elif state.steps[path].status == "uncertain":
                return RetryOutcome("refused", _explain_uncertainty(run.id, path))
            else:
                messages.append(ResolveMessage(path, "retry", None, by, reason))
        keys = {len(messages) - 1: once}
        posted = [
            await self._messenger.post(run.id, each, once=keys.get(number)) for number, each in enumerate(messages)
        ]
        if "posted" not in posted:
            return RetryOutcome("refused", f"run {run.id} is no longer paused")
        return RetryOutcome("retried")


def _explain_status(run: Run) -> str:
    if run.finished_at is None:
        hint = f"; `waypost waits {run.id}` lists what it waits for" if run.status == "waiting" else ""
        return f"run {run.id} has not failed: it is {run.status}{hint}"
    return (
        f"run {run.id} is {run.status}, and only failed runs can be retried; "
        f"to run it again from the start: `waypost rerun {run.id}`"
    )


def _explain_uncertainty(run: str, path: str) -> str:
    return (
        f"it is not known whether step {path} took effect, so it is not repeated automatically; decide its outcome: "
        f"`waypost resolve {run} {path} --completed JSON | --retry | --failed`"
    )


def _explain_refusal(scan: Scan, definition: Definition, run: Run, at: int) -> str | None:
    """Return why the run would fail again at once: the core decides on a copy of its state."""
    state, unreadable = scan.replay(run.id, run.sequence)
    if unreadable:
        raise unreadable
    facts: Sequence[Fact] = (RunRetried(at=at), SlotGranted(at=at))
    for fact in facts:
        _decide(scan, definition, state, fact)
    if state.main is None or state.error is None:
        return None
    repeats = f"run it again on the newest version: `waypost rerun {run.id}`"
    if state.error == UNDONE:
        return f"{UNDONE.message}; {repeats}"
    where = f"step {state.error.step}" if state.error.step else "the run"
    fork = f"waypost fork {run.id}" + (f" --step {shlex.quote(state.error.step)}" if state.error.step else "")
    return (
        f"{where} would fail in the same way, without another attempt: {state.error.message}; "
        f"change its input (`{fork} --set NAME=VALUE`), or {repeats}"
    )


def _decide(scan: Scan, definition: Definition, state: State, fact: Fact) -> None:
    advance = Advance(definition, state, fact)
    while True:
        try:
            advance.follow()
        except PayloadMissing as missing:
            scan.load_value(missing.value)
        else:
            return
