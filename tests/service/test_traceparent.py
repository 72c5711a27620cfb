"""Every request of a step names its span, and a run belongs to the trace of whoever asked for it."""

from pathlib import Path

import pytest
from starlette.responses import Response

from durable.trace import make_span_id, make_trace_id
from tests.service.running import outside, running

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}

ASKS = """
triggers:
  - {id: hook, use: webhook, with: {path: /asks, verify: none}}
  - {id: heard, use: event, with: {type: asked}}
steps:
  - {id: ask, use: http.post, with: {url: "URL/ask"}, retry: {max_attempts: 2, min_delay: 1ms}}
  - {id: own, use: http.get, with: {url: "URL/own", headers: {traceparent: of the author}}}
"""
CALLS = """
steps:
  - {id: call, use: flow.call, with: {pipeline: asks}}
  - {id: tell, use: flow.emit, with: {type: asked}}
"""


async def test_each_attempt_names_its_span_in_the_trace_of_the_sender(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers = [lambda: Response(status_code=503)]
        async with running(tmp_path, {"asks": ASKS.replace("URL", world.url)}) as service:
            [run] = (await service.client.post("/hooks/asks", json={}, headers=SENT)).json()["runs"]
            await service.wait_for_end(run)
            entries = (await service.ask(f"/runs/{run}/history"))["entries"]
        sent = [each["headers"]["traceparent"] for each in world.requests]
        spans = [make_span_id(f"{run}:ask", "ask", attempt) for attempt in (1, 2)]
        assert sent == [*(f"00-{TRACE}-{span}-01" for span in spans), "of the author"]
        assert entries[0]["traceparent"] == SENT["traceparent"]


@pytest.mark.parametrize("path", ["/api/pipelines/asks/runs", "/api/pipelines/asks/runs/batch", "/api/events"])
async def test_a_run_that_a_program_starts_belongs_to_its_trace(tmp_path: Path, path: str) -> None:
    bodies = {"runs": {}, "batch": {"runs": [{}]}, "events": {"type": "asked"}}
    async with outside() as world, running(tmp_path, {"asks": ASKS.replace("URL", world.url)}) as service:
        for header, trace in ((SENT["traceparent"], TRACE), ("nonsense", None)):
            body = bodies[path.rpartition("/")[2]]
            answer = (await service.client.post(path, json=body, headers={"traceparent": header})).json()
            run = (
                answer["runs"][0] if "runs" in answer else (answer.get("answers") or [{"run": answer}])[0]["run"]["id"]
            )
            await service.wait_for_end(run)
            [asked] = [each for each in world.requests if each["path"] == "/ask"]
            assert asked["headers"]["traceparent"].split("-")[1] == (trace or make_trace_id(run))
            world.requests.clear()


async def test_runs_that_a_run_starts_are_below_the_step_that_starts_them(tmp_path: Path) -> None:
    async with outside() as world:
        files = {"asks": ASKS.replace("URL", world.url), "calls": CALLS}
        async with running(tmp_path, files) as service:
            caller = (await service.start("calls")).json()["id"]
            await service.wait_for_end(caller)
            runs = [each["id"] for each in (await service.ask("/runs?pipeline=asks"))["runs"]]
            starts = [(await service.ask(f"/runs/{run}/history"))["entries"][0]["traceparent"] for run in runs]
    trace = make_trace_id(caller)
    assert set(starts) == {f"00-{trace}-{make_span_id(caller, step, 0)}-01" for step in ("call", "tell")}


FORMS = {
    "declared.yaml": """
about: In YAML
http: {base_url: "URL"}
actions: {ask: {about: Ask, get: /declared}}
""",
    "described.yaml": "openapi: documents/described.yaml\n",
    "documents/described.yaml": """
openapi: 3.1.0
info: {title: Described, version: "1"}
servers: [{url: URL}]
paths: {/described: {get: {operationId: ask, responses: {"200": {description: Fine}}}}}
""",
    "coded.py": """
from waypost import Connector, Context, Inputs, action


@action("ask", input=Inputs)
async def ask(context: Context, input: Inputs) -> int:
    \"\"\"Ask.\"\"\"
    return (await context.http.get("URL/coded")).status


CONNECTOR = Connector("coded", "In Python", [ask])
""",
}
USES_FORMS = """
steps:
  - {id: declared, use: declared.ask}
  - {id: described, use: described.ask}
  - {id: coded, use: coded.ask}
"""


async def test_requests_of_every_form_of_connector_name_their_spans(tmp_path: Path) -> None:
    async with outside() as world:
        for name, text in FORMS.items():
            path = tmp_path / "config" / "connectors" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("URL", world.url))
        async with running(tmp_path, {"all": USES_FORMS}) as service:
            run = (await service.start("all")).json()["id"]
            assert (await service.wait_for_end(run))["status"] == "completed"
    sent = {each["path"]: each["headers"]["traceparent"].split("-")[2] for each in world.requests}
    steps = ("declared", "described", "coded")
    assert sent == {f"/{step}": make_span_id(f"{run}:{step}", step, 1) for step in steps}
