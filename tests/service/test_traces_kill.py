"""A service that is killed while it exports traces: none is lost, and what is sent again is the same."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.cli.command import COMMAND
from tests.service.receiver import ReceivedSpan, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 6
WORKS = """
steps:
  - {id: one, use: transform.set, with: {values: {a: 1}}}
  - id: all
    foreach: "{{ [NUMBERS] }}"
    max_parallel: 5
    steps: [{id: set, use: transform.set, with: {values: {b: 2}}}]
"""


@asynccontextmanager
async def serve(place: Path, endpoint: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service in a process of its own, which is killed in the end."""
    environment = {**os.environ, "WAYPOST_OTEL_ENDPOINT": endpoint, "WAYPOST_API_KEY": "key"}
    (place / ".waypost" / "service.json").unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", "--port", "0", cwd=place, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while not (address := _read_address(place)):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        headers = {"authorization": "Bearer key"}
        async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False) as client:
            yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read_address(place: Path) -> str | None:
    with suppress(OSError, ValueError):
        return str(json.loads((place / ".waypost" / "service.json").read_text())["url"])
    return None


async def test_no_trace_is_lost_and_what_is_sent_again_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "config" / "pipelines").mkdir(parents=True)
    (tmp_path / "config" / "pipelines" / "works.yaml").write_text(
        WORKS.replace("NUMBERS", ", ".join(map(str, range(20))))
    )
    chance, accepted = random.Random(7), []
    async with receiving() as receiver:
        for number in range(KILLS):
            receiver.statuses = [503] * chance.randrange(2)
            async with serve(tmp_path, receiver.url) as client:
                for _ in range(10):
                    answer = await client.post("/api/pipelines/works/runs", json={})
                    accepted.append(answer.raise_for_status().json()["id"])
                if number == KILLS - 1:
                    receiver.statuses = []
                    await receiver.wait_for(lambda spans: set(accepted) <= list_runs(spans))
                await asyncio.sleep(chance.random() * 2.5)  # a random moment of the export
    sent: dict[str, ReceivedSpan] = {}
    for span in receiver.spans:
        assert sent.setdefault(span.id, span) == span
    assert list_runs(list(sent.values())) == set(accepted)
    done = [span for span in sent.values() if span.attributes.get("waypost.outcome") == "completed"]
    assert sum(span.name == "all.set" for span in done) == 20 * len(accepted)


def list_runs(spans: list[ReceivedSpan]) -> set[str]:
    return {span.attributes["waypost.run"] for span in spans if "waypost.run" in span.attributes}
