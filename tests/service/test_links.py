"""Links to waits: a link shows its question and accepts one answer; without it nothing is revealed."""

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from durable.clock import now
from tests.service.running import ENVIRONMENT, Running, running
from tests.service.waiting import PIPELINES, link, post_decision, start_waiting_run, wait_until_waiting_at

pytestmark = pytest.mark.anyio

PERSON = {"accept": "text/html,application/xhtml+xml"}
PROGRAM = {"accept": "application/json"}


@asynccontextmanager
async def serving(tmp_path: Path, **settings: str | int) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """A service, and a client without a key."""
    async with (
        running(tmp_path, PIPELINES, ENVIRONMENT, (), **settings) as service,
        httpx.AsyncClient(base_url=service.service.url, trust_env=False) as somebody,
    ):
        yield service, somebody


async def test_a_page_shows_the_question_escaped_and_without_scripts(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        answer = await somebody.get(await link(service, run), headers=PERSON)
        document = await service.run(run)
    page = answer.text
    assert answer.status_code == 200
    assert "&lt;b&gt;Refund&lt;/b&gt; &amp; more" in page
    assert "<script" not in page
    assert "ops@example.com" in page
    for part in ('name="fields.amount"', "How much", 'name="fields.count" value="1"', 'type="checkbox"', "<select"):
        assert part in page
    assert 'value="&#34;red&#34;"' in page
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert document["status"] == "waiting"


async def test_reading_a_link_never_answers_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        for pipeline in ("approval", "callback"):
            run = await start_waiting_run(service, pipeline)
            url = await link(service, run)
            for method in ("GET", "HEAD", "GET"):
                answer = await somebody.request(method, f"{url}?approved=true", headers=PERSON)
                assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            for method in ("PUT", "DELETE", "OPTIONS"):
                assert (await somebody.request(method, url)).status_code == 405
            assert (await service.run(run))["status"] == "waiting"


async def test_form_fields_get_the_types_of_their_schemas(tmp_path: Path) -> None:
    form = {
        "approved": "true",
        "comment": "fine",
        "fields.amount": "12.5",
        "fields.count": "",
        "fields.urgent": "true",
        "fields.colour": "3",
    }
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        before = now()
        answer = await somebody.post(await link(service, run), data=form, headers=PERSON)
        assert answer.status_code == 202
        assert "The answer was taken" in answer.text
        output = (await service.wait_for_end(run))["outputs"]["said"]
    assert before <= output.pop("at") <= now()
    fields = {"amount": 12.5, "count": 1, "urgent": True, "colour": 3, "note": ""}
    assert output == {"approved": True, "by": "link", "comment": "fine", "fields": fields}


@pytest.mark.parametrize(
    ("start", "charset", "expected"),
    [(b"", "windows-1252", "é"), (b"\xef\xbb\xbf", "utf-8", "Ã©"), (b"", "nonsense", None), (b"", "gbk", None)],
)
async def test_a_form_is_decoded_with_its_declared_charset(
    tmp_path: Path, start: bytes, charset: str, expected: str | None
) -> None:
    body = start + (b"approved=false&comment=" + (b"%C3%83%C2%A9" if charset == "utf-8" else b"%E9"))
    headers = PERSON | {"content-type": f"application/x-www-form-urlencoded; charset={charset}"}
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        answer = await somebody.post(await link(service, run), content=body, headers=headers)
        if expected is None:
            assert (answer.status_code, charset in answer.text) == (415 if charset == "nonsense" else 400, True)
            assert (await service.run(run))["status"] == "waiting"
        else:
            assert answer.status_code == 202, answer.text
            assert (await service.wait_for_end(run))["outputs"]["said"]["comment"] == expected


async def test_an_invalid_form_is_shown_again_as_filled_in(tmp_path: Path) -> None:
    form = {"approved": "true", "fields.amount": "-1", "fields.count": "x", "fields.nobody": "1", "comment": "<i>"}
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        answer = await somebody.post(await link(service, run), data=form, headers=PERSON)
        assert answer.status_code == 422
        for part in ("fields.amount", "fields.count", "fields.colour: it is missing", "fields.nobody", 'value="-1"'):
            assert part in answer.text
        assert "&lt;i&gt;" in answer.text
        undecided = await somebody.post(await link(service, run), data={"fields.amount": "1"}, headers=PERSON)
        assert undecided.status_code == 422
        assert "approved: say true or false" in undecided.text
        assert (await service.run(run))["status"] == "waiting"


async def test_a_rejection_needs_no_form_fields(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        form = {"approved": "false", "fields.amount": "", "comment": ""}
        assert (await somebody.post(await link(service, run), data=form, headers=PERSON)).status_code == 202
        output = (await service.wait_for_end(run))["outputs"]["said"]
    assert (output["approved"], output["comment"], output["fields"]) == (False, None, {"urgent": False})


async def test_a_link_can_be_read_and_answered_in_json(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        url = await link(service, run)
        asked = (await somebody.get(url, headers=PROGRAM)).json()
        assert (asked["status"], asked["kind"], asked["fields"]["amount"]["minimum"]) == ("asked", "approval", 0)
        for body, expected in (
            ({"approved": "true"}, "approved"),
            ({"approved": True}, "fields.amount"),
            ({"approved": True, "fields": []}, "fields"),
            ({"approved": True, "aproved": 1}, "aproved"),
            ([], "body"),
        ):
            unfit = await somebody.post(url, json=body)
            assert unfit.status_code == 422
            assert expected in [each["name"] for each in unfit.json()["errors"]]
        fields = {"amount": 1, "urgent": False, "colour": "red"}
        taken = await somebody.post(url, json={"approved": True, "fields": fields})
        assert (taken.status_code, taken.json()) == (202, {"status": "taken"})
        assert (await service.wait_for_end(run))["outputs"]["said"]["fields"] == {"count": 1, "note": "", **fields}


async def test_a_request_to_a_webhook_wait_is_stored_without_credentials(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "callback")
        url = await link(service, run)
        headers = {"authorization": "Basic eDp5", "cookie": "a=b", "referer": url, "x-mine": "1"}
        answer = await somebody.post(f"{url}?a=1&a=2&b=", json={"ok": True}, headers=headers)
        assert answer.status_code == 202
        output = (await service.wait_for_end(run))["outputs"]["said"]
    assert (output["body"], output["query"], output["method"]) == ({"ok": True}, {"a": ["1", "2"], "b": ""}, "POST")
    assert output["headers"]["x-mine"] == "1"
    assert not {"authorization", "cookie", "referer"} & output["headers"].keys()


async def test_a_second_answer_is_reported_as_a_second_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "early")
        url = (await service.run(run))["steps"]["link"]["output"]["link"]
        assert (await somebody.get(url, headers=PROGRAM)).json()["status"] == "early"
        assert "not asked yet" in (await somebody.get(url, headers=PERSON)).text
        assert (await somebody.post(url, json={"n": {"type": "integer"}})).status_code == 202
        again = await somebody.post(url, data={}, headers=PERSON)
        assert again.status_code == 409
        assert "answered already" in again.text
        assert (await somebody.get(url, headers=PERSON)).status_code == 200
        assert (await service.client.post("/api/events", json={"type": "go.on"})).status_code == 202
        await wait_until_waiting_at(service, run, "ask")


async def test_an_answer_is_kept_until_its_wait_begins(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "early")
        document = (await service.run(run))["steps"]["link"]["output"]
        unknown = await somebody.post(document["other"], json={"approved": True})
        assert (unknown.status_code, "not known yet" in unknown.text) == (409, True)
        assert (await somebody.post(document["link"], json={"n": {"type": "integer"}})).status_code == 202
        await service.client.post("/api/events", json={"type": "go.on"})
        await wait_until_waiting_at(service, run, "ask")
        fields = (await somebody.get(document["other"], headers=PROGRAM)).json()["fields"]
        assert fields == {"n": {"type": "integer"}}
        assert (await somebody.post(document["other"], json={"approved": True, "fields": {"n": 1}})).status_code == 202
        assert (await service.wait_for_end(run))["status"] == "completed"


async def test_each_of_several_waits_has_a_link_and_the_first_answer_counts(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "any")
        boss, shop = await link(service, run, "boss"), await link(service, run, "shop")
        assert (await somebody.post(shop, json=1)).status_code == 202
        ended = await service.wait_for_end(run)
        assert (ended["outputs"]["said"]["name"], ended["outputs"]["said"]["output"]["body"]) == ("shop", 1)
        for method in ("GET", "POST"):
            over = await somebody.request(method, boss, headers=PERSON)
            assert over.status_code == 410
            assert "has ended" in over.text


async def test_an_ended_run_accepts_no_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        url = await link(service, run)
        await post_decision(service, run, "cancel", reason="enough")
        await service.wait_for_end(run)
        for answer in (await somebody.get(url), await somebody.post(url, json={"approved": True})):
            assert answer.status_code == 410


async def test_the_response_to_a_bad_link_does_not_say_what_is_wrong(tmp_path: Path) -> None:
    async with serving(tmp_path) as (service, somebody):
        run = await start_waiting_run(service, "approval")
        url = await link(service, run)
        *_, path, proof = url.split("/")
        base = url.rsplit("/", 3)[0]
        wrong = [
            f"{base}/{run}/{path}/{'0' * 32}",
            f"{base}/{run}/{path}/{proof.upper()}x",
            f"{base}/{run}/other/{proof}",
            f"{base}/run_{'0' * 26}/{path}/{proof}",
            f"{base}/%00/%ff/%F0%9F",
        ]
        answers = [await somebody.request(method, each) for method in ("GET", "POST") for each in wrong]
        for method in ("GET", "POST"):
            same = [a for a in answers if a.request.method == method]
            assert {(a.status_code, a.text, a.headers["cache-control"]) for a in same} == {
                (404, same[0].text, "no-store")
            }
        assert (await somebody.get(url)).status_code == 200


@pytest.mark.slow
async def test_a_wrong_proof_takes_as_long_as_an_unknown_run_id(tmp_path: Path) -> None:
    async with serving(tmp_path, address_rate="none") as (service, somebody):
        run = await start_waiting_run(service, "approval")
        known, unknown = f"/waits/{run}/ask/{'0' * 32}", f"/waits/run_{'0' * 26}/ask/{'0' * 32}"
        took: dict[str, list[float]] = {known: [], unknown: []}
        for _ in range(200):
            for path, times in took.items():
                began = time.perf_counter()
                assert (await somebody.get(path)).status_code == 404
                times.append(time.perf_counter() - began)
    ratio = statistics.median(took[known]) / statistics.median(took[unknown])
    assert 0.5 < ratio < 2, ratio


async def test_bodies_have_the_same_limits_as_on_webhooks(tmp_path: Path) -> None:
    async with serving(tmp_path, max_body_bytes=1000) as (service, somebody):
        run = await start_waiting_run(service, "callback")
        url = await link(service, run)
        for body, headers, status in (
            (b"x" * 1001, {}, 413),
            (b"{}", {"content-encoding": "gzip"}, 415),
            (b"{", {"content-type": "application/json"}, 400),
            (b"[" * 900, {"content-type": "application/json"}, 400),
        ):
            answer = await somebody.post(url, content=body, headers=headers)
            assert answer.status_code == status
        assert (await service.run(run))["status"] == "waiting"


async def test_an_address_over_its_rate_gets_429(tmp_path: Path) -> None:
    async with serving(tmp_path, address_rate="3/1h") as (_, somebody):
        answers = [(await somebody.get("/waits/a/b/c")) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
