"""The event loop of a service: uvloop where it is installed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    import uvloop
except ImportError:  # on Windows and on interpreters other than CPython
    uvloop = None  # type: ignore[assignment]

Result = TypeVar("Result")


def run_on_uvloop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, and return its result."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else asyncio.new_event_loop) as runner:
        return runner.run(work)
