"""The socket of streams: the same events as over SSE, many subscriptions on one connection."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.realtime.pipelines import ASK, answer_run, make_token, read_entries, start_run, wait_for_streams
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

CLIENTS = re.compile('"logger":"(websockets.client|httpcore|httpx)')
"""Loggers of the client, which is in the same process."""


def _url(service: Running) -> str:
    return service.service.url.replace("http://", "ws://") + "/api/socket"


@asynccontextmanager
async def _socket(service: Running, token: str | None = None) -> AsyncIterator[ClientConnection]:
    async with connect(_url(service), proxy=None) as socket:
        key = service.client.headers["Authorization"].removeprefix("Bearer ")
        await _send(socket, token=token or key)
        yield socket


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _until(socket: ClientConnection, name: str, sub: int) -> list[dict[str, Any]]:
    """Return the messages up to an event of a subscription."""
    found: list[dict[str, Any]] = []
    while True:
        found.append(json.loads(await socket.recv()))
        if (found[-1]["event"], found[-1]["sub"]) == (name, sub):
            return found


async def test_a_socket_follows_many_runs_and_their_states(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        runs = [await start_run(service) for _ in range(3)]
        async with _socket(service) as socket:
            for number, run in enumerate(runs):
                await _send(socket, sub=number, run=run)
            await _send(socket, sub=9, all=True)
            messages = await _until(socket, "reset", 9)
            for run in runs:
                await answer_run(service, run)
            ended = {each["sub"] for each in messages if each["event"] == "end"}
            while len(ended) < 3:
                messages.append(json.loads(await socket.recv()))
                ended |= {messages[-1]["sub"]} if messages[-1]["event"] == "end" else set()
        for number, run in enumerate(runs):
            entries = [each["data"] for each in messages if each["sub"] == number and each["id"]]
            assert entries == await read_entries(service, run)
        await wait_for_streams(service, 0)


async def test_a_subscription_goes_on_after_an_entry_and_can_be_ended(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        async with _socket(service) as socket:
            await _send(socket, sub=1, run=run, after=2)
            begun = await _until(socket, "run", 1)
            assert [each["id"] for each in begun if each["id"]] == ["3", "4", "5"][: len(begun) - 1]
            await _send(socket, unsub=1)
            await wait_for_streams(service, 0)
            await answer_run(service, run)
            await _send(socket, sub=1, run=run, after=int(begun[-2]["id"]))
            rest = await _until(socket, "end", 1)
        entries = [each["data"] for each in begun + rest if each["id"]]
        assert entries == (await read_entries(service, run))[2:]


async def test_what_cannot_be_followed_is_a_problem_of_its_subscription(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service, tags=["eu"])
        other = await start_run(service)
        token = await make_token(service, scope={"tags": ["eu"]})
        async with _socket(service, token) as socket:
            cases: list[tuple[dict[str, Any], int, str]] = [
                ({"run": "run_x"}, 404, "there is no run"),
                ({"run": other}, 404, "there is no run"),
                ({"run": run, "see": "history"}, 403, "no more than"),
                ({"run": run, "after": "x"}, 403, "number of an entry"),
                ({}, 403, "say what to follow"),
            ]
            for number, (message, status, text) in enumerate(cases):
                await _send(socket, sub=number, **message)
                problem = (await _until(socket, "problem", number))[-1]["data"]
                assert problem["status"] == status
                assert text in problem["detail"]
            await _send(socket, sub=99, run=run)
            assert (await _until(socket, "run", 99))[-1]["data"]["status"] == "waiting"


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        ('{"token": "x.y.z"}', 4401, "not valid"),
        ('{"token": ""}', 4401, "not valid"),
        ('{"sub": 1, "all": true}', 4400, "first message"),
        ("hello", 4400, "first message"),
        ("[" * 50_000, 4400, "first message"),
        ('{"token": 7}', 4400, "first message"),
    ],
)
async def test_a_socket_whose_first_message_is_no_valid_token_is_closed(
    tmp_path: Path, first: str, code: int, reason: str
) -> None:
    async with running(tmp_path, {}) as service, connect(_url(service), proxy=None) as socket:
        await socket.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == code
        assert reason in closed.value.rcvd.reason


async def test_a_wrong_message_closes_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for wrong in ("{}", '{"sub": 1, "nothing": 2}', '{"sub": "1"}', "\x00"):
            async with _socket(service) as socket:
                await socket.send(wrong)
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 4400
        async with _socket(service) as socket:
            await socket.send("x" * 70_000)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1009, "too large"


async def test_a_socket_is_closed_when_its_token_expires_and_when_the_service_stops(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]}, **{"for": "2s"})
        async with _socket(service, token) as socket:
            await _send(socket, sub=1, run=run)
            await _until(socket, "expiring", 1)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 4401
        opening = _socket(service)
        socket = await opening.__aenter__()
        await _send(socket, sub=1, run=run)
        await _until(socket, "run", 1)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1012


async def test_no_other_path_becomes_a_socket(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for path, status in (("/api/runs", 200), ("/api/socket/x", 404), ("/hooks/x", 401), ("/health", 200)):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(
                    _url(service).replace("/api/socket", path),
                    proxy=None,
                    additional_headers={"Authorization": service.client.headers["Authorization"]},
                ):
                    pass
            assert refused.value.response.status_code in (status, 404, 405), "the upgrade is ignored"
        plain = await service.client.get("/api/socket")
        assert plain.status_code == 426
        assert "WebSocket" in plain.json()["detail"]


async def test_a_token_in_the_address_of_a_socket_is_not_used_and_not_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, {"ask": ASK}, log_level="debug") as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]})
        async with _socket(service, token) as socket:
            await _send(socket, sub=1, run=run)
            await _until(socket, "run", 1)
        async with connect(f"{_url(service)}?token={token}", proxy=None) as socket:
            await _send(socket, sub=1, run=run)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        await service.client.get(f"/api/runs/{run}/stream?token={token}&see=x")
        await service.client.get(f"/api/nowhere?token={token}")
    signature = token.rpartition(".")[2]
    captured = capfd.readouterr()
    lines = [line for line in (captured.err + captured.out).splitlines() if not CLIENTS.search(line)]
    assert not [line for line in lines if signature in line]
    assert any("is not part of this service" not in line for line in lines)


async def test_a_client_that_sends_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers.realtime.socket.TOKEN_SECONDS", 0.05)
    async with running(tmp_path, {}) as service, connect(_url(service), proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 20)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 4400
