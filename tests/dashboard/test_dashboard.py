"""The dashboard's frame: who gets a page, what a page sends, and what becomes of errors."""

from pathlib import Path

import pytest

from tests.service.running import Running, running
from triggers.html.assets import ASSETS

pytestmark = pytest.mark.anyio

HELLO = "steps: [{id: say, use: log.write, with: {message: hello}}]\n"
HTML = {"Accept": "text/html"}


async def _open(service: Running, path: str, **headers: str) -> tuple[int, str]:
    answer = await service.client.get(path, headers={**HTML, **headers})
    return answer.status_code, answer.text


async def test_a_page_shows_what_the_api_shows_to_whoever_has_a_key(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        run = (await service.wait_for_end((await service.start("hello")).json()["id"]))["id"]
        status, page = await _open(service, "/runs")
        assert status == 200
        assert run in page
        assert "completed" in page
        status, page = await _open(service, "/runs?status=failed")
        assert status == 200
        assert "No run matches" in page


async def test_a_stranger_is_asked_to_sign_in_and_returns_to_the_page(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        answer = await service.client.get("/runs?status=failed", headers={"Authorization": ""})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Fruns%3Fstatus%3Dfailed"


async def test_wrong_keys_are_limited_at_pages_and_streams_as_at_the_api(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        wrong = {"Authorization": "Bearer wrong", "Accept": "text/html"}
        for path in ("/runs", "/stream?page=/runs"):
            while (answer := await service.client.get(path, headers=wrong)).status_code in {303, 401}:
                pass
            assert answer.status_code == 429, answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert (await service.client.get("/runs")).status_code == 200


async def test_bad_input_is_a_page_that_says_what_is_wrong(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        status, page = await _open(service, "/runs?status=strange")
        assert status == 422
        assert "`status`" in page
        status, page = await _open(service, "/runs?pipeline=helo")
        assert status == 404
        assert "did you mean" in page
        status, page = await _open(service, "/nothing")
        assert status == 404
        assert "there is no page /nothing" in page.lower()
        answer = await service.client.get("/nothing", headers={"Accept": "application/json"})
        assert answer.json()["status"] == 404


async def test_assets_are_kept_for_ever_under_the_hash_of_their_content(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        answer = await service.client.get(ASSETS.make_url("waypost.css"), headers={"Authorization": ""})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in answer.headers["cache-control"]
        assert (await service.client.get("/static/other/waypost.css")).headers["cache-control"] == "no-cache"
        assert (await service.client.get("/static/other/passwd")).status_code == 404


async def test_the_root_is_a_page_for_people_and_a_list_of_addresses_for_programs(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        stranger = {"Authorization": ""}
        answer = await service.client.get("/", headers=stranger)
        assert answer.status_code == 200
        for name, path in answer.json().items():
            if name not in ("service", "webhooks", "api"):
                found = await service.client.get(path)
                assert found.status_code in (200, 303), path
        answer = await service.client.get("/", headers={**stranger, **HTML})
        assert answer.status_code in (303, 404)  # asks to sign in
