"""A step whose action returns its output in pages, in a whole service."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from durable.page import PAGED_SIZE_LIMIT
from tests.histories.stage import Stage
from tests.service.gates import copy_after_crash, truncate_history
from tests.service.running import outside, running
from triggers.commands.output import format_pages
from triggers.documents.runs import PagesDocument

pytestmark = pytest.mark.anyio

RETRY = "{max_attempts: 3, min_delay: 1ms, max_delay: 5ms}"


def _write(given: str = "{}", more: str = "", retry: str = RETRY) -> str:
    """A pipeline with a step that gets its output in pages."""
    step = f"{{id: fetch, use: stand.list, with: {given}{more}}}"
    return f"defaults: {{retry: {retry}}}\nsteps:\n  - {step}\noutputs: {{got: '{{{{ steps.fetch.output }}}}'}}\n"


ENDING = {
    "one": _write("{pages: 1}"),
    "three": _write(),
    "empty": _write("{length: 0}"),
    "large": _write("{size: 20000}"),
    "summary": _write("{is_summary: true}"),
    "cut": _write("{is_summary: true, is_complete: false}"),
    "kept": _write(more=", keep: {count: '{{ output | length }}'}"),
}
REFUSED = {
    "repeated_next": _write("{pages: 9, at: 4, repeats: next}"),
    "repeated_body": _write("{pages: 9, at: 4, repeats: body}"),
    "too_large": _write("{pages: 4, length: 1, size: 4000000}"),
    "long_cursor": _write("{long_cursor: 9000}"),
    "secret_cursor": _write("{token: '{{ secrets.HOOK }}', leaks: true}"),
}
OTHERS = {
    "fails": _write("{at: 2, fails: 2}"),
    "exhausted": _write("{at: 1, fails: 9}"),
    "retried": _write("{at: 2, fails: 1}", retry="{max_attempts: 1}"),
    "parked": _write("{holds: true}", ", on_crash: park"),
    "cancelled": _write("{holds: true}"),
}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path / "place", ENDING | REFUSED | OTHERS)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


async def _list_entries(stage: Stage, run: str) -> list[dict[str, Any]]:
    _, data = await stage.export_run(run)
    return list(json.loads(data)["entries"])


def _items(count: int, size: int = 0) -> list[dict[str, Any]]:
    return [{"n": n, "text": "x" * size} for n in range(count)]


OUTPUTS: dict[str, Any] = {
    "one": _items(2),
    "three": _items(6),
    "empty": [],
    "large": _items(6, 20_000),
    "summary": {"items": _items(6), "pages": 3, "complete": True},
    "cut": {"items": _items(6), "pages": 3, "complete": False},
    "kept": {"count": 6},
}


async def test_the_output_of_a_step_is_the_list_of_its_pages_in_order(stage: Stage) -> None:
    for name, output in OUTPUTS.items():
        run = await stage.begins(name)
        ended = await stage.ends(run)
        assert ended["status"] == "completed", (name, ended["error"])
        fetched = (await stage.service.client.get(f"/api/runs/{run}/steps/fetch")).json()
        assert fetched["output"] == output, name


async def test_each_page_has_a_key_of_its_own_which_its_attempts_share(stage: Stage) -> None:
    run = await stage.begins("fails")
    await stage.ends(run)
    assert stage.stand.keys == [f"{run}:fetch.page[{number}]" for number in range(3)]
    failed = [each for each in await _list_entries(stage, run) if each["type"] == "attempt_failed"]
    assert [(each["error"]["step"], each["error"]["attempt"]) for each in failed] == [
        ("fetch.page[2]", 1),
        ("fetch.page[2]", 2),
    ]


REFUSALS = {
    "repeated_next": ("repeated_page", "page 4 repeats an earlier one"),
    "repeated_body": ("repeated_page", "page 4 repeats an earlier one"),
    "too_large": ("output", "together are larger than 10 MiB; request fewer of them"),
    "long_cursor": ("output", "it has 9,002 bytes, and the limit is 8,192"),
    "secret_cursor": ("output", "it contains a secret"),
}


async def test_pages_that_cannot_come_to_an_end_fail_the_step_and_are_not_repeated(stage: Stage) -> None:
    assert PAGED_SIZE_LIMIT < 3 * 4_000_000
    for name, (code, message) in REFUSALS.items():
        run = await stage.begins(name)
        error = (await stage.ends(run))["error"]
        assert (error["class"], error["code"]) == ("invalid", code), name
        assert message in error["message"], name
        text = json.dumps(await _list_entries(stage, run))
        assert "hook-secret-1" not in text
        assert text.count('"attempt_failed"') == 1, name


async def test_a_retried_run_keeps_the_pages_that_have_arrived(stage: Stage) -> None:
    run = await stage.begins("retried")
    assert (await stage.ends(run))["error"]["step"] == "fetch.page[2]"
    await stage.says(run, "retry")
    assert (await stage.ends(run))["status"] == "completed"
    assert stage.stand.done == [f"fetch.page[{number}]" for number in range(3)]


async def test_a_crash_between_pages_repeats_only_the_page_that_has_not_arrived(stage: Stage) -> None:
    run = await stage.begins("cancelled")
    await stage.stand.holds()
    await stage.dies()
    await stage.stand.let_go()
    assert (await stage.ends(run))["status"] == "completed"
    assert stage.stand.done == ["fetch.page[1]", "fetch.page[2]"]


async def test_a_fork_from_a_page_is_refused_and_one_from_its_step_gets_all_pages_anew(stage: Stage) -> None:
    run = await stage.begins("three")
    await stage.ends(run)
    for more in ({}, {"set": {"length": 1}}):
        refused = await stage.service.client.post(f"/api/runs/{run}/fork", json={"step": "fetch.page[1]", **more})
        assert refused.status_code == 409, refused.text
        assert "fetch.page[1] is a page of fetch: fork from fetch" in refused.json()["detail"]
    fork = await stage.forks(run, step="fetch", set={"length": 1})
    assert (await stage.ends(fork))["outputs"] == {"got": _items(3)}
    assert stage.stand.keys[3:] == [f"{fork}:fetch.page[{number}]" for number in range(3)]


async def test_a_cancel_between_pages_ends_the_run(stage: Stage) -> None:
    run = await stage.begins("cancelled")
    await stage.stand.holds()
    assert (await stage.service.run(run))["why"] == "performs fetch.page[1]"
    await stage.says(run, "cancel")
    assert (await stage.ends(run))["status"] == "cancelled"
    assert stage.stand.done == ["fetch.page[0]"]


async def test_a_person_decides_on_an_uncertain_page_by_its_path(stage: Stage) -> None:
    run = await stage.begins("parked")
    await stage.stand.holds()
    await stage.dies()
    await stage.stand.let_go()
    paused = await stage.is_(run, "paused")
    assert "fetch.page[1]: it is not known whether attempt 1 took effect" in paused["why"]
    await stage.says(run, "resolve", step="fetch.page[1]", verdict="retry")
    assert (await stage.is_(run, "completed"))["outputs"] == {"got": _items(6)}
    assert stage.stand.done == ["fetch.page[1]", "fetch.page[2]"]


async def test_a_run_and_its_step_say_which_page_they_are_at(stage: Stage) -> None:
    run = await stage.begins("exhausted")
    ended = await stage.ends(run)
    assert ended["why"].startswith("fetch.page[1]: server: ")
    for path in ("fetch", "fetch.page[1]"):
        step = (await stage.service.client.get(f"/api/runs/{run}/steps/{path}")).json()
        assert step["path"] == "fetch"
        assert step["pages"] == {"arrived": 1, "items": 2}
        assert format_pages(PagesDocument(**step["pages"]), step["status"]) == "page 2 (2 items so far)"
        assert [each["ending"] for each in step["tries"]] == ["completed", *["answered"] * 3]
    assert ended["step_counts"] == {"failed": 1}


SHOP = """
id: shop
about: Orders
http: {base_url: "URL"}
actions:
  list_orders:
    about: All orders
    get: /orders
    page: {items: answer.body.orders, cursor: answer.body.next, param: after}
