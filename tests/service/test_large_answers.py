"""A large response never blocks the event loop for long, and is parsed as JSON up to a limit."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from durable.values import VALUES_LIMIT, has_too_many_values
from tests.service.running import ENVIRONMENT, running
from tests.service.test_urls import fetch

pytestmark = pytest.mark.anyio

TOKEN = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
SECRETS = ENVIRONMENT | {"WAYPOST_SECRET_TOKEN": TOKEN}
MEGABYTES = 10 * 1024 * 1024


def answers() -> dict[str, bytes]:
    """Bodies of 10 MB, or with the highest number of values that is decoded."""
    row = {"id": 12345678, "name": "a customer", "mail": "someone@example.com", "paid": True, "rate": 1.5}
    few = [row | {"token": f"Bearer {TOKEN}"}] + [row] * 20_000
    return {
        "rows": json.dumps([row] * 90_000).encode()[:MEGABYTES],
        "numbers": b"[" + b"1," * (MEGABYTES // 2 - 2) + b"1]",
        "lists": b"[" + b"[]," * (MEGABYTES // 3 - 2) + b"1]",
        "text": json.dumps(["x, [y] {z}" * 900_000]).encode(),
        "escapes": json.dumps("\x01%41&amp;" * (MEGABYTES // 16)).encode(),
        "few": json.dumps(few).encode(),
        "secrets": json.dumps([TOKEN, {"a": f"x{TOKEN[::-1]}"}] * 20_000).encode(),
    }


@asynccontextmanager
async def source(bodies: dict[str, bytes]) -> AsyncIterator[str]:
    """A service that answers `/NAME` with the prepared body of that name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = bodies[head.split(b" ")[1].decode().strip("/")]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _longest_turn(until: asyncio.Task[Any]) -> float:
    """CPU seconds of the longest turn of the event loop, without those of other processes."""
    longest = 0.0
    while not until.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    return longest


@pytest.mark.parametrize("name", answers())
async def test_a_large_response_never_blocks_the_event_loop_for_long(tmp_path: Path, name: str) -> None:
    async with source(answers()) as url, running(tmp_path, {"p": fetch(f"{url}/{name}")}, SECRETS) as service:
        started = (await service.start("p")).json()["id"]
        ending = asyncio.create_task(service.service.runner.wait_for_end(started, 60))
        longest = await _longest_turn(ending)
        found = await service.service.journal.find_run(started)
        assert found
        assert found.status == "completed"
    assert longest < 0.25, f"{longest:.3f} s"


async def test_a_response_with_too_many_values_stays_text_and_others_become_json(tmp_path: Path) -> None:
    bodies = answers() | {
        "most": b"[" + b"1," * (VALUES_LIMIT - 2) + b"1]",
        "over": b"[" + b"1," * VALUES_LIMIT + b"1]",
    }
    names = ("most", "over", "text", "few", "secrets")
    async with source(bodies) as url:
        pipelines = {name: fetch(f"{url}/{name}") for name in names}
        async with running(tmp_path, pipelines, SECRETS) as service:
            ended = {
                name: await service.wait_for_end((await service.start(name)).json()["id"], within=60) for name in names
            }
    outputs = {name: run["steps"]["get"]["output"] for name, run in ended.items()}
    assert {name: output["body_encoding"] for name, output in outputs.items()} == {
        **{"most": "json", "over": "text", "text": "json", "few": "json", "secrets": "json"}
    }
    assert outputs["over"]["body"] == bodies["over"].decode()
    assert outputs["few"]["body"][0]["token"] == "Bearer ***"
    assert outputs["few"]["body"][1:] == json.loads(bodies["few"])[1:]
    assert outputs["secrets"]["body"] == ["***", {"a": "x***"}] * 20_000


@pytest.mark.parametrize(
    ("data", "has_too_many"),
    [
        (b"", False),
        (b"1", False),
        (b"[" + b"1," * (VALUES_LIMIT - 2) + b"1]", False),
        (b"[" + b"1," * VALUES_LIMIT + b"1]", True),
        (b"[]," * VALUES_LIMIT, True),
        (b'{"a":1},' * VALUES_LIMIT, True),
        (json.dumps("," * 3 * VALUES_LIMIT).encode(), False),
        (json.dumps('\\",[' * VALUES_LIMIT).encode(), False),
        (json.dumps(['\\",['] * (VALUES_LIMIT + 1)).encode(), True),
    ],
)
def test_values_are_counted_without_decoding(data: bytes, *, has_too_many: bool) -> None:
    assert has_too_many_values(data) is has_too_many
