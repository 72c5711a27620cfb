"""The size of pages: what a stranger writes is shown in part where it is long."""

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.service.running import Running, running

pytestmark = pytest.mark.anyio

PIPELINES = {
    "asks": """
triggers: [{id: hook, use: webhook, with: {path: /asks, verify: none}}]
inputs: {text: {type: string, default: "{{ trigger.body.text }}"}}
steps:
  - {id: ask, use: wait.approval, timeout: 30d, on_timeout: fail, with: {to: me, title: "{{ inputs.text }}"}}
""",
    "counts": "inputs: {n: {type: array}}\nsteps: [{id: keep, use: transform.set, with: {values: '{{ inputs }}'}}]\n",
}
LIMIT = 300_000
LONG = "<&\"'" * 9_000
"""Text that becomes five times longer as HTML."""


async def _open(service: Running, path: str) -> str:
    answer = await service.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_no_page_grows_with_what_a_stranger_writes(tmp_path: Path) -> None:
    async with running(tmp_path, PIPELINES) as service:
        headers = {f"X-{number}": "'\"" * 3_500 for number in range(3)}
        for _ in range(3):
            sent = await service.client.post("/hooks/asks", json={"text": LONG}, headers=headers)
            assert sent.status_code == 202, sent.text
        text = await service.client.post("/hooks/asks", content=LONG, headers={"Content-Type": "text/plain"})
        assert text.status_code == 202, text.text
        run = (await service.start("asks", {"text": LONG})).json()["id"]
        numbers = (await service.start("counts", {"n": [1] * 5_900})).json()["id"]
        await service.wait_for_end(numbers)
        deliveries = [each["id"] for each in (await service.ask("/deliveries"))["deliveries"]]
        paths = ["/waits", f"/waits/{run}/ask", f"/runs/{run}", "/deliveries/capture?from=2020-01-01T00:00:00Z"]
        paths += [f"/deliveries/{each}" for each in deliveries]
        paths += [f"/runs/{run}/fork", f"/runs/{run}?step=ask&tab=input", f"/runs/{numbers}?view=json"]
        paths += [f"/runs/{numbers}?view=data&step=keep&tab={tab}" for tab in ("input", "output", "request")]
        sizes = {path: len((await _open(service, path)).encode()) for path in paths}
        assert {path: size for path, size in sizes.items() if size > LIMIT} == {}


async def test_a_long_notice_fits_into_a_cookie(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        refused = await service.client.post(f"/runs/{'ü' * 1_000}/cancel")
        cookie = refused.headers["set-cookie"]
        assert len(cookie) < 4_096
        assert "üüü" in unquote(cookie)
