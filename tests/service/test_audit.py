"""The audit log: who did what, by which way, and with which result."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import Response

from durable.audit import COMMAND_AGENT
from durable.clock import new_id, now
from durable.journal.audit import PREFIX, list_audit_records
from durable.journal.errors import JournalClosed
from durable.journal.journal import Journal
from durable.redactor import Redactor
from tests.service.running import ENVIRONMENT, Running, running
from triggers.api.calls import OperationCalls
from triggers.api.operation import ApiRequest, Nothing, Operation, Parameters
from triggers.api.problem import ApiError
from triggers.audit import AuditLog, Caller
from triggers.keys import KeyHolder

pytestmark = pytest.mark.anyio

ASK = """
steps:
  - {id: ask, use: wait.approval, with: {title: Ship it?, to: ops@example.com}, timeout: 1h, on_timeout: fail}
"""
PATIENT = {"ask": ASK}


async def _list(service: Running, **filters: str) -> list[dict[str, Any]]:
    answer = await service.client.get("/api/audit", params=filters)
    assert answer.status_code == 200, answer.text
    records: list[dict[str, Any]] = answer.json()["records"]
    return records


async def _start(service: Running) -> str:
    run: str = (await service.start("ask")).json()["id"]
    while not (await service.ask(f"/waits?run={run}"))["waits"]:
        await asyncio.sleep(0.01)
    return run


async def _make_key(service: Running, scope: str) -> dict[str, Any]:
    made: dict[str, Any] = (await service.client.post("/api/keys", json={"name": "Ada", "scope": scope})).json()
    return made


async def test_an_action_is_recorded_with_who_what_why_and_its_result(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        run = await _start(service)
        key = await _make_key(service, "start")
        headers = {"Authorization": f"Bearer {key['key']}"}
        path = f"/api/runs/{run}/cancel"
        await service.client.post(path, json={"reason": "a duplicate order"}, headers=headers)
        await service.wait_for_end(run)
        await service.client.post(path, json={}, headers={**headers, "User-Agent": f"{COMMAND_AGENT}/1"})
        refused, done, made = await _list(service)
        assert (refused["outcome"], refused["status"], refused["via"]) == ("refused", 409, "command")
        assert done == {
            "id": done["id"],
            "at": done["at"],
            "by": "Ada",
            "key": key["id"],
            "session": None,
            "via": "api",
            "address": "127.0.0.1",
            "action": "cancel_run",
            "kind": "run",
            "target": run,
            "outcome": "done",
            "status": 202,
            "reason": "a duplicate order",
        }
        assert (made["action"], made["by"], made["kind"], made["target"]) == ("create_key", "admin", "key", key["id"])


async def test_starts_events_and_reads_are_not_recorded(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        await _start(service)
        await service.client.post("/api/pipelines/ask/runs/batch", json={"runs": [{}]})
        await service.client.post("/api/events", json={"source": "shop", "type": "made"})
        await service.client.post("/api/bulks/preview", json={"action": "cancel", "filter": {}})
        await service.client.post("/api/tokens", json={"scope": {"pipelines": ["ask"]}})
        assert await _list(service) == []


async def test_a_refusal_for_want_of_a_scope_is_recorded_and_a_flood_of_them_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        run = await _start(service)
        headers = {"Authorization": f"Bearer {(await _make_key(service, 'read'))['key']}"}
        for _ in range(30):
            answer = await service.client.post(f"/api/runs/{run}/cancel", json={}, headers=headers)
            assert answer.status_code == 403
        refused = await _list(service, outcome="refused")
        assert len(refused) == 20
        assert (refused[0]["by"], refused[0]["target"], refused[0]["status"]) == ("Ada", run, 403)
        assert (await service.client.get("/api/audit", headers=headers)).status_code == 403


async def test_signing_in_acting_on_a_page_and_signing_out_are_recorded_with_the_session(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        run = await _start(service)
        form = {"key": service.client.headers["authorization"].removeprefix("Bearer ")}
        await service.client.post("/sign-in", data=form, headers={"Authorization": "", "Sec-Fetch-Site": "same-origin"})
        browser = {"Authorization": "", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
        answer = await service.client.post(f"/runs/{run}/cancel", data={"reason": "by hand"}, headers=browser)
        assert answer.status_code == 303
        page = await service.client.get("/audit", headers=browser)
        assert "cancel run" in page.text
        assert f"/runs/{run}" in page.text
        await service.client.post("/sign-out", headers=browser)
        out, cancel, into = await _list(service)
        assert [each["action"] for each in (out, cancel, into)] == ["sign_out", "cancel_run", "sign_in"]
        assert {each["via"] for each in (out, cancel, into)} == {"dashboard"}
        assert cancel["reason"] == "by hand"
        assert into["target"] == into["session"] == cancel["session"] == out["session"]


async def test_an_answer_by_link_is_recorded_without_the_links_proof(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        run = await _start(service)
        [wait] = (await service.ask(f"/waits?run={run}"))["waits"]
        assert (await service.client.get(wait["link"])).status_code == 200
        assert await _list(service) == []
        said = {"approved": True, "comment": f"see {wait['link']}"}
        assert (await service.client.post(wait["link"], json=said)).status_code == 202
        await service.client.post(f"/api/runs/{run}/cancel", json={"reason": f"not {wait['link']}"})
        _, record = await _list(service)
        assert (record["action"], record["via"], record["by"]) == ("answer_run", "link", None)
        assert record["target"] == run
        proof = wait["link"].rpartition("/")[2]
        assert proof not in json.dumps(await _list(service))


async def test_the_list_is_filtered_and_paged(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        keys = [await _make_key(service, "read") for _ in range(5)]
        for key in keys[:2]:
            await service.client.delete(f"/api/keys/{key['id']}")
        first = (await service.client.get("/api/audit", params={"limit": 4})).json()
        rest = (await service.client.get("/api/audit", params={"after": first["after"], "limit": 4})).json()
        assert [each["action"] for each in first["records"] + rest["records"]] == ["revoke_key"] * 2 + [
            "create_key"
        ] * 5
        assert rest["after"] is None
        assert len(await _list(service, target=keys[0]["id"])) == 2
        assert len(await _list(service, action="revoke_key", by="admin")) == 2
        assert await _list(service, by="nobody") == []
        assert await _list(service, to="1h") == []
        assert len(await _list(service, **{"from": "1h"})) == 7


async def test_a_secret_in_a_reason_is_not_stored_and_names_of_secrets_are(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        run = await _start(service)
        await service.client.post(f"/api/runs/{run}/cancel", json={"reason": ENVIRONMENT["WAYPOST_SECRET_HOOK"]})
        await service.client.delete("/api/secrets/NO_SUCH")
        removed, cancelled = await _list(service)
        assert (removed["kind"], removed["target"], removed["status"]) == ("secret", "NO_SUCH", 404)
        assert "hook-secret-1" not in cancelled["reason"]


async def test_an_action_whose_result_was_lost_is_shown_as_not_known(tmp_path: Path) -> None:
    async with running(tmp_path, PATIENT) as service:
        await _make_key(service, "read")
        [record] = await service.service.journal.read(list_audit_records, 1)
        begun = replace(record, id=new_id(PREFIX, now()), outcome="begun", status=None)
        await service.service.journal.add_audit_record(begun)
        page = (await service.client.get("/audit", headers={"Accept": "text/html"})).text
        assert "not known" in page


async def test_old_rows_are_removed(tmp_path: Path) -> None:
    later = [0]
    async with running(tmp_path, PATIENT, now=lambda: now() + later[0], retention_audit="2d") as service:
        await _make_key(service, "read")
        later[0] = 3 * 86_400_000
        await _make_key(service, "start")
        await service.service.retention.make_pass()
        [kept] = await _list(service)
        assert kept["action"] == "create_key"


HOOKED = """
triggers: [{id: hook, use: webhook, with: {path: /hooked, verify: none}}]
steps: [{id: wait, use: wait.webhook, timeout: 1h, on_timeout: fail}]
"""


async def test_a_run_says_who_started_it_and_its_history_who_answered(tmp_path: Path) -> None:
    async with running(tmp_path, {"hooked": HOOKED}) as service:
        headers = {"Authorization": f"Bearer {(await _make_key(service, 'start'))['key']}"}
        started = await service.start("hooked", None, **headers)
        batch = await service.client.post("/api/pipelines/hooked/runs/batch", json={"runs": [{}]}, headers=headers)
        triggered = await service.client.post("/api/pipelines/hooked/trigger", json={"document": {}}, headers=headers)
        runs = [started.json()["id"], batch.json()["answers"][0]["run"]["id"], triggered.json()["id"]]
        for run in runs:
            assert (await service.ask(f"/runs/{run}"))["by"] == "Ada"
            assert "by Ada" in (await service.client.get(f"/runs/{run}", headers={"Accept": "text/html"})).text
        run = runs[0]
        while not (await service.ask(f"/waits?run={run}"))["waits"]:
            await asyncio.sleep(0.01)
        await service.client.post(f"/api/runs/{run}/answer", json={"step": "wait", "data": 1}, headers=headers)
        await service.wait_for_end(run)
        entries = (await service.ask(f"/runs/{run}/history"))["entries"]
        assert [each.get("by") for each in entries if each["type"] in ("run_started", "signal_received")] == ["Ada"] * 2
        delivered = (await service.client.post("/hooks/hooked", json={})).json()["runs"][0]
        assert (await service.ask(f"/runs/{delivered}"))["by"] is None


class Actions:
    """An operation whose end the test decides, and how often it was performed."""

    def __init__(self, ending: BaseException | None = None) -> None:
        self.ending = ending
        self.times = 0

    async def act(self, asked: ApiRequest[Parameters, Nothing]) -> Response:
        """Act."""
        self.times += 1
        if self.ending:
            raise self.ending
        return Response(b"{}")

    async def call(self, journal: Journal) -> None:
        operation = Operation("POST", "/acts", self.act, "start", Parameters, Nothing, {200: None})
        caller = Caller(KeyHolder("Ada", "start", "key_1"), "api", None)
        await OperationCalls([operation], AuditLog(journal, Redactor(), now)).call("act", caller, {}, {})


async def test_nothing_is_done_if_it_cannot_be_recorded(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, node="node", on_fatal=lambda error: None)
    await journal.close()
    actions = Actions()
    with pytest.raises(JournalClosed):
        await actions.call(journal)
    assert actions.times == 0


@pytest.mark.parametrize(
    ("ending", "outcome", "status"),
    [
        (None, "done", 200),
        (ApiError(409, "it has ended"), "refused", 409),
        (RuntimeError("a bug"), "failed", 503),
        (asyncio.CancelledError(), "begun", None),
    ],
)
async def test_the_result_is_recorded_however_an_action_ends(
    tmp_path: Path, ending: BaseException | None, outcome: str, status: int | None
) -> None:
    journal = await Journal.open(tmp_path, node="node", on_fatal=lambda error: None)
    with contextlib.suppress(ApiError, asyncio.CancelledError):
        await Actions(ending).call(journal)
    [record] = await journal.read(list_audit_records, 10)
    assert (record.by, record.outcome, record.status) == ("Ada", outcome, status)
    await journal.close()
