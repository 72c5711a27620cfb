"""A full disk under a whole service: nothing accepted is lost, no effect is repeated, and it goes on by itself."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import outside, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of 3 MB."""
    data = tmp_path / "data"
    data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(data)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(data)], check=False)


async def test_a_full_disk_costs_no_accepted_run_and_repeats_no_effect(small_disk: Path) -> None:
    async with outside() as world:
        world.hangs_until = released = asyncio.Event()
        steps = "\n".join(
            f'  - {{id: s{n}, use: http.post, with: {{url: "{world.url}/s{n}", json: {{n: {n}}}}}}}' for n in (1, 2)
        )
        async with running(small_disk, {"p": f"steps:\n{steps}\n"}) as service:
            run = (await service.start("p")).json()["id"]
            await asyncio.wait_for(world.arrived.wait(), 60)
            filler = small_disk / "data" / "filler"
            _fill(filler)
            released.set()  # the effect has happened; its checkpoint finds no room
            await asyncio.sleep(1.2)
            refused = await service.start("p")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert (await service.client.get("/ready")).status_code == 503
            assert (await service.client.get("/health")).status_code == 200
            assert [request["path"] for request in world.requests] == ["/s1"], "no effect starts on a full disk"
            filler.unlink()
            assert (await service.ended(run))["status"] == "completed"
            assert (await service.client.get("/ready")).status_code == 200
            assert (await service.start("p")).status_code == 202
    assert [request["path"] for request in world.requests][:2] == ["/s1", "/s2"]


def _fill(path: Path) -> None:
    """Take every byte that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
