"""Requests to paths that no webhook serves: listed, bounded, and kept over a restart."""

from pathlib import Path
from typing import Any

import pytest

from durable import clock
from tests.service.running import Running, running
from triggers.webhooks.unknown_paths import FORGOTTEN_AFTER, MOST_PATHS, UnknownPaths

pytestmark = pytest.mark.anyio

ORDERS = """\
id: orders
triggers: [{id: hook, use: webhook, with: {path: /orders/new, verify: none}}]
steps: [{id: say, use: log.write, with: {message: hello}}]
"""


async def _list(service: Running) -> list[dict[str, Any]]:
    answer = await service.client.get("/api/deliveries/unknown")
    answer.raise_for_status()
    paths: list[dict[str, Any]] = answer.json()["paths"]
    return paths


async def test_a_wrong_url_is_listed_with_the_served_one_that_was_meant(tmp_path: Path) -> None:
    async with running(tmp_path, {"orders": ORDERS}) as service:
        for _ in range(3):
            assert (await service.client.post("/hooks/order/new", json={})).status_code == 401
        await service.client.put("/hooks/orders/new", json={})
        found = {each["path"]: each for each in await _list(service)}
        assert found["/hooks/order/new"]["count"] == 3
        assert found["/hooks/order/new"]["nearest"] == "/hooks/orders/new"
        assert found["/hooks/order/new"]["first_at"] <= found["/hooks/order/new"]["last_at"]
        assert found["/hooks/orders/new"]["hint"] == "the webhook accepts only POST"


async def test_the_counts_survive_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        async with running(tmp_path, {"orders": ORDERS}) as service:
            await service.client.post("/hooks/nowhere")
            [path] = await _list(service)
            assert (path["path"], path["count"]) == ("/hooks/nowhere", expected)


async def test_a_path_that_is_served_by_now_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        await service.client.post("/hooks/orders/new")
    async with running(tmp_path, {"orders": ORDERS}) as service:
        assert [each["hint"] for each in await _list(service)] == ["it is served now"]


async def test_a_secret_in_a_path_is_not_listed(tmp_path: Path) -> None:
    for expected in (2, 4):
        async with running(tmp_path, {"orders": ORDERS}) as service:
            for _ in range(2):
                await service.client.post("/hooks/x/hook-secret-1")
            [path] = await _list(service)
            assert ("hook-secret-1" in path["path"], path["count"]) == (False, expected)


def test_a_scanner_does_not_push_out_a_path_that_is_asked_for_again() -> None:
    paths = UnknownPaths(str)
    at = clock.now()
    for number in range(2):
        paths.count("POST", "/hooks/wrong", [], at + number, are_all=True)
    for number in range(3 * MOST_PATHS):
        paths.count("GET", f"/hooks/{number}.php", [], at + number, are_all=True)
    found = paths.list_paths()
    assert len(found) == MOST_PATHS
    assert ("/hooks/wrong", 2) in [(each.path, each.count) for each in found]


def test_paths_are_written_only_if_something_changed_and_forgotten_after_a_month() -> None:
    paths = UnknownPaths(str)
    paths.count("POST", "/hooks/old", [], 1, are_all=True)
    assert [each.path for each in paths.take_changed(1) or ()] == ["/hooks/old"]
    assert paths.take_changed(2) is None
    paths.count("POST", "/hooks/new", [], FORGOTTEN_AFTER + 1, are_all=True)
    assert [each.path for each in paths.take_changed(FORGOTTEN_AFTER + 1) or ()] == ["/hooks/new"]
