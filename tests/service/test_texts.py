"""An expression that yields a number or a boolean becomes text where only text is accepted."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from durable.action import Connector, Context, Inputs, action
from durable.blocks.core_actions import CORE_ACTIONS, CORE_INPUTS
from durable.declared import write_texts
from durable.values import JSON
from tests.service.running import ENVIRONMENT, outside, running
from tests.service.waiting import until
from triggers.config.catalogue import load_connectors

pytestmark = pytest.mark.anyio

SENDS = """
steps:
  - id: sent
    use: http.post
    with:
      url: "URL/{{ inputs.x }}?q={{ inputs.x }}"
      headers: {x-value: "{{ inputs.x }}"}
      json: {value: "{{ inputs.x }}"}
  - {id: whole, use: http.post, with: {url: "URL/", headers: "{{ {'x-value': inputs.x} }}", json: 1}}
  - {id: noted, use: log.write, with: {message: "{{ inputs.x }}", fields: {value: "{{ inputs.x }}"}}}
  - id: told
    use: note.take
    with:
      title: "{{ inputs.x }}"
      lines: ["{{ inputs.x }}"]
      more: "{{ {'a': [inputs.x]} }}"
      number: "{{ 5 }}"
      either: "{{ inputs.x }}"
      anything: "{{ inputs.x }}"
  - {id: emitted, use: flow.emit, with: {type: "{{ inputs.x }}", data: "{{ inputs.x }}"}}
  - {id: stop, use: flow.stop, with: {reason: "{{ inputs.x }}"}}
"""
FAILS = 'steps: [{id: a, use: flow.fail, with: {message: "{{ inputs.x }}", code: "{{ inputs.x }}"}}]\n'
ASKS = """
steps:
  - id: ask
    use: wait.any
    with:
      waits:
        boss: {use: wait.approval, with: {to: ["{{ inputs.x }}"], title: "{{ inputs.x }}"}}
        shop: {use: wait.webhook, with: {title: "{{ inputs.x }}"}}
        paid: {use: wait.event, with: {type: "{{ inputs.x }}", match: never}}
    timeout: 1h
    on_timeout: fail
"""
ASK = """
steps:
  - {id: ask, use: wait.approval, with: {to: "{{ inputs.x }}", title: "{{ inputs.x }}"}, timeout: 1h, on_timeout: fail}
"""


class Note(Inputs):
    title: str
    lines: list[str]
    more: dict[str, list[str]]
    number: int
    either: str | bool | float
    anything: Any


@action("take", input=Note)
async def take(context: Context, input: Note) -> JSON:
    """Return the input."""
    return input.model_dump()


CONNECTORS = [Connector("note", "Notes.", (take,))]


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (1.5, "1.5"), (True, "true"), (False, "false"), (10**15, f"{10**15}")]
)
async def test_a_scalar_becomes_text_only_where_text_is_expected(tmp_path: Path, value: JSON, text: str) -> None:
    async with outside() as world:
        pipelines = {"sends": SENDS.replace("URL", world.url), "fails": FAILS, "asks": ASKS, "ask": ASK}
        async with running(tmp_path, pipelines, ENVIRONMENT, CONNECTORS) as service:
            runs = {name: (await service.start(name, {"x": value})).json()["id"] for name in pipelines}
            sent = await service.wait_for_end(runs["sends"])
            failed = await service.wait_for_end(runs["fails"])
            asked = {name: (await until(service, runs[name], "waiting"))["waits"] for name in ("asks", "ask")}
    assert (sent["status"], sent["reason"]) == ("completed", text), sent["error"]
    first, second = world.requests
    assert (first["path"], first["headers"]["x-value"], first["body"]) == (f"/{text}", text, {"value": value})
    assert second["headers"]["x-value"] == text
    taken = {"title": text, "lines": [text], "more": {"a": [text]}, "number": 5, "either": value, "anything": value}
    assert sent["steps"]["told"]["output"] == taken
    assert (failed["error"]["message"], failed["error"]["code"]) == (text, text)
    assert [(wait["title"], wait["to"]) for wait in asked["ask"]] == [(text, [text])]
    assert [wait["title"] for wait in asked["asks"] if wait["kind"] != "event"] == [text, text]
    assert [wait["type"] for wait in asked["asks"] if wait["kind"] == "event"] == [text]


@pytest.mark.parametrize("value", [None, [], [1], {}, {"a": 1}])
async def test_null_lists_and_mappings_are_errors_where_text_is_expected(tmp_path: Path, value: JSON) -> None:
    header = 'steps: [{id: a, use: http.get, with: {url: "http://127.0.0.1:1/", headers: {x: "{{ inputs.x }}"}}}]\n'
    async with running(tmp_path, {"header": header, "fails": FAILS}) as service:
        for pipeline in ("header", "fails"):
            run = await service.wait_for_end((await service.start(pipeline, {"x": value})).json()["id"])
            assert run["error"]["class"] == "invalid"
            assert "must be text" in run["error"]["message"]


class Tree(BaseModel):
    """A model that refers to itself."""

    name: str
    inside: "list[Tree] | None" = None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": 1}, "params.p: must be text, a whole number, a number, true or false or a list"),
        ([1, {"a": 1}], "params.p.1: must be text, a whole number, a number or true or false"),
    ],
)
async def test_a_union_mismatch_is_one_problem(tmp_path: Path, value: JSON, problem: str) -> None:
    file = "steps: [{id: get, use: http.get, with: {url: 'http://127.0.0.1:1', params: {p: '{{ inputs.x }}'}}}]\n"
    async with running(tmp_path, {"p": file}) as service:
        run = await service.wait_for_end((await service.start("p", {"x": value})).json()["id"])
        assert run["error"]["message"] == f"input of http.get: {problem}"


def test_every_model_is_supported_and_unchanged_values_are_not_copied() -> None:
    tree: JSON = {"name": 1, "inside": [{"name": True, "inside": [{"name": "a", "inside": None}]}]}
    assert write_texts(Tree, tree) == {
        "name": "1",
        "inside": [{"name": "true", "inside": [{"name": "a", "inside": None}]}],
    }
    plain: JSON = {"name": "a", "inside": [{"name": "b", "inside": None}]}
    assert write_texts(Tree, plain) is plain
    for model in [*CORE_INPUTS.values(), *(each.input for each in load_connectors().actions.values())]:
        assert write_texts(model, None) is None
    params: JSON = {"url": "/", "params": {"a": 1, "b": [True, 2.5]}, "json": {"a": 1}}
    post = load_connectors().actions["http.post"]
    assert write_texts(post.input, params) is params
    assert _write("flow.respond", {"status": 201, "headers": {"x": True}, "body": 5}) == {
        **{"status": 201, "headers": {"x": "true"}, "body": 5}
    }
    assert _write("flow.call", {"pipeline": "p", "inputs": {"a": 1}, "detach": True}) == {
        **{"pipeline": "p", "inputs": {"a": 1}, "detach": True}
    }


def _write(use: str, given: JSON) -> JSON:
    action = CORE_ACTIONS[use]
    return action.write(action, given)
