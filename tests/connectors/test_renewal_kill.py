"""Processes that are killed while they renew a grant: what is left is renewed by the next one, or needs a login."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectors.auth.oauth2 import FLOW, OAuth2Settings
from durable.clock import now
from durable.encrypted_store.key_ring import KeyRing, StoreKey
from durable.encrypted_store.store import EncryptedStore
from durable.grant import Grant
from durable.grants.grants import Grants
from durable.grants.stored import GrantStore
from durable.journal.journal import Journal
from durable.redactor import Redactor
from tests.connectors.token_service import TokenService, serve_tokens

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 20
CYCLE = 0.03
"""Seconds in which a process that renews is killed at a random moment: some renewals."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Place(NamedTuple):
    """A data folder, the file of its store key, and the settings of the connection."""

    data: Path
    key: Path
    settings: dict[str, Any]

    async def log_in(self, grant: Grant) -> None:
        """Store the grant of a login, as a service does."""
        journal = await Journal.open(self.data, node="node-0", on_fatal=print)
        store = GrantStore(EncryptedStore(journal, KeyRing.parse(self.key.read_text()), now))
        settings = OAuth2Settings.model_validate(self.settings)
        await Grants(store, {}, Redactor(), now, holder="login").keep("crm", FLOW.identify(settings), grant, "ada")
        await journal.close()

    @asynccontextmanager
    async def renew(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process that renews; it is killed in the end."""
        arguments = str(self.data), str(self.key), json.dumps(self.settings)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.connectors.renewing", *arguments, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout
            assert await process.stdout.readline() == b"ready\n"
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def read_next(self) -> str:
        """Return what the next process says first: an access token, or that the login is lost."""
        async with self.renew() as process:
            assert process.stdout
            return (await process.stdout.readline()).decode().strip()


def make_place(tmp_path: Path, settings: dict[str, Any]) -> Place:
    (tmp_path / "store.key").write_text(StoreKey.generate().encode())
    return Place(tmp_path / "data", tmp_path / "store.key", settings)


def issue(service: TokenService) -> Grant:
    tokens = service.issue()
    return Grant(tokens["access_token"], now(), now() + 3_600_000, tokens["refresh_token"])


@pytest.mark.parametrize(
    ("is_after", "is_forgiving", "is_alive"),
    [(False, False, True), (True, True, True), (True, False, False)],
)
async def test_a_process_killed_before_or_after_the_service_replaced_the_refresh_token(
    tmp_path: Path, is_after: bool, is_forgiving: bool, is_alive: bool
) -> None:
    async with serve_tokens() as service:
        service.is_forgiving = is_forgiving
        place = make_place(tmp_path, service.settings)
        await place.log_in(issue(service))
        asked, forever = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            asked.set()
            await forever.wait()

        service.before_token, service.after_token = (None, hang) if is_after else (hang, None)
        async with place.renew():
            await asked.wait()
        service.before_token = service.after_token = None
        told = await place.read_next()
    assert told.startswith("canary-access-") == is_alive
    assert is_alive or ("needs a login" in told and "an earlier answer of the service was lost" in told)


async def test_a_process_killed_at_any_moment_loses_no_login_of_a_service_that_forgives(tmp_path: Path) -> None:
    moments = random.Random(13)
    async with serve_tokens() as service:
        service.is_forgiving = True
        place = make_place(tmp_path, service.settings)
        await place.log_in(issue(service))
        for _ in range(KILLS):
            async with place.renew():
                await asyncio.sleep(moments.uniform(0, CYCLE))
        told = await place.read_next()
    assert told.startswith("canary-access-")
    assert len(service.used) > KILLS
