"""`stand.do` and `stand.undo`: actions whose input determines how they end, so a pipeline scripts its own run."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import Field

from durable.action import ActionError, Connector, Context, Ending, ErrorClass, Inputs, Secret, action
from durable.path import is_repetition
from durable.values import JSON


class Doing(Inputs):
    """The output of the step, and how its first attempts fail."""

    value: Any = None
    size: int = Field(0, description="Give back a text of so many characters instead")
    fails: int = Field(0, description="How many attempts fail before one succeeds")
    learns: bool = Field(False, description="Succeed when it is repeated to learn its output")
    error_class: ErrorClass = "server"
    code: str | None = None
    ending: Ending = "answered"
    retry_after: float | None = None
    holds: bool = Field(False, description="Wait until somebody lets it go on")
    token: Secret | None = None


class Stand:
    """The service behind `stand.*`: `done` lists the paths whose effects happened, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.held: list[str] = []
        self.is_open = False
        self._moved = asyncio.Condition()
        actions = (action("do", input=Doing)(self._do), action("undo", input=Doing)(self._do))
        self.connector = Connector("stand", "Does as it is told.", actions)

    async def let_go(self) -> None:
        """Release every held call, and hold no more."""
        self.is_open = True
        await self._tell()

    async def holds(self, count: int = 1) -> None:
        """Return once `count` calls are held."""
        async with asyncio.timeout(60):
            await self._until(lambda: len(self.held) >= count)

    async def _do(self, context: Context, input: Doing, /) -> JSON:
        """Do what the input says."""
        if input.holds and not self.is_open:
            self.held.append(context.path)
            await self._tell()
            await self._until(lambda: self.is_open)
        learns = input.learns and is_repetition(context.path)
        if context.attempt <= input.fails and not learns:
            raise ActionError(
                f"{context.path} is told to fail",
                error_class=input.error_class,
                code=input.code,
                ending=input.ending,
                retry_after=input.retry_after,
            )
        self.done.append(context.path)
        return {"value": "x" * input.size or input.value}

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._moved:
            await self._moved.wait_for(holds)
