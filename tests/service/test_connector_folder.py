"""The operator's folder of connectors: a file in it becomes actions without a restart."""

import asyncio
from pathlib import Path

import pytest

from tests.plugins import install
from tests.service.running import Running, running
from triggers.config.connector_files import FORMS, ConnectorFolder

pytestmark = pytest.mark.anyio

GREETER = '''
from waypost import Connector, Context, Inputs, action


class Greeting(Inputs):
    name: str


@action("greet", input=Greeting)
async def greet(context: Context, input: Greeting) -> dict[str, str]:
    """Greet somebody."""
    return {"greeting": f"WORD, {input.name}"}


CONNECTOR = Connector("greeter", "Greets", [greet])
'''
PIPELINE = """
steps:
  - {id: hello, use: greeter.greet, with: {name: Ada}}
outputs: {said: "{{ steps.hello.output.greeting }}"}
"""


def write_connector(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "config" / "connectors"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "greeter.py"
    file.write_text(text)
    return file


async def run_once(service: Running) -> object:
    run = (await service.start("hello")).json()["id"]
    return (await service.wait_for_end(run))["outputs"]


LISTER = '''
from waypost import Connector, Context, Inputs, Page, action


class Wanted(Inputs):
    pages: int


@action("list", input=Wanted, returns_pages=True)
async def list_numbers(context: Context, input: Wanted) -> Page:
    """List numbers."""
    number = context.page.number
    return Page([context.page.items, context.key], next=number if number + 1 < input.pages else None)


CONNECTOR = Connector("greeter", "Lists", [list_numbers])
'''


async def is_served(service: Running) -> bool:
    [pipeline] = (await service.ask("/pipelines"))["pipelines"]
    return bool(pipeline["status"] == "serving")


async def test_a_python_file_in_the_folder_is_a_connector(tmp_path: Path) -> None:
    write_connector(tmp_path, GREETER.replace("WORD", "Hello"))
    async with running(tmp_path, {"hello": PIPELINE}) as service:
        assert await run_once(service) == {"said": "Hello, Ada"}


async def test_a_python_file_can_return_its_output_in_pages(tmp_path: Path) -> None:
    write_connector(tmp_path, LISTER)
    pipeline = "steps: [{id: n, use: greeter.list, with: {pages: 2}}]\noutputs: {all: '{{ steps.n.output }}'}"
    async with running(tmp_path, {"hello": pipeline}) as service:
        run = (await service.start("hello")).json()["id"]
        ended = await service.wait_for_end(run)
        assert ended["outputs"] == {"all": [0, f"{run}:n.page[0]", 2, f"{run}:n.page[1]"]}


async def test_a_file_that_is_added_changed_broken_and_removed_is_followed(tmp_path: Path) -> None:
    (tmp_path / "config" / "connectors").mkdir(parents=True)
    async with running(tmp_path, {"hello": PIPELINE}) as service:
        assert not await is_served(service)
        file = write_connector(tmp_path, GREETER.replace("WORD", "Hello"))
        async with asyncio.timeout(60):
            while not await is_served(service):
                await asyncio.sleep(0.05)
        assert await run_once(service) == {"said": "Hello, Ada"}
        file.write_text(GREETER.replace("WORD", "Good day"))
        async with asyncio.timeout(60):
            while await run_once(service) != {"said": "Good day, Ada"}:
                await asyncio.sleep(0.05)
        file.write_text("1 / 0\n")
        await service.service.reload.reload()
        [broken] = service.service.folder.connectors.folder.files.values()
        assert str(broken.problems[0]).endswith("greeter.py:1:1: error: ZeroDivisionError: division by zero")
        assert await run_once(service) == {"said": "Good day, Ada"}
        file.unlink()
        async with asyncio.timeout(60):
            while await is_served(service):
                await asyncio.sleep(0.05)


def test_of_two_files_of_the_same_name_the_first_is_used(tmp_path: Path) -> None:
    first = write_connector(tmp_path, GREETER)
    folder = ConnectorFolder(tmp_path / "config")
    known = folder.files["greeter"].connector
    second = first.with_suffix(".yml")
    second.write_text("about: The same\n")
    assert folder.refresh()
    file = folder.files["greeter"]
    assert (file.connector, file.is_valid) == (known, False)
    assert str(file.problems[0]) == f"{second}:1:1: error: greeter.py is the same connector; remove one of them"
    assert not folder.refresh(), "nothing has changed"
    second.unlink()
    assert folder.refresh()
    assert (folder.files["greeter"].connector, folder.files["greeter"].is_valid) == (known, True)


SLOW_FORM = """
from pathlib import Path
from durable.action import Connector, LoadedConnector

class Slow:
    def load(self, path, data, memory):
        other = Path(path).with_name("other.txt")
        text = other.read_text()
        if text == "first":
            other.write_text("later")  # while the form reads it
        return LoadedConnector(Connector("greeter", text, []), files=[str(other)])

FORM = Slow()
"""


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "waypost-slow", {"slow": "waypost_slow:FORM"}, {"waypost_slow": SLOW_FORM}, group=FORMS)
    monkeypatch.syspath_prepend(tmp_path)
    file = write_connector(tmp_path, "").with_suffix(".yaml")
    file.with_suffix(".py").unlink()
    file.write_text("slow: other.txt\n")
    file.with_name("other.txt").write_text("first")
    folder = ConnectorFolder(tmp_path / "config")
    assert folder.refresh()
    connector = folder.files["greeter"].connector
    assert connector is not None
    assert connector.summary == "later"
