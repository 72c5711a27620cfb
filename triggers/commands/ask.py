"""Ask what a command wants to know: of the running service, or of the instance's files where reading suffices."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

from durable.ids import is_whole_id
from durable.units import IdKind
from triggers.commands.failure import NOT_READY, CommandFailed
from triggers.instance import Instance
from triggers.not_found import IdNotFound, explain_other_kind
from triggers.reading.client import ServiceClient, connect_service
from triggers.reading.reader import (
    KeyStore,
    Reader,
    SecretKeeper,
    open_key_store,
    open_reader,
    open_secret_keeper,
)

Result = TypeVar("Result")
Source = TypeVar("Source")


def ask_reader(config: Path, data: Path, question: Callable[[Reader], Awaitable[Result]]) -> Result:
    """The answer of the running service, or else of the instance's files."""
    return _ask(open_reader(Instance(config, data, os.environ)), question)


def ask_reader_about(
    config: Path,
    data: Path,
    id: str,
    question: Callable[[Reader, str], Awaitable[Result]],
    *,
    kind: IdKind = "run",
    pipeline: str | None = None,
) -> Result:
    """The answer about one thing, which a short id or `latest` may name; the question is asked with the whole id."""

    async def ask(reader: Reader) -> Result:
        return await question(reader, await complete_id(reader, kind, id, pipeline))

    return ask_reader(config, data, ask)


def ask_service_about(
    config: Path,
    data: Path,
    id: str,
    question: Callable[[ServiceClient, str], Awaitable[Result]],
    *,
    kind: IdKind = "run",
    pipeline: str | None = None,
) -> Result:
    """The answer of the running service about one thing, which a short id or `latest` may name."""

    async def ask(service: ServiceClient) -> Result:
        return await question(service, await complete_id(service, kind, id, pipeline))

    return ask_service(config, data, ask)


async def complete_id(source: Reader, kind: IdKind, text: str, pipeline: str | None = None) -> str:
    """Return the whole id of something of this kind; raises `IdNotFound`, also for a whole id of another kind."""
    if other := explain_other_kind(kind, text):
        raise IdNotFound(kind, other)
    return text if is_whole_id(text) else await source.find_id(kind, text, pipeline)


def ask_key_store(config: Path, data: Path, question: Callable[[KeyStore], Awaitable[Result]]) -> Result:
    """The answer of the running service, or else of the journal, about keys of the API."""
    return _ask(open_key_store(Instance(config, data, os.environ)), question)


def ask_secret_keeper(config: Path, data: Path, question: Callable[[SecretKeeper], Awaitable[Result]]) -> Result:
    """The answer of the running service, or else of the journal, about secrets."""
    return _ask(open_secret_keeper(Instance(config, data, os.environ)), question)


def ask_service(config: Path, data: Path, question: Callable[[ServiceClient], Awaitable[Result]]) -> Result:
    """The answer of the running service; raises `CommandFailed` if there is none."""

    async def ask(service: ServiceClient | None) -> Result:
        if service is None:
            what = f"no service is running on {data}"
            raise CommandFailed(f"{what}: start one with `waypost serve`, or name its folder with --data", NOT_READY)
        return await question(service)

    return _ask(connect_service(Instance(config, data, os.environ)), ask)


def _ask(opening: AbstractAsyncContextManager[Source], question: Callable[[Source], Awaitable[Result]]) -> Result:
    async def ask() -> Result:
        async with opening as source:
            return await question(source)

    return asyncio.run(ask())
