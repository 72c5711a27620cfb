"""Stored payloads: large values whose bytes are brought into memory only where they are needed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from durable.values import PayloadMissing, Value

Result = TypeVar("Result")


async def call_with_payloads(ask: Callable[[], Result], payload: Callable[[str], Awaitable[bytes]]) -> Result:
    """Ask the core, bringing in the stored payloads that it misses, and letting them go again."""
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
