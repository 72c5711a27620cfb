"""Webhooks that answer the sender with the result of the run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Running, running

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


async def test_the_sender_gets_the_outputs(tmp_path: Path) -> None:
    async with running(tmp_path, {"double": PIPELINE}) as service:
        answer = await service.client.post("/hooks/double", json={"number": 21})

        assert answer.status_code == 200
        told = answer.json()
        assert (told["status"], told["outputs"], told["error"]) == ("completed", {"twice": 42}, None)
        assert (await service.run(told["runs"][0]))["status"] == "completed"


async def test_the_sender_gets_the_error(tmp_path: Path) -> None:
    async with running(tmp_path, {"double": PIPELINE}) as service:
        told = (await service.client.post("/hooks/double", json={"number": "many"})).json()

        assert told["status"] == "failed"
        assert "inputs.number" in told["error"]["message"]


async def test_a_repeated_request_gets_the_same_result(tmp_path: Path) -> None:
    keyed = PIPELINE.replace("respond: result", 'respond: result, dedupe: {key: "{{ trigger.body.id }}"}')
    async with running(tmp_path, {"double": keyed}) as service:
        first = (await service.client.post("/hooks/double", json={"number": 1, "id": "a"})).json()
        second = (await service.client.post("/hooks/double", json={"number": 1, "id": "a"})).json()

        assert second == first


# -- steps that answer ------------------------------------------------------------------------------------------------

ANSWERING = """
triggers:
  - id: hook
    use: webhook
    with: {path: /ask, verify: none, respond: step, dedupe: {key: "{{ trigger.body.id }}"}}
    inputs: {body: "{{ trigger.body }}"}
steps:
  - id: told
    if: "inputs.body.answer is defined"
    use: flow.respond
    with:
      status: "{{ inputs.body.answer.status | default(200) }}"
      headers: "{{ inputs.body.answer.headers | default({}) }}"
      body: "{{ inputs.body.answer.body | default(none) }}"
  - {id: failed, if: "inputs.body.fails is defined", use: flow.fail, with: {message: no answer}}
  - {id: later, if: "inputs.body.answer is defined", use: wait.delay, with: {for: 1h}}
"""


def _make_question(**body: Any) -> dict[str, Any]:
    return {"json": {"id": "a", **body}}


async def test_a_step_answers_the_sender_while_the_run_continues(tmp_path: Path) -> None:
    said = {"status": 201, "headers": {"X-Total": 7, "Location": "/orders/7"}, "body": {"total": [1, "ü"]}}
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        answer = await service.client.post("/hooks/ask", **_make_question(answer=said))

        assert (answer.status_code, answer.json()) == (201, {"total": [1, "ü"]})
        assert (answer.headers["x-total"], answer.headers["location"]) == ("7", "/orders/7")
        assert answer.headers["content-type"] == "application/json"
        run = await service.run(answer.headers["waypost-runs"])
        assert run["status"] == "waiting"
        assert (
            run["answer"]
            == run["steps"]["told"]["output"]
            == said | {"headers": {"X-Total": "7", "Location": "/orders/7"}}
        )
        assert run["event"] == answer.headers["waypost-event"]


@pytest.mark.parametrize(
    ("said", "status", "content", "media_type"),
    [
        ({}, 200, b"", None),
        ({"status": 204}, 204, b"", None),
        ({"body": "Grüße"}, 200, "Grüße".encode(), "text/plain; charset=utf-8"),
        ({"body": "<b>hi</b>", "headers": {"Content-Type": "text/html"}}, 200, b"<b>hi</b>", "text/html"),
        (
            {"body": "Grüße", "headers": {"content-type": "text/plain; charset=latin1"}},
            200,
            "Grüße".encode("latin-1"),
            "text/plain; charset=latin1",
        ),
        ({"body": False}, 200, b"false", "application/json"),
        ({"body": "x" * 100_000}, 200, b"x" * 100_000, "text/plain; charset=utf-8"),
    ],
    ids=["nothing", "no content", "text", "a page", "another charset", "false", "large"],
)
async def test_a_text_is_sent_unchanged_and_anything_else_as_json(
    tmp_path: Path, said: dict[str, Any], status: int, content: bytes, media_type: str | None
) -> None:
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        answer = await service.client.post("/hooks/ask", **_make_question(answer=said))

        assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (status, content, media_type)
        assert answer.headers["content-security-policy"] == "sandbox"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"status": 99}, "status"),
        ({"status": 204, "body": "x"}, "204 has no body"),
        ({"status": 205, "body": "x"}, "205 has no body"),
        ({"body": "ж", "headers": {"Content-Type": "text/plain; charset=latin1"}}, "windows-1252 has no character 'ж'"),
        ({"body": "a", "headers": {"Content-Type": "text/plain; charset=nonsense"}}, "charset 'nonsense' is not known"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "given twice"),
        ({"headers": {"Date": "today"}}, "cannot be set by a pipeline"),
        ({"headers": {"X-A": "b" * 5_000}}, "4000"),
        ({"headers": {"X-A": "b\r\nSet-Cookie: c=d"}}, "one line"),
        ({"headers": {"X A": "b"}}, "is not a header name"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "cannot be set by a pipeline"),
    ],
)
async def test_an_answer_that_http_cannot_represent_fails_its_step(
    tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        answer = await service.client.post("/hooks/ask", **_make_question(answer=said))

        assert answer.status_code == 500
        assert answer.json()["status"] == "failed"
        assert why in answer.json()["error"]["message"]


async def test_a_run_that_ends_without_an_answer_returns_its_result(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        failed = await service.client.post("/hooks/ask", **_make_question(fails=True))
        silent = await service.client.post("/hooks/ask", json={"id": "b"})

        assert (failed.status_code, failed.json()["error"]["message"]) == (500, "no answer")
        assert (silent.status_code, silent.json()["status"], silent.json()["outputs"]) == (200, "completed", None)


async def test_an_answer_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        first = await service.client.post("/hooks/ask", **_make_question(answer={"body": "yes"}))
    async with running(tmp_path, {"ask": ANSWERING}) as service:
        again = await service.client.post("/hooks/ask", **_make_question(answer={"body": "no"}))

        assert first.text == again.text == "yes"
        assert again.headers["waypost-runs"] == first.headers["waypost-runs"]


async def test_the_first_of_several_answers_counts(tmp_path: Path) -> None:
    twice = """
