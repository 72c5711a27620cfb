"""`stand.do`, `stand.undo` and `stand.list`: actions whose input determines how they end, so a pipeline scripts its own
run."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import Field

from durable.action import ActionError, Connector, Context, Ending, ErrorClass, Inputs, Secret, action
from durable.page import Page
from durable.path import find_step_path, is_repetition
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


class Listing(Doing):
    """A list in pages, and how the first attempts of the page `at` fail, or that it waits."""

    pages: int = 3
    at: int = 1
    length: int = Field(2, description="How many items a page has")
    delay: int = 0
    is_summary: bool = False
    is_complete: bool = True
    long_cursor: int = Field(0, description="How long the cursor of the first page is")
    leaks: bool = Field(False, description="The cursor of the first page contains `token`")
    repeats: str | None = Field(None, description="`next` or `body`: what the page `at` has in common with the first")


class Stand:
    """The service behind `stand.*`: `done` lists the paths whose effects happened, in order, and `keys` their keys."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: list[str] = []
        self.held: list[str] = []
        self.is_open = False
        self._moved = asyncio.Condition()
        actions = (
            action("do", input=Doing)(self._do),
            action("undo", input=Doing)(self._do),
            action("list", input=Listing, returns_pages=lambda given: given.get("pages") != 0)(self._list),
        )
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
        learns = input.learns and is_repetition(find_step_path(context.path))
        if context.attempt <= input.fails and not learns:
            raise ActionError(
                f"{context.path} is told to fail",
                error_class=input.error_class,
                code=input.code,
                ending=input.ending,
                retry_after=input.retry_after,
            )
        self.done.append(context.path)
        self.keys.append(context.key)
        return {"value": "x" * input.size or input.value}

    async def _list(self, context: Context, input: Listing, /) -> Page:
        """Return a page of a list."""
        number = context.page.number
        assert context.page.cursor == (f"after {number - 1}" if number else None)
        if number == input.at:
            await self._do(context, input)
        else:
            self.done.append(context.path)
            self.keys.append(context.key)
        first = context.page.items
        items: list[JSON] = [{"n": n, "text": "x" * input.size} for n in range(first, first + input.length)]
        is_repeated = number == input.at and input.repeats
        cursor = f"after {0 if is_repeated == 'next' else number}"
        if input.long_cursor or input.leaks:
            cursor = f"https://example.com/?token={input.token}" if input.leaks else "x" * input.long_cursor
        return Page(
            items,
            next=None if number + 1 >= input.pages else cursor,
            fingerprint=f"body {0 if is_repeated == 'body' else number}",
            delay=input.delay,
            is_complete=input.is_complete,
            is_summary=input.is_summary,
        )

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._moved:
            await self._moved.wait_for(holds)
