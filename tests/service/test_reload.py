"""A change in the config folder, while the service runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.service.running import ENVIRONMENT, Running, running
from triggers.instance import Instance
from triggers.service import Service, compose
from triggers.settings import Settings

pytestmark = pytest.mark.anyio

SAYS = """
steps:
  - {{id: a, use: transform.set, with: {{values: {{said: "{0}"}}}}}}
outputs: {{said: "{{{{ steps.a.output.said }}}}"}}
"""

PLAIN = "steps:\n  - {id: a, use: log.write, with: {message: x}}\n"
UNFIT = "steps:\n  - {id: a, use: nobody.knows}\n"
HOOKED = "triggers:\n  - {id: t, use: webhook, with: {path: /greet, verify: none}}\n"
NO_URL = (
    "'base_url' is missing; add 'base_url: …' (an http or https URL; a step's `url`, such as /holds, is appended to it)"
)


async def _list_states(service: Running) -> object:
    answer = await service.start("p")
    if answer.status_code != 202:
        return answer.status_code
    return (await service.wait_for_end(answer.json()["id"]))["outputs"]["said"]


async def _until(service: Running, expected: object) -> None:
    async with asyncio.timeout(60):
        while await _list_states(service) != expected:
            await asyncio.sleep(0.05)


async def test_a_valid_change_is_put_into_service_and_an_invalid_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SAYS.format("one")}) as service:
        file = tmp_path / "config" / "pipelines" / "p.yaml"
        assert await _list_states(service) == "one"
        file.write_text(SAYS.format("two"))
        await _until(service, "two")
        file.write_text("steps:\n  - {id: a, use: nobody.knows}\n")
        async with asyncio.timeout(60):
            while not (ready := (await service.client.get("/ready")).json())["invalid"]:
                await asyncio.sleep(0.05)
        assert ready == {"ready": True, "invalid": ["p.yaml"]}
        assert await _list_states(service) == "two"
        (described,) = (await service.client.get("/api/pipelines")).json()["pipelines"]
        assert described["status"] == "serving the version before"
        assert "p.yaml:2:18" in described["problems"][0]
        file.write_text(SAYS.format("three"))
        await _until(service, "three")
        file.unlink()
        await _until(service, 404)


async def test_a_new_file_is_put_into_service_and_a_clash_disables_the_later_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"q": "id: p\n" + SAYS.format("first")}) as service:
        pipelines = tmp_path / "config" / "pipelines"
        (pipelines / "r.yaml").write_text("id: p\n" + SAYS.format("second"))
        async with asyncio.timeout(60):
            while len(found := (await service.client.get("/api/pipelines")).json()["pipelines"]) < 2:
                await asyncio.sleep(0.05)
        assert [each["status"] for each in found] == ["serving", "disabled"]
        assert "the id 'p' is taken by q.yaml" in found[1]["problems"][0]
        assert await _list_states(service) == "first"


async def test_unknown_webhooks_get_503_while_a_broken_file_may_define_them(tmp_path: Path) -> None:
    trigger = "triggers: [{{id: h, use: webhook, with: {{path: /{0}, verify: none}}}}]"
    hook = trigger + "\nsteps: [{{id: a, use: log.write, {1}}}]\n"
    whole, broken = hook.format("whole", "with: {message: x}"), hook.format("broken", "wiht: {message: x}")
    async with running(tmp_path, {"whole": whole, "broken": broken}) as service:
        paths = ("/hooks/whole", "/hooks/broken", "/hooks/unknown")
        answers = [await service.client.post(path, json={}) for path in paths]
        assert [answer.status_code for answer in answers] == [202, 503, 503]
        assert answers[1].content == answers[2].content
        assert int(answers[1].headers["retry-after"]) > 0

        (tmp_path / "config" / "pipelines" / "broken.yaml").write_text(broken.replace("wiht", "with"))
        while (await service.client.post("/hooks/broken", json={})).status_code != 202:
            await asyncio.sleep(0.05)
        assert (await service.client.post("/hooks/unknown", json={})).status_code == 401


async def test_a_folder_that_is_replaced_or_created_later_is_watched(tmp_path: Path) -> None:
    async with running(tmp_path, {"p": SAYS.format("first")}) as service:
        assert await _list_states(service) == "first"
        pipelines = tmp_path / "config" / "pipelines"
        pipelines.rename(tmp_path / "config" / "before")
        await _until(service, 404)
        for said in ("second", "third"):
            pipelines.mkdir(exist_ok=True)
            (pipelines / "p.yaml").write_text(SAYS.format(said))
            await _until(service, said)


# -- log lines --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _serve_unwatched(tmp_path: Path, pipelines: dict[str, str]) -> AsyncIterator[Service]:
    """A service that reloads only on request."""
    config = tmp_path / "config"
    (config / "pipelines").mkdir(parents=True)
    for name, text in pipelines.items():
        (config / "pipelines" / f"{name}.yaml").write_text(text)
    settings = Settings.load(config, ENVIRONMENT, {})
    instance = Instance(config, tmp_path / "data", ENVIRONMENT)
    async with compose(settings, instance, address=("127.0.0.1", 8400)) as service:
        yield service


async def _reload_and_read_log(
    service: Service, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> list[tuple[str, str]]:
    """Reload, and return the new log lines with their levels."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        await service.reload.reload()
    said = [each for each in caplog.records if each.name == "waypost.reload"]
    return [(each.levelname, each.getMessage().replace(f"{tmp_path}/config/", "")) for each in said]


