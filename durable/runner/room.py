"""Limits the runs in memory, shared by pipeline, and tracks pipelines with runs that wait in the journal.

A run is durable before it comes into memory. If there is no room for it, it is not refused, but remains in the journal
and is taken over later. If many runs of a pipeline wait for a permit or at a gate, only `at_hand` of them wait in
memory.
"""

from durable.runner.gates import ConnectionGates
from durable.runner.permits import AttemptPermits, count_takeable


class Room:
    """Counts the runs in memory by pipeline. `number` runs fit, plus one of each pipeline that has none."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._total = 0
        self._held: dict[str, int] = {}

    def add(self, pipeline: str) -> None:
        self._total += 1
        self._held[pipeline] = self._held.get(pipeline, 0) + 1

    def remove(self, pipeline: str) -> None:
        self._total -= 1
        self._held[pipeline] -= 1
        if not self._held[pipeline]:
            del self._held[pipeline]

    @property
    def free(self) -> int:
        """How many more runs fit, regardless of their pipeline."""
        return max(0, self._number - self._total)

    @property
    def is_half_full(self) -> bool:
        return self._total > self._number // 2

    def count_free(self, pipeline: str) -> int:
        """Return how many more runs of the pipeline fit."""
        held = self._held.get(pipeline, 0)
        return count_takeable(held, self.free) or (0 if held else 1)


class Backlog:
    """The pipelines with due runs that wait in the journal."""

    def __init__(self, room: Room, permits: AttemptPermits, gates: ConnectionGates, at_hand: int) -> None:
        self._room = room
        self._permits = permits
        self._gates = gates
        self._at_hand = at_hand
        self._left: dict[str, int] = {}

    def must_wait(self, pipeline: str, priority: int) -> bool:
        """Whether a run with that priority has to wait in the journal: because there is no room, because runs that come
        first wait there, or because enough of them wait in memory."""
        return (
            self._left.get(pipeline, priority - 1) >= priority
            or not self._room.count_free(pipeline)
            or self.is_crowded(pipeline, priority)
        )

    def is_crowded(self, pipeline: str, priority: int) -> bool:
        """Whether enough runs that come before that priority wait in memory, so that the run can wait in the
        journal."""
        return self._count_waiting(pipeline, priority) >= self._at_hand

    def add(self, pipeline: str, priority: int) -> None:
        """Record that a run with that priority waits in the journal."""
        self._left[pipeline] = max(priority, self._left.get(pipeline, priority))

    def has_runs(self, pipeline: str) -> bool:
        """Whether runs of the pipeline may be waiting in the journal."""
        return pipeline in self._left

    def forget(self, pipeline: str) -> None:
        """Record that no run of the pipeline waits in the journal."""
        self._left.pop(pipeline, None)

    def count_wanted(self, pipeline: str) -> int:
        """Return how many of the waiting runs may be taken over now."""
        waiting = self._count_waiting(pipeline)
        return max(0, min(self._room.count_free(pipeline), self._at_hand - waiting))

    def is_wanted(self, pipeline: str) -> bool:
        """Whether so few runs wait in memory that some of those in the journal should be taken over."""
        is_low = self._count_waiting(pipeline) <= self._at_hand // 2
        return is_low and self._room.count_free(pipeline) > 0

    def _count_waiting(self, pipeline: str, priority: int | None = None) -> int:
        waiting = self._permits.count_waiting(pipeline, priority)
        return waiting + self._gates.count_waiting(pipeline, priority) if self._gates.by_name else waiting
