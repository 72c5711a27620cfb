"""The pages of the settings: keys, sessions, retention, the service itself."""

import os
import re
from pathlib import Path

import pytest

from tests.service.running import ENVIRONMENT, Running, running

pytestmark = pytest.mark.anyio

HELLO = """
retention: {completed: 7d, max_runs: 10}
steps: [{id: say, use: log.write, with: {message: hello}}]
"""
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def _open(service: Running, path: str, status: int = 200, **headers: str) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html", **headers})
    assert answer.status_code == status, answer.text
    return answer.text


async def test_a_key_is_shown_once_when_it_is_made_and_is_revoked_by_a_button(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        made = await service.client.post("/settings/keys", data={"name": "<i>Ada</i>", "scope": "start"})
        assert made.status_code == 200
        [key] = re.findall(r"wp_[\w-]{43}", made.text)
        assert "<i>Ada" not in made.text
        page = await _open(service, "/settings/keys")
        assert key not in page
        assert "never used" in page
        headers = {"Authorization": f"Bearer {key}"}
        assert "a key with the scope `admin`" in await _open(service, "/settings/keys", 403, **headers)
        assert "/settings/keys" not in await _open(service, "/settings/about", 200, **headers)
        [action] = re.findall(r'action="(/settings/keys/key_\w+/revoke)"', page)
        assert (await service.client.post(action)).status_code == 303
        assert action not in await _open(service, "/settings/keys")
        assert (await service.client.get("/api/runs", headers=headers)).status_code == 401


async def test_a_mistake_in_a_new_key_is_explained(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        await service.client.post("/settings/keys", data={"name": "", "scope": "start"})
        assert "`name`" in await _open(service, "/settings/keys")


async def test_a_session_is_listed_with_its_browser_and_ended_by_a_button(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}) as service:
        form = {"key": service.client.headers["authorization"].removeprefix("Bearer ")}
        headers = {"Sec-Fetch-Site": "same-origin", "User-Agent": FIREFOX}
        await service.client.post("/sign-in", data=form, headers=headers)
        page = await _open(service, "/settings/sessions")
        assert "Firefox on Linux" in page
        assert "from 127.0.0.1" in page
        mine = await _open(service, "/settings/sessions", Authorization="")
        assert "this browser" in mine
        assert mine.count('action="/sign-out"') == 2
        [action] = re.findall(r'action="(/settings/sessions/ses_\w+/end)"', page)
        assert (await service.client.post(action)).status_code == 303
        assert "Nobody is signed in" in await _open(service, "/settings/sessions")
        assert "/sign-in" in (await service.client.get("/runs", headers={"Authorization": ""})).headers["location"]


async def test_retention_shows_the_policies_and_what_was_removed(tmp_path: Path) -> None:
    async with running(tmp_path, {"hello": HELLO}, retention_failed="forever") as service:
        assert "Waypost looks for old rows once a minute" in await _open(service, "/settings/retention")
        cells = r'hello</a></th>\s*<td>7d</td><td>forever</td><td>30d</td>\s*<td class="number">10 runs'
        assert re.search(cells, await _open(service, "/settings/retention"))
        await service.service.retention.make_pass()
        assert "Nothing was old enough" in await _open(service, "/settings/retention")


async def test_the_service_describes_itself_and_checks_what_it_depends_on(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "WAYPOST_PROT": "1"}
    async with running(tmp_path, {"hello": HELLO}, environment) as service:
        page = await _open(service, "/settings/about")
        assert str(tmp_path / "data") in page
        assert "Check now" in page
        checked = await service.client.post("/settings/about", timeout=120)
        assert checked.status_code == 200
        assert "WAYPOST_PROT is not a setting" in checked.text
        assert "1 of 1 are valid" in checked.text