async def test_a_removed_file_is_reported_once_and_only_if_it_was_in_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"p": PLAIN, "q": PLAIN, "r": PLAIN, "unfit": UNFIT, "same": f"id: p\n{PLAIN}"}
    async with _serve_unwatched(tmp_path, files) as service:
        pipelines = tmp_path / "config" / "pipelines"
        (pipelines / "q.yaml").write_text(UNFIT)
        assert [line for _, line in await _reload_and_read_log(service, caplog, tmp_path)] == [
            "q.yaml is invalid; its previous version stays in use",
            "pipelines/q.yaml:2:18: error: there is no connector 'nobody'; known: flow, github, "
            "http, log, slack, stripe, transform, wait; "
            "use 'http.post' to call a service that has an HTTP API",
        ]
        (pipelines / "r.yaml").rename(pipelines / "s.yaml")
        (pipelines / "s.yaml").write_text(f"id: r\n{PLAIN}")
        for name in ("same", "q", "unfit"):
            (pipelines / f"{name}.yaml").unlink()
        assert await _reload_and_read_log(service, caplog, tmp_path) == [
            ("INFO", "s.yaml was reloaded"),
            ("INFO", "q.yaml was removed: q is no longer served"),
            ("INFO", "r.yaml was removed: r is defined by another file now"),
        ]
        assert await _reload_and_read_log(service, caplog, tmp_path) == []


async def test_an_ignored_file_is_reported_once_and_an_editors_lock_file_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with _serve_unwatched(tmp_path, {"p": PLAIN}) as service:
        for name in ("Upper.YAML", ".#p.yaml", "p.yaml~"):
            (tmp_path / "config" / "pipelines" / name).write_text(PLAIN)
        assert await _reload_and_read_log(service, caplog, tmp_path) == [
            (
                "WARNING",
                "pipelines/Upper.YAML:1:1: warning: the file is not read: its name ends in .YAML; "
                "rename it to Upper.yaml",
            )
        ]
        assert await _reload_and_read_log(service, caplog, tmp_path) == []


async def test_the_url_of_a_webhook_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with _serve_unwatched(tmp_path, {"p": PLAIN}) as service:
        file = tmp_path / "config" / "pipelines" / "p.yaml"
        for text, where in ((HOOKED, "; webhook POST /hooks/greet"), (HOOKED + "description: two\n", "")):
            file.write_text(text + PLAIN)
            assert await _reload_and_read_log(service, caplog, tmp_path) == [("INFO", f"p.yaml was reloaded{where}")]


async def test_a_new_file_with_the_id_of_another_is_reported_as_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with _serve_unwatched(tmp_path, {"p": PLAIN}) as service:
        (tmp_path / "config" / "pipelines" / "q.yaml").write_text(f"id: p\n{PLAIN}")
        assert await _reload_and_read_log(service, caplog, tmp_path) == [
            ("ERROR", "q.yaml is invalid"),
            ("ERROR", "pipelines/q.yaml:1:1: error: the id 'p' is taken by p.yaml; rename one of them"),
        ]


async def test_refused_and_fixed_connections_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crm, unfit = "crm: {use: http, base_url: https://a.b}\n", "crm: {use: http}\n"
    async with _serve_unwatched(tmp_path, {"p": PLAIN}) as service:
        file = tmp_path / "config" / "connections.yaml"
        file.write_text(unfit)
        why = ("ERROR", f"connections.yaml:1:6: error: {NO_URL}")
        assert await _reload_and_read_log(service, caplog, tmp_path) == [("ERROR", "connections.yaml is invalid"), why]
        assert await _reload_and_read_log(service, caplog, tmp_path) == []
        file.write_text(crm)
        assert await _reload_and_read_log(service, caplog, tmp_path) == [("INFO", "connections.yaml was reloaded")]
        file.write_text(unfit)
        kept = ("ERROR", "connections.yaml is invalid; its previous version stays in use for crm")
        assert await _reload_and_read_log(service, caplog, tmp_path) == [kept, why]
        file.unlink()
        assert await _reload_and_read_log(service, caplog, tmp_path) == [
            ("INFO", "connections.yaml was removed: there are no connections now")
        ]
