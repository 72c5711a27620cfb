"""The signals that ask a process to stop."""

import asyncio
import os
import signal


def stop_signal() -> asyncio.Event:
    """Set by the first signal; the second ends the process where it stands, which the journal survives."""
    stopping = asyncio.Event()

    def received() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received)
    return stopping
