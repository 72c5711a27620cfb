"""Metrics: what the service counts about itself, for Prometheus.

A metric's children are bound once, since finding them costs more than counting. Their number is bounded too: after
`MOST_CHILDREN` combinations of labels, further ones count together as `other`.
"""

from time import perf_counter
from types import TracebackType
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from durable.history.words import RunStatus

MOST_CHILDREN = 1_000

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What `render_metrics` answers with."""

Metric = TypeVar("Metric", Counter, Histogram)


class Children(dict[tuple[str, ...], Metric], Generic[Metric]):
    """The children of a metric by the values of their labels."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric: Metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Metric:
        if len(self) >= MOST_CHILDREN:
            labels = ("other",) * len(labels)
        child: Metric = self._metric.labels(*labels)
        self[labels] = child
        return child


disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, which hardly anybody reads
ProcessCollector(registry=REGISTRY)

_RUNS_STARTED = Children(
    Counter("waypost_runs_started", "Runs that began, by pipeline.", ["pipeline"], registry=REGISTRY)
)
_RUNS_FINISHED = Children(
    Counter("waypost_runs_finished", "Runs that ended, and how.", ["pipeline", "status"], registry=REGISTRY)
)
_ATTEMPTS = Children(
    Counter("waypost_attempts", "Attempts that ended, and how.", ["action", "outcome"], registry=REGISTRY)
)
_ATTEMPT_SECONDS = Children(
    Histogram(
        "waypost_attempt_seconds",
        "How long attempts took.",
        ["action"],
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        registry=REGISTRY,
    )
)
_DELIVERIES = Children(
    Counter("waypost_deliveries", "Requests on webhooks, and what became of them.", ["outcome"], registry=REGISTRY)
)
_FIRES = Children(
    Counter(
        "waypost_schedule_fires",
        "Fires of schedules, and what became of them.",
        ["schedule", "outcome"],
        registry=REGISTRY,
    )
)
_COMMITS = Counter("waypost_commits", "Transactions of the journal.", registry=REGISTRY)
_COMMIT_UNITS = Histogram(
    "waypost_commit_units",
    "How many units shared a transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    registry=REGISTRY,
)
_COMMIT_SECONDS = Histogram(
    "waypost_commit_seconds",
    "How long a transaction took, until it was durable.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
    registry=REGISTRY,
)

LIVE_RUNS = Gauge("waypost_live_runs", "Unfinished runs in memory.", registry=REGISTRY)
ATTEMPTS_IN_FLIGHT = Gauge("waypost_attempts_in_flight", "Attempts at work.", registry=REGISTRY)
ATTEMPTS_WAITING = Gauge(
    "waypost_attempts_waiting", "Attempts that wait in memory for a slot and a connection.", registry=REGISTRY
)
JOURNAL_WAITING = Gauge("waypost_journal_waiting", "Units that wait for their transaction.", registry=REGISTRY)


def count_run_started(pipeline: str) -> None:
    """Count a run that began."""
    _RUNS_STARTED[pipeline,].inc()


def count_run_finished(pipeline: str, status: RunStatus) -> None:
    """Count a run that ended."""
    _RUNS_FINISHED[pipeline, status].inc()


def count_delivery(outcome: str) -> None:
    """Count a request on a webhook; `outcome` is one of the words of `DeliveryOutcome`, or `unknown` of no webhook."""
    _DELIVERIES[outcome,].inc()


def count_fires(schedule: str, outcome: str, count: int = 1) -> None:
    """Count fires of a schedule; `outcome` is one of the words of `FireOutcome`."""
    _FIRES[schedule, outcome].inc(count)


def count_commit(units: int, seconds: float) -> None:
    """Count a transaction of the journal."""
    _COMMITS.inc()
    _COMMIT_UNITS.observe(units)
    _COMMIT_SECONDS.observe(seconds)


class AttemptTimer:  # reads as the verb that it is: `with metrics.attempt(action)`
    """Count and time an attempt: `completed`, `failed` if it raises, `cancelled` if it is given up."""

    __slots__ = ("_action", "_began")

    under_way = 0
    """On the event loop alone; the gauge asks for it, since to set a gauge twice an attempt costs eight calls."""

    def __init__(self, action: str) -> None:
        self._action = action

    def __enter__(self) -> None:
        AttemptTimer.under_way += 1
        self._began = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        AttemptTimer.under_way -= 1
        outcome = "completed" if kind is None else "failed" if issubclass(kind, Exception) else "cancelled"
        _ATTEMPTS[self._action, outcome].inc()
        _ATTEMPT_SECONDS[self._action,].observe(perf_counter() - self._began)


ATTEMPTS_IN_FLIGHT.set_function(lambda: AttemptTimer.under_way)


def render_metrics() -> bytes:
    """The text exposition."""
    return generate_latest(REGISTRY)
