"""The stream of a run: every entry of its history once and in order, then those to come, for those who may see them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.realtime.pipelines import (
    ASK,
    CANARY,
    answer_run,
    list_entries,
    make_token,
    read_entries,
    start_run,
    wait_for_streams,
)
from tests.realtime.streaming import open_stream
from tests.service.running import running

pytestmark = pytest.mark.anyio


async def test_a_stream_replays_the_history_follows_it_and_ends_with_the_run(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        async with open_stream(service.client, f"/runs/{run}/stream") as stream:
            assert stream.answer.headers["content-type"].startswith("text/event-stream")
            begun = await stream.until_status("waiting")
            assert begun[-1].data | {"sequence": 0} == {
                "run": run,
                "pipeline": "ask",
                "status": "waiting",
                "step": "ask",
                "sequence": 0,
            }
            await answer_run(service, run)
            rest = await stream.rest()

        assert [event.event for event in rest].index("end") == len(rest) - 1, "nothing follows the end"
        assert list_entries(begun + rest) == await read_entries(service, run)
        assert [event.event for event in begun if event.id] == [entry["type"] for entry in list_entries(begun)]
        assert rest[-1].data["status"] == "completed"


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        await answer_run(service, run)
        await service.wait_for_end(run)
        history = await read_entries(service, run)
        for path, headers in (("?after=3", {}), ("", {"Last-Event-ID": "3"}), ("?after=1", {"Last-Event-ID": "3"})):
            async with open_stream(service.client, f"/runs/{run}/stream{path}", **headers) as stream:
                assert list_entries(await stream.rest()) == history[3:]
        async with open_stream(service.client, f"/runs/{run}/stream?after={len(history)}") as stream:
            assert [event.event for event in await stream.rest()] == ["end"]


async def test_many_streams_of_a_run_share_what_they_read(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)

        async def follow() -> list[Any]:
            async with open_stream(service.client, f"/runs/{run}/stream") as stream:
                return list_entries(await stream.until_status("waiting")) + list_entries(await stream.rest())

        streams = [asyncio.create_task(follow()) for _ in range(20)]
        await wait_for_streams(service, 20)
        await answer_run(service, run)
        seen = await asyncio.gather(*streams)
        assert seen == [await read_entries(service, run)] * 20
        await wait_for_streams(service, 0)


@pytest.mark.parametrize("see", ["status", "outputs", "history"])
async def test_a_token_shows_no_more_than_it_says(tmp_path: Path, see: str) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        token = await make_token(service, scope={"runs": [run]}, see=see)
        async with httpx.AsyncClient(base_url=service.service.url, trust_env=False) as stranger:
            async with open_stream(stranger, f"/runs/{run}/stream?token={token}") as stream:
                begun = await stream.until_status("waiting")
            refused = (
                await stranger.get(f"/api/runs/{run}/stream?token={token}&see=history") if see != "history" else None
            )
        types = [entry["type"] for entry in await read_entries(service, run)]
        assert [entry["type"] for entry in list_entries(begun)] == types
        completed = next(entry for entry in list_entries(begun) if entry["type"] == "step_completed")
        assert (CANARY in str(begun)) == (see != "status")
        assert completed["path"] == "hold"
        assert ("inputs" in list_entries(begun)[0]) == (see == "history")
        if refused:
            assert refused.status_code == 403
            assert "ask for another token" in refused.json()["detail"]


async def test_who_may_not_answer_gets_no_links(tmp_path: Path) -> None:
    asks = ASK.replace("{{ inputs.name }}", "{{ run.links.ask }}")
    async with running(tmp_path, {"ask": asks}) as service:
        run = await start_run(service)
        made = await service.client.post("/api/keys", json={"name": "viewer", "scope": "read"})
        shown: dict[str, str] = {}
        token = await make_token(service, scope={"runs": [run]}, see="history")
        for name, key in (("viewer", made.json()["key"]), ("token", token), ("admin", "")):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with open_stream(service.client, f"/runs/{run}/stream", **headers) as stream:
                shown[name] = str(await stream.until_status("waiting"))
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
        started = list_entries(events)[0]
        assert "inputs" not in started
        whole = await service.ask(started["omitted"].removeprefix("/api"))
        assert len(whole["entries"][0]["inputs"]["text"]) == 70_000


async def test_a_stream_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}, max_streams=1) as service:
        run = await start_run(service)
        other = await make_token(service, scope={"tags": ["eu"]})
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
            await stream.until_status("waiting")
            full = await get(f"/api/runs/{run}/stream")
        assert full.status_code == 503
        assert "max_streams" in full.json()["detail"]


async def test_pages_of_every_origin_may_follow_streams_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
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
        run = await start_run(service)
        client = httpx.AsyncClient(base_url=service.service.url, headers=service.client.headers, trust_env=False)
        opening = open_stream(client, f"/runs/{run}/stream")
        stream = await opening.__aenter__()
        seen = await stream.until_status("waiting")
        resting = asyncio.create_task(stream.rest())
    assert [event.event for event in await resting] == [], "it ends without `end`"
    await opening.__aexit__(None, None, None)
    await client.aclose()
    async with running(tmp_path, {"ask": ASK}) as service:
        last = list_entries(seen)[-1]["sequence"]
        async with open_stream(service.client, f"/runs/{run}/stream", **{"Last-Event-ID": str(last)}) as stream:
            begun = await stream.until_status("waiting")
            await answer_run(service, run)
            rest = await stream.rest()
        assert list_entries(seen + begun + rest) == await read_entries(service, run)


async def test_a_head_request_gets_the_headers_alone(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        run = await start_run(service)
        answer = await service.client.head(f"/api/runs/{run}/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        await wait_for_streams(service, 0)
