"""The proof of a link is visible only to keys that may answer, however a pipeline or service encodes it."""

import asyncio
import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from durable.history.entries import RunStarted
from durable.links import make_token
from tests.service.running import Outside, Running, outside, running
from tests.service.test_api_waits import holder
from tests.service.waiting import until

pytestmark = pytest.mark.anyio

ASK = """
triggers: [{{id: begin, use: event, with: {{type: begin}}}}]
steps:
  - id: made
    use: transform.set
    with:
      values:
        link: "{{{{ run.links.ask }}}}"
        encoded: "{{{{ run.links.ask | b64encode }}}}"
        padded: "{{{{ ('x' ~ run.links.ask) | b64encode }}}}"
        proof: "{{{{ run.links.ask | split('/') | last | b64encode }}}}"
        upper: "{{{{ run.links.ask | upper }}}}"
        reversed: "{{{{ run.links.ask | reverse }}}}"
        quoted: "{{{{ run.links.ask | urlencode | urlencode }}}}"
        json: "{{{{ {{'a': run.links.ask | tojson}} | tojson }}}}"
        twice: "{{{{ run.links.ask | b64encode | b64encode }}}}"
        backward: "{{{{ run.links.ask | b64encode | reverse }}}}"
        capitals: "{{{{ run.links.ask | b64encode | upper }}}}"
        cut: "{{{{ (run.links.ask | split('/') | last)[:40] }}}}"
  - id: sent
    use: http.post
    with:
      url: "{url}/mail"
      json: {{text: "Approve: {{{{ steps.made.output.encoded }}}}", link: "{{{{ run.links.ask }}}}"}}
  - {{id: told, use: log.write, with: {{message: "go to {{{{ steps.made.output.proof }}}} {{{{ run.links.ask }}}}"}}}}
  - {{id: event, use: flow.emit, with: {{type: begun, data: {{to: "{{{{ steps.made.output.proof }}}}"}}}}}}
  - {{id: call, use: flow.call, with: {{pipeline: child, inputs: {{to: "{{{{ steps.made.output.padded }}}}"}}}}}}
  - id: ask
    use: wait.approval
    with: {{to: boss, title: "{{{{ run.links.ask }}}} or {{{{ steps.made.output.reversed }}}}"}}
    timeout: 1h
    on_timeout: fail
  - id: fail
    use: flow.fail
    with: {{message: "not {{{{ steps.made.output.encoded }}}}", code: "{{{{ run.links.ask }}}}"}}
"""
CHILD = """
inputs: {to: {type: string}}
steps:
  - {id: kept, use: transform.set, with: {values: {to: "{{ inputs.to }}", lower: "{{ inputs.to }}"}}}
  - {id: stop, use: flow.stop, with: {status: completed, reason: "sent {{ inputs.to }}"}}
"""
HEARS = """
triggers: [{id: begun, use: event, with: {type: begun}, inputs: {to: "{{ trigger.body.to }}"}}]
inputs: {to: {type: string}}
steps:
  - {id: kept, use: transform.set, with: {values: {to: "{{ inputs.to }}"}}}
"""


