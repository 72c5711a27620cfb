"""How a cost grows: the CPU time of a process over time, and the cost of the events in a part of it."""

import asyncio
import bisect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.bench.process import Process

PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Price:
    """The cost of a part of the events: events a second, and CPU milliseconds each."""

    rate: float
    cpu: float

    def cells(self) -> list[str]:
        return [f"{self.rate:,.0f}", f"{self.cpu:.2f}"]


class Curve:
    """Samples a process for the duration of its block."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._at: list[float] = []
        self._cpu: list[float] = []
        self.peak = 0.0

    async def __aenter__(self) -> Self:
        self._look()
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            self._look()

    def _look(self) -> None:
        if self._process.is_alive:
            self._at.append(time.time())
            self._cpu.append(self._process.spent().cpu)
            self.peak = max(self.peak, self._process.memory)

    def price(self, moments: Sequence[float]) -> Price:
        """The price of the events at these times (wall-clock seconds), except the first."""
        count, first, last = len(moments) - 1, moments[0], moments[-1]
        cpu = self._spent_by(last) - self._spent_by(first)
        return Price(count / (last - first) if last > first else 0.0, cpu * 1000 / count)

    def _spent_by(self, moment: float) -> float:
        """CPU time spent by a time, interpolated linearly between two samples."""
        after = min(max(bisect.bisect(self._at, moment), 1), len(self._at) - 1)
        before = after - 1
        span = self._at[after] - self._at[before]
        share = min(max((moment - self._at[before]) / span, 0.0), 1.0) if span else 1.0
        return self._cpu[before] + share * (self._cpu[after] - self._cpu[before])
