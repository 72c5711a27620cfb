"""Operations about the service itself: what it runs on, and its checks."""

import asyncio
import os
import platform
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.responses import Response

from durable import __version__
from durable.journal.journal import Journal
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters, respond
from triggers.api.problem import ApiError
from triggers.documents.about import AboutDocument, CheckDocument, ChecksDocument
from triggers.documents.fields import format_time
from triggers.instance import Instance

DOCTOR = (sys.executable, "-c", "from triggers.cli import main; main()", "doctor", "--json")

DOCTOR_SECONDS = 60


class AboutOperations:
    """Describes the service, and checks what it depends on."""

    def __init__(self, instance: Instance, journal: Journal, url: str, now: Callable[[], int]) -> None:
        self._instance = instance
        self._journal = journal
        self._url = url
        self._started_at = now()
        self._turn = asyncio.Lock()

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", "/about", self.get_about, "read", Parameters, Nothing, {200: AboutDocument}),
            Operation("GET", "/checks", self.run_checks, "admin", Parameters, Nothing, {200: ChecksDocument}),
        ]

    async def get_about(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Show the versions, the folders and the size of the journal."""
        space = await self._journal.measure_space()
        document = AboutDocument(
            waypost=__version__,
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            started_at=format_time(self._started_at),
            config=str(self._instance.config.absolute()),
            data=str(self._instance.data.absolute()),
            url=self._url,
            process=os.getpid(),
            database_bytes=space.database,
            free_bytes=space.free,
            log_bytes=space.log,
        )
        return respond(document)

    async def run_checks(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Check what the service depends on, as `waypost doctor` does; this takes some seconds."""
        async with self._turn:
            return respond(ChecksDocument(await _run_doctor(self._instance)))


async def _run_doctor(instance: Instance) -> list[CheckDocument]:
    """The findings of the command, in a process of its own: its checks would hold the event loop."""
    folders = ("--config", str(instance.config), "--data", str(instance.data))
    process = await asyncio.create_subprocess_exec(
        *DOCTOR, *folders, env=dict(instance.environment), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(DOCTOR_SECONDS):
            output, _ = await process.communicate()
        return msgspec.json.decode(output, type=list[CheckDocument])
    except TimeoutError:
        raise ApiError(503, f"the checks took more than {DOCTOR_SECONDS} s; run `waypost doctor`") from None
    except msgspec.DecodeError:
        raise ApiError(503, "the checks failed; `waypost doctor` shows why") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
