"""Waits over the API: how a run document shows them, who may answer, and which answers are rejected."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from durable.definition import Definition
from durable.history.entries import AnyEntry, RunStarted, StepScheduled
from durable.links import make_link as link_to
from durable.links import make_proof
from durable.replay import replay_entries
from tests.service.running import Outside, Running, outside, running
from tests.service.waiting import PIPELINES, PROOF, link, post_decision, start_waiting_run, until, wait_until_waiting_at

pytestmark = pytest.mark.anyio

FIELDS = {"amount": 5, "urgent": False, "colour": "red"}
PARK = """
steps:
  - {{id: pay, use: http.post, with: {{url: "{url}/"}}, timeout: 100ms, on_crash: park}}
outputs: {{paid: "{{{{ steps.pay.output }}}}"}}
"""
PAUSES = """
steps:
  - {{id: call, use: http.post, with: {{url: "{url}/"}}, on_exhausted: pause, retry: {{max_attempts: 1}}}}
"""
UNDONE = """
steps:
  - id: hold
    use: http.post
    with: {{url: "{url}/hold"}}
    undo: {{use: http.post, with: {{url: "{url}/release"}}}}
  - {{id: back, use: flow.undo}}
"""
PARENT = """
steps:
  - {id: child, use: flow.call, with: {pipeline: callback}}
"""
LISTENS = """
triggers:
  - {id: paid, use: event, with: {type: order.paid}, inputs: {id: "{{ trigger.body.id }}"}}
inputs: {id: {type: integer}}
steps:
  - {id: note, use: transform.set, with: {values: {id: "{{ inputs.id }}"}}}
"""
LONG = """
steps:
  - id: ask
    use: wait.approval
    with: {to: x, title: "{{ run.links.ask }} FILLER"}
    timeout: 1h
    on_timeout: fail
""".replace("FILLER", "x" * 40_000)


@asynccontextmanager
async def holder(service: Running, scope: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key of this scope, named after it."""
    made = (await service.client.post("/api/keys", json={"name": f"a {scope}er", "scope": scope})).json()
    headers = {"authorization": f"Bearer {made['key']}"}
    async with httpx.AsyncClient(base_url=service.service.url, headers=headers, trust_env=False) as client:
        yield client


