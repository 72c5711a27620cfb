"""Ends a child process with its parent, however the parent ended."""

import os
import signal
from threading import Thread


def hold() -> None:
    """Kill this process as soon as its standard input ends."""
    Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a daemon thread would hold past the interpreter's exit
        pass
    os.kill(os.getpid(), signal.SIGKILL)
