"""Signing in: sessions and their cookies, links that sign in once, and requests that other sites have sent."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HELLO = {"hello": "steps: [{id: say, use: log.write, with: {message: hello}}]\n"}
PAGE = "/runs"
PUBLIC = "https://hooks.example.com"


def _browser(service: Running) -> httpx.AsyncClient:
    """A client without a key, which keeps cookies and sends what a browser sends with its own forms."""
    return httpx.AsyncClient(
        base_url=service.service.local_url,
        headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"},
        trust_env=False,
    )


def _key(service: Running) -> str:
    return service.client.headers["authorization"].removeprefix("Bearer ")


async def _make_key(service: Running, scope: str = "read") -> dict[str, str]:
    made: dict[str, str] = (await service.client.post("/api/keys", json={"name": "Ada", "scope": scope})).json()
    return made


async def _make_link(service: Running) -> str:
    """The secret of a new link."""
    link = (await service.client.post("/api/enter-links")).json()
    secret: str = link["url"].partition("/enter#")[2]
    return secret


async def _sign_in(browser: httpx.AsyncClient, key: str, next: str = "/") -> httpx.Response:
    return await browser.post("/sign-in", data={"key": key, "next": next})


async def test_a_key_signs_in_and_leads_to_the_page_that_was_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        asked = await browser.get("/runs?status=failed")
        form = await browser.get(asked.headers["location"])
        assert form.status_code == 200
        assert 'value="/runs?status=failed"' in form.text
        answer = await _sign_in(browser, _key(service), "/runs?status=failed")
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs?status=failed")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        page = await browser.get(PAGE)
        assert page.status_code == 200
        assert "Signed in as admin" in page.text
        assert (await browser.get("/sign-in")).status_code == 303, "who is signed in need not do it again"
        assert (await browser.get("/api/runs")).status_code == 401, "the API takes no cookies"


async def test_a_wrong_key_is_refused_and_guesses_are_limited(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        answers = [await _sign_in(browser, f"wp_guess{number}") for number in range(21)]
        assert {each.status_code for each in answers[:20]} == {401}
        assert "not known, or was revoked" in answers[0].text
        assert answers[20].status_code == 429
        assert "Too many attempts" in answers[20].text
        assert (await _sign_in(browser, _key(service))).status_code == 303, "a valid key is never locked out"


async def test_signing_in_leads_to_no_other_site(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        for next in ("//evil.example", "/\\evil.example", "https://evil.example/", "runs", "/\n/x", ""):
            assert (await _sign_in(browser, _key(service), next)).headers["location"] == "/", next


async def test_the_sessions_of_a_revoked_key_end_at_once_and_stay_ended(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        made = await _make_key(service)
        await _sign_in(browser, made["key"])
        assert "Signed in as Ada" in (await browser.get(PAGE)).text
        await service.client.delete(f"/api/keys/{made['id']}")
        assert (await browser.get(PAGE)).status_code == 303
        assert not await service.service.journal.list_open_sessions()


async def test_a_session_survives_a_restart_unless_the_admin_key_was_changed(tmp_path: Path) -> None:
    cookies = httpx.Cookies()
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        [(_, token)] = browser.cookies.items()
    for is_changed in (False, True):
        if is_changed:
            (tmp_path / "data" / "api.key").write_text("another-key-of-some-length")
        async with running(tmp_path, HELLO) as service, _browser(service) as browser:
            browser.cookies = cookies
            browser.cookies.set(f"waypost_{service.service.local_url.rpartition(':')[2]}", token)
            assert (await browser.get(PAGE)).status_code == (303 if is_changed else 200)


async def test_a_session_ends_when_it_is_idle_or_old_and_when_its_person_signs_out(tmp_path: Path) -> None:
    at = 1_800_000_000_000
    async with running(tmp_path, HELLO, now=lambda: at) as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        for _ in range(60):  # 30 days less a moment, never idle for 12 hours
            at += 11 * 3_600_000
            assert (await browser.get(PAGE)).status_code == 200
        at = 1_800_000_000_000 + 30 * 86_400_000
        assert (await browser.get(PAGE)).status_code == 303
        await _sign_in(browser, _key(service))
        at += 12 * 3_600_000
        assert (await browser.get(PAGE)).status_code == 303
        await _sign_in(browser, _key(service))
        token = next(iter(browser.cookies.values()))
        answer = await browser.post("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert answer.headers["clear-site-data"] == '"cache"'
        assert not browser.cookies
        browser.cookies.set(f"waypost_{service.service.local_url.rpartition(':')[2]}", token)
        assert (await browser.get(PAGE)).status_code == 303, "the token is void, not only forgotten"


async def test_a_link_signs_in_once_and_only_for_ten_minutes(tmp_path: Path) -> None:
    at = 1_800_000_000_000
    async with running(tmp_path, HELLO, now=lambda: at) as service, _browser(service) as browser:
        token = await _make_link(service)
        assert "sign in with an API key" in (await browser.get("/enter")).text
        answers = await asyncio.gather(*(browser.post("/enter", data={"token": token}) for _ in range(5)))
        assert sorted(each.status_code for each in answers) == [303, 401, 401, 401, 401]
        assert (await browser.get(PAGE)).status_code == 200
        old = await _make_link(service)
        at += 600_000
        assert (await browser.post("/enter", data={"token": old})).status_code == 401


FOREIGN = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "", "Origin": "null"},
    {"Sec-Fetch-Site": ""},
)
"""What browsers send with forms of other sites, and of other ports of the same host; the last sends nothing."""


async def test_a_request_that_another_site_has_sent_does_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        form = {"key": _key(service)}
        for headers in FOREIGN:
            assert (await browser.post("/sign-in", data=form, headers=headers)).status_code == 403, headers
        await _sign_in(browser, _key(service))
        for headers in FOREIGN:
            answer = await browser.post("/sign-out", headers=headers)
            assert answer.status_code == 403, headers
            assert "another site" in answer.text
            assert (await browser.get(PAGE)).status_code == 200, "it is still signed in"


async def test_an_old_browser_proves_by_its_origin_that_a_form_is_ours(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        headers = {"Sec-Fetch-Site": "", "Origin": service.service.local_url}
        answer = await browser.post("/sign-in", data={"key": _key(service)}, headers=headers)
        assert answer.status_code == 303


async def test_another_site_can_link_to_a_page_but_not_fetch_it(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        assert (await browser.get(PAGE, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200
        fetched = await browser.get(PAGE, headers={"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"})
        assert fetched.status_code == 403


OWN_HOSTS = (
    "127.0.0.1:8400",
    "localhost",
    "waypost.localhost:8400",
    "[::1]:8400",
    "192.168.1.7:8400",
    "hooks.example.com",
)
OTHER_HOSTS = ("evil.example:8400", "127.0.0.1.evil.example", "[::1", "")


async def test_pages_are_served_only_under_names_of_this_service(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO, public_url=PUBLIC) as service, _browser(service) as browser:
        for path, status in ((PAGE, 303), ("/sign-in", 200)):
            for host in OWN_HOSTS:
                assert (await browser.get(path, headers={"Host": host})).status_code == status, host
            for host in OTHER_HOSTS:
                answer = await browser.get(path, headers={"Host": host})
                assert answer.status_code == 421, host
                assert "set public_url" in answer.text


async def test_over_https_the_cookie_belongs_to_this_host_alone(tmp_path: Path) -> None:
    async with (
        running(tmp_path, HELLO, public_url=PUBLIC) as service,
        _browser(service) as browser,
    ):
        headers = {"Host": "hooks.example.com", "Origin": PUBLIC}
        answer = await browser.post("/sign-in", data={"key": _key(service)}, headers=headers)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-waypost=")
        assert "; Secure" in cookie
        assert "Domain" not in cookie
        token = cookie.partition("=")[2].partition(";")[0]
        page = await browser.get(PAGE, headers={**headers, "Cookie": f"__Host-waypost={token}"})
        assert page.status_code == 200


async def test_who_is_signed_in_is_no_stranger_to_the_rate_limit(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO, keyless_rate="2/1h") as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        for _ in range(5):
            assert (await browser.get(PAGE)).status_code == 200


async def test_the_token_of_a_session_is_stored_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        [token] = browser.cookies.values()
    data = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert token.encode() not in data


async def test_every_page_forbids_inline_scripts_and_frames(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, _browser(service) as browser:
        await _sign_in(browser, _key(service))
        for path in ("/sign-in?next=/", "/enter", PAGE, "/nothing"):
            answer = await browser.get(path, headers={"Cookie": ""} if "sign-in" in path else {})
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"


async def test_people_see_and_end_their_own_sessions_and_an_admin_all(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        made = [await _make_key(service) for _ in range(2)]
        for each in made:
            async with _browser(service) as browser:
                await _sign_in(browser, each["key"])
        mine, others = ({"Authorization": f"Bearer {each['key']}"} for each in made)
        assert len((await service.ask("/sessions"))["sessions"]) == 2
        [session] = (await service.client.get("/api/sessions", headers=mine)).json()["sessions"]
        assert session["key"] == made[0]["id"]
        assert session["address"] == "127.0.0.1"
        assert not session["is_current"]
        path = f"/api/sessions/{session['id']}"
        assert (await service.client.delete(path, headers=others)).status_code == 404
        assert (await service.client.delete(path, headers=mine)).status_code == 200
        assert (await service.client.delete(path)).status_code == 404
        assert (await service.client.get("/api/me", headers=mine)).json() == {
            "name": "Ada",
            "scope": "read",
            "grants": [],
            "key": made[0]["id"],
            "session": None,
        }


async def test_the_last_use_of_a_key_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        made = await _make_key(service)
        assert made["last_used_at"] is None
        await service.client.get("/api/runs", headers={"Authorization": f"Bearer {made['key']}"})
        [listed] = (await service.ask("/keys"))["keys"]
        assert listed["last_used_at"] >= made["created_at"]
    async with running(tmp_path, HELLO) as service:
        assert (await service.ask("/keys"))["keys"] == [listed]