"""
ORDERS = """
defaults: {retry: {max_attempts: 2, min_delay: 1ms, max_delay: 2ms}}
steps: [{id: fetch, use: shop.list_orders}]
outputs: {orders: "{{ steps.fetch.output }}"}
"""


def _answer_page(number: int) -> Callable[[], Response]:
    return lambda: JSONResponse({"orders": [{"n": number}], "next": f"c{number}" if number < 3 else None})


async def test_a_list_of_a_connector_file_goes_on_after_a_failing_page_and_a_crash(tmp_path: Path) -> None:
    async with outside() as shop:

        def write_connector(place: Path) -> Path:
            (place / "config" / "connectors").mkdir(parents=True)
            (place / "config" / "connectors" / "shop.yaml").write_text(SHOP.replace("URL", shop.url))
            return place

        pages = [_answer_page(number) for number in range(4)]
        shop.answers = [*pages[:2], lambda: Response(status_code=500), *pages[2:]]
        async with running(write_connector(tmp_path), {"orders": ORDERS}) as service:
            run = (await service.start("orders")).json()["id"]
            await service.wait_for_end(run)
            place = write_connector(copy_after_crash(tmp_path))
        truncate_history(place, run, "step_completed")
        shop.answers = pages[3:]
        async with running(place, {"orders": ORDERS}) as service:
            ended = await service.wait_for_end(run)
    assert ended["outputs"] == {"orders": [{"n": number} for number in range(4)]}
    assert len(shop.requests) == 4 + 1 + 1, "after the crash, only the last page is requested again"
