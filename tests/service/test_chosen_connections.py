"""Connections that an expression chooses: recorded once, the same for every attempt and the undo, and no fallback."""

from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from tests.service.running import ENVIRONMENT, outside, running
from tests.service.test_connections import error_of, wait_for_end, write

pytestmark = pytest.mark.anyio

CHOOSE = """
inputs: {user: {type: string}}
steps:
  - id: send
    use: http.post
    connection: {one_of: [mail_team, user_*], name: "{{ inputs.user }}"}
    retry: {max_attempts: 2, min_delay: 1ms}
    with: {url: /send, json: {a: 1}}
    undo: {use: http.delete, with: {url: "/sent/{{ output.body.n }}"}}
  - {id: halt, use: flow.fail, with: {message: no}}
on_failure:
  - {id: back, use: flow.undo}
"""


def connect(tmp_path: Path, url: str) -> None:
    names = ("mail_team", "user_ann", "user_bob", "other")
    lines = [f"{name}: {{use: http, base_url: '{url}/{name}', auth: {{bearer: token-{name}}}}}" for name in names]
    write(tmp_path, "\n".join(lines))


async def test_a_chosen_connection_is_used_by_every_attempt_and_by_the_undo(tmp_path: Path) -> None:
    async with outside() as world:
        connect(tmp_path, world.url)
        world.answers.append(lambda: JSONResponse({}, 503))
        async with running(tmp_path, {"p": CHOOSE}, ENVIRONMENT) as service:
            run = await wait_for_end(service, {"user": "user_bob"})
            history = (await service.ask(f"/runs/{run['id']}/history"))["entries"]
            team = await wait_for_end(service, {"user": "mail_team"})
    assert run["error"]["message"] == team["error"]["message"] == "no"
    assert [(each["method"], each["path"], each["headers"]["authorization"]) for each in world.requests] == [
        ("POST", "/user_bob/send", "Bearer token-user_bob"),
        ("POST", "/user_bob/send", "Bearer token-user_bob"),
        ("DELETE", "/user_bob/sent/2", "Bearer token-user_bob"),
        ("POST", "/mail_team/send", "Bearer token-mail_team"),
        ("DELETE", "/mail_team/sent/4", "Bearer token-mail_team"),
    ]
    scheduled = {each["path"]: each.get("connection") for each in history if each["type"] == "step_scheduled"}
    assert scheduled == {"send": "user_bob", "send.undo": "user_bob", "halt": None, "back": None}
    assert run["steps"]["send"]["connection"] == "user_bob"


async def test_a_name_that_is_not_allowed_fails_the_step_before_anything_is_sent(tmp_path: Path) -> None:
    async with outside() as world:
        connect(tmp_path, world.url)
        async with running(tmp_path, {"p": CHOOSE}, ENVIRONMENT) as service:
            for name in ("other", "", "user", "mail_team ", "xuser_ann"):
                run = await wait_for_end(service, {"user": name})
                assert error_of(run) == ("invalid", "expression")
                message = f"connection: the text '{name}' is none of 'mail_team', 'user_*'"
                assert run["error"]["message"] == message
            gone = await wait_for_end(service, {"user": "user_new"})
    assert (gone["status"], world.requests) == ("paused", [])
    assert "there is no connection 'user_new'" in gone["reason"]


@pytest.mark.parametrize(
    ("one_of", "place", "expected"),
    [
        ("[mail_team, user_cal]", "6:38", "there is no connection 'user_cal'; did you mean 'user_ann'"),
        ("[mail_*, team_*]", "6:35", "no connection of 'http' begins with 'team_'; add one to connections.yaml"),
    ],
)
async def test_names_that_may_be_chosen_have_to_exist(tmp_path: Path, one_of: str, place: str, expected: str) -> None:
    connect(tmp_path, "https://a.b")
    text = CHOOSE.replace("[mail_team, user_*]", one_of)
    async with running(tmp_path, {"p": text}, ENVIRONMENT) as service:
        [pipeline] = (await service.ask("/pipelines"))["pipelines"]
    [problem] = pipeline["problems"]
    assert f"p.yaml:{place}: error: {expected}" in problem


async def test_a_chosen_connection_is_part_of_the_version_and_a_fixed_one_is_as_before(tmp_path: Path) -> None:
    connect(tmp_path, "https://a.b")
    fixed = CHOOSE.replace('{one_of: [mail_team, user_*], name: "{{ inputs.user }}"}', "mail_team")
    fixed = fixed.replace("http.delete, ", "http.delete, connection: other, ")
    other = CHOOSE.replace("mail_team, user_*", "user_*")
    async with running(tmp_path, {"p": CHOOSE, "q": fixed, "r": other}, ENVIRONMENT) as service:
        definitions = {each.id: each.pipeline for each in service.service.folder.definitions}
    [chosen, plain, less] = (definitions[name].steps[0] for name in ("p", "q", "r"))
    assert chosen.connection.one_of == ("mail_team", "user_*")  # type: ignore[attr-defined]  # of an action
    assert chosen.undo.connection == chosen.connection != less.connection  # type: ignore[attr-defined]
    assert (plain.connection, plain.undo.connection) == ("mail_team", "other")  # type: ignore[attr-defined]


async def test_a_run_that_goes_on_elsewhere_keeps_its_connection(tmp_path: Path) -> None:
    async with outside() as world:
        connect(tmp_path, world.url)
        world.hangs = 1
        async with running(tmp_path, {"p": CHOOSE}, ENVIRONMENT, drain_timeout="0s") as service:
            run = (await service.start("p", {"user": "user_bob"})).json()["id"]
            await world.arrived.wait()
        async with running(tmp_path, {"p": CHOOSE}, ENVIRONMENT) as service:
            assert (await service.wait_for_end(run))["error"]["message"] == "no"
            body = {"step": "send", "input": {"url": "/edited"}}
            fork = (await service.client.post(f"/api/runs/{run}/fork", json=body)).json()["id"]
            await service.wait_for_end(fork)
    assert [(each["method"], each["path"]) for each in world.requests] == [
        ("POST", "/user_bob/send"),
        ("POST", "/user_bob/send"),
        ("DELETE", "/user_bob/sent/2"),
        ("POST", "/user_bob/edited"),
        ("DELETE", "/user_bob/sent/4"),
    ]
    keys = [each["headers"]["idempotency-key"] for each in world.requests]
    assert keys[0] == keys[1]
