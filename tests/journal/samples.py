"""Sample values for journal tests."""

from collections.abc import Sequence

from durable.history.entries import AnyEntry, RunStarted, StepCompleted, StepScheduled
from durable.journal.journal import Journal
from durable.units import Admission, Admitted, DedupeKey, Delivery, Event, NewRun, RunView
from durable.values import INLINE_LIMIT, NULL, Value

RUNNING = RunView("running", due_at=5_000)
LARGE = Value.of("x" * (INLINE_LIMIT + 1))
TOO_BIG = 2**70
"""A number that no database keeps in a column: a row with it is refused."""


def make_run_started(at: int = 1_000, inputs: Value = NULL) -> RunStarted:
    return RunStarted(at=at, pipeline="orders", version="v1", deadline=9_000, inputs=inputs)


def make_step_scheduled(path: str = "reserve", at: int = 1_000) -> StepScheduled:
    return StepScheduled(at=at, path=path, input=Value.of({"order": 1}))


def make_step_completed(path: str = "reserve", at: int = 2_000, output: Value = NULL) -> StepCompleted:
    return StepCompleted(at=at, path=path, attempt=1, output=output)


def new_run(
    id: str,
    *,
    pipeline: str = "orders",
    trigger: str | None = "shop",
    entries: Sequence[AnyEntry] | None = None,
    view: RunView = RUNNING,
) -> NewRun:
    return NewRun(id, pipeline, "v1", trigger, 1_000, [make_run_started()] if entries is None else entries, view)


def event(id: str, *, time: int = 1_000, data: Value = NULL) -> Event:
    return Event(id, "shop/hooks/orders", f"key of {id}", "order.paid", time, "order 1", data)


def delivery(id: str) -> Delivery:
    return Delivery(
        id,
        "shop",
        "/hooks/orders",
        "POST",
        1_000,
        "accepted",
        None,
        "hash",
        2,
        kept=13,
        head=b'{"path":"/"}',
        body=b"{}",
    )


def admission(name: str, *keys: DedupeKey, at: int | None = None) -> Admission:
    """An event with one run and a delivery, all named after `name`."""
    return Admission(event(f"event-{name}"), [new_run(f"run-{name}")], keys, delivery(f"delivery-{name}"), at)


async def a_run(journal: Journal, name: str = "1", view: RunView = RUNNING) -> str:
    """A run whose history has one entry."""
    admitted: Admitted = await journal.admit(Admission(event(f"event-{name}"), [new_run(f"run-{name}", view=view)]))
    return admitted.runs[0]
