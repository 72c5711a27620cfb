"""How runs handle responses of services: redirects, and responses that are not valid HTTP."""

import base64
from pathlib import Path

import pytest

from tests.connectors.servers import answer, answering, serve
from tests.service.running import ENVIRONMENT, running

pytestmark = pytest.mark.anyio


def post(url: str, more: str = "") -> str:
    return (
        f"steps:\n  - {{id: post, use: http.post, with: {{url: '{url}', json: 1{more}}}, retry: {{min_delay: 1ms}}}}\n"
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_post_fails_the_run_and_names_the_target(tmp_path: Path, status: int) -> None:
    moved = answer(b"", "Location: https://new.example/hooks?token=canary", status=f"{status} Moved")
    async with serve(answering(moved)) as server, running(tmp_path, {"p": post(server.url)}) as service:
        run = await service.wait_for_end((await service.start("p")).json()["id"])
        error = run["error"]
        assert (run["status"], error["class"], error["code"], error["attempt"]) == ("failed", "client", str(status), 1)
        assert "a redirect to https://new.example/hooks…" in error["message"]
        assert "canary" not in str(run)
        assert len(server.requests) == 1


@pytest.mark.parametrize("on_crash", ["retry", "park", "fail"])
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_post_with_an_unreadable_response_is_sent_once_and_is_not_uncertain(
    tmp_path: Path, data: bytes, on_crash: str
) -> None:
    async with serve(answering(data)) as server:
        file = post(server.url).replace("retry:", f"on_crash: {on_crash}, retry:")
        async with running(tmp_path, {"p": file}) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
            error = run["error"]
            assert (run["status"], error["class"], error["code"]) == ("failed", "invalid", "malformed_response")
            assert len(server.requests) == 1


@pytest.mark.parametrize("status", [421, 423, 425])
async def test_a_failure_that_may_be_temporary_is_retried(tmp_path: Path, status: int) -> None:
    first, then = answer(b"", status=f"{status} Later"), answer(b"")
    async with serve(answering(first, then)) as server, running(tmp_path, {"p": post(server.url)}) as service:
        run = await service.wait_for_end((await service.start("p")).json()["id"])
        if status == 421:  # on a new connection each time, which starts with the first response again
            assert (run["error"]["code"], len(server.requests), server.connections) == ("421", 3, 3)
        else:
            assert (run["status"], len(server.requests)) == ("completed", 2)
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@pytest.mark.parametrize("before", range(0, 200, 40))
async def test_no_part_of_a_secret_is_left_where_an_error_body_is_truncated(tmp_path: Path, before: int) -> None:
    """The body is longer than the part that is kept, and much shorter once the secret is redacted."""
    secret = "canary-" + "0123456789" * 16
    body = b"x" * before + secret.encode() * 2_000
    file = post("URL", ", headers: {authorization: 'Bearer {{ secrets.LONG }}'}")
    async with serve(answering(answer(body, status="422 No"))) as server:
        environment = ENVIRONMENT | {"WAYPOST_SECRET_LONG": secret}
        async with running(tmp_path, {"p": file.replace("URL", server.url)}, environment) as service:
            run = await service.wait_for_end((await service.start("p")).json()["id"])
            assert run["error"]["code"] == "422"
            assert "x" * before + "***" in str(run["error"]["details"])
            assert "0123456789" not in str(run)


async def test_steps_use_the_proxy_from_the_settings(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"WAYPOST_SECRET_EGRESS_PROXY": "me:canary-word", "HTTP_PROXY": "http://127.0.0.1:1"}
    async with serve(answering(answer(b"ok"))) as proxy, serve(answering(answer(b"ok"))) as local:
        files = {"p": post("http://crm.example/a"), "q": post(local.url)}
        async with running(tmp_path, files, environment, egress_proxy=proxy.url) as service:
            for pipeline in files:
                run = await service.wait_for_end((await service.start(pipeline)).json()["id"])
                assert run["status"] == "completed"
                assert "canary" not in str(run)
        [request] = proxy.requests
        assert request.line == "POST http://crm.example/a HTTP/1.1"
        assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:canary-word").decode()
        assert len(local.requests) == 1
