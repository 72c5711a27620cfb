"""The signals that ask a process to stop."""

import asyncio
import os
import signal


def watch_stop_signals() -> asyncio.Event:
    """An event that the first signal sets; the second ends the process at once, which the journal survives."""
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stopping
