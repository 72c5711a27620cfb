"""The operator's folder of connectors: a file in it becomes actions without a restart."""

import asyncio
from pathlib import Path

import pytest

from tests.service.running import Running, running

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
