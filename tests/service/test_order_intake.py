"""The complete sample pipeline, down each branch, against stand-ins for the services that it calls."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from durable.path import make_key
from tests.core.replaying import check_decisions
from tests.histories import Exported
from tests.service.gates import until_status
from tests.service.running import ENVIRONMENT, Running, running
from tests.standins.services import SERVICES
from tests.standins.town import Effect, Town, town

pytestmark = pytest.mark.anyio

SAMPLE = (Path(__file__).parent.parent / "data" / "order_intake.yaml").read_text()
LICENCE = """
inputs: {order: {type: object, required: [id]}}
steps:
  - id: issue
    use: sql.execute
    connection: warehouse
    with: {sql: "insert into licences values (:order)", params: {order: "{{ inputs.order.id }}"}}
outputs: {key: "{{ steps.issue.output.id }}"}
"""
SECRETS = {"SHOPIFY": "shop-secret-1", "STRIPE": "sk_live_canary", "STOCK": "stock-canary", "OTHERS": "others-canary"}
_numbers = count(1)


def _connections(url: str) -> str:
    account = "api_key: '{{ secrets.OTHERS }}'"
    return f"""
crm: {{use: http, base_url: "{url}/crm"}}
stock: {{use: http, base_url: "{url}/stock", headers: {{authorization: "Bearer {{{{ secrets.STOCK }}}}"}}}}
bank: {{use: http, base_url: "{url}/bank"}}
stripe_live: {{use: stripe, base_url: "{url}/stripe", api_key: "{{{{ secrets.STRIPE }}}}"}}
warehouse: {{use: sql, base_url: "{url}/warehouse", {account}}}
slack: {{use: slack, base_url: "{url}/slack", {account}}}
smtp: {{use: email, base_url: "{url}/smtp", {account}}}
"""


def sooner(**times: str) -> str:
    """The sample with shorter times: `timeout_2d="1s"` makes every `timeout: 2d` one second."""
    text = SAMPLE
    for name, time in times.items():
        said = name.replace("_", ": ")
        assert said in text
        text = text.replace(said, f"{said.partition(': ')[0]}: {time}")
    return text


class Shop:
    """The service with the sample, and the stand-in services (`town`) around it."""

    def __init__(self, service: Running, town: Town, place: Path) -> None:
        self.service = service
        self.town = town
        self.place = place

    async def delivers(self, order: dict[str, Any], *, id: str = "", signed: bool = True) -> httpx.Response:
        """The shop sends an order, as Shopify does."""
        body = json.dumps(order).encode()
        digest = hmac.digest(SECRETS["SHOPIFY"].encode(), body if signed else b"another", hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "x-shopify-hmac-sha256": base64.b64encode(digest).decode(),
            "x-shopify-webhook-id": id or f"delivery-{next(_numbers)}",
        }
        async with httpx.AsyncClient(base_url=self.service.service.url, trust_env=False) as client:
            return await client.post("/hooks/orders/berlin", content=body, headers=headers)

    async def takes(self, **order: Any) -> str:
        """Deliver an order that is accepted, and return its run."""
        answer = await self.delivers(make_order(**order))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["runs"][0])

    async def is_(self, run: str, status: str) -> dict[str, Any]:
        return await until_status(self.service, run, status)

    async def is_at(self, run: str, step: str) -> None:
        """Return once the run waits at that step."""
        async with asyncio.timeout(60):
            while [wait["step"] for wait in (await self.service.run(run))["waits"]] != [step]:
                await asyncio.sleep(0.01)

    async def decides(self, run: str, *, approved: bool) -> None:
        """Open the link from the e-mail and decide, as a person does."""
        await self.is_at(run, "approval")
        link = (await self.service.run(run))["waits"][0]["link"]
        async with httpx.AsyncClient(trust_env=False) as person:
            answer = await person.post(link, json={"approved": approved})
        assert answer.status_code == 202, answer.text

    async def ships(self, order: str) -> None:
        event = {"type": "parcel.shipped", "subject": order}
        answer = await self.service.client.post("/api/events", json=event)
        assert answer.status_code in (200, 202), answer.text

    async def arrives(self, run: str, order: str) -> dict[str, Any]:
        """Ship the parcel once the run waits for it, and return the run when it has ended."""
        await self.is_at(run, "shipped")
        await self.ships(order)
        return await self.is_(run, "completed")


def make_order(**changes: Any) -> dict[str, Any]:
    lines = [{"sku": "apple", "qty": 1}, {"sku": "pear", "qty": 2}, {"sku": "plum", "qty": 3}]
    return {"id": "o-1", "customer_id": "ada", "kind": "goods", "total": 20, "lines": lines} | changes


@asynccontextmanager
async def open_shop(place: Path, text: str = SAMPLE) -> AsyncIterator[Shop]:
    async with town() as around, enter_shop(place, around, text) as shop:
        yield shop
        await _ensure_replayed(shop.service)


@asynccontextmanager
async def enter_shop(place: Path, around: Town, text: str = SAMPLE) -> AsyncIterator[Shop]:
    """Open the shop in an existing town."""
    environment = ENVIRONMENT | {f"WAYPOST_SECRET_{name}": value for name, value in SECRETS.items()}
    pipelines = {"order_intake": text, "issue_licence": LICENCE}
    (place / "config").mkdir(parents=True, exist_ok=True)
    (place / "config" / "connections.yaml").write_text(_connections(around.url))
    async with running(place, pipelines, environment, SERVICES, drain_timeout="0s") as service:
        problems = [str(each) for file in service.service.folder.files for each in file.problems]
        assert not problems
        yield Shop(service, around, place)


async def _ensure_replayed(service: Running) -> None:
    """Check that the core makes the same decisions again for each run."""
    for run in (await service.client.get("/api/runs")).json()["runs"]:
        answer = await service.client.get(f"/api/runs/{run['id']}/export")
        exported = msgspec.json.decode(answer.content, type=Exported)
        check_decisions(exported.compiled(), exported.run, exported.entries)


def _decline_card(effect: Effect) -> tuple[int, Any] | None:
    if effect.service != "stripe":
        return None
    return 402, {"error": {"code": "card_declined", "message": "the card was declined"}}


async def test_an_order_completes_with_one_key_per_effect_and_no_secret_in_its_history(
    tmp_path: Path,
) -> None:
    async with open_shop(tmp_path) as shop:
        run = await shop.takes()
        done = await shop.arrives(run, "o-1")
        town = shop.town
        assert done["outputs"] == {"charge": done["steps"]["pay.charge"]["output"]["id"]}
        assert done["steps"]["customer"]["output"] == {"email": "ada@example.com"}, "only what it keeps"
        assert done["steps"]["approval"]["status"] == "skipped"
        assert town.list_effects("stock") == ["POST holds"] * 3
        assert town.bodies("stripe") == [{"amount": 20, "currency": "eur"}]
        assert town.bodies("warehouse")[0]["params"] == {"id": run}
        assert town.bodies("slack") == [{"channel": "#orders", "text": "Paid o-1"}]
        assert town.bodies("smtp") == [{"to": "ada@example.com", "subject": "Thanks", "template": "receipt"}]
        paths = [*(f"reserve[{n}].hold" for n in range(3)), "pay.charge", "pay.audit", "tell.slack", "tell.mail"]
        assert sorted(str(each.key) for each in town.effects) == sorted(make_key(run, path) for path in paths)
        assert {each.token for each in town.effects if each.service == "stripe"} == {f"Bearer {SECRETS['STRIPE']}"}
        told = (await shop.service.client.get(f"/api/runs/{run}/export")).text + json.dumps(done)
        assert not [value for value in SECRETS.values() if value in told]


async def test_a_large_order_continues_once_a_person_approves_it(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        run = await shop.takes(total=501)
        await shop.is_at(run, "approval")
        assert not shop.town.effects
        await shop.decides(run, approved=True)
        done = await shop.arrives(run, "o-1")
        assert done["steps"]["approval"]["output"]["approved"] is True
        assert shop.town.bodies("stripe") == [{"amount": 501, "currency": "eur"}]


async def test_a_large_order_rejected_by_a_person_is_cancelled_without_effects(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        run = await shop.takes(total=501)
        await shop.decides(run, approved=False)
        assert (await shop.is_(run, "cancelled"))["reason"] == "not approved"
        assert not shop.town.effects


async def test_a_large_order_without_a_decision_is_rejected(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sooner(timeout_2d="200ms")) as shop:
        run = await shop.takes(total=501)
        ended = await shop.is_(run, "cancelled")
        assert ended["reason"] == "not approved"
        assert ended["steps"]["approval"]["output"] == {"approved": False}
        assert not shop.town.effects


async def test_the_licence_of_a_digital_order_is_issued_by_a_separate_run(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        run = await shop.takes(kind="digital", lines=[])
        done = await shop.arrives(run, "o-1")
        (called,) = done["children"]
        assert called["status"] == "completed"
        child = await shop.service.run(called["run"])
        assert (child["pipeline"], child["parent"]) == ("issue_licence", {"run": run, "step": "route.licence"})
        assert done["steps"]["route.licence"]["output"] == child["outputs"]
        assert shop.town.list_effects("stock") == []
        assert "licences" in shop.town.bodies("warehouse")[0]["sql"]


async def test_a_declined_card_releases_the_holds_in_reverse_order_and_fails_the_order(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        shop.town.rules.append(_decline_card)
        run = await shop.takes()
        ended = await shop.is_(run, "failed")
        holds = [ended["steps"][f"reserve[{n}].hold"]["output"]["body"]["id"] for n in range(3)]
        result = shop.town.list_effects("stock")
        assert result[3:] == [f"DELETE holds/{hold}" for hold in reversed(holds)]
        assert (ended["error"]["step"], ended["error"]["message"]) == ("pay.halt", "the card was declined")
        assert [undo["status"] for undo in ended["undo"]] == ["done"] * 3
        assert ended["steps"]["pay.audit"]["status"] == "completed", "finally is performed in any case"
        (page,) = shop.town.bodies("slack")
        assert page["channel"] == "#oncall"
        assert page["text"] == f"{shop.service.service.url}/api/runs/{run} failed at pay.halt: the card was declined"
        assert not shop.town.list_effects("smtp")
        assert len({each.key for each in shop.town.effects}) == len(shop.town.effects)


async def test_an_out_of_stock_line_is_collected_and_the_order_continues(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        shop.town.rules.append(lambda asked: (409, {"gone": True}) if "pear" in str(asked.body) else None)
        run = await shop.takes()
        done = await shop.arrives(run, "o-1")
        statuses = [done["steps"][f"reserve[{n}].hold"]["status"] for n in range(3)]
        assert statuses == ["completed", "failed", "completed"]
        assert shop.town.list_effects("stock") == ["POST holds"] * 2


async def test_a_payment_is_polled_until_it_is_settled(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sooner(every_30s="50ms")) as shop:
        states = iter(["pending", "pending", "settled"])
        shop.town.rules.append(lambda asked: (200, {"state": next(states)}) if asked.service == "bank" else None)
        done = await shop.arrives(await shop.takes(), "o-1")
        charge = done["outputs"]["charge"]
        assert [each.place for each in shop.town.reads if each.service == "bank"] == [f"payments/{charge}"] * 3
        assert {path for path in done["steps"] if path.endswith("status")} == {f"settled[{n}].status" for n in range(3)}


async def test_a_parcel_shipped_before_the_wait_does_not_count(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        await shop.ships("o-1")
        run = await shop.takes()
        await shop.is_at(run, "shipped")
        await shop.ships("another")
        assert (await shop.service.run(run))["status"] == "waiting"
        assert (await shop.arrives(run, "o-1"))["steps"]["shipped"]["output"]["subject"] == "o-1"


async def test_an_order_whose_parcel_is_never_shipped_fails_with_an_alert(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sooner(timeout_7d="300ms")) as shop:
        run = await shop.takes()
        ended = await shop.is_(run, "failed")
        assert ended["error"]["step"] == "shipped"
        assert " failed at shipped: " in shop.town.bodies("slack")[-1]["text"]


async def test_a_charge_with_a_lost_response_is_left_to_a_person_and_never_repeated(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sooner(timeout_30s="300ms")) as shop:
        shop.town.mute.add("stripe")
        run = await shop.takes()
        paused = await shop.is_(run, "paused")
        assert paused["steps"]["pay.charge"]["status"] == "uncertain"
        assert shop.town.list_effects("stripe") == ["POST charges"]
        said = {"step": "pay.charge", "verdict": "completed", "output": {"id": "ch_seen"}}
        assert (await shop.service.client.post(f"/api/runs/{run}/resolve", json=said)).status_code == 202
        assert (await shop.arrives(run, "o-1"))["outputs"] == {"charge": "ch_seen"}
        assert shop.town.list_effects("stripe") == ["POST charges"]


async def test_a_hold_lost_in_a_crash_is_requested_again_with_the_same_key(tmp_path: Path) -> None:
    async with town() as around:
        around.mute.add("stock")
        async with enter_shop(tmp_path, around) as shop:
            run = await shop.takes(lines=[{"sku": "apple", "qty": 1}])
            await around.until(lambda: bool(around.list_effects("stock")))
        around.mute.clear()
        async with enter_shop(tmp_path, around) as shop:
            await shop.arrives(run, "o-1")
        assert around.list_effects("stock") == ["POST holds"]
        assert around.repeats == {"POST stock/holds": 1}


async def test_an_unsigned_order_is_rejected_and_a_test_order_starts_nothing(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        assert (await shop.delivers(make_order(), signed=False)).status_code == 401
        filtered = await shop.delivers(make_order(test=True))
        assert (filtered.status_code, filtered.json()["runs"]) == (200, [])
        assert (await shop.service.client.get("/api/runs")).json()["runs"] == []
        assert not shop.town.effects


async def test_an_order_delivered_twice_is_one_order(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        first, second = [await shop.delivers(make_order(), id="webhook-7") for _ in range(2)]
        assert (first.status_code, second.status_code) == (202, 200)
        assert second.json()["duplicate"] is True
        assert second.json()["runs"] == first.json()["runs"]
        await shop.arrives(first.json()["runs"][0], "o-1")
        assert len(shop.town.list_effects("stripe")) == 1


async def test_orders_of_one_customer_are_processed_one_after_the_other(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        first, second = await shop.takes(), await shop.takes(id="o-2")
        other = await shop.takes(id="o-3", customer_id="bob")
        await shop.is_at(first, "shipped")
        await shop.is_at(other, "shipped")
        assert (await shop.service.run(second))["status"] == "queued"
        await shop.arrives(first, "o-1")
        await shop.arrives(second, "o-2")


async def test_an_incomplete_order_fails_before_its_first_step_and_is_reported(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        answer = await shop.delivers({"id": "o-1", "customer_id": "ada"})
        (run,) = answer.json()["runs"]
        ended = await shop.is_(run, "failed")
        assert ended["error"]["code"] == "inputs"
        await shop.town.until(lambda: bool(shop.town.bodies("slack")))
        assert shop.town.list_effects("crm") == []
