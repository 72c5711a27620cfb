"""A service removes runs that ended long ago, in moved time; what is unfinished goes on."""

from pathlib import Path

import pytest

from durable.durations import parse_duration
from durable.journal import meta
from durable.runner.retention import NOTE
from tests.service.running import Running, running
from tests.service.test_clock import Clock

pytestmark = pytest.mark.anyio

PIPELINES = {
    "good": "steps: [{id: say, use: log.write, with: {message: hello}}]",
    "bad": "steps: [{id: stop, use: flow.fail, with: {message: no}}]",
    "short": "retention: {completed: 1h}\nsteps: [{id: say, use: log.write, with: {message: hello}}]",
    "few": "retention: {completed: forever, max_runs: 2}\nsteps: [{id: say, use: log.write, with: {message: hello}}]",
    "parent": """
steps:
  - {id: first, use: flow.call, with: {pipeline: good}}
  - {id: second, use: flow.call, with: {pipeline: good}}
  - {id: ask, use: wait.webhook, timeout: 90d, on_timeout: fail}
""",
}


async def start(service: Running, pipeline: str) -> str:
    answer = await service.start(pipeline)
    run: str = answer.json()["id"]
    return run


async def end_run(service: Running, pipeline: str) -> str:
    run = await start(service, pipeline)
    await service.wait_for_end(run)
    return run


async def make_pass(service: Running, clock: Clock, passed: str) -> None:
    clock.offset += parse_duration(passed)
    await service.service.retention.make_pass()


async def is_there(service: Running, run: str) -> bool:
    return (await service.client.get(f"/api/runs/{run}")).status_code == 200


async def test_runs_are_removed_at_the_age_of_their_status(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, PIPELINES, now=clock) as service:
        completed, failed = await end_run(service, "good"), await end_run(service, "bad")

        await make_pass(service, clock, "29d")
        assert (await is_there(service, completed), await is_there(service, failed)) == (True, True)
        await make_pass(service, clock, "2d")
        assert (await is_there(service, completed), await is_there(service, failed)) == (False, True)
        await make_pass(service, clock, "60d")
        assert not await is_there(service, failed)


async def test_a_pipeline_says_how_long_and_how_many_of_its_runs_are_kept(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, PIPELINES, now=clock) as service:
        short, good = await end_run(service, "short"), await end_run(service, "good")
        few = [await end_run(service, "few") for _ in range(4)]

        await make_pass(service, clock, "59m")
        assert await is_there(service, short)
        await make_pass(service, clock, "2m")
        assert (await is_there(service, short), await is_there(service, good)) == (False, True)
        assert [await is_there(service, run) for run in few] == [False, False, True, True]


async def test_an_unfinished_run_goes_on_after_the_run_that_it_called_was_removed(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, PIPELINES, now=clock) as service:
        parent = await start(service, "parent")
        while not (waits := (await service.run(parent))["waits"]):
            pass
        await make_pass(service, clock, "31d")

        first, second = (await service.run(parent))["children"]
        assert (first["status"], second["status"]) == (None, "completed")  # the next one is numbered after the newest
        assert not await is_there(service, first["run"])
        assert (await service.client.post(waits[0]["link"], json={})).is_success
        assert (await service.wait_for_end(parent))["status"] == "completed"


async def test_deliveries_and_events_without_runs_are_removed_at_their_own_age(tmp_path: Path) -> None:
    clock = Clock()
    hook = """
triggers: [{id: hook, use: webhook, when: trigger.body.wanted, with: {path: /in, verify: none}}]
steps: [{id: say, use: log.write, with: {message: hello}}]
"""
    async with running(tmp_path, {"hook": hook}, now=clock, retention_deliveries="1d") as service:
        assert (await service.client.post("/hooks/in", json={"wanted": False})).json()["runs"] == []
        await service.client.post("/api/events", json={"type": "nobody.waits"})
        emitted = (await service.client.post("/api/events", json={"type": "nobody.waits"})).json()["event"]

        await make_pass(service, clock, "23h")
        assert (await service.client.get("/api/deliveries")).json()["deliveries"]
        await make_pass(service, clock, "2h")
        assert not (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert await service.service.journal.find_event(emitted)
        await make_pass(service, clock, "30d")
        assert not await service.service.journal.find_event(emitted)


async def test_the_definition_that_a_file_serves_is_kept_and_an_old_one_is_removed(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, {"good": PIPELINES["good"]}, now=clock) as service:
        served = service.service.folder.definitions[0].version
        await service.service.journal.add_definition("old", "good", b"{}", clock())

        await make_pass(service, clock, "31d")

        assert await service.service.journal.load_definition(served)
        assert await service.service.journal.load_definition("old") is None
        await end_run(service, "good")


async def test_the_last_pass_is_noted_in_the_journal(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, PIPELINES, now=clock) as service:
        await end_run(service, "good")
        await make_pass(service, clock, "31d")
        note = await service.service.journal.read(meta.find_note, NOTE)
        assert note is not None
        assert '"removed": {"runs": 1}' in note
        metrics = (await service.client.get("/metrics")).text
        assert 'waypost_removed_total{noun="runs"}' in metrics
        assert 'waypost_journal_rows{noun="runs"} 0.0' in metrics
        assert "waypost_journal_bytes 0.0" not in metrics


async def test_a_fork_keeps_the_large_values_that_it_copied_after_its_source_was_removed(tmp_path: Path) -> None:
    clock = Clock()
    large = """
inputs: {text: {type: string}}
steps:
  - {id: keep, use: transform.set, with: {values: {text: "{{ inputs.text }}"}}}
  - {id: stop, if: "inputs.text is startswith 'x'", use: flow.fail, with: {message: no}}
outputs: {text: "{{ steps.keep.output.text }}"}
"""
    text = "x" * 50_000
    async with running(tmp_path, {"large": large}, now=clock, retention_failed="1h") as service:
        run = (await service.start("large", {"text": text})).json()["id"]
        await service.wait_for_end(run)
        answer = await service.client.post(f"/api/runs/{run}/fork", json={"step": "stop", "reason": "again"})
        fork = answer.json()["id"]
        await service.wait_for_end(fork)
        clock.offset += parse_duration("59m")
        again = await service.client.post(f"/api/runs/{fork}/fork", json={"step": "stop", "reason": "again"})
        await service.wait_for_end(again.json()["id"])

        await make_pass(service, clock, "2m")

        assert (await is_there(service, run), await is_there(service, fork)) == (False, False)
        step = await service.client.get(f"/api/runs/{again.json()['id']}/export")
        assert step.text.count(text) >= 2


async def test_no_run_is_removed_whose_pipeline_may_be_in_a_file_with_errors(tmp_path: Path) -> None:
    clock = Clock()
    pipelines = {"kept": PIPELINES["few"].replace(", max_runs: 2", ""), "good": PIPELINES["good"]}
    async with running(tmp_path, pipelines, now=clock) as service:
        kept, old = await end_run(service, "kept"), await end_run(service, "good")
    async with running(tmp_path, pipelines | {"kept": "stepz: []"}, now=clock) as service:
        await make_pass(service, clock, "31d")
        assert (await is_there(service, kept), await is_there(service, old)) == (True, False)
