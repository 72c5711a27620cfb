"""Misbehaving actions: their effects are not repeated, and the run records what went wrong."""

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from durable.action import Action, ActionError, Connector, Context, Inputs, action
from tests.service.running import ENVIRONMENT, running

pytestmark = pytest.mark.anyio

PERFORMED: list[str] = []


class What(Inputs):
    what: str
    secret: str = ""


class Odd(BaseModel):
    value: Any


def _deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


def _unruly(name: str, body: Any) -> Action:
    async def perform(context: Context, input: What, /) -> Any:
        """Misbehave."""
        PERFORMED.append(name)
        return await body(context, input)

    return action(name, input=What)(perform)


async def _returns_datetime(context: Context, input: What) -> Any:
    return {"at": datetime.datetime.now(datetime.UTC)}


async def _returns_depth(context: Context, input: What) -> Any:
    return _deep(600)


async def _returns_surrogate(context: Context, input: What) -> Any:
    return {"text": "\ud800"}


async def _returns_model(context: Context, input: What) -> Any:
    return Odd(value=object())


async def _raises_odd(context: Context, input: What) -> Any:
    raise ActionError(
        "x" * 100_000 + "\ud800",
        error_class="nobody",  # type: ignore[arg-type]
        code=402,  # type: ignore[arg-type]
        retry_after=float("inf"),
        details={1: {2}},  # type: ignore[dict-item]
    )


async def _cancels_itself(context: Context, input: What) -> Any:
    raise asyncio.CancelledError


async def _tells_secret(context: Context, input: What) -> Any:
    raise ActionError("no", error_class="client", code="canary-7")


async def _swallows_cancel(context: Context, input: What) -> Any:
    for _ in range(20):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            PERFORMED.append("ignored")
    context.ensure_open()
    PERFORMED.append("late effect")


UNRULY = {
    "datetime": _returns_datetime,
    "depth": _returns_depth,
    "surrogate": _returns_surrogate,
    "model": _returns_model,
    "odd": _raises_odd,
    "cancels": _cancels_itself,
    "tells": _tells_secret,
    "swallows": _swallows_cancel,
}
CONNECTOR = Connector("unruly", "Misbehaves.", tuple(_unruly(name, body) for name, body in UNRULY.items()))


async def _run_to_end(tmp_path: Path, name: str, extra: str = "") -> dict[str, Any]:
    PERFORMED.clear()
    text = f"""
defaults: {{retry: {{max_attempts: 2, min_delay: 1ms}}}}
steps:
  - {{id: a, use: unruly.{name}, with: {{what: x}}{extra}}}
  - {{id: b, use: log.write, with: {{message: after}}}}
"""
    async with running(tmp_path, {"p": text}, ENVIRONMENT, [CONNECTOR]) as service:
        return await service.wait_for_end((await service.start("p")).json()["id"])


@pytest.mark.parametrize("name", ["datetime", "depth", "surrogate", "model"])
async def test_an_output_that_is_not_json_fails_the_step_and_repeats_nothing(tmp_path: Path, name: str) -> None:
    run = await _run_to_end(tmp_path, name)
    assert run["status"] == "failed"
    assert run["error"]["class"] == "invalid"
    assert [name] == PERFORMED


async def test_an_invalid_error_is_normalised(tmp_path: Path) -> None:
    run = await _run_to_end(tmp_path, "odd")
    assert run["status"] == "failed"
    assert run["error"]["class"] == "internal"
    assert run["error"]["code"] == "402"
    assert len(run["error"]["message"]) < 5_000


async def test_an_action_that_cancels_itself_has_an_unknown_ending(tmp_path: Path) -> None:
    run = await _run_to_end(tmp_path, "cancels")
    assert run["status"] == "failed"
    assert [attempt["ending"] for attempt in run["steps"]["a"]["tries"]] == ["unknown", "unknown"]
    parked = await _run_to_end(tmp_path / "parked", "cancels", ", on_crash: park")
    assert parked["status"] == "paused"
    assert PERFORMED == ["cancels"]


async def test_an_attempt_that_ignores_its_timeout_can_do_nothing_and_blocks_the_next(
    tmp_path: Path,
) -> None:
    run = await _run_to_end(tmp_path, "swallows", ", timeout: 100ms")
    assert run["status"] == "failed"
    assert run["error"]["class"] == "timeout"
    assert PERFORMED.count("swallows") == 2
    assert "late effect" not in PERFORMED
    assert PERFORMED.index("ignored") < len(PERFORMED) - PERFORMED[::-1].index("swallows") - 1
