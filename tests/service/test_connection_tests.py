"""Connections over the API: their states, and tests that call the service."""

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from durable.redactor import MARK
from tests.service.running import ENVIRONMENT, Running, outside, running
from tests.service.test_connections import write

pytestmark = pytest.mark.anyio

CANARY = "canary/+9-token"
SECRETS = {**ENVIRONMENT, "WAYPOST_SECRET_CRM": CANARY}


async def list_states(service: Running) -> dict[str, Any]:
    return {each.pop("name"): each for each in (await service.ask("/connections"))["connections"]}


async def test_connections_are_listed_with_their_states(tmp_path: Path) -> None:
    write(
        tmp_path,
        "crm: {use: http, base_url: https://a.b, auth: {bearer: '{{ secrets.CRM }}'}, limit: {rate: 5/s}}\n"
        "new: {use: http, base_url: https://a.b, auth: {bearer: '{{ secrets.GONE }}'}}\n"
        "odd: {use: http, base_url: '{{ secrets.CRM }}'}\n"
        "bad: {use: http}\n",
    )
    async with running(tmp_path, {}, SECRETS) as service:
        states = await list_states(service)
        refused = await service.client.post("/api/connections/nope/test")
        untested = await service.client.post("/api/connections/crm/test")
        broken = await service.client.post("/api/connections/bad/test")
    assert {name: (each["connector"], each["status"]) for name, each in states.items()} == {
        "crm": ("http", "ready"),
        "new": ("http", "lacks_secret"),
        "odd": ("http", "invalid"),
        "bad": (None, "invalid"),
    }
    assert states["new"]["reason"].startswith("secret GONE is not set: set WAYPOST_SECRET_GONE")
    assert "base_url" in states["odd"]["reason"]
    assert "`waypost validate`" in states["bad"]["reason"]
    assert (refused.status_code, untested.status_code) == (404, 409)
    assert "name an action that changes nothing under 'test'" in untested.json()["detail"]
    assert (broken.status_code, "run `waypost validate` to see them" in broken.json()["detail"]) == (409, True)
    assert "canary" not in str(states)


@pytest.mark.parametrize(
    ("answer", "works", "message", "code"),
    [
        (JSONResponse({"me": CANARY}), True, "crm works: http.get answered in ", None),
        (JSONResponse({"no": CANARY}, 401), False, "crm does not work: GET http://127.0.0.1", "401"),
        (JSONResponse({}, 302, {"location": f"/x?t={CANARY}"}), False, "redirect", "302"),
    ],
)
async def test_a_connection_is_tested_by_calling_its_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: JSONResponse, works: bool, message: str, code: str | None
) -> None:
    async with outside() as world:
        world.answers.append(lambda: answer)
        write(
            tmp_path,
            f"crm: {{use: http, base_url: '{world.url}/v1', auth: {{bearer: '{{{{ secrets.CRM }}}}'}}, "
            "test: {use: http.get, with: {url: /me}}}\n",
        )
        with caplog.at_level(logging.DEBUG):
            async with running(tmp_path, {}, SECRETS) as service:
                outcome = await service.client.post("/api/connections/crm/test")
                states = await list_states(service)
    assert outcome.status_code == 200
    tested = outcome.json()
    assert (tested["connection"], tested["works"], tested["code"]) == ("crm", works, code)
    assert message in tested["message"]
    assert states["crm"]["test"] == "http.get"
    assert states["crm"]["gate"]["in_flight"] == 0
    assert [(each["path"], each["headers"]["authorization"]) for each in world.requests] == [
        ("/v1/me", f"Bearer {CANARY}")
    ]
    assert "canary" not in f"{outcome.text}{caplog.text}"


async def test_a_connection_that_is_held_back_is_not_called(tmp_path: Path) -> None:
    async with outside() as world:
        world.answers.append(lambda: JSONResponse({}, 429, {"retry-after": "60"}))
        write(tmp_path, f"crm: {{use: http, base_url: '{world.url}', test: {{use: http.get, with: {{url: /}}}}}}\n")
        async with running(tmp_path, {}, SECRETS) as service:
            codes = [(await service.client.post("/api/connections/crm/test")).json()["code"] for _ in range(2)]
            states = await list_states(service)
    assert codes == ["429", "held_back"]
    assert states["crm"]["gate"]["state"] == "held_back"
    assert len(world.requests) == 1


async def test_a_test_lacks_what_the_connection_lacks(tmp_path: Path) -> None:
    write(
        tmp_path,
        "crm: {use: http, base_url: https://a.b, auth: {bearer: '{{ secrets.GONE }}'}, "
        "test: {use: http.get, with: {url: /}}}\n",
    )
    async with running(tmp_path, {}, SECRETS) as service:
        tested = (await service.client.post("/api/connections/crm/test")).json()
    assert (tested["works"], tested["error_class"], tested["code"]) == (False, "auth", "secret_missing")
    assert "set WAYPOST_SECRET_GONE" in tested["message"]


LISTS = """
from waypost import ActionError, Connector, Context, Inputs, Page, Secret, action


class Login(Inputs):
    odd: bool
    key: Secret = ""


@action("list", input=Inputs, returns_pages=True)
async def list_items(context: Context, input: Inputs) -> Page:
    \"\"\"List items.\"\"\"
    if context.connection.key:
        raise ActionError("slow down", error_class="rate_limit", code=context.connection.key)
    return Page([{1, 2} if context.connection.odd else 1], next="more")


CONNECTOR = Connector("lists", "Lists", [list_items], Login, test="list")
"""


def write_lists(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "connectors"
    folder.mkdir()
    (folder / "lists.py").write_text(LISTS)


async def test_the_reason_why_a_connection_is_held_back_contains_no_secret(tmp_path: Path) -> None:
    write(tmp_path, "lists: {use: lists, odd: true, key: '{{ secrets.CRM }}'}\n")
    write_lists(tmp_path)
    async with running(tmp_path, {}, SECRETS) as service:
        tested = (await service.client.post("/api/connections/lists/test")).json()
        states = await list_states(service)
    assert tested["code"] == MARK
    assert f"because the service answered {MARK}" in states["lists"]["gate"]["reason"]


async def test_a_test_gets_one_page_of_a_list(tmp_path: Path) -> None:
    write(tmp_path, "odd: {use: lists, odd: true}\neven: {use: lists, odd: false}\n")
    write_lists(tmp_path)
    async with running(tmp_path, {}, SECRETS) as service:
        answers = [await service.client.post(f"/api/connections/{name}/test") for name in ("odd", "even")]
    assert [(each.status_code, each.json()["works"], each.json()["code"]) for each in answers] == [
        (200, False, "output"),
        (200, True, None),
    ]
