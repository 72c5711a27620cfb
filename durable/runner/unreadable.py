"""Unreadable runs: some of their data are damaged, missing or from a newer Waypost, so they cannot be advanced. They
are shown as paused, with the reason, until they can be read again or are cancelled."""

import logging
from collections.abc import Callable

from durable.history.entries import RunFinished
from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.messages import CancelMessage, ChildMessage, encode_message
from durable.units import NewMessage, Run, RunView, SideEffects

log = logging.getLogger("waypost.run")


class UnreadableRuns:
    """The unreadable runs of this node, with the reasons."""

    def __init__(self, journal: Journal, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now
        self.reasons: dict[str, str] = {}

    async def note(self, run: str, error: RunUnreadable) -> bool:
        """Show a run that this node owns as paused, or end it if its inbox contains a cancel. Returns whether it has
        ended."""
        found = await self._journal.find_run(run)
        if found is None or found.finished_at is not None:
            self.reasons.pop(run, None)
            return False
        if CancelMessage.kind in await self._journal.list_message_kinds(run):
            await self._end(found, error)
            self.reasons.pop(run, None)
            return True
        if self.reasons.get(run) != error.reason:
            log.error("run paused because it cannot be read: %s", error.reason, extra={"run": run})
            self.reasons[run] = error.reason
        await self._journal.pause(run, f"it cannot be read: {error.reason}; restore a backup, or cancel it")
        return False

    def forget(self, run: str) -> None:
        """Record that the run can be read."""
        self.reasons.pop(run, None)

    async def _end(self, run: Run, error: RunUnreadable) -> None:
        """End a run without its cleanup, which is unknown; notify its caller and the runs that it called."""
        state, _ = await self._journal.scan(lambda scan: scan.replay(run.id, run.sequence), run.sequence)
        at = self._now()
        slot = await self._journal.find_slot_key(run.id)
        reason = f"it was cancelled without its cleanup because it could not be read: {error.reason}"
        view = RunView("cancelled", reason, None, at)
        also = SideEffects(_messages(state), freed_slot=slot, has_ended=True)
        end = RunFinished(at=at, status="cancelled")
        await self._journal.append(run.id, run.epoch, run.sequence, [end], view, side_effects=also, is_progress=True)
        log.warning("run cancelled; %s", reason, extra={"run": run.id, "pipeline": run.pipeline})


def _messages(state: State) -> list[NewMessage]:
    """Return the messages to its caller and to the runs that it called, as far as the history names them."""
    called = [step.child for path in state.active if (step := state.steps.get(path)) and step.child]
    cancel = encode_message(CancelMessage(f"{state.run}, which called it, has ended"))
    posts = [NewMessage(child, *cancel) for child in called]
    parent = state.started.parent if state.started else None
    if parent and not parent.is_detached:
        end = ChildMessage(parent.path, state.run, "cancelled", None, None)
        posts.append(NewMessage(parent.run, *encode_message(end)))
    return posts
