"""Connectors and connections as pages: documentation with examples, tests, what holds requests back."""

from pathlib import Path

import pytest
from starlette.responses import Response

from tests.service.running import Running, outside, running

pytestmark = pytest.mark.anyio

GETS = "steps: [{id: look, use: http.get, with: {url: 'http://127.0.0.1:1/'}}]\n"
CALLS = "steps: [{id: look, use: http.get, connection: crm, with: {url: /items}}]\n"
CONNECTION = "crm: {{use: http, base_url: '{url}', test: {{use: http.get, with: {{url: /me}}}}}}\n"


async def _open(service: Running, path: str, status: int = 200) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
    assert answer.status_code == status, answer.text
    return answer.text


async def test_a_connector_documents_its_actions_with_an_example_to_copy(tmp_path: Path) -> None:
    async with running(
        tmp_path, {"look": "steps: [{id: a, use: http.get, with: {url: 'http://127.0.0.1:1/'}}]\n"}
    ) as service:
        page = await _open(service, "/connectors")
        for name in ("http", "slack", "flow", "wait"):
            assert f'href="/connectors/{name}"' in page
        page = await _open(service, "/connectors/http")
        assert 'href="/pipelines/look"' in page, "it says who uses it"
        assert "http.post" in page
        assert "http.post" not in await _open(service, "/connectors/http?q=get")
        page = await _open(service, "/connectors/slack/post_message")
        assert "slack.post_message" in page
        assert "channel" in page
        assert "wait.approval" in await _open(service, "/connectors/wait/approval")
        assert "did you mean" in await _open(service, "/connectors/htp", 404)


async def test_a_connection_is_tested_and_says_who_uses_it(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    async with outside() as world:
        (tmp_path / "config" / "connections.yaml").write_text(CONNECTION.format(url=world.url))
        world.answers = [lambda: Response(status_code=401), lambda: Response(status_code=200)]
        async with running(tmp_path, {"look": CALLS}) as service:
            page = await _open(service, "/connections")
            assert "ready" in page
            assert "1 pipeline" in page
            for outcome in ("401", "works"):
                answer = await service.client.post("/connections/crm/test")
                assert answer.headers["location"] == "/connections/crm"
                assert outcome in await _open(service, "/connections/crm")
            assert 'href="/pipelines/look"' in await _open(service, "/connections/crm")
            assert "there is no connection" in (await _open(service, "/connections/nothing", 404)).lower()