triggers: [{id: hook, use: webhook, with: {path: /ask, verify: none, respond: step}}]
steps:
  - id: both
    parallel:
      one: [{id: first, use: flow.respond, with: {body: one}}]
      two: [{id: second, use: flow.respond, with: {body: two}}]
"""
    async with running(tmp_path, {"ask": twice}) as service:
        answer = await service.client.post("/hooks/ask", json={})

        assert answer.text == "one"
        run = await service.wait_for_end(answer.headers["waypost-runs"])
        assert (run["status"], run["answer"]["body"]) == ("completed", "one")


async def test_each_of_many_senders_gets_its_own_answer(tmp_path: Path) -> None:
    async with running(tmp_path, {"ask": ANSWERING}) as service:

        async def ask(number: int) -> str:
            body = {"id": str(number), "answer": {"body": str(number)}}
            return (await service.client.post("/hooks/ask", json=body, timeout=30)).text

        numbers = range(100)
        assert await asyncio.gather(*map(ask, numbers)) == [str(number) for number in numbers]


@pytest.mark.parametrize("is_queued", [False, True], ids=["a wait", "a queue"])
async def test_a_sender_is_answered_at_once_by_a_run_that_was_evicted(tmp_path: Path, *, is_queued: bool) -> None:
    queue, wait = "concurrency: {limit: 1}", "  - {id: w, use: wait.webhook, timeout: 1h, on_timeout: fail}"
    text = f"""
triggers: [{{id: hook, use: webhook, with: {{path: /ask, verify: none, respond: step}}}}]
{queue if is_queued else ""}
steps:
{"" if is_queued else wait}
  - {{id: told, use: flow.respond, with: {{body: "yes"}}}}
  - {{id: hold, use: wait.webhook, timeout: 1h, on_timeout: fail}}
"""
    async with running(tmp_path, {"ask": text}) as service:
        if is_queued:
            await service.client.post("/hooks/ask", json={})
        asking = asyncio.create_task(service.client.post("/hooks/ask", json={}, timeout=30))
        blocker, run = await _last(service, 2) if is_queued else (None, (await _last(service, 1))[0])
        while run in service.service.runner.runs.by_id:
            await asyncio.sleep(0.01)
        if blocker:
            await service.client.post(f"/api/runs/{blocker}/cancel", json={})
        else:
            await service.client.post(f"/api/runs/{run}/answer", json={"step": "w", "data": {}})
        answer = await asyncio.wait_for(asking, 60)

        assert answer.text == "yes"


async def _last(service: Running, count: int) -> list[str]:
    """The runs, oldest first, once there are `count` of them."""
    while True:
        runs = (await service.client.get("/api/runs")).json()["runs"]
        if len(runs) == count:
            return [str(run["id"]) for run in reversed(runs)]
        await asyncio.sleep(0.01)


async def test_a_stopping_service_answers_waiting_senders_at_once(tmp_path: Path) -> None:
    held = ANSWERING.replace("- id: told", "- {id: hold, use: wait.delay, with: {for: 1h}}\n  - id: told")
    async with running(tmp_path, {"ask": held}) as service:
        asking = asyncio.create_task(service.client.post("/hooks/ask", **_make_question(answer={"body": "late"})))
        while not (await service.client.get("/api/runs")).json()["runs"]:
            await asyncio.sleep(0.01)
        service.service.runner.begin_draining()
        answer = await asking

        assert answer.status_code == 202
        assert len(answer.json()["runs"]) == 1


async def test_the_sender_of_a_skipped_run_is_informed(tmp_path: Path) -> None:
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
