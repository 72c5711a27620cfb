"""MCP servers, over standard input and output and over HTTP: their tools as actions, and the sessions with them."""

import asyncio
import base64
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connectors.auth.bearer import BearerSettings
from connectors.mcp.form import FORM
from connectors.mcp.owner import CALLS_LIMIT
from connectors.mcp.servers import McpServers
from connectors.wire.client import HttpClient
from connectors.wire.egress import Egress
from durable.action import ActionError, Connector, Context, LoadedConnector
from durable.redactor import Redactor
from durable.trace import make_traceparent
from tests.connectors.servers import answer, answering, serve
from tests.npm import require_package
from tests.standins import mcp_server
from triggers.http.server import Server, listen

pytestmark = pytest.mark.anyio

OTHERS = frozenset({"TestRunner", "_shutdown_watcher"})
"""Tasks of the test's runner, and of the server in this process."""

JSON_TYPE = "Content-Type: application/json"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop of a service; each server that is started takes most of a second."""
    return "asyncio", {"use_uvloop": find_spec("uvloop") is not None}


@pytest.fixture
async def servers() -> AsyncIterator[McpServers]:
    """The servers of a service. In the end, none of their tasks, processes and files is left."""
    children, files = list_children(), count_files()
    async with McpServers() as servers:
        yield servers
    assert [task for task in asyncio.all_tasks() if not any(other in str(task) for other in OTHERS)] == []
    assert (list_children(), count_files()) == (children, files)


def list_children() -> set[int]:
    """The processes that this one started and that still run."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def count_files() -> int:
    """The pipes that this process has open."""
    return sum(each.is_fifo() for each in Path("/proc/self/fd").iterdir())


@pytest.fixture
def mine(context: Context, servers: McpServers) -> Context:
    return replace(context, resources={**context.resources, McpServers: servers}, redactor=Redactor())


