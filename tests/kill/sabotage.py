"""What can be broken in the service on purpose, to see that the evidence notices it: each breaks one place, and only in
the process that was launched with it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from msgspec.structs import replace

from durable.blocks import action, try_, undo
from durable.blocks.endings import end_block
from durable.clock import new_id
from durable.effects import StartChild
from durable.history.entries import RetryScheduled
from durable.journal.concurrency import ConcurrencyLimits
from durable.journal.inbox import InboxWrites
from durable.journal.subscriptions import EventSubscriptions
from durable.runner import children, takeover
from durable.runner.advancer import Advancer
from durable.runner.children import Children
from durable.runner.performer import Performer

EVERY = 2
"""What goes wrong does so every second time."""


def _change(place: Any, name: str, made: Callable[[Any], Any]) -> None:
    setattr(place, name, made(getattr(place, name)))


def _sometimes() -> Callable[[], bool]:
    numbers = count(1)
    return lambda: next(numbers) % EVERY == 0


def an_answer_is_lost() -> None:
    """An answer is accepted and not written."""
    _lose("answer")


def a_cancel_is_lost() -> None:
    """A cancel is accepted and not written."""
    _lose("cancel")


def a_decision_is_lost() -> None:
    """A person's decision is accepted and not written."""
    _lose("resolve")


def _lose(lost: str) -> None:
    is_lost = _sometimes()

    def made(post: Any) -> Any:
        def posted(self: EventSubscriptions, cursor: Any, run: str, kind: str, **rest: Any) -> Any:
            return "posted" if kind == lost and is_lost() else post(self, cursor, run, kind, **rest)

        return posted

    _change(EventSubscriptions, "post", made)


def an_event_is_missed() -> None:
    """An event does not find who waits for it."""
    is_missed = _sometimes()
    _change(EventSubscriptions, "find_matches", lambda happened: lambda *given: [] if is_missed() else happened(*given))


def an_event_is_heard_twice() -> None:
    """Nobody remembers that an event has answered a wait."""
    _change(EventSubscriptions, "_record_match", lambda heard: lambda *given: None)


def an_event_is_sent_twice() -> None:
    """What a run calls or sends is not claimed."""
    _change(
        children,
        "make_dedupe_key",
        lambda make_key: lambda *given: replace(make_key(*given), key=new_id("claim", given[2])),
    )


def a_child_is_doubled() -> None:
    """After a crash a run is called again under another name."""

    def made(start_child: Any) -> Any:
        async def started(self: Children, run: Any, effect: StartChild, *, is_recorded: bool) -> Any:
            other = StartChild(effect.path, new_id("run", self._runtime.now())) if is_recorded else effect
            return await start_child(self, run, other, is_recorded=is_recorded)

        return started

    an_event_is_sent_twice()
    _change(Children, "start_child", made)


def a_child_is_forgotten() -> None:
    """What a run calls is not called again after a crash."""

    def made(perform: Any) -> Any:
        def performed(self: Performer, run: Any, effects: Sequence[Any], *, is_recorded: bool = False) -> None:
            kept = [each for each in effects if not (is_recorded and isinstance(each, StartChild))]
            perform(self, run, kept, is_recorded=is_recorded)

        return performed

    _change(Performer, "perform", made)


def a_childs_end_is_lost() -> None:
    """A called run does not tell that it has ended."""
    is_lost = _sometimes()

    def made(post: Any) -> Any:
        def posted(self: InboxWrites, cursor: Any, run: str, kind: str, *rest: Any) -> bool:
            return False if kind == "child" and is_lost() else bool(post(self, cursor, run, kind, *rest))

        return posted

    _change(InboxWrites, "post", made)


def an_undo_is_out_of_order() -> None:
    """Effects are taken back in the order in which they happened."""

    def made(targets: Any) -> Any:
        return lambda *given: reversed(list(targets(*given)))

    _change(undo, "_choose_targets", made)


def an_undo_is_left_out() -> None:
    """The last effect is not taken back."""

    def made(targets: Any) -> Any:
        def left(*given: Any) -> Iterator[str]:
            found = targets(*given)
            next(found, None)
            yield from found

        return left

    _change(undo, "_choose_targets", made)


def a_limit_is_ignored() -> None:
    """Every run gets a slot."""

    def made(place: Any) -> Any:
        def placed(self: ConcurrencyLimits, cursor: Any, run: str, wanted: Any) -> str:
            self._add(cursor, run, wanted, is_held=True)
            return "held"

        return placed

    _change(ConcurrencyLimits, "place", made)


def a_grant_is_lost() -> None:
    """A run that is granted a slot is not told."""
    is_lost = _sometimes()

    def made(grant: Any) -> Any:
        def granted(*given: Any) -> list[str]:
            found: list[str] = grant(*given)
            return [] if found and is_lost() else found

        return granted

    _change(ConcurrencyLimits, "grant", made)


def a_finally_is_left_out() -> None:
    """What a `try` does in any case is not done."""
    _change(try_, "_clean_up", lambda clean_up: lambda pipeline, block, path, at: end_block(block, path, at))


def a_doubt_is_ignored() -> None:
    """A step that may not be repeated is repeated."""

    def made(uncertain: Any) -> Any:
        def repeated(path: str, attempt: int, failure: Any, at: int) -> list[Any]:
            return [RetryScheduled(at=at, path=path, attempt=attempt + 1, due=at)]

        return repeated

    _change(action, "_park_step", made)


_writing: list[asyncio.Future[Sequence[str]]] = []


def nothing_waits_for_its_commit() -> None:
    """What follows from an append is done before its commit."""

    def made(prepare_append: Any) -> Any:
        def prepared(self: Advancer, *given: Any, **options: Any) -> Any:
            append = prepare_append(self, *given, **options)

            async def begin_append() -> Sequence[str]:
                _writing.append(asyncio.ensure_future(append()))
                return ()

            return begin_append

        return prepared

    _change(Advancer, "_prepare_append", made)


def a_timer_is_forgotten() -> None:
    """After a crash nobody wakes a run whose time comes."""

    def made(wake: Any) -> Any:
        def woken(self: Performer, run: Any, *rest: Any) -> None:
            if run.epoch == 1:
                wake(self, run, *rest)

        return woken

    _change(Performer, "_wake", made)


def a_lost_attempt_is_forgotten() -> None:
    """An attempt that may be repeated is repeated after a crash as if it had not begun."""

    def made(find: Any) -> Any:
        def found(*given: Any, is_orphan: bool, **options: Any) -> Any:
            return find(*given, is_orphan=False, **options)

        return found

    _change(takeover, "find_lost_attempts", made)


SABOTAGES: Mapping[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        an_answer_is_lost,
        a_cancel_is_lost,
        a_decision_is_lost,
        an_event_is_missed,
        an_event_is_heard_twice,
        an_event_is_sent_twice,
        a_child_is_doubled,
        a_child_is_forgotten,
        a_childs_end_is_lost,
        an_undo_is_out_of_order,
        an_undo_is_left_out,
        a_limit_is_ignored,
        a_grant_is_lost,
        a_finally_is_left_out,
        a_doubt_is_ignored,
        nothing_waits_for_its_commit,
        a_timer_is_forgotten,
        a_lost_attempt_is_forgotten,
    )
}
