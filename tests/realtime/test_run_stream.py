"""The stream of a run: every entry of its history once and in order, then those to come, for those who may see them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.realtime.streaming import Received, open_stream
from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

ASK = """
inputs: {name: {type: string, default: Ada}}
steps:
  - {id: hold, use: transform.set, with: {values: {kept: "{{ inputs.name }}"}}}
  - {id: ask, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}
  - {id: ship, use: transform.set, with: {values: {done: true}}}
outputs: {shipped: "{{ steps.ship.output.done }}"}
"""


async def _start(service: Running, pipeline: str = "ask") -> str:
    answer = await service.start(pipeline, {"name": "canary-41"})
    run: str = answer.json()["id"]
    return run


async def _history(service: Running, run: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await service.ask(f"/runs/{run}/history"))["entries"]
    return entries


def _entries(events: list[Received]) -> list[Any]:
    return [event.data for event in events if event.id is not None]


async def _answer(service: Running, run: str) -> None:
    answer = await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "data": {}})
    assert answer.is_success, answer.text


async def test_a_stream_replays_the_history_follows_it_and_ends_with_the_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        async with open_stream(service.client, f"/runs/{run}/stream") as stream:
            assert stream.answer.headers["content-type"].startswith("text/event-stream")
            begun = await stream.until("run")
            assert begun[-1].data | {"sequence": 0} == {
                "run": run,
                "pipeline": "ask",
                "status": "waiting",
                "step": "ask",
                "sequence": 0,
            }
            await _answer(service, run)
            rest = await stream.rest()

        assert [event.event for event in rest].index("end") == len(rest) - 1, "nothing follows the end"
        assert _entries(begun + rest) == await _history(service, run)
        assert [event.event for event in begun if event.id] == [entry["type"] for entry in _entries(begun)]
        assert rest[-1].data["status"] == "completed"


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        await _answer(service, run)
        await service.wait_for_end(run)
        history = await _history(service, run)
        for path, headers in (("?after=3", {}), ("", {"Last-Event-ID": "3"}), ("?after=1", {"Last-Event-ID": "3"})):
            async with open_stream(service.client, f"/runs/{run}/stream{path}", **headers) as stream:
                assert _entries(await stream.rest()) == history[3:]
        async with open_stream(service.client, f"/runs/{run}/stream?after={len(history)}") as stream:
            assert [event.event for event in await stream.rest()] == ["end"]


async def test_many_streams_of_a_run_share_what_they_read(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)

        async def follow() -> list[Any]:
            async with open_stream(service.client, f"/runs/{run}/stream") as stream:
                return _entries(await stream.until("run")) + _entries(await stream.rest())

        streams = [asyncio.create_task(follow()) for _ in range(20)]
        await _wait_for_streams(service, 20)
        await _answer(service, run)
        seen = await asyncio.gather(*streams)
        assert seen == [await _history(service, run)] * 20
        await _wait_for_streams(service, 0)


async def _wait_for_streams(service: Running, count: int) -> None:
    async with asyncio.timeout(30):
        while service.service.realtime.streams.open != count:
            await asyncio.sleep(0.01)


async def _make_token(service: Running, **body: Any) -> str:
    answer = await service.client.post("/api/tokens", json=body)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


@pytest.mark.parametrize("see", ["status", "outputs", "history"])
async def test_a_token_shows_no_more_than_it_says(tmp_path: Path, see: str) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        token = await _make_token(service, scope={"runs": [run]}, see=see)
        async with httpx.AsyncClient(base_url=service.service.url, trust_env=False) as stranger:
            async with open_stream(stranger, f"/runs/{run}/stream?token={token}") as stream:
                begun = await stream.until("run")
            refused = (
                await stranger.get(f"/api/runs/{run}/stream?token={token}&see=history") if see != "history" else None
            )
        types = [entry["type"] for entry in await _history(service, run)]
        assert [entry["type"] for entry in _entries(begun)] == types
        completed = next(entry for entry in _entries(begun) if entry["type"] == "step_completed")
        assert ("canary-41" in str(begun)) == (see != "status")
        assert completed["path"] == "hold"
        assert ("inputs" in _entries(begun)[0]) == (see == "history")
        if refused:
            assert refused.status_code == 403
            assert "ask for another token" in refused.json()["detail"]


async def test_who_may_not_answer_gets_no_links(tmp_path: Path) -> None:
    asks = ASK.replace("{{ inputs.name }}", "{{ run.links.ask }}")
    async with running(tmp_path, {"ask": asks}) as service:
        run = await _start(service)
        made = await service.client.post("/api/keys", json={"name": "viewer", "scope": "read"})
        shown: dict[str, str] = {}
        token = await _make_token(service, scope={"runs": [run]}, see="history")
        for name, key in (("viewer", made.json()["key"]), ("token", token), ("admin", "")):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with open_stream(service.client, f"/runs/{run}/stream", **headers) as stream:
                shown[name] = str(await stream.until("run"))
        assert f"{run}/ask/…" in shown["viewer"]
        assert f"{run}/ask/…" in shown["token"]
        assert "…" not in shown["admin"]


async def test_a_large_value_is_named_and_not_sent(tmp_path: Path) -> None:
    big = "inputs: {text: {type: string}}\nsteps:\n  - {id: a, use: transform.set, with: {values: {}}}\n"
    async with running(tmp_path, {"big": big}) as service:
        answer = await service.start("big", {"text": "x" * 70_000})
        run = answer.json()["id"]
        async with open_stream(service.client, f"/runs/{run}/stream") as stream:
            events = await stream.rest()
        started = _entries(events)[0]
        assert "inputs" not in started
        whole = await service.ask(started["omitted"].removeprefix("/api"))
        assert len(whole["entries"][0]["inputs"]["text"]) == 70_000


async def test_a_stream_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}, max_streams=1) as service:
        run = await _start(service)
        other = await _make_token(service, scope={"tags": ["eu"]})
        get = service.client.get
        cases = {
            404: (await get("/api/runs/run_00000000000000000000000000/stream"), "GET /api/runs lists them"),
            422: (await get(f"/api/runs/{run}/stream?after=x"), "whole number"),
            401: (await get(f"/api/runs/{run}/stream?token=x.y.z"), "the token is not valid"),
        }
        for status, (answer, text) in cases.items():
            assert answer.status_code == status, answer.text
            assert text in answer.json()["detail"]
            assert "access-control-allow-origin" not in answer.headers, "the request named no origin"
        assert (await get(f"/api/runs/{run}/stream?token={other}")).status_code == 404, "it is not permitted"
        async with open_stream(service.client, f"/runs/{run}/stream") as stream:
            await stream.until("run")
            full = await get(f"/api/runs/{run}/stream")
        assert full.status_code == 503
        assert "max_streams" in full.json()["detail"]


async def test_pages_of_every_origin_may_follow_streams_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        origin = {"Origin": "https://shop.example.com"}
        asks = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for path in (f"/api/runs/{run}/stream", "/api/stream"):
            preflight = await service.client.options(path, headers=asks)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in preflight.headers
        refused = await service.client.get(f"/api/runs/{run}/stream?token=x.y.z", headers=origin)
        assert refused.headers["access-control-allow-origin"] == "*", "so that the page can read why"
        for path in ("/api/runs", f"/api/runs/{run}", "/api/tokens"):
            answer = await service.client.get(path, headers=origin)
            assert "access-control-allow-origin" not in answer.headers
        assert (await service.client.options("/api/runs", headers=asks)).status_code == 405


async def test_streams_end_when_the_service_stops_and_go_on_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        client = httpx.AsyncClient(base_url=service.service.url, headers=service.client.headers, trust_env=False)
        opening = open_stream(client, f"/runs/{run}/stream")
        stream = await opening.__aenter__()
        seen = await stream.until("run")
        resting = asyncio.create_task(stream.rest())
    assert [event.event for event in await resting] == [], "it ends without `end`"
    await opening.__aexit__(None, None, None)
    await client.aclose()
    async with running(tmp_path, {"ask": ASK}) as service:
        last = _entries(seen)[-1]["sequence"]
        async with open_stream(service.client, f"/runs/{run}/stream", **{"Last-Event-ID": str(last)}) as stream:
            begun = await stream.until("run")
            await _answer(service, run)
            rest = await stream.rest()
        assert _entries(seen + begun + rest) == await _history(service, run)


async def test_a_head_request_gets_the_headers_alone(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await _start(service)
        answer = await service.client.head(f"/api/runs/{run}/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        await _wait_for_streams(service, 0)