@asynccontextmanager
async def serve_tools(folder: Path, port: int = 0, *, has_sessions: bool = False) -> AsyncIterator[str]:
    """Serve the tools over HTTP; returns the URL. `has_sessions`: speak the versions of MCP that have sessions."""
    listener = listen("127.0.0.1", port)
    app = mcp_server.make_server(folder, []).streamable_http_app()

    async def answer_request(scope: Scope, receive: Receive, send: Send) -> None:
        is_newest = Headers(scope=scope).get("mcp-method") == "server/discover"
        await (Response(status_code=400) if has_sessions and is_newest else app)(scope, receive, send)

    server = Server(uvicorn.Config(answer_request, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with app.router.lifespan_context(app):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.stop()
        await serving
        listener.close()


def write_stdio(folder: Path, more: str = "") -> str:
    program = Path(mcp_server.__file__)
    return f"mcp: {{command: [{sys.executable}, {program}, {folder}], env: {{PYTHONPATH: {os.getcwd()}}}}}\n{more}"


def load(folder: Path, text: str) -> LoadedConnector:
    return FORM.load(str(folder / "small.yaml"), text.encode(), str(folder / "memory"))


async def discover(folder: Path, text: str, context: Context) -> Connector:
    """Let the server list its tools, and load the file again."""
    loaded = load(folder, text).connector
    assert loaded
    assert loaded.discovery
    await loaded.discovery.ask(context)
    loaded = load(folder, text).connector
    assert loaded
    assert loaded.discovery
    assert loaded.discovery.problem is None
    return loaded


async def call(context: Context, connector: Connector, action: str, given: Mapping[str, Any]) -> Any:
    found = connector.actions[action]
    return await found.perform(context, found.input.model_validate(given))


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_call_names_the_span_of_its_attempt(transport: str, tmp_path: Path, mine: Context) -> None:
    async with serve_tools(tmp_path) as url:
        text = write_stdio(tmp_path) if transport == "stdio" else f"mcp: {{url: '{url}'}}\n"
        connector = await discover(tmp_path, f"{text}select: [get_span]\n", mine)
        span = make_traceparent(mine.run, mine.key, mine.path, mine.attempt, None)
        seen = (await call(mine, connector, "get_span", {}))["result"]
        assert seen == [span, span if transport == "http" else None]
        assert (await call(replace(mine, run=""), connector, "get_span", {}))["result"] == [None, None]


async def wait_for_file(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.005)


def find_process(folder: Path) -> int:
    [pid] = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    return pid


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_tools_of_a_server_are_actions(transport: str, tmp_path: Path, mine: Context) -> None:
    async with serve_tools(tmp_path) as url:
        text = write_stdio(tmp_path) if transport == "stdio" else f"mcp: {{url: '{url}'}}\n"
        text += "select: [add*, get-*, fail, draw, meet]\nrename: {get-environment: env}\n"
        text += "tools: {fail: {idempotent: yes}}\n"
        connector = await discover(tmp_path, text, mine)
        assert {name: each.on_crash for name, each in connector.actions.items()} == {
            "add_numbers": "park",
            "env": "park",
            "fail": "retry",
            "draw": "park",
            "meet": "park",
        }
        assert connector.actions["add_numbers"].summary == "Add two numbers."
        assert await call(mine, connector, "add_numbers", {"a": 2}) == {"sum": 3}
        drawn = await call(mine, connector, "draw", {"size": 20})
        assert (drawn["text"], [each["type"] for each in drawn["content"]]) == ("a drawing", ["text", "image"])
        assert base64.b64decode(drawn["content"][1]["data"]).startswith(mcp_server.PNG)
        drawn = await call(mine, connector, "draw", {"size": 1024 * 1024})
        assert (drawn["content"][1]["size"], drawn["content"][1]["data"]) == (1024 * 1024, None)
        with pytest.raises(
            ActionError, match="the tool fail failed: Error executing tool fail: for no reason"
        ) as failed:
            await call(mine, connector, "fail", {"why": "for no reason"})
        assert (failed.value.error_class, failed.value.ending) == ("client", "answered")
        for wrong in ({"a": "x"}, {"a": 1, "c": 2}, {}):
            with pytest.raises(ValidationError):
                await call(mine, connector, "add_numbers", wrong)
        met = [call(mine, connector, "meet", {"wanted": CALLS_LIMIT}) for _ in range(CALLS_LIMIT + 5)]
        assert max(each["result"] for each in await asyncio.gather(*met)) == CALLS_LIMIT


async def test_a_server_that_is_killed_during_a_call_is_started_again_for_the_next(
    tmp_path: Path, mine: Context
) -> None:
    connector = await discover(tmp_path, write_stdio(tmp_path), mine)
    first = find_process(tmp_path)
    calls = [asyncio.create_task(call(mine, connector, "hang", {"name": f"n{number}"})) for number in range(3)]
    for number in range(3):
        await wait_for_file(tmp_path / f"hang-n{number}")
    os.kill(first, signal.SIGKILL)
    for each in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(each, ActionError)
        assert (each.ending, each.error_class, each.code) == ("unknown", "network", "answer_lost")
    (tmp_path / f"pid-{first}").unlink()
    assert await call(mine, connector, "hang", {"name": "n1"}) == {"result": "released"}
    assert find_process(tmp_path) != first


async def test_a_call_that_is_cancelled_leaves_the_session_usable(tmp_path: Path, mine: Context) -> None:
    async with serve_tools(tmp_path) as url:
        connector = await discover(tmp_path, f"mcp: {{url: '{url}'}}", mine)
        hanging = asyncio.create_task(call(mine, connector, "hang", {"name": "x"}))
        await wait_for_file(tmp_path / "hang-x")
        hanging.cancel()
        await asyncio.wait([hanging])
        assert await call(mine, connector, "add_numbers", {"a": 2}) == {"sum": 3}


async def test_a_server_gets_only_the_environment_that_its_file_declares(
    tmp_path: Path, mine: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("WAYPOST_STORE_KEY", "WAYPOST_SECRET_OTHER", "WAYPOST_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-of-waypost")
    caplog.set_level(logging.INFO, "waypost.mcp")
    text = write_stdio(tmp_path).replace("env: {", "env: {TOKEN: '{{ connection.token }}', ")
    text += "connection: {fields: {token: {type: string, secret: true}}}\n"
    loaded = load(tmp_path, text).connector
    assert loaded
    assert loaded.connection
    assert loaded.discovery
    with pytest.raises(ActionError, match="needs a connection"):
        await loaded.discovery.ask(mine)
    fields = loaded.connection.model_validate({"token": "canary-of-mine"})
    redactor = Redactor(["canary-of-mine"])
    opened = replace(mine, connection=fields, connection_name="own", redactor=redactor)
    connector = await discover(tmp_path, text, opened)
    found = await call(opened, connector, "get_environment", {})
    assert "canary-of-waypost" not in str(found)
    assert found.keys() <= {*["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LC_CTYPE", "PYTHONPATH", "TOKEN"]}
    assert found["TOKEN"] == "canary-of-mine"
    while "secret of the day" not in caplog.text:
        await asyncio.sleep(0.005)
    assert "small: secret of the day: ***" in caplog.text
    assert "canary-of-mine" not in caplog.text
    assert all(b"canary" not in path.read_bytes() for path in (tmp_path / "memory").iterdir())


async def test_tools_that_are_known_stay_usable_while_their_server_is_down(tmp_path: Path, mine: Context) -> None:
    async with serve_tools(tmp_path, has_sessions=True) as url:
        text = f"mcp: {{url: '{url}'}}\ntrust_hints: true\n"
        await discover(tmp_path, text, mine)
        port = int(url.split(":")[2].partition("/")[0])
    loaded = load(tmp_path, text)
    assert loaded.connector
    assert loaded.connector.discovery
    assert loaded.connector.actions["add_numbers"].on_crash == loaded.connector.actions["hang"].on_crash == "retry"
    with pytest.raises(ActionError) as refused:
        await call(mine, loaded.connector, "add_numbers", {"a": 2})
    assert (refused.value.ending, refused.value.error_class) == ("not_sent", "network")
    async with serve_tools(tmp_path, port, has_sessions=True):  # it does not know the former session any more
        with pytest.raises(ActionError) as ended:
            await call(mine, loaded.connector, "add_numbers", {"a": 2})
        assert (ended.value.ending, ended.value.code) == ("not_sent", "session_ended")
        assert await call(mine, loaded.connector, "add_numbers", {"a": 2}) == {"sum": 3}


async def test_the_tools_of_a_server_that_cannot_be_asked_are_unknown(tmp_path: Path, mine: Context) -> None:
    (tmp_path / "more").write_text("")
    text = "mcp: {command: [./no-such-program]}\nselect: [add*]"
    loaded = load(tmp_path, text)
    assert loaded.connector
    assert loaded.connector.discovery
    assert loaded.connector.discovery.problem == "its server has not listed its tools yet"
    with pytest.raises(ActionError, match="cannot be started: No such file or directory"):
        await loaded.connector.discovery.ask(mine)
    with pytest.raises(ActionError, match=r"failed, and is tried again in \d s") as rests:
        await loaded.connector.discovery.ask(mine)
    assert (rests.value.ending, rests.value.retry_after and rests.value.retry_after <= 1) == ("not_sent", True)


def is_listed_without_wave(folder: Path) -> bool:
    return b'"wave"' not in (folder / "memory" / "small.json").read_bytes()


async def test_a_server_with_other_tools_changes_the_actions(tmp_path: Path, mine: Context) -> None:
    (tmp_path / "more").write_text("wave farewell")
    text = write_stdio(tmp_path, "select: [wave, add*]\n")
    connector = await discover(tmp_path, text, mine)
    assert set(connector.actions) == {"wave", "add_numbers"}
    (tmp_path / "more").write_text("farewell")
    os.kill(find_process(tmp_path), signal.SIGKILL)
    while not is_listed_without_wave(tmp_path):
        with contextlib.suppress(ActionError):  # the first call may meet the session that was ended
            await call(mine, connector, "add_numbers", {"a": 1})
    loaded = load(tmp_path, text)
    assert loaded.connector
    assert set(loaded.connector.actions) == {"add_numbers"}
    assert [str(each).partition(": ")[2] for each in loaded.problems] == [
        "warning: the server has no tool 'wave'; "
        "known: add_numbers, draw, fail, farewell, get-environment, get_span, grow, hang, meet"
    ]


async def test_a_server_can_announce_other_tools(tmp_path: Path, mine: Context) -> None:
    async with serve_tools(tmp_path, has_sessions=True) as url:
        text = f"mcp: {{url: '{url}'}}"
        connector = await discover(tmp_path, text, mine)
        await call(mine, connector, "grow", {"name": "bloom"})
        while b'"bloom"' not in (tmp_path / "memory" / "small.json").read_bytes():
            await asyncio.sleep(0.005)
        changed = load(tmp_path, text).connector
        assert changed
        assert "bloom" in changed.actions


REFUSALS = [
    (answer(b"{}", JSON_TYPE, status="401 Unauthorized"), "auth", "401"),
    (answer(b"", "Retry-After: 7", status="429 Too Many Requests"), "rate_limit", "429"),
    (answer(b"", status="503 Service Unavailable"), "server", "503"),
    (answer(b"<html>", "Content-Type: text/html"), "server", "server_unavailable"),
]


@pytest.mark.parametrize(("response", "error_class", "code"), REFUSALS)
async def test_a_refusal_over_http_has_the_class_of_its_status(
    response: bytes, error_class: str, code: str, tmp_path: Path, mine: Context
) -> None:
    async with serve(answering(response)) as server:
        loaded = load(tmp_path, f"mcp: {{url: '{server.url}/mcp', headers: {{x-team: blue}}}}").connector
        assert loaded
        assert loaded.discovery
        signed = replace(mine, auth={"bearer": BearerSettings("canary-1")})
        with pytest.raises(ActionError) as refused:
            await loaded.discovery.ask(signed)
    assert (refused.value.error_class, refused.value.code, refused.value.ending) == (error_class, code, "not_sent")
    assert {(each.headers["authorization"], each.headers["x-team"]) for each in server.requests} == {
        ("Bearer canary-1", "blue")
    }


async def test_a_server_over_http_is_reached_through_the_egress_guard(tmp_path: Path, mine: Context) -> None:
    async with HttpClient(egress=Egress()) as guarded, serve_tools(tmp_path) as url:
        loaded = load(tmp_path, f"mcp: {{url: '{url}'}}").connector
        assert loaded
        assert loaded.discovery
        with pytest.raises(ActionError, match="is loopback") as refused:
            await loaded.discovery.ask(replace(mine, resources={**mine.resources, HttpClient: guarded}))
        assert (refused.value.code, refused.value.ending) == ("egress_refused", "not_sent")
    assert "is loopback" in str(load(tmp_path, f"mcp: {{url: '{url}'}}").problems[0])


async def test_the_reference_server_works(tmp_path: Path, mine: Context) -> None:
    folder = require_package("@modelcontextprotocol/server-everything")
    program = folder / "node_modules" / ".bin" / "mcp-server-everything"
    connector = await discover(tmp_path, f"mcp: {{command: [{program}, stdio]}}\ntrust_hints: true", mine)
    assert await call(mine, connector, "echo", {"message": "hello"}) == {
        "text": "Echo: hello",
        "content": [{"type": "text", "text": "Echo: hello"}],
    }
    sums = [call(mine, connector, "get_sum", {"a": number, "b": 1}) for number in range(CALLS_LIMIT)]
    assert [each["text"] for each in await asyncio.gather(*sums)] == [
        f"The sum of {number} and 1 is {number + 1}." for number in range(CALLS_LIMIT)
    ]
    weather = await call(mine, connector, "get_structured_content", {"location": "New York"})
    assert set(weather) == {"temperature", "conditions", "humidity"}
    assert (await call(mine, connector, "get_tiny_image", {}))["content"][1]["mime_type"] == "image/png"


MISTAKES = [
    ("mcp: {}", "1:6: error: 'mcp' names no server; write either 'command: [PROGRAM, ARGUMENT]' or 'url: https://…'"),
    ("mcp: {command: [a], url: http://x}", "1:6: error: 'mcp' names two servers; write either"),
    ("mcp: {url: http://x, env: {A: b}}", "1:22: error: 'env' is only for 'command'; remove it, or add"),
    (
        "mcp: {command: [a, '{{ connection.b }}']}",
        "1:20: error: a command cannot contain expressions; pass the value in 'env'",
    ),
    ("mcp: {command: [a], env: {A: '{{ secrets.b }}'}}", "1:34: error: "),
    ("mcp: {command: [a], env: {A: '{{ connection.b }}'}}", "1:34: error: the connection has no field 'b'"),
    ("mcp: {url: x.test/mcp}", "1:12: error: the URL is not absolute; begin it with https://"),
    ("mcp: {command: []}", "1:16: error: "),
    ("mcp: {comand: [a]}", "1:7: error: unknown key 'comand'; did you mean 'command'"),
    ("mcp: {url: http://x}\ntools: {a: {idempotent: key}}", "2:25: error: "),
    ("mcp: {url: [", "1:12: error: the '[' that begins here"),
    ("[mcp: 1]", "1:1: error: the file is not a mapping"),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES)
def test_mistakes_are_reported_with_their_place(text: str, problem: str, tmp_path: Path) -> None:
    loaded = load(tmp_path, text)
    assert loaded.connector is None
    assert str(loaded.problems[0]).removeprefix(f"{tmp_path}/small.yaml:").startswith(problem)


def test_without_the_extra_the_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ImportError, match=r"install it with `pip install 'waypost\[mcp\]'`"):
        load(tmp_path, "mcp: {url: http://x}")
