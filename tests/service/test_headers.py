"""Header names match in any case: in filters, inputs, dedupe keys, steps and responses to steps."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import ENVIRONMENT, Running, outside, running
from tests.service.test_webhook import github

pytestmark = pytest.mark.anyio

PUSHES = """
triggers:
  - id: hub
    use: webhook
    with:
      path: /github
      verify: {preset: github, secret: "{{ secrets.HOOK }}"}
      dedupe: {key: "{{ trigger.headers['X-GitHub-Delivery'] }}"}
    when: "trigger.headers['X-GitHub-Event'] == 'push' and 'X-GITHUB-EVENT' in trigger.headers"
    inputs: {event: "{{ trigger.headers['X-GitHub-Event'] }}", name: X-Github-Event, all: "{{ trigger }}"}
concurrency: {key: "{{ trigger.headers['X-GitHub-Event'] }}", limit: 5}
steps:
  - id: read
    use: transform.set
    with:
      values:
        direct: "{{ trigger.headers['X-Github-Event'] }}"
        computed: "{{ trigger.headers[inputs.name] }}"
        guarded: "{{ (trigger.headers | default({}))['X-GitHub-Event'] }}"
        kept: "{{ inputs.all.headers['X-GitHub-Event'] }}"
        text: "event {{ trigger.headers['X-GitHub-Event'] }}"
        absent: "{{ trigger.headers['X-Absent'] | default('none') }}"
outputs: "{{ steps.read.output }}"
"""


async def _push(service: Running, *, id: str, type: str = "push") -> dict[str, Any]:
    body = json.dumps({"repository": {"full_name": "a/b"}}).encode()
    answer = await service.client.post("/hooks/github", content=body, headers=github(body, id=id, type=type))
    document: dict[str, Any] = answer.json()
    return document


async def test_a_filter_reads_a_header_by_its_documented_name(tmp_path: Path) -> None:
    async with running(tmp_path, {"pushes": PUSHES.replace('outputs: "{{ steps.read.output }}"', "")}) as service:
        accepted = await _push(service, id="d-1")
        assert len(accepted["runs"]) == 1
        run = await service.wait_for_end(accepted["runs"][0])
        assert run["status"] == "completed"
        assert run["steps"]["read"]["output"] == {
            "direct": "push",
            "computed": "push",
            "guarded": "push",
            "kept": "push",
            "text": "event push",
            "absent": "none",
        }
        again = await _push(service, id="d-1")
        assert again["duplicate"] is True
        other = await _push(service, id="d-2", type="issues")
        assert other["runs"] == []


async def test_response_headers_match_in_any_case(tmp_path: Path) -> None:
    text = """
steps:
  - id: fetch
    use: http.get
    with: {url: "{{ inputs.url }}"}
    keep: {type: "{{ output.headers['Content-Type'] }}", headers: "{{ output.headers }}"}
  - {id: read, use: transform.set, with: {values: {type: "{{ steps.fetch.output.headers['Content-Type'] }}"}}}
outputs: {kept: "{{ steps.fetch.output.type }}", read: "{{ steps.read.output.type }}"}
"""
    async with outside() as world, running(tmp_path, {"fetching": text}, ENVIRONMENT) as service:
        started = await service.start("fetching", {"url": f"{world.url}/anything"})
        run = await service.wait_for_end(started.json()["id"])
        assert run["outputs"] == {"kept": "application/json", "read": "application/json"}
