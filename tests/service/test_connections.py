"""Connections in a whole service: credentials in requests, their redaction, and missing connections."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.service.running import ENVIRONMENT, Outside, Running, outside, running

pytestmark = pytest.mark.anyio

CANARY = "canary/+9-token"
WITH_CANARY = {**ENVIRONMENT, "WAYPOST_SECRET_CRM": CANARY}

GET = """
inputs: {where: {type: string, default: /holds}}
steps:
  - {id: get, use: http.get, connection: crm, with: {url: "{{ inputs.where }}"}}
outputs: {got: "{{ steps.get.output.body }}"}
"""
RESERVE = """
steps:
  - id: hold
    use: http.post
    connection: crm
    with: {url: /holds, json: {sku: 1}}
    undo: {use: http.delete, connection: crm, with: {url: "/holds/{{ output.body.n }}"}}
  - {id: halt, use: flow.fail, with: {message: no}}
on_failure:
  - {id: back, use: flow.undo}
"""


def crm(url: str, more: str = 'headers: {authorization: "Bearer {{ secrets.CRM }}"}') -> str:
    return f"crm: {{use: http, base_url: {url}/v2, {more}}}\n"


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "connections.yaml").write_text(text)


async def wait_for_end(
    service: Running, inputs: Mapping[str, Any] | None = None, pipeline: str = "p"
) -> dict[str, Any]:
    answer = await service.start(pipeline, inputs)
    assert answer.status_code == 202, answer.text
    return await service.wait_for_end(answer.json()["id"])


def error_of(run: dict[str, Any]) -> tuple[object, object]:
    return run["error"]["class"], run["error"]["code"]


async def test_a_step_and_its_undo_carry_the_credentials_of_their_connection(tmp_path: Path) -> None:
    async with outside() as world:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": RESERVE}, WITH_CANARY) as service:
            run = await wait_for_end(service)
        assert run["status"] == "failed"
        assert run["error"]["message"] == "no"
        assert [(each["method"], each["path"]) for each in world.requests] == [
            ("POST", "/v2/holds"),
            ("DELETE", "/v2/holds/1"),
        ]
        assert {each["headers"]["authorization"] for each in world.requests} == {f"Bearer {CANARY}"}


async def test_basic_credentials_are_sent_and_redacted_in_their_encoded_form(tmp_path: Path) -> None:
    password = {**ENVIRONMENT, "WAYPOST_SECRET_CRM": "p"}
    async with outside() as world:
        world.answers.append(lambda: JSONResponse({"you": f"sent {world.requests[-1]['headers']['authorization']}"}))
        write(tmp_path, crm(world.url, 'auth: {basic: {username: "", password: "{{ secrets.CRM }}"}}'))
        async with running(tmp_path, {"p": GET}, password) as service:
            run = await wait_for_end(service)
    assert world.requests[0]["headers"]["authorization"] == "Basic OnA="
    assert run["steps"]["get"]["output"]["body"] == {"you": "sent Basic ***"}


@pytest.mark.parametrize("refuses", [False, True])
async def test_echoed_credentials_are_stored_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refuses: bool
) -> None:
    async with outside() as world:
        status = 401 if refuses else 200
        world.answers.append(lambda: JSONResponse({"you": f"sent Bearer {CANARY}", CANARY: [CANARY]}, status))
        write(tmp_path, crm(world.url))
        with caplog.at_level(logging.DEBUG):
            async with running(tmp_path, {"p": GET}, WITH_CANARY) as service:
                run = await wait_for_end(service)
                history = (await service.client.get(f"/api/runs/{run['id']}/history")).text
                definition = service.service.folder.definition("p")
    assert world.requests[0]["headers"]["authorization"] == f"Bearer {CANARY}"
    assert "***" in str(run)
    assert definition
    shown = f"{run}{history}{caplog.text}{definition.data!r}"
    assert "canary" not in shown
    assert world.url not in definition.data.decode()
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"canary" not in files


async def test_a_url_from_the_payload_cannot_redirect_the_credentials(tmp_path: Path) -> None:
    async with outside() as world, outside() as other:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": GET}, WITH_CANARY) as service:
            for where in (f"{other.url}/v2/holds", f"{world.url}/v3", "/../admin", "/%2e%2e/admin", "//127.0.0.1/v2"):
                run = await wait_for_end(service, {"where": where})
                assert error_of(run) == ("invalid", "invalid_request")
                assert run["steps"]["get"]["attempts"] == 1
            run = await wait_for_end(service, {"where": f"{world.url}/v2/next"})
            assert run["status"] == "completed"
        assert (len(world.requests), other.requests) == (1, [])


async def test_a_run_whose_connection_its_secrets_make_invalid_waits_until_they_are_corrected(tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.write_text("no host")
    async with outside() as world:
        write(tmp_path, "crm: {use: http, base_url: 'http://{{ secrets.HOST }}/v2'}\n")
        async with running(tmp_path, {"p": GET}, {**ENVIRONMENT, "WAYPOST_SECRET_HOST_FILE": str(host)}) as service:
            run = await wait_for_end(service)
            assert run["status"] == "paused"
            assert "the connection 'crm' is not valid with the values of its secrets: base_url" in run["reason"]
            host.write_text(world.url.removeprefix("http://"))
            await service.client.post(f"/api/runs/{run['id']}/resume")
            async with asyncio.timeout(60):
                while (await service.run(run["id"]))["status"] != "completed":
                    await asyncio.sleep(0.01)


async def test_new_credentials_apply_from_the_next_attempt(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-token\n")
    environment = {**ENVIRONMENT, "WAYPOST_SECRET_CRM_FILE": str(token)}
    async with outside() as world:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": GET}, environment) as service:
            version = (await wait_for_end(service))["version"]
            token.write_text("second-token\n")
            assert (await wait_for_end(service))["version"] == version
            token.unlink()
            run = await wait_for_end(service)
            assert (run["status"], run["steps"]["get"]["status"]) == ("paused", "running")
            assert "step get cannot continue with its recorded input: secret CRM cannot be read" in run["reason"]
            token.write_text("third-token\n")
            resumed = await service.client.post(f"/api/runs/{run['id']}/resume")
            assert resumed.status_code == 202
            async with asyncio.timeout(60):
                while (run := await service.run(run["id"]))["status"] != "completed":
                    await asyncio.sleep(0.01)
    assert [each["headers"]["authorization"] for each in world.requests] == [
        "Bearer first-token",
        "Bearer second-token",
        "Bearer third-token",
    ]


async def test_a_changed_connection_applies_from_the_next_attempt(tmp_path: Path) -> None:
    async with outside() as world:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": GET}, WITH_CANARY) as service:
            await wait_for_end(service)
            write(tmp_path, crm(world.url).replace("/v2", "/v3"))
            await _until(service, world, "/v3/holds")
            write(tmp_path, crm(world.url).replace("base_url", "bas_url"))
            await service.service.reload.reload()
            await _until(service, world, "/v3/holds")
            write(tmp_path, "")
            async with asyncio.timeout(60):
                while (run := await wait_for_end(service))["status"] == "completed":
                    await asyncio.sleep(0.05)
            assert run["status"] == "paused"
            assert "there is no connection 'crm'" in run["reason"]
            (described,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
            assert described["status"] == "serving the version before"
            assert "there is no connection 'crm'; add it to connections.yaml" in described["problems"][0]


async def _until(service: Running, world: Outside, path: str) -> None:
    async with asyncio.timeout(60):
        while (await wait_for_end(service)) and world.requests[-1]["path"] != path:
            await asyncio.sleep(0.05)


async def test_a_pipeline_without_its_connection_is_disabled_until_it_exists(tmp_path: Path) -> None:
    async with outside() as world, running(tmp_path, {"p": GET}, WITH_CANARY) as service:
        assert (await service.client.get("/ready")).json() == {"ready": True, "invalid": ["p.yaml"]}
        assert (await service.start("p")).status_code == 404
        write(tmp_path, crm(world.url))
        async with asyncio.timeout(60):
            while (await service.start("p")).status_code != 202:
                await asyncio.sleep(0.05)


async def test_a_broken_connections_file_is_reported_and_valid_connections_stay_in_service(tmp_path: Path) -> None:
    plain = "steps:\n  - {id: a, use: log.write, with: {message: x}}\n"
    async with outside() as world:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": GET, "q": plain}, WITH_CANARY) as service:
            write(tmp_path, crm(world.url) + "x: [")
            await service.service.reload.reload()
            assert (await service.client.get("/ready")).json() == {"ready": True, "invalid": ["connections.yaml"]}
            for pipeline in ("p", "q"):
                assert (await wait_for_end(service, pipeline=pipeline))["status"] == "completed"
            write(tmp_path, crm(world.url))
            await service.service.reload.reload()
            assert (await service.client.get("/ready")).json() == {"ready": True, "invalid": []}


async def test_a_pipeline_whose_connection_is_removed_is_reported_as_invalid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with outside() as world:
        write(tmp_path, crm(world.url))
        async with running(tmp_path, {"p": GET}, WITH_CANARY) as service:
            write(tmp_path, "")
            await service.service.reload.reload()
            assert (await service.client.get("/ready")).json() == {"ready": True, "invalid": ["p.yaml"]}
            run = await wait_for_end(service)
            write(tmp_path, crm(world.url))
            await service.service.reload.reload()
            assert (await wait_for_end(service))["status"] == "completed"
    told = "there is no connection 'crm'; add it to connections.yaml"
    assert (run["status"], run["reason"]) == (
        "paused",
        f"step get cannot continue with its recorded input: {told}",
    )
    assert f"p.yaml:4:42: error: {told}" in caplog.text
    assert "p.yaml is invalid; its previous version stays in use" in caplog.text
    assert "p.yaml was reloaded" in caplog.text


async def test_problems_of_connections_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, {"p": "steps:\n  - {id: a, use: log.write, with: {message: x}}\n"}) as service:
        write(tmp_path, "crm: {use: http}\n")
        await service.service.reload.reload()
        await service.service.reload.reload()
    assert caplog.text.count("connections.yaml:1:6: error: 'base_url' is missing") == 1


async def test_a_rate_limited_request_is_retried_with_the_same_key_and_current_credentials(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-token\n")

    def refuse() -> Response:
        token.write_text("second-token\n")
        return Response(status_code=429, headers={"retry-after": "0"})

    text = RESERVE.partition("    undo")[0] + "    retry: {min_delay: 10ms, max_delay: 20ms}\n"
    async with outside() as world:
        world.answers.append(refuse)
        write(tmp_path, crm(world.url))
        environment = {**ENVIRONMENT, "WAYPOST_SECRET_CRM_FILE": str(token)}
        async with running(tmp_path, {"p": text}, environment) as service:
            assert (await wait_for_end(service))["status"] == "completed"
    sent = [(each["headers"]["authorization"], each["headers"]["idempotency-key"]) for each in world.requests]
    key = sent[0][1]
    assert sent == [("Bearer first-token", key), ("Bearer second-token", key)]
