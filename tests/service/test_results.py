"""Webhooks whose sender is told what the run came to."""

from pathlib import Path

import pytest

from tests.service.running import running

pytestmark = pytest.mark.anyio

PIPELINE = """
triggers:
  - id: hook
    use: webhook
    with: {path: /double, verify: none, respond: result}
    inputs: {number: "{{ trigger.body.number }}"}
inputs: {number: {type: integer}}
steps:
  - {id: double, use: transform.set, with: {values: {twice: "{{ inputs.number * 2 }}"}}}
outputs: {twice: "{{ steps.double.output.twice }}"}
"""


async def test_the_sender_is_told_the_outputs(tmp_path: Path) -> None:
    async with running(tmp_path, {"double": PIPELINE}) as service:
        answer = await service.client.post("/hooks/double", json={"number": 21})

        assert answer.status_code == 200
        told = answer.json()
        assert (told["status"], told["outputs"], told["error"]) == ("completed", {"twice": 42}, None)
        assert (await service.run(told["runs"][0]))["status"] == "completed"


async def test_the_sender_is_told_the_error(tmp_path: Path) -> None:
    async with running(tmp_path, {"double": PIPELINE}) as service:
        told = (await service.client.post("/hooks/double", json={"number": "many"})).json()

        assert told["status"] == "failed"
        assert "inputs.number" in told["error"]["message"]


async def test_a_repeat_is_told_the_same_result(tmp_path: Path) -> None:
    keyed = PIPELINE.replace("respond: result", 'respond: result, dedupe: {key: "{{ trigger.body.id }}"}')
    async with running(tmp_path, {"double": keyed}) as service:
        first = (await service.client.post("/hooks/double", json={"number": 1, "id": "a"})).json()
        second = (await service.client.post("/hooks/double", json={"number": 1, "id": "a"})).json()

        assert second == first


async def test_a_run_that_was_skipped_is_told_so(tmp_path: Path) -> None:
    waiting = """
triggers: [{id: hook, use: webhook, with: {path: /wait, verify: none}}]
concurrency: {limit: 1, overflow: skip}
steps: [{id: pause, use: wait.delay, with: {for: 1h}}]
"""
    async with running(tmp_path, {"waiting": waiting}) as service:
        first = await service.client.post("/hooks/wait", json={})
        second = await service.client.post("/hooks/wait", json={})

        assert (first.status_code, second.status_code) == (202, 200)
        assert second.json()["runs"] == []
        assert "concurrency" in second.json()["reason"]
        [skipped, accepted] = (await service.client.get("/api/deliveries")).json()["deliveries"]
        assert (skipped["outcome"], accepted["outcome"]) == ("skipped", "accepted")
        api = await service.start("waiting")
        assert api.status_code == 409
