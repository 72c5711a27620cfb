"""Every error below `/api` and on unknown paths is answered with problem details (RFC 9457)."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import running

pytestmark = pytest.mark.anyio

QUICK = {"p": "steps:\n  - {id: a, use: transform.set, with: {values: {}}}\n"}


def _is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert answer.status_code == document["status"] == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= document.keys()
    return document


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nobody", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/runs/", 404),
        ("GET", "/nobody", 404),
        ("DELETE", "/api/runs", 405),
        ("PUT", "/health", 405),
        ("TRACE", "/api/runs", 405),
        ("GET", "/api/runs/run_nobody", 404),
        ("GET", "/api/runs/%00%ff", 404),
        ("POST", "/api/runs/run_nobody/cancel", 404),
        ("POST", "/api/pipelines/nobody/runs", 404),
        ("DELETE", "/api/keys/key_nobody", 404),
        # Never a redirect: it would lead to the host named in the request and could turn a POST into a GET.
        ("POST", "/hooks", 404),
        ("GET", "/api", 404),
        ("GET", "/health/", 404),
        ("GET", "/waits/run_nobody/ask/proof/", 404),
    ],
)
async def test_an_unknown_path_is_answered_with_problem_details(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with running(tmp_path, QUICK) as service:
        _is_problem(await service.client.request(method, path), status)


async def test_an_unsupported_method_is_answered_with_the_allowed_ones(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service:
        answer = await service.client.put("/api/keys")
        assert {"GET", "POST"} <= {each.strip() for each in answer.headers["allow"].split(",")}
        assert (await service.client.head("/api/runs")).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"\xff", {}, 400),
        (b'{"inputs": {"a": NaN}}', {}, 400),
        (b'{"inputs": {"a": "\\ud800"}}', {}, 400),
        (b"[" * 5_000 + b"]" * 5_000, {}, 400),
        (b'{"inputs": ' + b"[" * 150 + b"]" * 150 + b"}", {}, 400),
        (b"null", {}, 422),
        (b'{"inputs": null}', {}, 422),
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b'{"inputs": {"a": "' + b"x" * 2_000_000 + b'"}}', {}, 413),
        (b"{}", {"idempotency-key": ""}, 422),
        (b"{}", {"idempotency-key": "k" * 256}, 422),
    ],
)
async def test_an_unacceptable_body_is_answered_with_problem_details(
    tmp_path: Path, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path, QUICK) as service:
        answer = await service.client.post("/api/pipelines/p/runs", content=body, headers=headers)
        _is_problem(answer, status)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/runs?statsu=failed", "`statsu`: there is no such name; did you mean 'status'"),
        ("/api/runs?status=faild", "`status`: must be 'queued'"),
        ("/api/runs?status=failed&status=queued", "`status`: it came 2 times"),
        ("/api/runs?limit=0", "`limit`: must be at least 1"),
        ("/api/runs?limit=1001", "`limit`: must be at most 1000"),
        ("/api/runs?limit=1_0", "`limit`: should be a whole number"),
        ("/api/runs?limit=%2B5", "`limit`: should be a whole number"),
        ("/api/runs?limit=" + "9" * 30, "`limit`: should be a whole number"),
        ("/api/runs?after=run_1", "`after`"),
        ("/api/runs?from=yesterday", "`from`: should be a date and time"),
        ("/api/runs?tag=", "`tag`"),
        ("/api/runs/run_x?run=run_y", "`run`: there is no such name"),
        ("/api/runs/run_x/history?after=-1", "`after`"),
        ("/api/deliveries?outcome=x", "`outcome`"),
        ("/api/pipelines?x=1", "`x`"),
    ],
)
async def test_an_invalid_parameter_is_named(tmp_path: Path, path: str, expected: str) -> None:
    async with running(tmp_path, QUICK) as service:
        problem = _is_problem(await service.client.get(path), 422)
        assert expected in problem["detail"]
        assert problem["errors"][0]["name"] in expected


async def test_an_unexpected_error_is_a_503_without_internal_details(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as service:
        with sqlite3.connect(service.service.data / "journal.sqlite") as damaging:
            damaging.execute("ALTER TABLE deliveries RENAME TO gone")
        damaging.close()
        problem = _is_problem(await service.client.get("/api/deliveries"), 503)
        assert "gone" not in problem["detail"]
        assert "deliveries" not in problem["detail"]
