"""The writer: a thread that commits all queued units in one transaction, then completes their futures.

There is no timer: the units that arrive during a commit form the next batch. A single caller pays for one commit; a
hundred callers share one. A queued unit is committed even if its caller no longer waits.

Units are passed to the thread together, at the end of the event loop's turn. Passed one by one, the first unit would
wake the thread for a commit of its own while the loop is still making the others: measured with 64 concurrent runs on a
fast disk, that doubles the number of commits and costs a tenth more CPU per run.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, TypeAlias

from durable import metrics
from durable.journal.dialect import Answer, Database, ErrorKind, Unit, WriteConnection
from durable.journal.errors import JournalBroken, JournalBusy, JournalClosed, JournalError, JournalFull, UnitRefused
from durable.journal.feed import Feed

BATCH_LIMIT = 512
"""The maximum number of units in a transaction; with more, the first would wait too long."""

CHECK_SECONDS = 0.05
"""Seconds between two checks of the files under load. A check makes six system calls, and the writer waits for the
interpreter's lock after each: with 64 concurrent runs, checking at every commit reduced the rate by a tenth or more."""

HANDFUL = 16
"""This many units are passed on before the turn ends, so that the thread works in parallel during a long turn."""

_Waiting: TypeAlias = "tuple[Unit[Any], asyncio.Future[Any]]"
_Answered: TypeAlias = "tuple[asyncio.Future[Any], object]"


class Writer:
    """Commits units in the order in which they were queued; used from a single event loop.

    `on_broken` is called in that loop, once, when the database can no longer be trusted.
    """

    def __init__(
        self, database: Database, connection: WriteConnection, on_broken: Callable[[BaseException], None], feed: Feed
    ) -> None:
        self.waiting = 0
        self._feed = feed
        self._database = database
        self._connection = connection
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._gathered: list[_Waiting] = []
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._refusal: tuple[type[JournalError], str] | None = None
        self._next_check = 0.0
        self._thread = Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, unit: Unit[Answer]) -> asyncio.Future[Answer]:
        """Queue a unit. The future completes after the commit; cancelling the future does not cancel the unit."""
        if self._refusal:
            kind, message = self._refusal
            raise kind(message)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self.waiting += 1
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((unit, future))
        if len(self._gathered) == HANDFUL:
            self._hand_over()
        return future

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        for waiting in gathered:
            self._queue.put(waiting)

    @property
    def is_broken(self) -> bool:
        """Whether writing has failed permanently."""
        return self._refusal is not None and self._refusal[0] is JournalBroken

    async def close(self) -> None:
        """Commit everything that is queued, then stop."""
        if not self._refusal:
            self._refusal = JournalClosed, "the journal is closed; nothing was written"
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- in the thread

    def _run(self) -> None:
        feed = self._feed
        while batch := self._take_batch():
            is_watched = feed.is_watched
            try:
                answers = self._commit(batch)
            except Exception as error:  # noqa: BLE001 - after any error nothing more may be written
                self._call(self._break, batch, error)
                return
            if feed.is_watched:  # perhaps only since the units were executed: then it is not known what they changed
                self._call(feed.publish, feed.take_notes(is_complete=is_watched))
            self._call(self._answer, answers)
        self._database.finish(self._connection)

    def _take_batch(self) -> list[_Waiting]:
        """Wait for the next batch of at least one unit. An empty batch means that the journal is closed."""
        batch: list[_Waiting] = []
        while not batch or (len(batch) < BATCH_LIMIT and not self._queue.empty()):
            waiting = self._queue.get()
            if waiting is None:
                if batch:
                    self._queue.put(None)  # commit these first; the end is always last
                break
            batch.append(waiting)
        return batch

    def _commit(self, batch: list[_Waiting]) -> list[_Answered]:
        """Commit a batch in one transaction. If that fails, retry each unit in a transaction of its own."""
        began = perf_counter()
        answers: list[_Answered] = []
        noted = self._feed.count_notes() if self._feed.is_watched else 0
        try:
            cursor = self._connection.cursor()
            cursor.execute(self._database.begin, {})
            for unit, future in batch:
                try:
                    answers.append((future, unit(cursor)))
                except JournalError as refusal:
                    answers.append((future, refusal))
            self._connection.commit()
            if len(batch) == 1 or began >= self._next_check:  # before any caller is told that its unit is durable
                self._next_check = began + CHECK_SECONDS
                self._database.ensure_in_place(self._connection)
        except Exception as error:  # noqa: BLE001 - the database classifies it
            self._feed.drop_notes(noted)
            return self._handle_failure(batch, error)
        metrics.count_commit(len(batch), perf_counter() - began)
        return answers

    def _handle_failure(self, batch: list[_Waiting], error: Exception) -> list[_Answered]:
        kind = self._database.classify_error(error)
        if kind == "broken":
            raise error
        self._recover()
        if kind == "busy":
            return [(future, JournalBusy(f"another process holds the database: {error}")) for _, future in batch]
        if len(batch) == 1:
            return [(batch[0][1], _make_refusal(kind, error))]
        return [answer for waiting in batch for answer in self._commit([waiting])]

    def _recover(self) -> None:
        """Roll back after an error, or replace the connection."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except Exception:  # noqa: BLE001 - a connection that cannot even roll back is replaced
            self._connection.close()
            self._connection = self._database.connect()

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:  # noqa: SIM105  # runs for every batch, and `contextlib.suppress` costs three calls
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # the loop was closed before the journal: there are no waiters

    # -- in the loop

    def _answer(self, answers: list[_Answered]) -> None:
        self.waiting -= len(answers)
        for future, answer in answers:
            if future.done():  # its waiter was cancelled
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _break(self, batch: list[_Waiting], error: Exception) -> None:
        message = f"the journal cannot be written any more ({error}); restart the process"
        self._refusal = JournalBroken, message
        lost = [future for _, future in batch]
        self._hand_over()
        while not self._queue.empty():
            waiting = self._queue.get()
            if waiting is not None:
                lost.append(waiting[1])
        self._answer([(future, JournalBroken(message)) for future in lost])
        self._on_broken(error)


def _make_refusal(kind: ErrorKind, error: Exception) -> JournalError:
    if kind == "full":
        refusal: JournalError = JournalFull(f"the disk is full ({error}); nothing was written; make room and try again")
    else:
        refusal = UnitRefused(f"the journal cannot keep this: {type(error).__name__}: {error}")
    refusal.__cause__ = error
    return refusal