def spellings(secret: str) -> set[str]:
    cores = [base64.b64encode(b"x" * n + secret.encode()).decode()[n * 4 // 3 + 2 : -4] for n in range(3)]
    return {secret, secret.upper(), secret[::-1], secret.encode().hex(), *cores}


def echo_link(world: Outside) -> Response:
    """The outside server echoes the link with each letter escaped in a different way."""
    body = world.requests[-1]["body"]
    link = str(body["link"])
    ways = ["".join(f"%{ord(c):02x}" for c in link), "".join(f"&#{ord(c)};" for c in link), quote(link, safe="")]
    return JSONResponse({"said": [*ways, link.encode().hex(), body["text"]]})


async def documents(client: httpx.AsyncClient) -> dict[str, str]:
    """Every document that a key can read."""
    runs = [run["id"] for run in (await client.get("/api/runs")).json()["runs"]]
    paths = ["/api/runs", "/api/errors", "/api/waits", "/api/deliveries", *(f"/api/waits?run={run}" for run in runs)]
    paths += [
        f"/api/runs/{run}{what}" for run in runs for what in ("", "/history", "/steps", "/outline", "/values/inputs")
    ]
    paths += [f"/runs/{run}?view={view}" for run in runs for view in ("fall", "graph", "history", "data", "json")]
    for path in [f"/api/runs/{run}/steps" for run in runs]:
        steps = [step["path"] for step in (await client.get(path)).json()["steps"]]
        paths += [f"{path}/{step}{what}" for step in steps for what in ("", "/definition")]
        tabs = ("input", "output", "error", "request", "attempts", "logs", "definition")
        page = path.removeprefix("/api").removesuffix("/steps")
        paths += [f"{page}?step={step}&tab={tab}" for step in steps for tab in tabs]
    answers = {path: await client.get(path) for path in paths}
    assert all(answer.status_code == 200 for answer in answers.values())
    return {path: answer.text for path, answer in answers.items()}


async def until_asked(service: Running, run: str) -> dict[str, Any]:
    """Return the run once its question is asked; before that it waits for the run that it calls."""
    while True:
        found = await until(service, run, "waiting")
        if found["steps"].get("ask", {}).get("status") == "waiting":
            return found
        await asyncio.sleep(0)


async def token_of(service: Running, run: str) -> str:
    [(_, beginning)] = await service.service.journal.read_history(run, limit=1)
    assert isinstance(beginning, RunStarted)
    assert beginning.links
    return make_token(beginning.links.key, run)


async def test_no_encoding_of_a_proof_is_shown_to_a_key_that_may_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with outside() as world:
        world.answers += [lambda: echo_link(world)]
        pipelines = {"ask": ASK.format(url=world.url), "child": CHILD, "hears": HEARS}
        async with running(tmp_path, pipelines) as service, holder(service, "read") as reader:
            sent = (await service.client.post("/api/events", json={"type": "begin"})).json()
            [run] = sent["runs"]
            await until_asked(service, run)
            secret = await token_of(service, run)
            asked = await documents(reader)
            assert len(asked) > 100
            whole = await documents(service.client)
            made = (await service.run(run))["steps"]["made"]["output"]
            answer = await service.client.post(f"/api/runs/{run}/answer", json={"step": "ask", "approved": False})
            assert answer.status_code == 202
            await until(service, run, "failed")
            result = await documents(reader)
        log = capsys.readouterr().err
    for spelling in spellings(secret):
        assert any(spelling in text for text in whole.values()), spelling
        for path, text in (asked | result).items():
            assert spelling not in text, (path, spelling)
        assert spelling not in log, spelling
    for name in ("twice", "backward", "capitals"):
        for path, text in (asked | result).items():
            assert made[name] not in text, (path, name)
    assert "go to ***" in log


async def test_a_link_that_a_key_may_use_is_shown_unchanged(tmp_path: Path) -> None:
    async with outside() as world:
        pipelines = {"ask": ASK.format(url=world.url), "child": CHILD, "hears": HEARS}
        async with running(tmp_path, pipelines) as service, holder(service, "start") as starter:
            [run] = (await service.client.post("/api/events", json={"type": "begin"})).json()["runs"]
            made = (await until_asked(service, run))["steps"]["made"]["output"]
            assert (await starter.get(f"/api/runs/{run}/steps/made")).json()["output"] == made
            link = base64.b64decode(made["encoded"]).decode()
            assert link == made["link"] == world.requests[0]["body"]["link"]
            assert (await starter.get(link, headers={"accept": "application/json"})).json()["status"] == "asked"


async def test_a_link_in_a_reason_that_a_person_gave_is_hidden_from_a_key_that_may_not_answer(tmp_path: Path) -> None:
    asking = "steps: [{id: ask, use: wait.approval, with: {to: boss, title: Pay}, timeout: 1h, on_timeout: fail}]"
    async with running(tmp_path, {"asking": asking}) as service, holder(service, "read") as reader:
        run = (await service.client.post("/api/pipelines/asking/runs", json={})).json()["id"]
        link = (await until_asked(service, run))["waits"][0]["link"]
        proof, reason = link.rpartition("/")[2], {"reason": f"nobody answered {link}"}
        await service.client.post(f"/api/runs/{run}/cancel", json=reason)
        await until(service, run, "cancelled")
        again = (await service.client.post(f"/api/runs/{run}/rerun", json=reason)).json()["id"]
        for each in (run, again):
            assert proof in (await service.client.get(f"/api/runs/{each}")).text
            assert proof not in (await reader.get(f"/api/runs/{each}")).text
        order = {"action": "cancel", "filter": {"pipeline": "asking"}}
        bulk = (await service.client.post("/api/bulks", json=order | reason)).json()["id"]
        await until(service, again, "cancelled")
        for path in (f"/api/bulks/{bulk}", f"/api/bulks/{bulk}/items", "/api/bulks"):
            assert proof not in (await reader.get(path)).text
