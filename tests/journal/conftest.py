"""The databases that the conformance suite runs on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from durable.journal.journal import Journal


class Place(Protocol):
    """Opens journals on the same data, one after the other."""

    async def open(self, node: str = "node-1", max_waiting: int = 20_000) -> Journal: ...


class SQLitePlace:
    """A data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def open(self, node: str = "node-1", max_waiting: int = 20_000) -> Journal:
        return await Journal.open(self.folder, node=node, on_fatal=_fail, max_waiting=max_waiting)


def _fail(error: BaseException) -> None:
    raise error


@pytest.fixture(params=["sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    places = {"sqlite": SQLitePlace}
    return places[request.param](tmp_path / "data")


@pytest.fixture
async def journal(place: Place) -> AsyncIterator[Journal]:
    opened = await place.open()
    yield opened
    await opened.close()
