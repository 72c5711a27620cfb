"""What others want of a run: it is committed to the run's inbox, and its owner moves it into the history."""

import asyncio
import logging
from abc import abstractmethod

from durable.history.words import Verdict
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.messages import (
    AnswerMessage,
    CancelMessage,
    EventMessage,
    InboxMessage,
    ResolveMessage,
    ResumeMessage,
    decode_message,
    encode_message,
)
from durable.runner.attempt import ActionRuntime, call_with_payloads
from durable.runner.facts import make_fact
from durable.runner.live_run import LiveRun
from durable.runner.owner import Owner
from durable.units import Event, Message, PostOutcome
from durable.values import JSON

log = logging.getLogger("waypost.run")


class Inbox(Owner):
    """Takes in what others want of runs: of those in memory at once, of others by bringing them in."""

    def __init__(self, journal: Journal, bench: ActionRuntime, *, attempts: int, live_runs: int, patience: int) -> None:
        super().__init__(journal, bench, attempts=attempts, live_runs=live_runs, patience=patience)
        self._adopting: dict[str, asyncio.Future[LiveRun | None]] = {}

    @abstractmethod
    async def adopt(self, run: str, *, count_recovery: bool = False) -> LiveRun | None:
        """Bring a run into memory."""

    async def cancel(self, run: str, reason: str | None = None) -> bool:
        """Ask for a run's end through its inbox; False if there is no such unfinished run."""
        return await self._post(run, CancelMessage(reason)) == "posted"

    async def answer(self, run: str, path: str, name: str, data: JSON) -> PostOutcome:
        """Answer a wait; `name` is that of one wait of a `wait.any`. What comes first ends it: an answer, an event, its
        time."""
        return await self._post(run, AnswerMessage(path, name, data), path)

    async def resolve(
        self, run: str, path: str, verdict: Verdict, *, output: JSON = None, by: str | None, reason: str | None
    ) -> bool:
        """Decide for a step that needs a person; False if there is no such unfinished run."""
        return await self._post(run, ResolveMessage(path, verdict, output, by, reason)) == "posted"

    async def resume(self, run: str, by: str | None) -> bool:
        """Let a paused run go on; False if there is no such unfinished run."""
        return await self._post(run, ResumeMessage(by)) == "posted"

    async def _post(self, run: str, message: InboxMessage, wait: str | None = None) -> PostOutcome:
        kind, data = encode_message(message)
        posted = await asyncio.shield(self._journal.post(run, kind, data, self._bench.now(), wait))
        if posted == "posted":
            await self.deliver(run)
        return posted

    async def deliver(self, run: str) -> None:
        """Move a run's inbox into its history."""
        if run in self._adopting:
            await asyncio.wait({self._adopting[run]})
        if live := self.live.get(run):
            try:
                await self._take_messages(live)
            except RunUnreadable as error:
                self._drop(live)
                self.give_up(run, error)
        elif self.room or CancelMessage.kind in await self._journal.list_message_kinds(run):
            await self.adopt(run)  # else the sweep tries again; a cancel makes room

    def call(self, run: str) -> None:
        task = asyncio.create_task(self._deliver_soon(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_soon(self, run: str) -> None:
        if self.is_draining:
            return
        try:
            await self.deliver(run)
        except Exception:
            log.exception("a message was not taken; the sweep tries again", extra={"run": run})

    async def _take_messages(self, live: LiveRun) -> None:
        """Take what is there, and what comes meanwhile; one at a time does so."""
        live.is_called = True
        if live.is_taking:
            return
        live.is_taking = True
        try:
            while live.is_called and not live.is_gone:
                live.is_called = False
                for message in await self._journal.list_messages(live.run):
                    await self._take(live, message)
        finally:
            live.is_taking = False
        self.let_go_soon(live)

    async def _take(self, live: LiveRun, message: Message) -> None:
        data = await call_with_payloads(message.data.load, self._bench.payload)
        try:
            decoded = decode_message(message.kind, data)
        except ValueError as error:
            raise RunUnreadable(message.run, f"message {message.id} in its inbox {error}") from error
        event = await self._event(decoded.event) if isinstance(decoded, EventMessage) else None
        if isinstance(decoded, EventMessage) and event is None:
            log.warning("the event of a message is gone: %s", decoded.event, extra={"run": live.run})
            await self.discard(live, message.id)
            return
        at = self._bench.now()
        await self.report(live, make_fact(decoded, message.at, event, at), taken=[message.id])

    async def _event(self, id: str) -> Event | None:
        event = await self._journal.find_event(id)
        if event and event.data.ref and not event.data.is_loaded:
            event.data.attach(await self._bench.payload(event.data.ref))
        return event
