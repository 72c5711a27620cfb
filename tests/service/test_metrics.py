"""What `/metrics` tells of the runs in the journal and of those who watch."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.service.gates import until_status
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ASKS = "steps: [{id: ask, use: wait.webhook, timeout: 1h, on_timeout: fail}]"


async def read_metrics(service: Running) -> dict[str, float]:
    """The samples by their text, such as `waypost_streams`."""
    lines = (await service.client.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")}


async def test_unfinished_runs_are_counted_by_status_with_the_age_of_the_oldest(tmp_path: Path) -> None:
    async with running(tmp_path, {"asks": ASKS}) as service:
        runs = [(await service.start("asks")).json() for _ in range(3)]
        for run in runs:
            await until_status(service, run["id"], "waiting")
        oldest = (await service.ask(f"/runs/{runs[0]['id']}"))["created_at"]
        metrics = await read_metrics(service)
    assert metrics['waypost_unfinished_runs{status="waiting"}'] == 3
    assert metrics['waypost_unfinished_runs{status="paused"}'] == 0
    age = metrics['waypost_oldest_unfinished_timestamp_seconds{status="waiting"}']
    assert datetime.fromisoformat(oldest).timestamp() == age


async def test_streams_are_counted_while_they_are_open(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service, service.client.stream("GET", "/api/stream") as stream:
        lines = stream.aiter_lines()
        while await anext(lines) != "event: reset":
            pass
        assert (await read_metrics(service))["waypost_streams"] == 1
