"""A change in the config folder, while the service runs."""

import asyncio
from pathlib import Path

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

SAYS = """
steps:
  - {{id: a, use: transform.set, with: {{values: {{said: "{0}"}}}}}}
outputs: {{said: "{{{{ steps.a.output.said }}}}"}}
"""


async def _said(service: Running) -> object:
    answer = await service.start("p")
    if answer.status_code != 202:
        return answer.status_code
    return (await service.ended(answer.json()["id"]))["outputs"]["said"]


async def _until(service: Running, expected: object) -> None:
    async with asyncio.timeout(10):
        while await _said(service) != expected:
            await asyncio.sleep(0.05)


async def test_a_valid_change_is_served_and_an_invalid_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SAYS.format("one")}) as service:
        file = tmp_path / "config" / "pipelines" / "p.yaml"
        assert await _said(service) == "one"
        file.write_text(SAYS.format("two"))
        await _until(service, "two")
        file.write_text("steps:\n  - {id: a, use: nobody.knows}\n")
        async with asyncio.timeout(10):
            while not (ready := (await service.client.get("/ready")).json())["invalid"]:
                await asyncio.sleep(0.05)
        assert ready == {"ready": True, "invalid": ["p.yaml"]}
        assert await _said(service) == "two"
        (described,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert described["status"] == "serving the version before"
        assert "p.yaml:2:18" in described["problems"][0]
        file.write_text(SAYS.format("three"))
        await _until(service, "three")
        file.unlink()
        await _until(service, 404)


async def test_a_new_file_is_served_and_a_clash_disables_the_later_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"q": "id: p\n" + SAYS.format("first")}) as service:
        pipelines = tmp_path / "config" / "pipelines"
        (pipelines / "r.yaml").write_text("id: p\n" + SAYS.format("second"))
        async with asyncio.timeout(10):
            while len(found := (await service.client.get("/api/pipelines")).json()["pipelines"]) < 2:
                await asyncio.sleep(0.05)
        assert [each["status"] for each in found] == ["serving", "disabled"]
        assert "the id 'p' is taken by q.yaml" in found[1]["problems"][0]
        assert await _said(service) == "first"
