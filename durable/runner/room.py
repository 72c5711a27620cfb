"""Room for runs in memory, shared by pipeline, and the runs that wait in the journal for their turn.

A run is durable before it comes into memory. One for which there is no room is therefore not refused, but left in the
journal and brought in later. Of a pipeline of which many runs wait for a permit, `at_hand` wait in memory.
"""

from durable.runner.permits import AttemptPermits, count_takeable


class Room:
    """Counts the runs in memory by pipeline; `number` fit, and one more of a pipeline that has none."""

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
        """How many more runs fit, whatever their pipeline."""
        return max(0, self._number - self._total)

    def count_free(self, pipeline: str) -> int:
        """How many more runs of the pipeline may come in."""
        held = self._held.get(pipeline, 0)
        return count_takeable(held, self.free) or (0 if held else 1)


class Backlog:
    """Knows of which pipelines runs are left in the journal although they are due."""

    def __init__(self, room: Room, permits: AttemptPermits, at_hand: int) -> None:
        self._room = room
        self._permits = permits
        self._at_hand = at_hand
        self._left: dict[str, int] = {}

    def must_wait(self, pipeline: str, priority: int) -> bool:
        """Whether a run of that priority is to be left in the journal: there is no room for it, or others that come
        first wait there, or enough that come first wait in memory."""
        return (
            self._left.get(pipeline, priority - 1) >= priority
            or not self._room.count_free(pipeline)
            or self.is_crowded(pipeline, priority)
        )

    def is_crowded(self, pipeline: str, priority: int) -> bool:
        """Whether enough runs that come before one of that priority wait in memory, so that it can wait in the
        journal."""
        return self._permits.count_waiting(pipeline, priority) >= self._at_hand

    def leave(self, pipeline: str, priority: int) -> None:
        """Note that a run of that priority is left in the journal."""
        self._left[pipeline] = max(priority, self._left.get(pipeline, priority))

    def has_left(self, pipeline: str) -> bool:
        """Whether runs of the pipeline may be left in the journal."""
        return pipeline in self._left

    def forget(self, pipeline: str) -> None:
        """Note that no run of the pipeline is left in the journal."""
        self._left.pop(pipeline, None)

    def count_wanted(self, pipeline: str) -> int:
        """How many of those that were left may be brought in now."""
        waiting = self._permits.count_waiting(pipeline)
        return max(0, min(self._room.count_free(pipeline), self._at_hand - waiting))

    def is_wanted(self, pipeline: str) -> bool:
        """Whether so few wait in memory that some of those left in the journal should be brought in."""
        is_low = self._permits.count_waiting(pipeline) <= self._at_hand // 2
        return is_low and self._room.count_free(pipeline) > 0
