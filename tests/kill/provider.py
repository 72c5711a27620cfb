"""Who sends the webhooks: a provider that signs them, and delivers each under its id until it is answered with 2xx."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import defaultdict
from typing import NamedTuple

import httpx

BIG_NOTE = "n" * 40_000
"""More than stands inside an entry: such a payload is a row of its own."""

PATIENCE = 5.0
LITTLE_PATIENCE = 0.003
"""Seconds after which a sender that hangs up early does so, before it can have been answered."""

RETRY_PAUSE = 0.02


class Accepted(NamedTuple):
    """A 2xx answer to a delivery."""

    event: str
    runs: tuple[str, ...]
    is_duplicate: bool


class Provider:
    """Delivers from `senders` at once to wherever `url` is at the moment, `pause` seconds apart on average.

    `answers` has every 2xx answer by webhook id, `pipelines` what each id was for, `problems` what no provider should
    ever see.
    """

    def __init__(
        self, name: str, secret: bytes, chance: random.Random, *, senders: int = 12, pause: float = 0.1
    ) -> None:
        self._name = name
        self._secret = secret
        self._chance = chance
        self._senders = senders
        self._pause = pause
        self._number = 0
        self._is_closing = False
        self.url = ""
        self.answers: dict[str, list[Accepted]] = defaultdict(list)
        self.pipelines: dict[str, str] = {}
        self.problems: list[str] = []

    async def work(self) -> None:
        """Send until `close`, then bring what was begun to its end."""
        async with (
            httpx.AsyncClient(trust_env=False, limits=httpx.Limits(keepalive_expiry=4)) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self._senders):
                group.create_task(self._send(client))

    def close(self) -> None:
        self._is_closing = True

    async def _send(self, client: httpx.AsyncClient) -> None:
        while not self._is_closing:
            id, body = self._next()
            await self.deliver(client, id, body)
            if self._chance.random() < 0.1:
                await self.deliver(client, id, body)
            await asyncio.sleep(self._chance.expovariate(1 / self._pause))

    def _next(self) -> tuple[str, bytes]:
        self._number += 1
        id = f"{self._name}-{self._number}"
        self.pipelines[id] = "parked" if self._number % 4 == 0 else "repeatable"
        note = BIG_NOTE if self._number % 25 == 0 else "short"
        return id, json.dumps({"type": "order.placed", "amount": self._number, "note": note}).encode()

    async def deliver(self, client: httpx.AsyncClient, id: str, body: bytes) -> None:
        """Deliver under the same id until a 2xx comes back, sometimes hanging up before it can."""
        while True:
            is_impatient = self._chance.random() < 0.05
            answer = await self._try(client, id, body, LITTLE_PATIENCE if is_impatient else PATIENCE)
            if answer is not None and answer.is_success:
                document = answer.json()
                accepted = Accepted(document["event"], tuple(document["runs"]), document.get("duplicate", False))
                self.answers[id].append(accepted)
                return
            if answer is not None and answer.status_code != 503:
                self.problems.append(f"{id} was answered {answer.status_code}: {answer.text[:200]}")
                return
            await asyncio.sleep(RETRY_PAUSE)

    async def _try(self, client: httpx.AsyncClient, id: str, body: bytes, patience: float) -> httpx.Response | None:
        if not self.url:
            return None
        moment = str(int(time.time()))
        signed = hmac.digest(self._secret, f"{id}.{moment}.".encode() + body, hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": moment,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        path = f"/hooks/{self.pipelines.get(id, 'repeatable')}"
        try:
            async with asyncio.timeout(patience):
                return await client.post(f"{self.url}{path}", content=body, headers=headers, timeout=PATIENCE)
        except (httpx.TransportError, TimeoutError):
            return None
