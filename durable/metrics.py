"""Prometheus metrics of the service.

Counting adds to a number in a dictionary, which the Prometheus client reads when it is scraped. The client's own
counters, with a lock each, took one in fifteen of a run's Python calls. Each metric must therefore be counted from a
single thread.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from durable.history.words import RunStatus

MOST_CHILDREN = 1_000
"""The maximum number of label combinations of a metric; further ones are counted as `other`."""

RenewalOutcome: TypeAlias = Literal["renewed", "failed"]
SpanOutcome: TypeAlias = Literal["sent", "refused"]
AttemptOutcome: TypeAlias = Literal["completed", "failed", "cancelled"]
Labels: TypeAlias = tuple[str, ...]

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of the text that `render_metrics` returns."""

ProcessCollector(registry=REGISTRY)


class LabelledCounter(Collector):
    """A counter with labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), registry: CollectorRegistry = REGISTRY):
        self._name, self._help, self._labels = name, help, labels
        self.numbers: dict[Labels, int] = {} if labels else {(): 0}
        registry.register(self)

    def add(self, labels: Labels = (), number: int = 1) -> None:
        numbers = self.numbers
        if labels not in numbers:
            labels = _bound_labels(labels, len(numbers))
            numbers.setdefault(labels, 0)
        numbers[labels] += number

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, number in list(self.numbers.items()):
            family.add_metric(labels, number)
        yield family


class LabelledGauge(Collector):
    """A gauge with labels, whose values are read when it is scraped: by `read`, which the service sets."""

    def __init__(self, name: str, help: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = name, help, labels
        self.read: Callable[[], Mapping[Labels, float]] = dict
        REGISTRY.register(self)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in self.read().items():
            family.add_metric(labels, value)
        yield family


class LabelledHistogram(Collector):
    """A histogram with labels; `bounds` are the upper bounds of its buckets."""

    def __init__(self, name: str, help: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._bounds = tuple(bounds)
        self._names = [floatToGoString(bound) for bound in (*bounds, float("inf"))]  # type: ignore[no-untyped-call]
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        if not labels:
            self._add_child(())
        REGISTRY.register(self)

    def observe(self, value: float, labels: Labels = ()) -> None:
        if labels not in self._buckets:
            labels = _bound_labels(labels, len(self._buckets))
            self._add_child(labels)
        self._buckets[labels][bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def sum_all(self) -> float:
        """Return the sum of what was observed, with all labels."""
        return sum(self._sums.values())

    def estimate_quantile(self, share: float) -> float | None:
        """Estimate the value below which a share of what was observed is, with all labels, by interpolation within its
        bucket, as Prometheus does; None if nothing was observed."""
        numbers: list[int] = [sum(column) for column in zip(*self._buckets.values(), strict=True)]
        rank, below, lower = share * sum(numbers), 0.0, 0.0
        for number, upper in zip(numbers, self._bounds, strict=False):
            if number and below + number >= rank:
                return lower + (upper - lower) * (rank - below) / number
            below, lower = below + number, upper
        return lower if rank else None

    def _add_child(self, labels: Labels) -> None:
        self._buckets.setdefault(labels, [0] * len(self._names))
        self._sums.setdefault(labels, 0.0)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for labels, buckets in list(self._buckets.items()):
            counts = zip(self._names, accumulate(buckets), strict=True)
            family.add_metric(labels, list(counts), self._sums[labels])
        yield family


class CommitTotals(NamedTuple):
    """Numbers of commits of the journal, and of the units in them."""

    commits: float
    units: float


def _bound_labels(labels: Labels, children: int) -> Labels:
    return labels if children < MOST_CHILDREN else ("other",) * len(labels)


_RUNS_STARTED = LabelledCounter("waypost_runs_started", "Runs that began, by pipeline.", ["pipeline"])
_RUNS_RETRIED = LabelledCounter("waypost_runs_retried", "Failed runs that were retried, by pipeline.", ["pipeline"])
_RUNS_FINISHED = LabelledCounter("waypost_runs_finished", "Runs that ended, and how.", ["pipeline", "status"])
_RUN_SECONDS = LabelledHistogram(
    "waypost_run_seconds",
    "How long runs took from their start, or their last retry, to their end; waiting included.",
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400),
    ["pipeline"],
)
_ATTEMPTS = LabelledCounter("waypost_attempts", "Attempts that ended, and how.", ["action", "outcome"])
_ATTEMPTS_LOST = LabelledCounter(
    "waypost_attempts_lost", "Attempts lost to a crash or a stop of the service.", ["action", "cause"]
)
_ATTEMPT_SECONDS = LabelledHistogram(
    "waypost_attempt_seconds",
    "How long attempts took.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    ["action"],
)
_RENEWALS = LabelledCounter(
    "waypost_token_renewals", "Requests for the access tokens of connections.", ["connection", "outcome"]
)
_DELIVERIES = LabelledCounter(
    "waypost_deliveries", "Requests on webhooks, and what became of them.", ["webhook", "outcome"]
)
_ACCEPT_SECONDS = LabelledHistogram(
    "waypost_accept_seconds",
    "How long it took to accept a delivery durably, from its last byte.",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
_FIRES = LabelledCounter(
    "waypost_schedule_fires", "Fires of schedules, and what became of them.", ["schedule", "outcome"]
)
_SCHEDULE_LATENESS = LabelledHistogram(
    "waypost_schedule_lateness_seconds",
    "How long after their time the runs of schedules started.",
    (0.01, 0.1, 1, 5, 30, 60, 300, 900, 3600),
    ["schedule"],
)
_BULK_ITEMS = LabelledCounter("waypost_bulk_items", "Runs and deliveries of bulks, by outcome.", ["action", "outcome"])
_COMMITS = LabelledCounter("waypost_commits", "Transactions of the journal.")
_COMMIT_UNITS = LabelledHistogram(
    "waypost_commit_units", "How many units shared a transaction.", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
_COMMIT_SECONDS = LabelledHistogram(
    "waypost_commit_seconds",
    "How long a transaction took, until it was durable.",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)

_TRACE_SPANS = LabelledCounter(
    "waypost_trace_spans", "Spans that were sent to the receiver of traces, or that it refused.", ["outcome"]
)
_REMOVED = LabelledCounter("waypost_removed", "Rows that retention removed.", ["noun"])

UNFINISHED_RUNS = Gauge(
    "waypost_unfinished_runs", "Unfinished runs by status; up to 100,000 are counted.", ["status"], registry=REGISTRY
)
OLDEST_UNFINISHED_TIME = Gauge(
    "waypost_oldest_unfinished_timestamp_seconds",
    "When the oldest unfinished run of a status was created; 0 without any.",
    ["status"],
    registry=REGISTRY,
)
STREAMS = Gauge("waypost_streams", "Streams of events that are open.", registry=REGISTRY)
SESSIONS = Gauge("waypost_sessions", "Sessions of people who are signed in.", registry=REGISTRY)

LIVE_RUNS = Gauge("waypost_live_runs", "Unfinished runs in memory.", registry=REGISTRY)
ATTEMPTS_IN_FLIGHT = Gauge("waypost_attempts_in_flight", "Attempts at work.", registry=REGISTRY)
ATTEMPTS_WAITING = Gauge(
    "waypost_attempts_waiting", "Attempts that wait in memory for a permit and a connection.", registry=REGISTRY
)
CONNECTION_WAITING = LabelledGauge(
    "waypost_connection_waiting",
    "Attempts and requests that wait in memory for their turn at a connection.",
    ["connection"],
)
CONNECTION_HELD_BACK = LabelledGauge(
    "waypost_connection_held_back",
    "1 while a connection is held back (held_back) or its circuit breaker is open (circuit_open).",
    ["connection", "reason"],
)
CONNECTION_NEEDS_LOGIN = LabelledGauge(
    "waypost_connection_needs_login", "1 after a service has ended the login of a connection.", ["connection"]
)
JOURNAL_WAITING = Gauge("waypost_journal_waiting", "Units that wait for their transaction.", registry=REGISTRY)

TRACES_WAITING = Gauge("waypost_traces_waiting", "Ended runs whose traces are to be sent.", registry=REGISTRY)
TRACES_OLDEST = Gauge(
    "waypost_traces_oldest_timestamp_seconds",
    "When the first run ended whose trace is to be sent; 0 without any.",
    registry=REGISTRY,
)

JOURNAL_BYTES = Gauge("waypost_journal_bytes", "Size of the journal's database file.", registry=REGISTRY)
JOURNAL_FREE_BYTES = Gauge(
    "waypost_journal_free_bytes", "The part of the database file that is free to be used again.", registry=REGISTRY
)
JOURNAL_LOG_BYTES = Gauge("waypost_journal_wal_bytes", "Size of the journal's write-ahead log.", registry=REGISTRY)
JOURNAL_ROWS = Gauge("waypost_journal_rows", "Rows of the journal, counted once an hour.", ["noun"], registry=REGISTRY)
OLDEST_RUN_TIME = Gauge(
    "waypost_oldest_run_timestamp_seconds",
    "When the oldest run in the journal was created; 0 without runs.",
    registry=REGISTRY,
)
RETENTION_TIME = Gauge(
    "waypost_retention_timestamp_seconds",
    "When retention last made a complete pass; 0 before the first.",
    registry=REGISTRY,
)


def count_run_started(pipeline: str) -> None:
    """Count a run that started."""
    _RUNS_STARTED.add((pipeline,))


def count_run_retried(pipeline: str) -> None:
    """Count a failed run that was retried."""
    _RUNS_RETRIED.add((pipeline,))


def count_run_finished(pipeline: str, status: RunStatus, seconds: float) -> None:
    """Count a run that ended."""
    _RUNS_FINISHED.add((pipeline, status))
    _RUN_SECONDS.observe(seconds, (pipeline,))


def count_attempt(action: str, outcome: AttemptOutcome, seconds: float) -> None:
    """Count an attempt that ended; `cancelled` means that it was abandoned."""
    _ATTEMPTS.add((action, outcome))
    _ATTEMPT_SECONDS.observe(seconds, (action,))


def count_lost_attempt(action: str, cause: str) -> None:
    """Count an attempt whose result will never be known; `cause` is a `LossCause`."""
    _ATTEMPTS_LOST.add((action, cause))


def count_renewal(connection: str, outcome: RenewalOutcome) -> None:
    """Count a request for an access token."""
    _RENEWALS.add((connection, outcome))


def count_delivery(webhook: str, outcome: str) -> None:
    """Count a request to a webhook. `outcome` is a `DeliveryOutcome`, or `unknown` if there is no such webhook."""
    _DELIVERIES.add((webhook, outcome))


def count_acceptance(webhook: str, outcome: str, seconds: float) -> None:
    """Count a request to a webhook that was stored with its event."""
    _DELIVERIES.add((webhook, outcome))
    _ACCEPT_SECONDS.observe(seconds)


def count_fires(schedule: str, outcome: str, count: int = 1) -> None:
    """Count fires of a schedule; `outcome` is a `FireOutcome`."""
    _FIRES.add((schedule, outcome), count)


def count_start_of_fire(schedule: str, outcome: str, lateness: float) -> None:
    """Count a fire of a schedule that was admitted so many seconds after its time."""
    _FIRES.add((schedule, outcome))
    _SCHEDULE_LATENESS.observe(lateness, (schedule,))


def count_removed(noun: str, count: int) -> None:
    """Count rows that retention removed."""
    _REMOVED.add((noun,), count)


def count_bulk_item(action: str, outcome: str) -> None:
    """Count an item of a bulk; `action` is a `BulkAction`, `outcome` is `done` or `refused`."""
    _BULK_ITEMS.add((action, outcome))


def count_trace_spans(outcome: SpanOutcome, count: int) -> None:
    """Count spans of a batch that was sent."""
    _TRACE_SPANS.add((outcome,), count)


def count_commit(units: int, seconds: float) -> None:
    """Count a transaction of the journal."""
    _COMMITS.numbers[()] += 1
    _COMMIT_UNITS.observe(units)
    _COMMIT_SECONDS.observe(seconds)


def count_commits() -> CommitTotals:
    """Return how many commits there were since the process began, and how many units they had."""
    return CommitTotals(_COMMITS.numbers[()], _COMMIT_UNITS.sum_all())


def count_attempts_in_flight() -> int:
    """Return how many attempts are at work."""
    return int(next(iter(ATTEMPTS_IN_FLIGHT.collect())).samples[0].value)


def estimate_acceptance(share: float) -> float | None:
    """Return the milliseconds in which a share of the deliveries was accepted since the service started; None before
    the first."""
    seconds = _ACCEPT_SECONDS.estimate_quantile(share)
    return None if seconds is None else seconds * 1_000


def render_metrics() -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
