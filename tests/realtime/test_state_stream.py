"""The stream of many runs: the present state of each that is selected, after every change or several of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.realtime.pipelines import ASK, QUICK, answer_run, make_token, start_run, wait_for_streams
from tests.realtime.streaming import EventReader, Received, open_stream
from tests.service.running import running

pytestmark = pytest.mark.anyio


async def _until(stream: EventReader, run: str, status: str) -> list[Received]:
    """Return the events up to the one in which a run has this status."""
    found: list[Received] = []
    while event := await stream.next():
        found.append(event)
        if event.event == "run" and (event.data["run"], event.data["status"]) == (run, status):
            return found
    raise AssertionError(f"the stream ended: {found}")


def _states(events: list[Received]) -> dict[str, str]:
    return {event.data["run"]: event.data["status"] for event in events if event.event == "run"}


async def test_a_stream_begins_with_the_present_states_and_follows_them(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK, "quick": QUICK}) as service:
        waiting, ended = await start_run(service), await start_run(service, "quick")
        await service.wait_for_end(ended)
        async with open_stream(service.client, "/stream") as stream:
            begun = await stream.until("run") + await stream.until("run")
            assert [event.event for event in begun] == ["reset", "run", "run"]
            assert _states(begun) == {waiting: "waiting", ended: "completed"}
            assert begun[-1].id, "the last event of a batch has the cursor"
            new = await start_run(service, "quick")
            await _until(stream, new, "completed")
            await answer_run(service, waiting)
            last = (await _until(stream, waiting, "completed"))[-1]
        assert last.data == {
            "run": waiting,
            "pipeline": "ask",
            "status": "completed",
            "step": "ship",
            "sequence": (await service.ask(f"/runs/{waiting}/history"))["entries"][-1]["sequence"],
        }


async def test_a_stream_goes_on_after_its_cursor_and_begins_anew_after_an_unknown_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        first, second = await start_run(service), await start_run(service)
        async with open_stream(service.client, "/stream") as stream:
            begun = await _until(stream, second, "waiting")
        await answer_run(service, first)
        await service.wait_for_end(first)
        async with open_stream(service.client, "/stream", **{"Last-Event-ID": str(begun[-1].id)}) as stream:
            assert _states(await _until(stream, first, "completed")) == {first: "completed"}, "nothing else has changed"
        for unknown in ("node_old-4", "x", "²"):
            async with open_stream(service.client, f"/stream?after={unknown}") as stream:
                again = await _until(stream, second, "waiting")
                assert again[0].event == "reset"
                assert _states(again) == {first: "completed", second: "waiting"}


@pytest.mark.parametrize("way", ["tag", "pipeline", "token of tags", "token of pipelines", "token of a run"])
async def test_only_selected_and_permitted_runs_come(tmp_path: Path, way: str) -> None:
    async with running(tmp_path, {"ask": ASK, "other": ASK}) as service:
        wanted = await start_run(service, tags=["eu", "vip"])
        await start_run(service, "other", tags=["us"])
        scopes: dict[str, dict[str, Any]] = {
            "token of tags": {"tags": ["vip"]},
            "token of pipelines": {"pipelines": ["ask"]},
            "token of a run": {"runs": [wanted]},
        }
        path = {"tag": "/stream?tag=eu", "pipeline": "/stream?pipeline=ask"}.get(way)
        path = path or f"/stream?token={await make_token(service, scope=scopes[way])}"
        async with open_stream(service.client, path) as stream:
            begun = await _until(stream, wanted, "waiting")
            other = await start_run(service, "other")
            await answer_run(service, other)
            await service.wait_for_end(other)
            await answer_run(service, wanted)
            followed = await _until(stream, wanted, "completed")
        assert _states(begun).keys() | _states(followed).keys() == {wanted}


async def test_a_pipeline_that_does_not_exist_is_an_error_for_those_who_may_know(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        unknown = await service.client.get("/api/stream?pipeline=aks")
        assert unknown.status_code == 404
        assert "ask" in unknown.json()["detail"]
        token = await make_token(service, scope={"tags": ["eu"]})
        async with open_stream(service.client, f"/stream?pipeline=aks&token={token}") as stream:
            assert await stream.until("reset")


async def test_a_token_permits_no_more_than_its_scope_whatever_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ASK}) as service:
        permitted, other = await start_run(service, tags=["eu"]), await start_run(service, tags=["us"])
        token = await make_token(service, scope={"tags": ["eu"]})
        for query in ("", "&tag=us", "&pipeline=ask"):
            async with open_stream(service.client, f"/stream?token={token}{query}") as stream:
                reset = await stream.until("reset")
                if query != "&tag=us":
                    reset += await _until(stream, permitted, "waiting")
            assert other not in _states(reset)


async def test_a_busy_service_sends_the_last_state_and_not_each(tmp_path: Path) -> None:
    async with running(tmp_path, {"quick": QUICK}) as service:
        async with open_stream(service.client, "/stream") as stream:
            await stream.until("reset")
            left, count = set(await asyncio.gather(*(start_run(service, "quick") for _ in range(200)))), 0
            while left:
                event = await stream.next()
                assert event
                if event.event == "run":
                    count += 1
                    left -= {event.data["run"]} if event.data["status"] == "completed" else set()
        assert count < 400, "a run of four entries takes one event, or a few"
        await wait_for_streams(service, 0)
