"""OAuth 2.0 in a whole service: access tokens of steps, and runs that wait for a login."""

import json
from pathlib import Path
from typing import Any

import pytest

from durable.encrypted_store.key_ring import StoreKey
from tests.connectors.token_service import TokenService, serve_tokens
from tests.service.running import ENVIRONMENT
from tests.service.running import running as run_service
from tests.service.store_keys import make_environment
from tests.service.test_connections import write

pytestmark = pytest.mark.anyio

PIPELINE = """
steps:
  - {id: first, use: http.get, connection: crm, with: {url: /a}}
  - {id: second, use: http.post, connection: crm, on_crash: park, with: {url: /b, json: {}}}
"""


def write_connection(tmp_path: Path, service: TokenService, **more: Any) -> None:
    auth = {"oauth2": {**service.settings, "client_secret": "{{ secrets.CLIENT }}", **more}}
    write(tmp_path, json.dumps({"crm": {"use": "http", "base_url": service.url, "auth": auth}}))


SECRET = {"WAYPOST_SECRET_CLIENT": "canary/secret+1"}


async def test_steps_are_sent_with_the_access_token_of_the_client(tmp_path: Path) -> None:
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside, grant="client_credentials")
        async with run_service(tmp_path, {"p": PIPELINE}, {**ENVIRONMENT, **SECRET}) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
            history = await service.client.get(f"/api/runs/{run['id']}/history")
    assert run["status"] == "completed"
    assert [each.headers["authorization"] for each in outside.calls] == ["Bearer canary-access-1"] * 2
    assert [each["client_secret"] for each in outside.used] == ["canary/secret+1"]
    assert "canary" not in history.text


@pytest.mark.parametrize("has_key", [True, False])
async def test_a_run_whose_connection_needs_a_login_is_paused_before_anything_is_sent(
    tmp_path: Path, has_key: bool
) -> None:
    environment = make_environment(tmp_path, StoreKey.generate(), **SECRET) if has_key else {**ENVIRONMENT, **SECRET}
    async with serve_tokens() as outside:
        write_connection(tmp_path, outside)
        async with run_service(tmp_path, {"p": PIPELINE}, environment) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
    assert run["status"] == "paused"
    assert "the connection 'crm' needs a login: nobody has logged it in" in str(run)
    assert "run `waypost connections login crm`" in str(run)
    assert outside.calls == []
