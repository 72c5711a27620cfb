"""What is found by a word: ids and their parts, keys, tags, pipelines, and texts in the inputs of runs."""

from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
HOOK = "{id: shop, use: webhook, with: {path: /shop, verify: none, dedupe: {key: '{{ trigger.body.id }}'}}}"
TAKES = f"""triggers: [{HOOK}]
steps: [{{id: note, use: log.write, with: {{message: hello}}}}]
"""

ASKS = "steps: [{id: ask, use: wait.approval, timeout: 2d, on_timeout: fail, with: {title: 'Ship it?', to: ops@}}]\n"


async def _find(service: Running, word: str) -> list[tuple[str, str]]:
    return [(hit["kind"], hit["id"]) for hit in (await service.ask(f"/search?q={quote(word)}"))["hits"]]


async def _start(service: Running, note: object, **headers: str) -> str:
    run: str = (await service.start("order_intake", {"note": note}, **headers)).json()["id"]
    await service.wait_for_end(run)
    return run


async def test_a_word_finds_what_has_it_as_an_id_a_key_a_tag_or_a_name(tmp_path: Path) -> None:
    async with running(tmp_path, {"order_intake": TAKES, "refund": TAKES.replace("/shop", "/refund")}) as service:
        run = await _start(service, 1, **{"Idempotency-Key": "order 4711"})
        body = {"inputs": {"note": 2}, "tags": ["eu"]}
        tagged = (await service.client.post("/api/pipelines/order_intake/runs", json=body)).json()["id"]
        sent = (await service.client.post("/hooks/shop", json={"id": "gh-77", "note": 3})).json()
        [delivery] = (await service.ask("/deliveries"))["deliveries"]
        for word, expected in {
            run: [("run", run)],
            run[:-2]: [("run", run)],
            run[-8:]: [("run", run)],
            f"…{run[-6:]}": [("run", run)],
            sent["event"]: [("event", sent["event"])],
            delivery["id"]: [("delivery", delivery["id"])],
            "order 4711": [("run", run)],
            "gh-77": [("run", sent["runs"][0])],
            "eu": [("tag", "eu")],
            "ORDER_in": [("pipeline", "order_intake")],
            "nothing": [],
            "%": [],
        }.items():
            assert await _find(service, word) == expected, word
            answer = await service.client.get(f"/find?q={quote(word)}", headers=HTML)
            assert answer.status_code == (303 if expected else 200)
            if expected:
                assert expected[0][1] in unquote(answer.headers["location"])
        assert tagged in (await service.client.get("/runs?tag=eu", headers=HTML)).text
        several = await service.client.get(f"/find?q={run[:8]}", headers=HTML)
        assert f'href="/runs/{tagged}"' in several.text


async def test_runs_are_found_by_a_text_in_their_inputs(tmp_path: Path) -> None:
    async with running(tmp_path, {"order_intake": TAKES}) as service:
        runs = [await _start(service, note) for note in ("Müller & Söhne", 'a "quoted" word', {"deep": ["needle"]})]
        many = [await _start(service, f"needle {number}") for number in range(3)]
        for word, expected in {
            "müller & s": runs[:1],
            "MÜLLER": [],  # only ASCII letters are found in either case
            '"quoted"': runs[1:2],
            "NEEDLE": [*reversed(many), runs[2]],
            "order_intake": [],
            "steps": [],
        }.items():
            found = await service.ask(f"/runs?q={quote(word)}")
            assert [run["id"] for run in found["runs"]] == expected, word
            assert (found["looked_at"], found["after"]) == (6, None)
        first = await service.ask("/runs?q=needle&limit=2")
        assert [run["id"] for run in first["runs"]] == many[:0:-1]
        rest = await service.ask(f"/runs?q=needle&limit=2&after={first['after']}&pipeline=order_intake")
        assert [run["id"] for run in rest["runs"]] == [many[0], runs[2]]
        page = (await service.client.get("/runs?q=needle", headers=HTML)).text
        assert many[0] in page
        assert runs[0] not in page


async def test_a_reader_does_not_find_the_links_that_they_may_not_see(tmp_path: Path) -> None:
    async with running(tmp_path, {"order_intake": TAKES, "asks": ASKS}) as service:
        asking = (await service.start("asks")).json()["id"]
        while not (waits := (await service.ask(f"/runs/{asking}"))["waits"]):
            pass
        proof = waits[0]["link"].rpartition("/")[2]
        run = await _start(service, f"answer at {waits[0]['link']} please")
        made = (await service.client.post("/api/keys", json={"name": "reader", "scope": "read"})).json()
        for key, found in ((None, [run]), (made["key"], [])):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answer = await service.client.get(f"/api/runs?q={proof[:12]}", headers=headers)
            assert [each["id"] for each in answer.json()["runs"]] == found
            told = await service.client.get("/api/attention", headers=headers)
            assert proof not in told.text


async def test_a_bulk_action_concerns_no_more_than_the_list_it_was_chosen_from(tmp_path: Path) -> None:
    async with running(tmp_path, {"order_intake": TAKES}) as service:
        await _start(service, "needle")
        form = {"action": "rerun", "scope": "all", "status": "completed"}
        for name in ("q", "event", "source"):
            refused = await service.client.post("/bulks/new", data={**form, name: "x"}, headers=HTML)
            assert refused.status_code == 303
            assert f"cannot%20select%20by%20{name}" in refused.headers["set-cookie"]
        page = await service.client.post("/bulks/new", data={**form, "from": "1h"}, headers=HTML)
        assert "Rerun 1 run" in page.text
        assert 'name="from" value="20' in page.text  # a time that stays, and not how long ago it was