def _is_problem(answer: httpx.Response, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


# -- documents --------------------------------------------------------------------------------------------------


async def test_a_run_document_shows_what_the_run_waits_for(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        [asked] = (await service.run(await start_waiting_run(service, "approval")))["waits"]
        waits = (await service.run(await start_waiting_run(service, "any")))["waits"]
    assert (asked["step"], asked["name"], asked["kind"], asked["to"]) == ("ask", None, "approval", ["ops@example.com"])
    assert asked["fields"]["amount"] == {"type": "number", "minimum": 0, "title": "How much"}
    assert asked["due_at"].endswith("Z")
    assert PROOF.search(asked["link"])
    assert [(wait["name"], wait["kind"], wait["type"], wait["match"], bool(wait["link"])) for wait in waits] == [
        ("boss", "approval", None, None, True),
        ("paid", "event", "order.paid", "7", False),
        ("shop", "webhook", None, None, True),
    ]


async def test_a_run_document_shows_its_parent_and_its_children(tmp_path: Path) -> None:
    async with running(tmp_path, {**PIPELINES, "parent": PARENT}) as service:
        run = await start_waiting_run(service, "parent")
        async with asyncio.timeout(60):
            while (await service.run(run))["children"][0]["status"] != "waiting":
                await asyncio.sleep(0.01)
        [child] = (await service.run(run))["children"]
        assert child["step"] == "child"
        assert (await service.run(child["run"]))["parent"] == {"run": run, "step": "child"}
        assert (await post_decision(service, child["run"], "answer", step="hook")).status_code == 202
        assert (await service.wait_for_end(run))["children"] == [{**child, "status": "completed"}]


async def test_a_run_document_shows_which_effects_were_undone(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": UNDONE.format(url=world.url)}) as service:
        ended = await service.wait_for_end((await service.start("p")).json()["id"])
        entries = (await service.client.get(f"/api/runs/{ended['id']}/history")).json()["entries"]
    assert ended["undo"] == [{"step": "hold", "status": "done", "error": None}]
    [completed] = [each for each in entries if each["type"] == "step_completed" and each["path"] == "hold"]
    assert completed["undo"]["url"] == f"{world.url}/release"


async def test_link_keys_and_proofs_are_hidden_from_keys_that_may_not_answer(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service, holder(service, "read") as reader:
        run = await start_waiting_run(service, "early")
        [(_, beginning)] = await service.service.journal.read_history(run, limit=1)
        assert isinstance(beginning, RunStarted)
        assert beginning.links
        key = beginning.links.key
        for path in (f"runs/{run}", f"runs/{run}/history", f"runs/{run}/export", "waits"):
            whole, read = (await service.client.get(f"/api/{path}")).text, (await reader.get(f"/api/{path}")).text
            assert key not in whole + read, path
            assert make_proof(key, run, "hook") not in read
            assert make_proof(key, run, "ask") not in read
        document = (await reader.get(f"/api/runs/{run}/steps/link")).json()
        assert document["output"]["link"].endswith(f"/waits/{run}/hook/…")
        asking = await start_waiting_run(service, "callback")
        assert (await reader.get(f"/api/runs/{asking}")).json()["waits"][0]["link"] is None
        assert "links" not in (await reader.get(f"/api/runs/{run}/history")).json()["entries"][0]


async def test_waits_of_all_runs_are_listed_in_pages(tmp_path: Path) -> None:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {**PIPELINES, "park": PARK.format(url=world.url)}) as service:
            runs = [await start_waiting_run(service, pipeline) for pipeline in ("approval", "any", "callback")]
            parked = (await service.start("park")).json()["id"]
            await until(service, parked, "paused")
            found: list[Any] = []
            after = ""
            while True:
                page = (await service.client.get(f"/api/waits?limit=2{after}")).json()
                found += page["waits"]
                if page["after"] is None:
                    break
                after = f"&after={page['after']}"
            assert [(wait["run"], wait["kind"]) for wait in found] == [
                (runs[0], "approval"),
                (runs[1], "approval"),
                (runs[1], "event"),
                (runs[1], "webhook"),
                (runs[2], "webhook"),
                (parked, "decision"),
            ]
            assert (found[-1]["step"], "uncertain" in found[-1]["reason"]) == ("pay", True)
            [one] = (await service.client.get(f"/api/waits?run={runs[2]}")).json()["waits"]
            assert one == found[4]
            _is_problem(await service.client.get("/api/waits?run=run_x"), 404, "there is no run run_x")


# -- answering --------------------------------------------------------------------------------------------------


async def test_an_approval_is_recorded_under_the_name_of_the_key(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service, holder(service, "start") as starter:
        run = await start_waiting_run(service, "approval")
        body = {"step": "ask", "approved": True, "comment": "fine", "fields": FIELDS}
        answer = await starter.post(f"/api/runs/{run}/answer", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.json()["id"] == run
        output = (await service.wait_for_end(run))["outputs"]["said"]
        assert (output["approved"], output["by"], output["comment"]) == (True, "a starter", "fine")
        assert output["fields"] == {"count": 1, "note": "", **FIELDS}
        _is_problem(await starter.post(f"/api/runs/{run}/answer", json=body), 409, "the run has ended")


async def test_an_answer_to_a_webhook_wait_has_the_shape_of_a_request(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await start_waiting_run(service, "any")
        assert (await post_decision(service, run, "answer", step="first", name="shop", data=[1])).status_code == 202
        output = (await service.wait_for_end(run))["outputs"]["said"]
    assert output["name"] == "shop"
    assert {**output["output"], "at": 0} == {"body": [1], "query": {}, "headers": {}, "method": "POST", "at": 0}


@pytest.mark.parametrize(
    ("pipeline", "body", "status", "expected"),
    [
        ("approval", {"step": "aks", "approved": True}, 404, "did you mean 'ask'"),
        ("approval", {"step": "ask[0]", "approved": True}, 404, "no such step"),
        ("approval", {"step": "ask"}, 422, "`approved`: it is missing"),
        ("approval", {"step": "ask", "approved": 1}, 422, "`approved`"),
        ("approval", {"step": "ask", "approved": True, "data": 1}, 422, "`data`"),
        ("approval", {"step": "ask", "approved": True}, 422, "`fields.amount`: it is missing"),
        ("approval", {"step": "ask", "approved": True, "fields": {"amount": -1}}, 422, "`fields.colour`"),
        ("approval", {"step": "ask", "approved": False, "fields": {"amount": -1}}, 422, "`fields.amount`"),
        ("approval", {"step": "ask", "approved": False, "fields": {"amont": 1}}, 422, "did you mean 'amount'"),
        ("approval", {"step": "ask", "name": "x", "approved": True}, 404, "it has one wait, without a name"),
        ("callback", {"step": "hook", "approved": True}, 422, "`approved`"),
        ("callback", {"stp": "hook"}, 422, "did you mean 'step'"),
        ("any", {"step": "first", "data": 1}, 422, "`name`: it is missing; one of boss, paid, shop"),
        ("any", {"step": "first", "name": "paid", "data": 1}, 409, "POST /api/events"),
        ("any", {"step": "first", "name": "bos", "approved": True}, 404, "did you mean 'boss'"),
        ("early", {"step": "hook", "data": 1}, 409, "it was not reached yet"),
        ("early", {"step": "link", "data": 1}, 404, "no such step"),
    ],
)
async def test_an_invalid_answer_is_rejected_and_changes_nothing(
    tmp_path: Path, pipeline: str, body: dict[str, Any], status: int, expected: str
) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await start_waiting_run(service, pipeline)
        _is_problem(await post_decision(service, run, "answer", **body), status, expected)
        assert (await service.run(run))["status"] == "waiting"


async def test_only_one_of_many_simultaneous_answers_is_accepted(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        run = await start_waiting_run(service, "callback")
        answers = await asyncio.gather(*(post_decision(service, run, "answer", step="hook", data=n) for n in range(8)))
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
        [taken] = [n for n, answer in enumerate(answers) if answer.status_code == 202]
        assert (await service.wait_for_end(run))["outputs"]["said"]["body"] == taken


async def test_answers_and_decisions_require_a_key_that_may_start_runs(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service, holder(service, "read") as reader:
        run = await start_waiting_run(service, "callback")
        for path in (f"runs/{run}/answer", f"runs/{run}/resolve", f"runs/{run}/resume", "events"):
            _is_problem(await reader.post(f"/api/{path}", json={}), 403, "scope `start`")
        resolution = {"step": "hook", "verdict": "retry"}
        for what, body in {"answer": {"step": "hook"}, "resolve": resolution, "resume": {"reason": "mended"}}.items():
            answer = await service.client.post(f"/api/runs/run_x/{what}", json=body)
            _is_problem(answer, 404, "there is no run run_x")


# -- deciding ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _park_run(tmp_path: Path) -> AsyncIterator[tuple[Running, Outside, str]]:
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"park": PARK.format(url=world.url), **PIPELINES}) as service:
            run = (await service.start("park")).json()["id"]
            await until(service, run, "paused")
            yield service, world, run


async def test_an_uncertain_step_is_resolved_by_a_person(tmp_path: Path) -> None:
    async with _park_run(tmp_path) as (service, world, run):
        document = await service.run(run)
        assert document["steps"]["pay"]["decision_needed"]
        assert "pay" in document["reason"]
        _is_problem(await service.client.post(f"/api/runs/{run}/resume"), 409, "resolve 'pay'")
        wrong = await post_decision(service, run, "resolve", step="pay", verdict="retry", output=1)
        _is_problem(wrong, 422, "`output`: it goes with `completed`")
        _is_problem(
            await post_decision(service, run, "resolve", step="pya", verdict="retry"), 404, "did you mean 'pay'"
        )
        _is_problem(await post_decision(service, run, "resolve", step="pay", verdict="maybe"), 422, "`verdict`")
        taken = await post_decision(
            service, run, "resolve", step="pay", verdict="completed", output={"id": 7}, reason="seen"
        )
        assert taken.status_code == 202
        ended = await service.wait_for_end(run)
        entries = (await service.client.get(f"/api/runs/{run}/history")).json()["entries"]
        again = await post_decision(service, run, "resolve", step="pay", verdict="retry")
    assert (ended["status"], ended["outputs"]) == ("completed", {"paid": {"id": 7}})
    assert len(world.requests) == 1
    [resolved] = [each for each in entries if each["type"] == "step_resolved"]
    assert (resolved["verdict"], resolved["by"], resolved["reason"]) == ("completed", "admin", "seen")
    _is_problem(again, 409, "needs no decision: it is completed")


async def test_a_step_resolved_as_not_done_is_retried_and_one_resolved_as_failed_fails(tmp_path: Path) -> None:
    async with _park_run(tmp_path) as (service, world, run):
        assert (await post_decision(service, run, "resolve", step="pay", verdict="retry")).status_code == 202
        assert (await service.wait_for_end(run))["status"] == "completed"
        assert len(world.requests) == 2
        world.hangs = 1
        other = (await service.start("park")).json()["id"]
        await until(service, other, "paused")
        answer = await post_decision(service, other, "resolve", step="pay", verdict="failed", reason="refunded by hand")
        assert answer.status_code == 202
        assert (await service.wait_for_end(other))["error"]["message"] == "refunded by hand"
        waiting = await start_waiting_run(service, "callback")
        _is_problem(
            await post_decision(service, waiting, "resolve", step="hook", verdict="retry"), 409, "it is waiting"
        )
        _is_problem(await service.client.post(f"/api/runs/{waiting}/resume"), 409, "it is waiting")


# -- events -----------------------------------------------------------------------------------------------------


async def test_an_event_starts_subscribed_pipelines_and_answers_waiting_runs(tmp_path: Path) -> None:
    async with running(tmp_path, {**PIPELINES, "listens": LISTENS}) as service:
        waiting = await start_waiting_run(service, "any")
        event = {"type": "order.paid", "subject": "7", "data": {"id": 7}}
        answer = await service.client.post("/api/events", json=event, headers={"idempotency-key": "k"})
        assert answer.status_code == 202, answer.text
        [run] = answer.json()["runs"]
        assert (await service.wait_for_end(run))["inputs"] == {"id": 7}
        assert (await service.wait_for_end(waiting))["outputs"]["said"]["name"] == "paid"
        again = await service.client.post("/api/events", json=event, headers={"idempotency-key": "k"})
        assert (again.status_code, again.json()) == (200, {**answer.json(), "duplicate": True})
        other = await service.client.post("/api/events", json={**event, "data": 8}, headers={"idempotency-key": "k"})
        _is_problem(other, 422, "used for another event")


async def test_an_event_without_a_type_or_with_unknown_keys_is_rejected(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        for body, expected in (
            ({}, "`type`: it is missing"),
            ({"type": ""}, "`type`"),
            ({"type": "a", "sbject": "x"}, "did you mean 'subject'"),
            ({"type": "a", "subject": 7}, "`subject`"),
        ):
            _is_problem(await service.client.post("/api/events", json=body), 422, expected)
        lonely = await service.client.post("/api/events", json={"type": "nobody.listens"})
        assert (lonely.status_code, lonely.json()["runs"]) == (202, [])


async def test_a_repeated_event_that_starts_nothing_answers_no_wait_twice(tmp_path: Path) -> None:
    twice = "steps:\n" + "".join(
        f"  - {{id: {id}, use: wait.event, with: {{type: tick, look_back: 1h}}, timeout: 1h, on_timeout: fail}}\n"
        for id in ("one", "two")
    )
    async with running(tmp_path, {"twice": twice}) as service:
        run = await start_waiting_run(service, "twice")
        for code in (202, 200):
            answer = await service.client.post("/api/events", json={"type": "tick"}, headers={"idempotency-key": "k"})
            assert answer.status_code == code
        await wait_until_waiting_at(service, run, "two")
        await asyncio.sleep(0.1)
        assert (await service.run(run))["status"] == "waiting"


# -- exporting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["early", "long"])
async def test_an_export_is_the_stored_history_with_another_link_key(tmp_path: Path, pipeline: str) -> None:
    async with running(tmp_path, {**PIPELINES, "long": LONG}) as service:
        run = await start_waiting_run(service, pipeline)
        text = (await service.client.get(f"/api/runs/{run}/export")).text
        stored = await service.service.journal.read_history(run)
    exported = json.loads(text)
    definition = Definition.load(msgspec.json.encode(exported["definition"]))
    entries = msgspec.json.decode(msgspec.json.encode(exported["entries"]), type=list[AnyEntry])
    beginning, original = entries[0], stored[0][1]
    assert isinstance(beginning, RunStarted)
    assert isinstance(original, RunStarted)
    assert beginning.links
    assert original.links
    assert definition.version == beginning.version == original.version
    assert len(entries) == len(stored)
    assert replay_entries(run, entries).status == "waiting"
    assert original.links.key not in text
    path = "hook" if pipeline == "early" else "ask"
    assert link_to(original.links.url, original.links.key, run, path) not in text
    assert link_to(beginning.links.url, beginning.links.key, run, path) in text
    for entry in entries:
        if isinstance(entry, StepScheduled):
            assert entry.input.is_loaded
            assert entry.input == type(entry.input).from_json(bytes(entry.input.data))


async def test_a_link_of_a_paused_run_still_accepts_an_answer(tmp_path: Path) -> None:
    text = "steps:\n  - id: both\n    parallel:\n" + (
        "      a: [{id: hook, use: wait.webhook, with: {}, timeout: 1h, on_timeout: fail}]\n"
        '      b: [{id: pay, use: http.post, with: {url: "URL/"}, timeout: 100ms, on_crash: park}]\n'
    )
    async with outside() as world:
        world.hangs = 1
        async with running(tmp_path, {"p": text.replace("URL", world.url)}) as service:
            run = (await service.start("p")).json()["id"]
            await until(service, run, "paused")
            async with httpx.AsyncClient(trust_env=False) as somebody:
                assert (await somebody.post(await link(service, run))).status_code == 202
            assert (
                await post_decision(service, run, "resolve", step="both.pay", verdict="completed")
            ).status_code == 202
            assert (await service.wait_for_end(run))["status"] == "completed"
