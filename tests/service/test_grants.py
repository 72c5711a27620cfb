"""The grant `answer`: a key that answers what runs wait for, and sees nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import ENVIRONMENT, Running, running

pytestmark = pytest.mark.anyio

ASK = """
steps:
  - id: pair
    parallel:
      people:
        - {id: ask, use: wait.approval, with: {title: Ship it?, to: boss}, timeout: 1h, on_timeout: fail}
      events:
        - {id: listen, use: wait.event, with: {type: paid}, timeout: 1h, on_timeout: fail}
"""


@asynccontextmanager
async def _answering(tmp_path: Path, **key: Any) -> AsyncIterator[tuple[Running, httpx.AsyncClient, str]]:
    """A service with a run that waits for an approval and an event, and a client with a key that may answer."""
    async with running(tmp_path, {"ask": ASK}) as service:
        made = await service.client.post("/api/keys", json={"name": "Ada", "grants": ["answer"], **key})
        assert made.status_code == 201, made.text
        run = (await service.start("ask")).json()["id"]
        while len((await service.ask(f"/waits?run={run}"))["waits"]) < 2:
            await asyncio.sleep(0.01)
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        asking = httpx.AsyncClient(base_url=service.service.url, headers=headers, trust_env=False, verify=False)
        async with asking as client:
            yield service, client, run


async def test_a_key_with_the_grant_sees_and_answers_what_it_may_answer(tmp_path: Path) -> None:
    async with _answering(tmp_path) as (service, client, run):
        [wait] = (await client.get("/api/waits")).json()["waits"]
        assert (wait["kind"], wait["run"], wait["link"] is not None) == ("approval", run, True)
        assert (await client.get("/api/me")).json()["grants"] == ["answer"]
        body = {"step": wait["step"], "approved": True}
        assert (await client.post(f"/api/runs/{run}/answer", json=body)).status_code == 202
        assert (
            await client.post(f"/api/runs/{run}/resolve", json={"step": "x", "verdict": "retry"})
        ).status_code == 404
        record = (await service.ask("/audit?action=answer_run"))["records"][0]
        assert (record["by"], record["outcome"]) == ("Ada", "done")


async def test_the_grant_implies_no_scope(tmp_path: Path) -> None:
    permitted = {"list_waits", "get_me", "answer_run", "resolve_step"}
    async with _answering(tmp_path) as (service, client, run):
        described = (await service.client.get("/api/openapi.json")).json()["paths"]
        tried = 0
        for path, methods in described.items():
            for method, operation in methods.items():
                if operation["operationId"] in permitted or "x-scope" not in operation:
                    continue
                tried += 1
                answer = await client.request(method, path.replace("{run}", run), json={})
                assert answer.status_code in (401, 403), (method, path, answer.text)
        assert tried > 60
        for path in (f"/api/runs/{run}/stream", "/api/stream"):
            assert (await client.get(path)).status_code in (401, 403)


async def test_a_scope_and_the_grant_go_together(tmp_path: Path) -> None:
    async with _answering(tmp_path, scope="read") as (service, client, run):
        assert (await client.get(f"/api/runs/{run}")).status_code == 200
        assert (await client.post(f"/api/runs/{run}/cancel", json={})).status_code == 403
        assert len((await client.get("/api/waits")).json()["waits"]) == 2
        [key] = (await service.ask("/keys"))["keys"]
        assert (key["scope"], key["grants"]) == ("read", ["answer"])
        waits = await client.get("/waits", headers={"Accept": "text/html"})
        assert "Approve" in waits.text


async def test_pages_are_those_that_the_grant_permits(tmp_path: Path) -> None:
    async with _answering(tmp_path) as (_, client, run):
        [wait] = (await client.get("/api/waits")).json()["waits"]
        client.headers["Accept"] = "text/html"
        assert (await client.get("/")).headers["location"] == "/waits"
        page = (await client.get("/waits")).text
        assert "Ship it?" in page
        assert "Approve" in page
        assert (await client.get(f"/runs/{run}")).status_code == 403
        form = {"step": wait["step"], "approved": "true", "next": "/waits"}
        assert (await client.post(f"/runs/{run}/answer", data=form)).headers["location"] == "/waits"
        assert "Approve" not in (await client.get("/waits")).text


@pytest.mark.parametrize(
    "wrong", [{}, {"grants": ["work"]}, {"scope": "sign", "grants": ["answer"]}, {"scope": None, "grants": []}]
)
async def test_a_key_without_a_use_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with running(tmp_path, {}, {**ENVIRONMENT}) as service:
        answer = await service.client.post("/api/keys", json={"name": "Ada", **wrong})
        assert answer.status_code == 422
        assert (await service.ask("/keys"))["keys"] == []
