"""What happens to the recorded runs. Most pipelines need only a start; the others have a scene here."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.histories.stage import PIPELINES, Stage

Runs = dict[str, str]
"""The runs to record, by the names of their histories."""

Scene = Callable[[Stage], Awaitable[Runs]]

_SCENES: dict[str, Scene] = {}


def scene(*histories: str) -> Callable[[Scene], Scene]:
    """Register a scene that records these histories."""

    def register(play: Scene) -> Scene:
        _SCENES.update(dict.fromkeys(histories, play))
        return play

    return register


def scenes() -> dict[str, Scene]:
    """The scene of every history. A pipeline without a scene is started, and ends by itself."""
    staged = {name.partition("-")[0] for name in _SCENES}
    return {name: _plain(name) for name in PIPELINES if name not in staged} | _SCENES


def _plain(pipeline: str) -> Scene:
    async def play(stage: Stage) -> Runs:
        run = await stage.begins(pipeline)
        await stage.ends(run)
        return {pipeline: run}

    return play


# -- waits ------------------------------------------------------------------------------------------------------


@scene("wait_until", "wait_until-past", "wait_until-nonsense")
async def _moment(stage: Stage) -> Runs:
    soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    times = {"wait_until": soon, "wait_until-past": "2020-01-31T09:00:00+01:00", "wait_until-nonsense": "tomorrow"}
    runs = {name: await stage.begins("wait_until", inputs={"time": time}) for name, time in times.items()}
    for run in runs.values():
        await stage.ends(run)
    return runs


@scene("wait_webhook")
async def _webhook(stage: Stage) -> Runs:
    run = await stage.begins("wait_webhook")
    await stage.follows(run, {"colour": "red"})
    await stage.ends(run)
    return {"wait_webhook": run}


@scene("wait_approval-approved", "wait_approval-refused")
async def _approval(stage: Stage) -> Runs:
    said: dict[str, dict[str, Any]] = {"approved": {"approved": True}, "refused": {"approved": False, "comment": "no"}}
    runs = {}
    for name, answer in said.items():
        run = runs[f"wait_approval-{name}"] = await stage.begins("wait_approval")
        await stage.is_(run, "waiting")
        await stage.says(run, "answer", step="approval", **answer, fields={"reason": "because"})
        await stage.ends(run)
    return runs


@scene("wait_event", "wait_event_early")
async def _event(stage: Stage) -> Runs:
    run = await stage.begins("wait_event")
    await stage.has(run, "wait_started")
    await stage.happens(type="parcel.shipped", subject="8", data={"another": True})
    await stage.happens(type="parcel.shipped", subject="7", data={"n": 1})
    await stage.ends(run)
    await stage.happens(type="parcel.early", subject="7", data={"n": 2})
    early = await stage.begins("wait_event_early")
    await stage.ends(early)
    return {"wait_event": run, "wait_event_early": early}


@scene("wait_any-webhook", "wait_any-event")
async def _any(stage: Stage) -> Runs:
    first, second = await stage.begins("wait_any"), await stage.begins("wait_any")
    await stage.follows(first, "here")
    await stage.ends(first)
    await stage.has(second, "wait_started")
    await stage.happens(type="invoice.paid", subject="7")
    await stage.ends(second)
    return {"wait_any-webhook": first, "wait_any-event": second}


# -- other runs -------------------------------------------------------------------------------------------------


@scene("call", "called")
async def _call(stage: Stage) -> Runs:
    run = await stage.begins("call")
    await stage.ends(run)
    return {"call": run, "called": (await stage.list_runs("called"))[0]}


@scene("call_late", "called_long")
async def _call_late(stage: Stage) -> Runs:
    run = await stage.begins("call_late")
    await stage.ends(run)
    child = (await stage.list_runs("called_long"))[0]
    await stage.ends(child)
    return {"call_late": run, "called_long": child}


@scene("event_trigger")
async def _told(stage: Stage) -> Runs:
    await stage.ends(await stage.begins("emit"))
    run = (await stage.list_runs("event_trigger"))[0]
    await stage.ends(run)
    return {"event_trigger": run}


@scene("start_failed")
async def _start_failed(stage: Stage) -> Runs:
    (run,) = await stage.happens(type="start.failed", data={"n": "many"})
    await stage.ends(run)
    return {"start_failed": run}


@scene("queued-granted", "queued-cancelled", "queued-waiting")
async def _queued(stage: Stage) -> Runs:
    runs = [await stage.begins("queued") for _ in range(4)]
    await stage.says(runs[2], "cancel", reason="not needed any more")
    await stage.ends(runs[2])
    for run in runs[:2]:
        await stage.follows(run, "next")
        await stage.ends(run)
    await stage.is_(runs[3], "waiting")
    last = await stage.begins("queued")
    await stage.is_(last, "queued")
    return {"queued-granted": runs[1], "queued-cancelled": runs[2], "queued-waiting": last}


@scene("crowded_out", "crowded_out-next")
async def _crowded_out(stage: Stage) -> Runs:
    first, second = await stage.begins("crowded_out"), await stage.begins("crowded_out")
    await stage.ends(first)
    await stage.has(second, "slot_granted")
    await stage.stand.let_go()
    await stage.ends(second)
    return {"crowded_out": first, "crowded_out-next": second}


# -- forks ------------------------------------------------------------------------------------------------------


@scene("foreach_collect", "foreach_collect-forked")
async def _fork_item(stage: Stage) -> Runs:
    run = await stage.begins("foreach_collect")
    await stage.ends(run)
    fork = await stage.forks(run, step="each[1].work", set={"fails": 0})
    await stage.ends(fork)
    return {"foreach_collect": run, "foreach_collect-forked": fork}


@scene("call-forked")
async def _fork_after_call(stage: Stage) -> Runs:
    run = await stage.begins("call")
    await stage.ends(run)
    fork = await stage.forks(run, step="after")
    await stage.ends(fork)
    return {"call-forked": fork}


@scene("queued-forked")
async def _fork_queued(stage: Stage) -> Runs:
    first = await stage.begins("queued")
    await stage.follows(first, "next")
    await stage.ends(first)
    second = await stage.begins("queued")
    fork = await stage.forks(first, step="reply")
    await stage.is_(fork, "queued")
    for run in (second, fork):
        await stage.follows(run, "next")
        await stage.ends(run)
    return {"queued-forked": fork}


@scene("pages", "pages-forked")
async def _fork_after_pages(stage: Stage) -> Runs:
    run = await stage.begins("pages")
    await stage.ends(run)
    fork = await stage.forks(run, step="after")
    await stage.ends(fork)
    return {"pages": run, "pages-forked": fork}


@scene("pages_beside", "pages_beside-forked")
async def _fork_beside_pages(stage: Stage) -> Runs:
    run = await stage.begins("pages_beside")
    await stage.has(run, "page_completed", 2)
    await stage.stand.holds()
    await stage.happens(type="pages.go")
    await stage.ends(run)
    await stage.stand.let_go()
    fork = await stage.forks(run, step="both.work", set={"fails": 0})
    await stage.ends(fork)
    return {"pages_beside": run, "pages_beside-forked": fork}


# -- ends -------------------------------------------------------------------------------------------------------


@scene("cancel")
async def _cancel(stage: Stage) -> Runs:
    run = await stage.begins("cancel")
    await stage.has(run, "wait_started", 2)
    await stage.says(run, "cancel", reason="enough")
    await stage.ends(run)
    return {"cancel": run}


@scene("cancel_attempt", "cancel_park")
async def _cancel_attempt(stage: Stage) -> Runs:
    runs = {name: await stage.begins(name) for name in ("cancel_attempt", "cancel_park")}
    await stage.stand.holds(2)
    for run in runs.values():
        await stage.says(run, "cancel")
        await stage.ends(run)
    return runs


@scene("held_back", "held_back-cancelled", "held_back-expired")
async def _held_back(stage: Stage) -> Runs:
    run = await stage.begins("held_back", delay="100ms", expires_in="1h")
    cancelled = await stage.begins("held_back", delay="1h")
    await stage.says(cancelled, "cancel")
    expired = await stage.begins("held_back", delay="1h", expires_in="100ms")
    for each in (run, cancelled, expired):
        await stage.ends(each)
    return {"held_back": run, "held_back-cancelled": cancelled, "held_back-expired": expired}


# -- decisions by a person --------------------------------------------------------------------------------------


@scene(
    *(f"{pipeline}-{verdict}" for pipeline in ("exhausted", "parked") for verdict in ("completed", "retry", "failed"))
)
async def _resolved(stage: Stage) -> Runs:
    verdicts: dict[str, dict[str, Any]] = {
        "completed": {"output": {"value": 7}},
        "retry": {},
        "failed": {"reason": "it never came"},
    }
    runs = {}
    for pipeline in ("exhausted", "parked"):
        for verdict, said in verdicts.items():
            run = runs[f"{pipeline}-{verdict}"] = await stage.begins(pipeline)
            await stage.is_(run, "paused")
            await stage.says(run, "resolve", step="work", verdict=verdict, **said)
            await _leaves(stage, run)
    return runs


async def _leaves(stage: Stage, run: str) -> None:
    await stage.has(run, "step_resolved")
    async with asyncio.timeout(60):
        while (await stage.service.run(run))["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.01)


@scene("exhausted", "parked")
async def _paused(stage: Stage) -> Runs:
    runs = {name: await stage.begins(name) for name in ("exhausted", "parked")}
    for run in runs.values():
        await stage.is_(run, "paused")
    return runs


@scene("recovery_stopped", "recovery_stopped-resumed")
async def _recovery_stopped(stage: Stage) -> Runs:
    stopped, run = await stage.begins("recovery_stopped"), await stage.begins("recovery_stopped")
    for _ in range(2):
        await stage.stand.holds(2)
        await stage.dies(recovery_limit=1)
    for each in (stopped, run):
        await stage.is_(each, "paused")
    await stage.stand.let_go()
    await stage.says(run, "resume")
    await stage.is_(run, "completed")
    return {"recovery_stopped": stopped, "recovery_stopped-resumed": run}


# -- retries ----------------------------------------------------------------------------------------------------


RETRIED = (
    "retried",
    *(f"retried_{construct}" for construct in ("switch", "parallel", "foreach", "repeat", "try", "queued")),
    "pages_retried",
)


@scene(*RETRIED)
async def _retried(stage: Stage) -> Runs:
    runs = {name: await stage.begins(name) for name in RETRIED}
    for run in runs.values():
        while (await stage.ends(run))["status"] == "failed":
            await stage.says(run, "retry", reason="mended")
    return runs


@scene("retried_wait")
async def _retried_wait(stage: Stage) -> Runs:
    run = await stage.begins("retried_wait")
    await stage.ends(run)
    await stage.says(run, "retry")
    await stage.follows(run, "here")
    await stage.ends(run)
    return {"retried_wait": run}


@scene("retried_call", "retried_called")
async def _retried_call(stage: Stage) -> Runs:
    run = await stage.begins("retried_call")
    await stage.ends(run)
    await stage.says(run, "retry")
    await stage.ends(run)
    return {"retried_call": run, "retried_called": (await stage.list_runs("retried_called"))[0]}


@scene("retried_uncertain")
async def _retried_uncertain(stage: Stage) -> Runs:
    run = await stage.begins("retried_uncertain")
    await stage.ends(run)
    await stage.says(run, "retry")
    await stage.is_(run, "paused")
    await stage.says(run, "resolve", step="work", verdict="completed", output={"value": 7})
    await stage.is_(run, "completed")
    return {"retried_uncertain": run}


# -- crashes ----------------------------------------------------------------------------------------------------


CRASHES = ("crash", "crash_fail", "crash_foreach", "crash_park", "crash_undo", "pages_crash", "pages_park")


@scene(*CRASHES)
async def _crash(stage: Stage) -> Runs:
    runs = {name: await stage.begins(name) for name in CRASHES}
    await stage.stand.holds(len(runs) + 1)  # two items of the foreach
    await stage.dies()
    await stage.stand.let_go()
    for run in runs.values():
        await stage.ends(run)
    return runs


DRAINS = ("drain", "drain_fail", "pages_drain")


@scene(*DRAINS)
async def _drain(stage: Stage) -> Runs:
    runs = {name: await stage.begins(name) for name in DRAINS}
    await stage.stand.holds(len(runs))
    await stage.drains()
    await stage.stand.let_go()
    for run in runs.values():
        await stage.ends(run)
    return runs


@scene("crash_waiting")
async def _crash_waiting(stage: Stage) -> Runs:
    run = await stage.begins("crash_waiting")
    await stage.has(run, "wait_started")
    await stage.dies()
    await stage.ends(run)
    return {"crash_waiting": run}


@scene("connector_gone")
async def _connector_gone(stage: Stage) -> Runs:
    run = await stage.begins("connector_gone")
    await stage.stand.holds()
    await stage.dies(has_stand=False)
    await stage.is_(run, "paused")
    return {"connector_gone": run}
