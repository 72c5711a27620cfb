"""Values in URLs: each stays one part of the URL and cannot change its target, as seen by a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import ENVIRONMENT, Running, running

pytestmark = pytest.mark.anyio

SECRETS = ENVIRONMENT | {"WAYPOST_SECRET_TOKEN": "token/7+Q:x", "WAYPOST_SECRET_HOST": "127.0.0.1"}
WITH_TOKEN = 'headers: {authorization: "Bearer {{ secrets.TOKEN }}"}'


@dataclass
class Socket:
    """A service that records the request lines that it receives, byte by byte."""

    url: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [line.split(" ")[1] for line in self.lines]


@asynccontextmanager
async def socket() -> AsyncIterator[Socket]:
    found = Socket()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found.lines.append(head.split("\r\n")[0])
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"id":1}')
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield found


def fetch(url: str, more: str = WITH_TOKEN) -> str:
    return f"steps:\n  - {{id: get, use: http.get, with: {{url: '{url}', {more}}}}}\n"


async def perform_step(service: Running, **inputs: Any) -> dict[str, Any]:
    started = (await service.start("p", inputs)).json()
    return await service.wait_for_end(started["id"])


async def test_a_value_in_a_path_is_always_one_segment(tmp_path: Path) -> None:
    values = {
        "../admin/delete-everything?x=": "..%2Fadmin%2Fdelete-everything%3Fx%3D",
        "ada+news@example.com": "ada%2Bnews%40example.com",
        "a b#c%2Fd\\e;f": "a%20b%23c%252Fd%5Ce%3Bf",
        "Zoë": "Zo%C3%AB",
        "a\r\nHost: evil": "a%0D%0AHost%3A%20evil",
    }
    async with socket() as world:
        file = fetch(f"{world.url}/customers/{{{{ inputs.email }}}}/orders")
        async with running(tmp_path, {"p": file}, SECRETS) as service:
            for value in values:
                run = await perform_step(service, email=value)
                assert run["status"] == "completed", run["error"]
                assert run["steps"]["get"]["input"]["url"] == f"{world.url}{world.targets[-1]}"
        assert world.targets == [f"/customers/{encoded}/orders" for encoded in values.values()]


async def test_a_value_that_changes_the_target_is_rejected_before_sending(tmp_path: Path) -> None:
    async with socket() as world:
        port = world.url.rpartition(":")[2]
        files = {
            "segment": fetch(f"{world.url}/a/{{{{ inputs.x }}}}"),
            "host": fetch(f"http://{{{{ inputs.x }}}}:{port}/a"),
            "end": fetch(f"http://127.0.0.1{{{{ inputs.x }}}}:{port}/a"),
            "port": fetch("http://127.0.0.1:{{ inputs.x }}/a"),
        }
        values: dict[str, list[Any]] = {"segment": ["..", "%2e", "", None, [1]]}
        values["host"] = ["127.0.0.1/", "u@127.0.0.1", "127.0.0.1#", ""]
        values |= {"end": ["/", ".evil.com", "@127.0.0.1"], "port": [f"{port}/b", f"{port}@127.0.0.1:{port}", None]}
        async with running(tmp_path, files, SECRETS) as service:
            for pipeline, given in values.items():
                for value in given:
                    started = (await service.start(pipeline, {"x": value})).json()
                    run = await service.wait_for_end(started["id"])
                    error = run["error"]
                    assert (run["status"], error["class"], error["code"]) == ("failed", "invalid", "expression")
                    assert error["message"].startswith("inputs.x: ")
                    assert run["steps"]["get"]["attempts"] == 0
        assert world.lines == []


async def test_a_connection_only_sends_below_its_base_url(tmp_path: Path) -> None:
    async with socket() as world, socket() as other:
        (tmp_path / "config").mkdir()
        crm = f'crm: {{use: http, base_url: "{world.url}/v2", {WITH_TOKEN}}}\n'
        (tmp_path / "config" / "connections.yaml").write_text(crm)
        file = (
            "steps:\n"
            "  - {id: get, use: http.get, connection: crm, with: {url: '/customers/{{ inputs.x }}'},\n"
            "     undo: {use: http.delete, connection: crm,\n"
            "            with: {url: '/holds/{{ inputs.x }}/{{ output.body.id }}'}}}\n"
            "  - {id: back, use: flow.undo}\n"
        )
        base = "steps: [{id: get, use: http.get, connection: crm, with: {url: '{{ inputs.x }}'}}]\n"
        async with running(tmp_path, {"p": file, "base": base}, SECRETS) as service:
            assert (await perform_step(service, x="a/b?c"))["status"] == "completed"
            assert world.targets == ["/v2/customers/a%2Fb%3Fc", "/v2/holds/a%2Fb%3Fc/1"]
            for value in (other.url, f"//{other.url[7:]}/", "/../x", f"{world.url}/v1"):
                run = await service.wait_for_end((await service.start("base", {"x": value})).json()["id"])
                assert run["error"]["code"] == "invalid_request", value
            assert (await perform_step(service, x=".."))["error"]["code"] == "expression"
        assert (len(world.lines), len(other.lines)) == (2, 0)


async def test_a_secret_in_a_url_is_one_value_and_never_shown(tmp_path: Path) -> None:
    async with socket() as world:
        (tmp_path / "config").mkdir()
        connections = (
            f'bot: {{use: http, base_url: "{world.url}/bot{{{{ secrets.TOKEN }}}}"}}\n'
            f'host: {{use: http, base_url: "http://{{{{ secrets.HOST }}}}:{world.url.rpartition(":")[2]}"}}\n'
        )
        (tmp_path / "config" / "connections.yaml").write_text(connections)
        url = f"{world.url}/{{{{ secrets.TOKEN }}}}?t={{{{ secrets.TOKEN }}}}"
        file = (
            f"steps:\n  - {{id: a, use: http.get, with: {{url: '{url}'}}}}\n"
            "  - {id: b, use: http.get, connection: bot, with: {url: /send}}\n"
            "  - {id: c, use: http.get, connection: host, with: {url: '/c/{{ inputs.x }}'}}\n"
        )
        async with running(tmp_path, {"p": file}, SECRETS) as service:
            run = await perform_step(service, x="y z")
            assert run["status"] == "completed", run["error"]
            assert run["steps"]["a"]["input"]["url"] == url
        token = "token%2F7%2BQ%3Ax"
        assert world.targets == [f"/{token}?t={token}", f"/bot{token}/send", "/c/y%20z"]


@pytest.mark.parametrize(
    ("url", "inputs"),
    [
        ("{{ inputs.x }}", {"x": "http://u:hunter2@127.0.0.1:1/a"}),
        ("{{ inputs.x }}", {"x": "http://hunter2@127.0.0.1:1/a"}),
        ("{{ inputs.x }}", {"x": "//u:hunter2@127.0.0.1:1/a"}),
        ("{{ inputs.x }}", {"x": "HTTP:\\\\u:hunter2@127.0.0.1:1/a"}),
        ("{{ inputs.x }}/{{ inputs.y }}", {"x": "http://u:hunter2@127.0.0.1:1", "y": "a"}),
        ("http://{{ inputs.x }}/a", {"x": "u:hunter2@127.0.0.1:1"}),
        ("http://127.0.0.1:{{ inputs.x }}/a", {"x": "hunter2@127.0.0.1"}),
        ("{{ inputs.x }}{{ inputs.y }}", {"x": "http://", "y": "u:hunter2@127.0.0.1:1"}),
    ],
)
async def test_a_password_inserted_into_a_url_by_an_expression_is_in_no_entry(
    tmp_path: Path, url: str, inputs: dict[str, str]
) -> None:
    async with running(tmp_path, {"p": f"steps: [{{id: get, use: http.get, with: {{url: '{url}'}}}}]\n"}) as service:
        run = await perform_step(service, **inputs)
        error = run["error"]
        assert (error["class"], error["code"]) == ("invalid", "expression")
        assert "the URL would contain a user or password; write them under `auth" in error["message"]
        assert "hunter2" not in str(run["steps"]) + str(error)
        assert run["steps"]["get"]["attempts"] == 0


@pytest.mark.parametrize("url", ["http://{{ secrets.TENANT }}.invalid:1/a", "http://a-{{ secrets.TENANT }}.invalid/"])
async def test_a_secret_in_a_host_is_redacted_in_lower_case(tmp_path: Path, url: str) -> None:
    file = f"steps: [{{id: get, use: http.get, with: {{url: '{url}'}}, retry: {{max_attempts: 1}}}}]\n"
    async with running(tmp_path, {"p": file}, ENVIRONMENT | {"WAYPOST_SECRET_TENANT": "Quiet-Canary"}) as service:
        run = await perform_step(service)
        assert run["status"] == "failed"
        assert "can be made" in run["error"]["message"]
        assert "canary" not in str(run).lower()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:0/", "the URL's port is not a number from 1 to 65535"),
        (" http://127.0.0.1/", "the URL begins or ends with white space; remove it"),
        ("ftp://127.0.0.1/", "the URL's scheme is neither http nor https"),
        ("http:/127.0.0.1/", "the URL has no host"),
        ("127.0.0.1/hook", "the URL is relative; name a connection"),
        ("localhost:8080/hook", "the URL has no scheme; write http:// or https:// before the host"),
    ],
)
async def test_a_malformed_url_from_an_expression_fails_its_step_with_the_reason(
    tmp_path: Path, url: str, reason: str
) -> None:
    file = "steps: [{id: get, use: http.get, with: {url: '{{ inputs.x }}'}}]\n"
    async with running(tmp_path, {"p": file}) as service:
        error = (await perform_step(service, x=url))["error"]
        assert (error["class"], error["code"], error["attempt"]) == ("invalid", "invalid_request", 1)
        assert reason in error["message"]


async def test_run_service_url_is_the_address_of_the_service(tmp_path: Path) -> None:
    text = """
steps: [{id: note, use: log.write, with: {message: x}}]
outputs: {service: '{{ run.service_url }}', own: '{{ run.url }}'}
"""
    async with running(tmp_path, {"one": text}) as service:
        run = await service.wait_for_end((await service.start("one")).json()["id"])

        assert run["outputs"] == {"service": service.service.url, "own": f"{service.service.url}/api/runs/{run['id']}"}
