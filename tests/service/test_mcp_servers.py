"""A service whose steps call the tools of an MCP server, which is its child process."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.connectors.test_mcp import find_process, wait_for_file, write_stdio
from tests.service.running import ENVIRONMENT, Running, running
from triggers.commands.validate import check_config
from triggers.instance import Instance

pytestmark = pytest.mark.anyio

ADD = """
steps:
  - {id: add, use: small.add_numbers, connection: mine, with: {a: 1, b: 2}}
outputs: {sum: "{{ steps.add.output.sum }}"}
"""
HANG = "steps: [{id: hang, use: small.hang, connection: mine, with: {name: a}}]"
AGAIN = "steps: [{id: hang, use: small.hang, connection: mine, on_crash: retry, with: {name: b}}]"


def write_connector(folder: Path) -> Path:
    """Write the connector of a server that gets a secret."""
    file = folder / "config" / "connectors" / "small.yaml"
    file.parent.mkdir(parents=True)
    text = write_stdio(folder, "connection: {fields: {token: {type: string, secret: true}}}\n")
    file.write_text(text.replace("env: {", "env: {TOKEN: '{{ connection.token }}', "))
    (folder / "config" / "connections.yaml").write_text("mine: {use: small, token: '{{ secrets.MINE }}'}\n")
    return file


async def start(service: Running, pipeline: str) -> str:
    answer = await service.start(pipeline)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def wait_for_exit(process: int) -> None:
    with suppress(ProcessLookupError):
        while True:
            os.kill(process, 0)
            await asyncio.sleep(0.005)


async def wait_for_status(service: Running, pipeline: str, status: str) -> None:
    while status not in [each["status"] for each in (await service.ask("/pipelines"))["pipelines"]]:
        await asyncio.sleep(0.02)


async def test_a_call_whose_server_is_killed_is_uncertain_or_repeated(tmp_path: Path) -> None:
    write_connector(tmp_path)
    secrets = {**ENVIRONMENT, "WAYPOST_SECRET_MINE": "canary-of-mine"}
    async with running(tmp_path, {"add": ADD, "hang": HANG, "again": AGAIN}, secrets) as service:
        run = await service.wait_for_end(await start(service, "add"))
        assert (run["status"], run["outputs"]) == ("completed", {"sum": 3})
        runs = [await start(service, "hang"), await start(service, "again")]
        await asyncio.gather(*(wait_for_file(tmp_path / f"hang-{name}") for name in "ab"))
        os.kill(first := find_process(tmp_path), signal.SIGKILL)
        parked, repeated = [await service.wait_for_end(each) for each in runs]
        assert (parked["status"], parked["steps"]["hang"]["status"]) == ("paused", "uncertain")
        assert (repeated["status"], repeated["steps"]["hang"]["output"]) == ("completed", {"result": "released"})
        (tmp_path / f"pid-{first}").unlink()
        second = find_process(tmp_path)
    await wait_for_exit(second)
    for path in (tmp_path / "data").rglob("*"):
        assert path.is_dir() or b"canary-of-mine" not in path.read_bytes()


async def test_a_server_ends_with_its_file_and_is_known_after_a_restart(tmp_path: Path) -> None:
    secrets = {**ENVIRONMENT, "WAYPOST_SECRET_MINE": "canary-of-mine"}
    async with running(tmp_path, {"add": ADD}, secrets) as service:
        await wait_for_status(service, "add", "disabled")
        file = write_connector(tmp_path)
        await wait_for_status(service, "add", "serving")
        run = await service.wait_for_end(await start(service, "add"))
        assert run["status"] == "completed"
        process = find_process(tmp_path)
        text = file.read_text()
        file.unlink()
        await wait_for_exit(process)
    file.write_text(text)
    (tmp_path / f"pid-{process}").unlink()
    async with running(tmp_path, {"add": ADD}, secrets) as service:
        await wait_for_status(service, "add", "serving")
        assert not [*tmp_path.glob("pid-*")]  # its tools are known, so it is not started before it is needed
        run = await service.wait_for_end(await start(service, "add"))
        assert run["outputs"] == {"sum": 3}


def test_a_command_asks_a_server_of_which_nothing_is_known(tmp_path: Path) -> None:
    file = write_connector(tmp_path)
    (tmp_path / "config" / "pipelines").mkdir()
    (tmp_path / "config" / "pipelines" / "add.yaml").write_text(ADD)
    instance = Instance(tmp_path / "config", tmp_path / "data", {"WAYPOST_SECRET_MINE": "canary-of-mine"})
    assert [check_config(None, instance).is_valid for _ in range(2)] == [True, True]
    assert find_process(tmp_path)  # it was started once
    file.write_text(file.read_text().replace("command: [", "command: [./missing, "))
    [unknown, *_] = [problem for file in check_config(None, instance).files for problem in file.problems]
    assert unknown.message.startswith(
        "the MCP server small: it cannot be started: No such file or directory: ./missing"
    )
    assert (unknown.line, unknown.severity) == (1, "warning")
