"""A process of a bench: its resource use, read from `/proc`, and its output lines.

It is killed and reaped at the latest at block exit.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 120.0
"""Seconds for a process to say what it says at its start, and to end when it is told to."""

Line = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Spent:
    """The resource use of a process: CPU seconds, bytes and calls of writes, and wake-ups.

    `flushed` are bytes written to the disk, page by page; `written` includes sockets and pipes.
    """

    cpu: float = 0.0
    flushed: int = 0
    written: int = 0
    writes: int = 0
    wakes: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))


class _Lines(asyncio.Protocol):
    """Splits the output of a pipe into lines."""

    def __init__(self, take: Line) -> None:
        self._take = take
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)


class Process:
    """`python <program>`; `take` gets every line of its standard output or error, whichever is read."""

    def __init__(
        self,
        program: Sequence[str],
        take: Line,
        *,
        reads: Literal["stdout", "stderr"] = "stdout",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
        reads_log = reads == "stderr"
        self._popen = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=own | dict(environment or {}),
            stdout=subprocess.DEVNULL if reads_log else subprocess.PIPE,
            stderr=subprocess.PIPE if reads_log else None,
        )
        self._pipe = self._popen.stderr if reads_log else self._popen.stdout
        self._take = take
        self._transport: asyncio.BaseTransport | None = None
        self.pid = self._popen.pid

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: _Lines(self._take), self._pipe)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport:
            self._transport.close()
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL, and return when the process has ended."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()

    async def terminate(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self._popen.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(asyncio.to_thread(self._popen.wait), PATIENCE)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def spent(self) -> Spent:
        fields = self._read("stat").rpartition(") ")[2].split()
        io = {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", self._read("io"))}
        return Spent(
            cpu=(int(fields[11]) + int(fields[12])) / TICKS,
            flushed=io["write_bytes"],
            written=io["wchar"],
            writes=io["syscw"],
            wakes=sum(self._wakes()),
        )

    def forget_peak(self) -> None:
        """Reset `peak` to count from now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def peak(self) -> float:
        """The peak of memory in megabytes."""
        return self._status("VmHWM")

    @property
    def memory(self) -> float:
        """The current memory in megabytes."""
        return self._status("VmRSS")

    def _status(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+)", self._read("status"))
        return int(found[1]) / 1024 if found else 0.0

    def _wakes(self) -> list[int]:
        """The voluntary context switches of all threads, which count their wake-ups."""
        files = Path(f"/proc/{self.pid}/task").glob("*/status")
        return [int(count) for file in files for count in re.findall(r"\nvoluntary\w*:\s+(\d+)", file.read_text())]

    def _read(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()


async def until(holds: Callable[[], bool], patience: float = PATIENCE, pause: float = 0.002) -> None:
    """Poll until `holds` is true; raises TimeoutError."""
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(pause)
