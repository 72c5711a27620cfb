"""The versions of a pipeline: which there were, the runs of each, and how two differ."""

import json
from pathlib import Path

import pytest

from tests.service.running import ENVIRONMENT, running
from triggers.commands.versions import SHORT
from triggers.instance import Instance
from triggers.reading.reader import open_reader

pytestmark = pytest.mark.anyio


def _pipeline(text: str, attempts: int = 3) -> str:
    return (
        f"id: say\ninputs: {{fails: {{type: boolean, default: false}}}}\nsteps:\n"
        f"  - {{id: note, use: log.write, retry: {{max_attempts: {attempts}}}, with: {{message: {text}}}}}\n"
        "  - {id: end, if: inputs.fails, use: flow.fail, with: {message: no}}\n"
    )


async def test_versions_are_listed_with_their_runs_and_compared(tmp_path: Path) -> None:
    async with running(tmp_path, {"say": _pipeline("one")}) as service:
        for fails in (True, False, False):
            run = (await service.start("say", {"fails": fails})).json()["id"]
            await service.wait_for_end(run)
    async with running(tmp_path, {"say": _pipeline("two", 5)}) as service:
        run = (await service.start("say")).json()["id"]
        await service.wait_for_end(run)
        ask = service.client.get
        new, old = (await ask("/api/pipelines/say/versions")).json()["versions"]
        assert (new["is_current"], new["runs"], new["has_more_runs"]) == (True, {"completed": 1}, False)
        assert (old["is_current"], old["runs"]) == (False, {"failed": 1, "completed": 2})
        assert old["stored_at"] <= new["stored_at"]

        short = old["version"][:SHORT]
        one = (await ask(f"/api/pipelines/say/versions/{short}?against=current")).json()
        assert (one["version"], one["against"], one["is_current"]) == (old["version"], new["version"], False)
        assert "-    message: one\n" in one["diff"]
        assert "+    message: two\n" in one["diff"]
        assert "+    max_attempts: 5\n" in one["diff"]
        assert "timeout: 90d" in one["text"]
        same = (await ask("/api/pipelines/say/versions/current?against=current")).json()
        assert same["diff"] == ""

        page = (await ask("/api/pipelines/say/versions?limit=1")).json()
        assert [each["version"] for each in page["versions"]] == [new["version"]]
        rest = (await ask(f"/api/pipelines/say/versions?limit=1&after={page['after']}")).json()
        assert [each["version"] for each in rest["versions"]] == [old["version"]]
        assert (await ask(f"/api/pipelines/say/versions?after={rest['after']}")).json()["versions"] == []


async def test_what_is_not_there_is_an_error_that_suggests(tmp_path: Path) -> None:
    async with running(tmp_path, {"say": _pipeline("one")}) as service:
        ask = service.client.get
        unknown = await ask("/api/pipelines/sai/versions")
        assert (unknown.status_code, unknown.json()["detail"]) == (
            404,
            "there is no pipeline 'sai'; did you mean 'say'",
        )
        missing = await ask("/api/pipelines/say/versions/abcd")
        assert missing.status_code == 404
        assert "`waypost versions say` lists its versions" in missing.json()["detail"]
        assert (await ask("/api/pipelines/say/versions/xyz")).status_code == 404


async def test_versions_of_a_pipeline_whose_file_is_gone_are_read_without_a_service(tmp_path: Path) -> None:
    async with running(tmp_path, {"say": _pipeline("one")}) as service:
        run = (await service.start("say")).json()["id"]
        await service.wait_for_end(run)
    (tmp_path / "config" / "pipelines" / "say.yaml").unlink()
    async with open_reader(Instance(tmp_path / "config", tmp_path / "data", ENVIRONMENT)) as reader:
        [version] = await reader.list_versions("say", 10)
        assert (version.is_current, version.runs) == (False, {"completed": 1})
        text = await reader.get_version("say", version.version, None)
        assert json.dumps("one")[1:-1] in text.text
        with pytest.raises(LookupError, match="no version is served now"):
            await reader.get_version("say", "current", None)
