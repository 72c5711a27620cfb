"""Deliberate faults in the service, to check that the evidence notices them: each breaks one place, and only in
the process that was started with it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from msgspec.structs import replace

from durable import replay
from durable.blocks import action, try_, undo
from durable.blocks.endings import end_block
from durable.clock import new_id
from durable.effects import StartChild
from durable.history.entries import PageCompleted, RetryScheduled
from durable.journal.concurrency import ConcurrencyLimits
from durable.journal.inbox import InboxWrites
from durable.journal.subscriptions import EventSubscriptions
from durable.runner import children, takeover
from durable.runner.advancer import Advancer
from durable.runner.children import Children
from durable.runner.performer import Performer

EVERY = 2
"""What goes wrong does so every second time."""


def _change(place: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    setattr(place, name, wrap(getattr(place, name)))


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


def a_retry_is_lost() -> None:
    """A failed run is reopened without the message that says so."""
    is_lost = _sometimes()

    def wrap(post: Any) -> Any:
        def post_unless_lost(self: InboxWrites, cursor: Any, run: str, kind: str, *rest: Any) -> bool:
            return (kind == "retry" and is_lost()) or bool(post(self, cursor, run, kind, *rest))

        return post_unless_lost

    _change(InboxWrites, "post", wrap)


def _lose(lost: str) -> None:
    is_lost = _sometimes()

    def wrap(post: Any) -> Any:
        def post_unless_lost(self: EventSubscriptions, cursor: Any, run: str, kind: str, **rest: Any) -> Any:
            return "posted" if kind == lost and is_lost() else post(self, cursor, run, kind, **rest)

        return post_unless_lost

    _change(EventSubscriptions, "post", wrap)


def an_event_is_missed() -> None:
    """An event does not find the runs that wait for it."""
    is_missed = _sometimes()
    _change(EventSubscriptions, "find_matches", lambda happened: lambda *given: [] if is_missed() else happened(*given))


def an_event_is_heard_twice() -> None:
    """It is not recorded that an event has answered a wait."""
    _change(EventSubscriptions, "_record_match", lambda heard: lambda *given: None)


def an_event_is_sent_twice() -> None:
    """The dedupe keys of calls and sent events are not stored."""
    _change(
        children,
        "make_dedupe_key",
        lambda make_key: lambda *given: replace(make_key(*given), key=new_id("claim", given[2])),
    )


def a_child_is_doubled() -> None:
    """After a crash a run is called again under another id."""

    def wrap(start_child: Any) -> Any:
        async def started(self: Children, run: Any, effect: StartChild, *, is_recorded: bool) -> Any:
            other = StartChild(effect.path, new_id("run", self._runtime.now())) if is_recorded else effect
            return await start_child(self, run, other, is_recorded=is_recorded)

        return started

    an_event_is_sent_twice()
    _change(Children, "start_child", wrap)


def a_child_is_forgotten() -> None:
    """A pending call is not repeated after a crash."""

    def wrap(perform: Any) -> Any:
        def perform_without_calls(
            self: Performer, run: Any, effects: Sequence[Any], *, is_recorded: bool = False
        ) -> None:
            kept = [each for each in effects if not (is_recorded and isinstance(each, StartChild))]
            perform(self, run, kept, is_recorded=is_recorded)

        return perform_without_calls

    _change(Performer, "perform", wrap)


def a_childs_end_is_lost() -> None:
    """A called run does not report its end."""
    is_lost = _sometimes()

    def wrap(post: Any) -> Any:
        def post_unless_lost(self: InboxWrites, cursor: Any, run: str, kind: str, *rest: Any) -> bool:
            return False if kind == "child" and is_lost() else bool(post(self, cursor, run, kind, *rest))

        return post_unless_lost

    _change(InboxWrites, "post", wrap)


def an_undo_is_out_of_order() -> None:
    """Effects are undone in the order in which they happened."""

    def wrap(targets: Any) -> Any:
        return lambda *given: reversed(list(targets(*given)))

    _change(undo, "_choose_targets", wrap)


def an_undo_is_left_out() -> None:
    """The last effect is not undone."""

    def wrap(targets: Any) -> Any:
        def drop_last(*given: Any) -> Iterator[str]:
            found = targets(*given)
            next(found, None)
            yield from found

        return drop_last

    _change(undo, "_choose_targets", wrap)


def a_limit_is_ignored() -> None:
    """Every run gets a slot."""

    def wrap(place: Any) -> Any:
        def place_always(self: ConcurrencyLimits, cursor: Any, run: str, wanted: Any) -> str:
            self._add(cursor, run, wanted, is_held=True)
            return "granted"

        return place_always

    _change(ConcurrencyLimits, "place", wrap)


def a_grant_is_lost() -> None:
    """A run that is granted a slot is not notified."""
    is_lost = _sometimes()

    def wrap(grant: Any) -> Any:
        def grant_silently(*given: Any) -> list[str]:
            found: list[str] = grant(*given)
            return [] if found and is_lost() else found

        return grant_silently

    _change(ConcurrencyLimits, "grant", wrap)


def a_finally_is_left_out() -> None:
    """The `finally` of a `try` is not performed."""
    _change(try_, "_clean_up", lambda clean_up: lambda pipeline, block, path, at: end_block(block, path, at))


def a_doubt_is_ignored() -> None:
    """A step that must not be repeated is repeated."""

    def wrap(uncertain: Any) -> Any:
        def repeat_step(path: str, attempt: int, failure: Any, at: int) -> list[Any]:
            return [RetryScheduled(at=at, path=path, attempt=attempt + 1, due=at)]

        return repeat_step

    _change(action, "_park_step", wrap)


_writing: list[asyncio.Future[Sequence[str]]] = []


def nothing_waits_for_its_commit() -> None:
    """The effects of an append are performed before its commit."""

    def wrap(prepare_append: Any) -> Any:
        def prepare_early(self: Advancer, *given: Any, **options: Any) -> Any:
            append = prepare_append(self, *given, **options)

            async def begin_append() -> Sequence[str]:
                _writing.append(asyncio.ensure_future(append()))
                return ()

            return begin_append

        return prepare_early

    _change(Advancer, "_prepare_append", wrap)


def a_timer_is_forgotten() -> None:
    """After a crash the timers of a run do not fire."""

    def wrap(wake: Any) -> Any:
        def woken(self: Performer, run: Any, *rest: Any) -> None:
            if run.epoch == 1:
                wake(self, run, *rest)

        return woken

    _change(Performer, "_wake", wrap)


def a_lost_attempt_is_forgotten() -> None:
    """After a crash an attempt is repeated as if it had not begun."""

    def wrap(find: Any) -> Any:
        def found(*given: Any, is_orphan: bool, **options: Any) -> Any:
            return find(*given, is_orphan=False, **options)

        return found

    _change(takeover, "find_lost_attempts", wrap)


def a_page_is_forgotten() -> None:
    """A page that arrived is missing in the output of its step."""
    is_forgotten = _sometimes()

    def wrap(fold: Any) -> Any:
        def fold_unless_forgotten(state: Any, entry: Any) -> None:
            fold(state, entry)
            if is_forgotten():
                state.steps[entry.path].pages.items.pop()

        return fold_unless_forgotten

    replay._FOLDS[PageCompleted] = wrap(replay._FOLDS[PageCompleted])


def a_page_is_requested_again() -> None:
    """A step gets its first page, and the ones after it, again."""
    is_forgotten = _sometimes()

    def wrap(fold: Any) -> Any:
        def fold_unless_forgotten(state: Any, entry: Any) -> None:
            fold(state, entry)
            if entry.page == 2 and is_forgotten():
                state.steps[entry.path].pages = None

        return fold_unless_forgotten

    replay._FOLDS[PageCompleted] = wrap(replay._FOLDS[PageCompleted])


SABOTAGES: Mapping[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        an_answer_is_lost,
        a_cancel_is_lost,
        a_decision_is_lost,
        a_retry_is_lost,
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
        a_page_is_forgotten,
        a_page_is_requested_again,
    )
}
