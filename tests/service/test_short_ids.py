"""Short ids: the beginning or the end of an id, or `latest`, mean one row or an error that says which there are."""

import sqlite3
from pathlib import Path

import pytest

from durable.journal.sqlite.files import FILE_NAME
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

PIPELINES = dict.fromkeys(("p", "q"), "steps: [{id: a, use: transform.set, with: {values: {}}}]\n")


async def _start(service: Running, pipeline: str) -> str:
    run = str((await service.start(pipeline)).json()["id"])
    await service.wait_for_end(run)
    return run


async def _find(service: Running, id: str, **more: str) -> tuple[int, str]:
    answer = await service.client.get("/api/find", params={"id": id, **more})
    document = answer.json()
    return answer.status_code, document["id"] if answer.status_code == 200 else document["detail"]


async def test_the_end_of_an_id_and_latest_are_enough(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        assert await _find(service, "latest") == (404, "there is no run yet")
        first, second = await _start(service, "p"), await _start(service, "q")
        for text in (first, first[-8:], f"…{first[-8:].upper()}", f"...{first[-8:]}", first[:-1], first[4:-2]):
            assert await _find(service, text) == (200, first), text
        assert await _find(service, "latest") == (200, second)
        assert await _find(service, "latest", pipeline="p") == (200, first)
        event = (await service.run(first))["event"]
        assert await _find(service, event[-8:], kind="event") == (200, event)
        version = (await service.run(first))["version"]
        assert await _find(service, version[:12], kind="version") == (200, version)


async def test_what_no_id_or_several_ids_have_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        runs = [await _start(service, "p") for _ in range(7)]
        status, said = await _find(service, "run_")
        assert status == 409
        assert said.startswith("'run_' matches more than 5 ids; give more characters:\n  run_")
        assert [line.split()[0] for line in said.splitlines()[1:]] == runs[:1:-1], "the newest five"
        assert all(line.split()[1:3] == ["p", "completed"] for line in said.splitlines()[1:])
        assert await _find(service, "zzzz") == (404, "there is no run whose id begins or ends with 'zzzz'")
        for text in ("abc", "%", "____'", "ä" * 8):
            status, said = await _find(service, text)
            assert (status, "give 4 or more characters of its beginning or end" in said) == (404, True)
        assert await _find(service, runs[0], kind="delivery") == (200, runs[0]), "a whole id is not looked up"


async def test_an_end_is_looked_up_in_an_index_and_not_in_the_rows(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        await _start(service, "p")
        with sqlite3.connect(service.service.data / FILE_NAME) as connection:
            query = "EXPLAIN QUERY PLAN SELECT id FROM {} WHERE substr(id, -8) = 'x' LIMIT 6"
            for name in ("runs", "events", "deliveries"):
                plan = " ".join(row[-1] for row in connection.execute(query.format(name)))
                assert "COVERING INDEX" in plan, plan
