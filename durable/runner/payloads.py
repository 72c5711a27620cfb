"""Loads stored payloads only where the core needs them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from durable.values import PayloadMissing, Value

Result = TypeVar("Result")


async def call_with_payloads(ask: Callable[[], Result], payload: Callable[[str], Awaitable[bytes]]) -> Result:
    """Call the core, load the payloads that it misses, and drop them afterwards."""
    attached: list[Value] = []
    try:
        while True:
            try:
                return ask()
            except PayloadMissing as missing:
                missing.value.attach(await payload(missing.value.ref or ""))
                attached.append(missing.value)
    finally:
        for value in attached:
            value.detach()
