"""`waypost.testing`: what the tests of connectors use."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.python_form import PythonForm
from connectors.testing.calls import Answer, NoAnswerLeft, call_action
from connectors.yaml_form.form import YamlForm
from durable.action import Connector
from tests.connectors.servers import answer, answering, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


LIST = """
about: A shop
connection: {fields: {token: {type: string, secret: true, about: T}}, auth: [{bearer: "{{ connection.token }}"}]}
http: {base_url: "https://shop.example"}
actions:
  list_items:
    about: List the items.
    get: /items
    page: {items: answer.body.items, cursor: answer.body.next, param: after}
"""
TESTS = """
import pytest
from connector import CONNECTOR


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_recorded(call_recorded):
    done = call_recorded(CONNECTOR, "create_item", {"name": "Tea"}, connection={"token": "canary-51c0"})
    assert done.error is None
    assert done.output["id"] == 7


@pytest.mark.anyio
async def test_context(waypost_context, waypost_service):
    from waypost.testing import Answer

    waypost_service.answers.append(Answer({"id": 8}))
    create = CONNECTOR.actions["create_item"]
    output = await create.perform(waypost_context(CONNECTOR, token="t"), create.input(name="Tea"))
    assert output == {"id": 8}
    assert waypost_service.requests[0].headers["authorization"] == "Bearer t"
"""


@pytest.fixture
def scaffold() -> Connector:
    connector = PythonForm().load("shop.py", PythonForm().scaffold("shop")["shop.py"].encode()).connector
    assert connector
    return connector


def test_an_action_is_called_with_prepared_answers(scaffold: Connector) -> None:
    done = call_action(scaffold, "create_item", {"name": "Tea"}, answers=[Answer({"id": 7})], connection={"token": "t"})
    assert (done.output, done.error) == ({"id": 7}, None)
    [request] = done.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/items")
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["idempotency-key"] == "run_test:step"


def test_errors_are_returned_and_mistakes_are_raised(scaffold: Connector) -> None:
    done = call_action(scaffold, "create_item", {"name": "Tea"}, answers=[Answer("no", 401)])
    assert done.error
    assert done.error.error_class == "auth"
    with pytest.raises(ValidationError, match="nmae"):
        call_action(scaffold, "create_item", {"nmae": "Tea"})
    with pytest.raises(NoAnswerLeft, match="no answer is left for POST https"):
        call_action(scaffold, "create_item", {"name": "Tea"})


def test_all_pages_of_a_list_are_requested() -> None:
    connector = YamlForm().load("shop.yaml", LIST.encode()).connector
    assert connector
    answers = [Answer({"items": [1], "next": "b"}), Answer({"items": [2]})]
    done = call_action(connector, "list_items", answers=answers)
    assert done.output == [1, 2]
    assert [request.url.query for request in done.requests] == [b"", b"after=b"]


def run_tests(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_exchanges_are_recorded_once_without_credentials_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["waypost.testing"]\n')
    (tmp_path / "test_shop.py").write_text(TESTS)
    text = PythonForm().scaffold("shop")["shop.py"]
    body = b'{"id": 7, "seen": "canary-51c0"}'
    async with serve(
        answering(answer(body, "Content-Type: application/json", "Set-Cookie: sid=canary-51c0"))
    ) as server:
        (tmp_path / "connector.py").write_text(text.replace("https://api.example.com", server.url))
        done = await asyncio.to_thread(run_tests, tmp_path, "--waypost-record")
    assert "2 passed" in done.stdout, done.stdout
    assert len(server.requests) == 1
    [recording] = (tmp_path / "recordings").glob("*.json")
    assert recording.name == "test_shop.test_recorded.json"
    assert "canary" not in recording.read_text()
    [exchange] = json.loads(recording.read_text())
    assert exchange["request"] == {"method": "POST", "url": f"{server.url}/items", "body": '{"name":"Tea"}'}
    assert "2 passed" in run_tests(tmp_path).stdout
    file = tmp_path / "connector.py"
    file.write_text(file.read_text().replace('"/items"', '"/others"'))
    changed = run_tests(tmp_path).stdout
    assert "RecordingMismatch: request 1 is" in changed
    assert "record it again with `pytest --waypost-record`" in changed
