"""Secrets of the encrypted store in a running service: set, used, rotated, and shown nowhere."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from durable.encrypted_store.key_ring import StoreKey
from durable.journal.sqlite.backup import write_backup
from tests.service.running import ENVIRONMENT, Running, outside, running
from tests.service.store_keys import make_environment

pytestmark = pytest.mark.anyio

CANARY = "canary/9f+secret=value"

ASKS = """
steps:
  - id: ask
    use: http.get
    with: {{url: "{url}/", headers: {{authorization: "Bearer {{{{ secrets.CRM }}}}"}}}}
"""


async def set_secret(service: Running, name: str = "CRM", value: str = CANARY) -> dict[str, Any]:
    answer = await service.client.post("/api/secrets", json={"name": name, "value": value})
    assert answer.status_code == 200, answer.text
    stored: dict[str, Any] = answer.json()
    return stored


async def list_secrets(service: Running) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (await service.ask("/secrets"))["secrets"]}


async def start(service: Running) -> str:
    run: str = (await service.start("asks")).json()["id"]
    return run


async def test_a_stored_secret_is_used_at_once_and_shown_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = StoreKey.generate()
    environment = make_environment(tmp_path, key)
    texts: list[str] = []

    async def record(answer: httpx.Response) -> None:
        await answer.aread()
        texts.append(answer.text)

    with caplog.at_level(logging.DEBUG, "waypost"):
        async with outside() as crm:
            asks = ASKS.format(url=crm.url)
            async with running(tmp_path, {"asks": asks}, environment) as service:
                service.client.event_hooks["response"].append(record)
                [file] = (await service.ask("/pipelines"))["pipelines"]
                assert "the secret 'CRM' is not set" in file["problems"][0]
                run = await start(service)
                assert "waypost secrets set CRM" in (await service.wait_for_end(run))["reason"]

                stored = await set_secret(service)

                assert (stored["source"], stored["key"], stored["updated_by"]) == ("store", key.id, "admin")
                [file] = (await service.ask("/pipelines"))["pipelines"]
                assert file["problems"] == []
                assert (await service.client.post(f"/api/runs/{run}/resume", json={})).is_success
                assert (await service.wait_for_end(run))["status"] == "completed"
                assert crm.requests[-1]["headers"]["authorization"] == f"Bearer {CANARY}"
                crm.echo = True
                assert (await service.wait_for_end(await start(service)))["status"] == "completed"
                for path in (f"runs/{run}/history", f"runs/{run}", "deliveries", "secrets", "openapi.json"):
                    await service.client.get(f"/api/{path}")
                await service.client.get("/ready")
                write_backup(tmp_path / "data", tmp_path / "backup")
                assert (await service.client.post("/api/secrets/key/rotate")).is_success
                write_backup(tmp_path / "data", tmp_path / "later")
            async with running(tmp_path, {"asks": asks}, environment) as service:
                assert (await service.wait_for_end(await start(service)))["status"] == "completed"
                assert crm.requests[-1]["headers"]["authorization"] == f"Bearer {CANARY}"
                files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert "the secret 'CRM' was set by 'admin'" in caplog.text
    for text in [*texts, caplog.text]:
        assert CANARY not in text
        assert key.encode() not in text
    assert len(files) > 5
    assert not any(CANARY.encode() in data for data in files)
    assert sum(key.encode().encode() in data for data in files) == 1, "in its own file"


async def test_a_new_value_replaces_the_stored_one_from_the_next_attempt_on(tmp_path: Path) -> None:
    async with outside() as crm:
        asks = ASKS.format(url=crm.url)
        async with running(tmp_path, {"asks": asks}, make_environment(tmp_path, StoreKey.generate())) as service:
            for value in ("first-value", "second-value"):
                await set_secret(service, value=value)
                await service.wait_for_end(await start(service))
            sent = [request["headers"]["authorization"] for request in crm.requests]
            assert sent == ["Bearer first-value", "Bearer second-value"]

            removed = await service.client.delete("/api/secrets/CRM")

            assert removed.json() == {"name": "CRM", "source": None}
            assert (await service.wait_for_end(await start(service)))["status"] == "paused"
            assert (await service.client.delete("/api/secrets/CRM")).status_code == 404


async def test_the_environment_comes_before_the_store_and_the_list_says_so(tmp_path: Path) -> None:
    environment = make_environment(tmp_path, StoreKey.generate(), WAYPOST_SECRET_CRM="from-the-variable")
    async with outside() as crm, running(tmp_path, {"asks": ASKS.format(url=crm.url)}, environment) as service:
        stored = await set_secret(service)
        assert stored["source"] == "environment"
        assert stored["doubts"] == [
            "is set twice: WAYPOST_SECRET_CRM is used, and the value in the encrypted store is ignored"
        ]
        await service.wait_for_end(await start(service))
        assert crm.requests[-1]["headers"]["authorization"] == "Bearer from-the-variable"
        assert {name: each["source"] for name, each in (await list_secrets(service)).items()} == {
            "CRM": "environment",
            "HOOK": "environment",
        }


async def test_without_a_key_the_service_starts_and_says_how_to_make_one(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as service:
        answer = await service.client.post("/api/secrets", json={"name": "CRM", "value": CANARY})
        assert answer.status_code == 409
        assert "`waypost secrets key new FILE`" in answer.json()["detail"]
        assert (await service.client.post("/api/secrets/key/rotate")).status_code == 409
        assert (await service.client.get("/ready")).json() == {"ready": True, "invalid": []}


async def test_with_a_wrong_key_what_needs_a_stored_value_is_named_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right, wrong = StoreKey.generate(), StoreKey.generate()
    async with outside() as crm:
        pipelines = {"asks": ASKS.format(url=crm.url), "other": "steps: [{id: a, use: flow.stop}]"}
        async with running(tmp_path, pipelines, make_environment(tmp_path, right)) as service:
            await set_secret(service)
        async with running(tmp_path, pipelines, make_environment(tmp_path, wrong)) as service:
            why = f"is encrypted with the store key {right.id}, which is not set"
            assert f"the stored secret CRM {why}: start the service with that key" in caplog.text
            assert (await service.client.get("/ready")).json()["unreadable_values"] == 1
            assert (await list_secrets(service))["CRM"]["doubts"] == [why]
            run = await service.wait_for_end(await start(service))
            assert (run["status"], why in run["reason"]) == ("paused", True)
            other = await service.start("other")
            assert (await service.wait_for_end(other.json()["id"]))["status"] == "completed"
            refused = await service.client.post("/api/secrets", json={"name": "CRM", "value": "new"})
            assert (refused.status_code, f"{why}: start the service" in refused.json()["detail"]) == (409, True)
        async with running(tmp_path, pipelines, make_environment(tmp_path, right)) as service:
            await service.client.post(f"/api/runs/{run['id']}/resume", json={})
            assert (await service.wait_for_end(run["id"]))["status"] == "completed"
    assert crm.requests[-1]["headers"]["authorization"] == f"Bearer {CANARY}"


async def test_a_rotation_makes_a_key_before_the_old_one_while_the_service_runs(tmp_path: Path) -> None:
    old = StoreKey.generate()
    environment = make_environment(tmp_path, old)
    async with running(tmp_path, {}, environment) as service:
        await set_secret(service)
        done = (await service.client.post("/api/secrets/key/rotate")).json()
        assert (done["is_new"], done["resealed"], done["older_keys"], done["unreadable"]) == (True, 1, [old.id], [])
        listed = await list_secrets(service)
        assert listed["CRM"]["key"] == done["store_key"] != old.id
        assert listed["CRM"]["updated_by"] == "admin"
    file = tmp_path / "store.key"
    new, kept = file.read_text().split()
    assert (StoreKey.parse(new).id, kept) == (done["store_key"], old.encode())
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(new)
    async with running(tmp_path, {}, environment) as service:
        assert (await list_secrets(service))["CRM"]["doubts"] == []


async def test_a_rotation_is_refused_if_the_key_in_use_is_no_longer_in_its_file(tmp_path: Path) -> None:
    old, new = StoreKey.generate(), StoreKey.generate()
    environment = make_environment(tmp_path, old)
    async with running(tmp_path, {}, environment) as service:
        await set_secret(service)
        make_environment(tmp_path, new)
        refused = await service.client.post("/api/secrets/key/rotate")
        assert (refused.status_code, f"the store key {old.id}, which" in refused.text) == (409, True)
        assert (await list_secrets(service))["CRM"]["doubts"] == []
        make_environment(tmp_path, new, old)
        done = (await service.client.post("/api/secrets/key/rotate")).json()
        assert (done["store_key"], done["is_new"], done["resealed"]) == (new.id, False, 1)


async def test_a_key_in_a_variable_is_rotated_by_setting_both(tmp_path: Path) -> None:
    old, new = StoreKey.generate(), StoreKey.generate()
    environment = {**ENVIRONMENT, "WAYPOST_STORE_KEY": old.encode()}
    async with running(tmp_path, {}, environment) as service:
        await set_secret(service)
        refused = await service.client.post("/api/secrets/key/rotate")
        assert refused.status_code == 409
        assert "set the variable to the new key, a space and the old one" in refused.json()["detail"]
    environment["WAYPOST_STORE_KEY"] = f"{new.encode()} {old.encode()}"
    async with running(tmp_path, {}, environment) as service:
        done = (await service.client.post("/api/secrets/key/rotate")).json()
        assert (done["store_key"], done["is_new"], done["resealed"]) == (new.id, False, 1)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"name": "1A", "value": CANARY}, 422, "`name`"),
        ({"name": "CRM_FILE", "value": CANARY}, 422, "cannot end in _FILE"),
        ({"name": "CRM", "value": ""}, 422, "is empty"),
        ({"name": "CRM", "value": CANARY + "\0"}, 422, "zero bytes"),
        ({"name": "CRM", "value": CANARY * 4_000}, 422, "larger than 64 KiB"),
        ({"name": "CRM", "value": [CANARY]}, 422, "`value`"),
        ({"name": "CRM", "values": CANARY}, 422, "did you mean"),
        ({"name": "CRM"}, 422, "missing"),
    ],
)
async def test_what_cannot_be_a_secret_is_refused_without_showing_it(
    tmp_path: Path, body: dict[str, Any], status: int, detail: str
) -> None:
    async with running(tmp_path, {}, make_environment(tmp_path, StoreKey.generate())) as service:
        answer = await service.client.post("/api/secrets", json=body)
        assert (answer.status_code, detail in answer.text) == (status, True), answer.text
        assert CANARY not in answer.text


async def test_only_the_admin_scope_may_see_and_change_secrets(tmp_path: Path) -> None:
    async with running(tmp_path, {}, make_environment(tmp_path, StoreKey.generate())) as service:
        made = (await service.client.post("/api/keys", json={"name": "ci", "scope": "start"})).json()
        headers = {"authorization": f"Bearer {made['key']}"}
        for method, path in [
            ("GET", "/api/secrets"),
            ("POST", "/api/secrets"),
            ("DELETE", "/api/secrets/CRM"),
            ("POST", "/api/secrets/key/rotate"),
        ]:
            assert (await service.client.request(method, path, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    ("place", "content", "problem"),
    [
        ("data/store.key", None, "is in the data folder"),
        ("none.key", None, "cannot be read (No such file or directory)"),
        ("bad.key", b"hunter2\n", "is not a store key"),
        ("bytes.key", b"\xff\xfe", "is not text"),
        ("empty.key", b"", "is empty"),
    ],
)
async def test_an_unusable_key_disables_the_store_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, content: bytes | None, problem: str
) -> None:
    file = tmp_path / place
    if content is not None:
        file.write_bytes(content)
    async with running(tmp_path, {}, ENVIRONMENT | {"WAYPOST_STORE_KEY_FILE": str(file)}) as service:
        answer = await service.client.post("/api/secrets", json={"name": "CRM", "value": CANARY})
        assert (answer.status_code, problem in answer.text) == (409, True), answer.text
        assert problem in (await service.ask("/secrets"))["problem"]
        assert f"the store key's file {file} {problem}" in caplog.text
        assert "hunter2" not in answer.text + caplog.text
