"""A run with all its steps and values, put together from what the API gives in parts."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx

Ask: TypeAlias = Callable[[str], Awaitable[dict[str, Any]]]
"""Gets what is at a path below `/api`."""


async def read_whole_run(ask: Ask, run: str) -> dict[str, Any]:
    """Return the document of a run with its steps by path, and with nothing left out but what the journal has lost."""
    document = await ask(f"/runs/{run}")
    steps, after = document["steps"], document["steps_after"]
    while after is not None:
        page = await ask(f"/runs/{run}/steps?after={after}")
        steps, after = steps + page["steps"], page["after"]
    document["steps"] = {
        step["path"]: await ask(f"/runs/{run}/steps/{quote(step['path'])}") if step["omitted"] else step
        for step in steps
    }
    for name in document["omitted"]:
        with suppress(httpx.HTTPStatusError):  # 409
            document[name] = (await ask(f"/runs/{run}/values/{name}"))["value"]
    return document
