"""The cost of unauthenticated requests is bounded: cached documents, rate limits and shared work."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.service.running import running
from tests.service.wire import exchange
from triggers.health import PATHS, SharedWork

pytestmark = pytest.mark.anyio

OPEN = """
triggers: [{id: hook, use: webhook, with: {path: /open, verify: none}}]
steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]
"""


@pytest.mark.parametrize("path", ["/api/openapi.json", "/api/docs"])
async def test_the_description_is_not_sent_again_to_a_client_that_has_it(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, {}) as service, httpx.AsyncClient(base_url=service.service.url) as stranger:
        first = await stranger.get(path)
        tag = first.headers["etag"]
        assert first.status_code == 200
        assert first.content
        assert (await stranger.get(path)).content == first.content
        for known in (tag, f"W/{tag}", f'"another", {tag}', "*"):
            answer = await stranger.get(path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        for unknown in ('"another"', tag[:-1], ""):
            assert (await stranger.get(path, headers={"If-None-Match": unknown})).content == first.content
        head = await stranger.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)


@pytest.mark.parametrize(
    "path", ["/api/openapi.json", "/api/docs", "/api/runs", "/waits/run_1/ask/x", "/nothing", "/", "/healthy"]
)
async def test_unauthenticated_requests_over_the_rate_get_429_and_affect_no_other_client(
    tmp_path: Path, path: str
) -> None:
    async with running(tmp_path, {"open": OPEN}, keyless_rate="5/1h") as service:
        async with httpx.AsyncClient(base_url=service.service.url) as stranger:
            wrong = {"Authorization": "Bearer wp_wrong"}
            for headers in ({}, {}, {}, wrong, {"Authorization": "Basic x"}):
                assert (await stranger.get(path, headers=headers)).status_code in (200, 401, 404, 405)
            for headers in ({}, wrong):
                answer = await stranger.get(path, headers=headers)
                assert answer.status_code == 429
                assert 0 < int(answer.headers["retry-after"]) <= 720
                assert "without a valid key" in answer.json()["detail"]
            for each in PATHS:
                assert (await stranger.get(each)).status_code == 200
            assert (await stranger.post("/hooks/open", json={})).status_code == 202
        assert (await service.client.get("/api/runs")).status_code == 200
        assert (await service.client.get(path)).status_code in (200, 404)


async def test_requests_pipelined_after_one_over_the_rate_are_not_read(tmp_path: Path) -> None:
    async with running(tmp_path, {}, keyless_rate="2/1h") as service:
        host, port = service.service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
        came = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert [came.count(b"HTTP/1.1 %d" % status) for status in (404, 429)] == [2, 1]


@pytest.mark.parametrize("blanks", [" ", "  ", "\t", " \t "])
async def test_any_white_space_may_precede_a_key(tmp_path: Path, blanks: str) -> None:
    async with running(tmp_path, {}) as service:
        key = service.client.headers["authorization"].removeprefix("Bearer ")
        headers = {"Authorization": f"bearer{blanks}{key}"}
        assert (await service.client.get("/api/runs", headers=headers)).status_code == 200
        for wrong in (key, f"Bearer{key}", f"Bearer {key} {key}", "Bearer", ""):
            answer = await service.client.get("/api/runs", headers={"Authorization": wrong})
            assert answer.status_code == 401


async def test_simultaneous_callers_share_work_that_begins_after_their_calls() -> None:
    begun, go = 0, asyncio.Event()

    async def work() -> int:
        nonlocal begun
        begun += 1
        number = begun
        await go.wait()
        return number

    shared = SharedWork(work)
    first = [asyncio.create_task(shared.result()) for _ in range(100)]
    while not begun:
        await asyncio.sleep(0)
    later = [asyncio.create_task(shared.result()) for _ in range(100)]
    later[0].cancel()  # a cancelled caller does not stop the work for the others
    await asyncio.sleep(0)
    assert begun == 1, "one piece of it at a time"
    go.set()
    assert await asyncio.gather(*first) == [1] * 100
    assert await asyncio.gather(*later[1:]) == [2] * 99


async def test_failed_work_is_started_again() -> None:
    results: list[int | Exception] = [OSError("full"), 7]

    async def work() -> int:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    shared = SharedWork(work)
    with pytest.raises(OSError, match="full"):
        await shared.result()
    assert await shared.result() == 7


async def test_work_is_repeated_only_after_its_pause() -> None:
    done = 0

    async def work() -> int:
        nonlocal done
        done += 1
        return done

    shared = SharedWork(work, pause=3_600)
    assert await shared.result() == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shared.result(), 0.01)
    assert done == 1


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("authorization", "/api/runs"),
        ("authorization", "/hooks/open"),
        ("content-type", "/hooks/open"),
        ("idempotency-key", "/api/pipelines/open/runs"),
        ("origin", "/hooks/open"),
    ],
)
async def test_a_repeated_single_value_header_is_400_everywhere(tmp_path: Path, name: str, path: str) -> None:
    async with running(tmp_path, {"open": OPEN}) as service:
        key = service.client.headers["authorization"]
        values = {"authorization": key, "content-type": "application/json"}
        for second in (values.get(name, "a"), "b"):
            headers = [("Authorization", key), (name, values.get(name, "a")), (name.title(), second)]
            answer = await service.client.post(path, headers=headers if name != "authorization" else headers[1:])
            assert answer.status_code == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert f"the header {name} came" in answer.json()["detail"]
        assert (await service.client.get("/api/runs")).json()["runs"] == []


RAW = """
triggers:
  - id: hook
    use: webhook
    with: {path: "/raw/{name}", verify: none}
    inputs: {name: "{{ trigger.path.name }}", q: "{{ trigger.query.q }}"}
inputs: {name: {type: string}, q: {type: string}}
steps: [{id: note, use: transform.set, with: {values: {a: 1}}}]
outputs: {name: "{{ inputs.name }}", q: "{{ inputs.q }}"}
"""


async def test_raw_utf_8_in_a_path_and_query_is_read_as_percent_encoded(tmp_path: Path) -> None:
    async with running(tmp_path, {"raw": RAW}) as service:
        port = int(service.service.url.rpartition(":")[2])
        for target in ("Zoë?q=日本", "Zo%C3%AB?q=%E6%97%A5%E6%9C%AC", "Zo%C3%ab?q=日%E6%9C%AC"):
            request = f"POST /hooks/raw/{target} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
            [answer], _ = await exchange(port, [request])
            assert answer.status == 202, target
            run = await service.wait_for_end(json.loads(answer.body)["runs"][0])
            assert run["outputs"] == {"name": "Zoë", "q": "日本"}
        latin = [b"POST /hooks/raw/Zo\xeb?q=\xeb HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"]
        [raw], _ = await exchange(port, latin)
        [encoded], _ = await exchange(port, [latin[0].replace(b"\xeb", b"%EB")])
        assert raw.status == encoded.status == 400, "which says that it is not UTF-8"
