"""The provider of the webhooks: signs them, and delivers each under its id until it gets a 2xx."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

import httpx

BIG_NOTE = "n" * 40_000
"""More than stands inside an entry: such a payload is a row of its own."""

PATIENCE = 5.0
LITTLE_PATIENCE = 0.003
"""Seconds after which a sender that hangs up early does so, before it can have been answered."""

RETRY_PAUSE = 0.02

AGAIN, IMPATIENT = 0.1, 0.05
"""The shares of webhooks that are delivered again though they were accepted, and of deliveries that hang up early."""


class Webhook(NamedTuple):
    """One event at the provider, however often it is delivered."""

    id: str
    pipeline: str
    body: bytes

    @classmethod
    def of(cls, id: str, pipeline: str = "repeatable", *, amount: int = 1, note: str = "short") -> Self:
        return cls(id, pipeline, json.dumps({"type": "order.placed", "amount": amount, "note": note}).encode())


class Accepted(NamedTuple):
    """A 2xx response to a delivery."""

    event: str | None
    runs: tuple[str, ...]
    is_duplicate: bool


class Provider:
    """Delivers to the current `url`, and nothing while it is empty.

    `turns` are the pipelines that it sends to, one after the other; their names are then part of the ids.
    `answers` has every 2xx response by webhook id, `problems` what no provider should ever see.
    """

    def __init__(self, name: str, secret: bytes, chance: random.Random, turns: Sequence[str] = ()) -> None:
        self._name = name
        self._secret = secret
        self._chance = chance
        self._turns = turns
        self._client = httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=httpx.Limits(keepalive_expiry=4))
        self._number = 0
        self._is_closing = False
        self.url = ""
        self.answers: dict[str, list[Accepted]] = defaultdict(list)
        self.problems: list[str] = []

    async def work(self, *, senders: int = 12, pause: float = 0.05) -> None:
        """Send with `senders` tasks, each pausing `pause` seconds on average, until `close`; then finish these."""
        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(self._send(pause))

    def close(self) -> None:
        self._is_closing = True

    async def _send(self, pause: float) -> None:
        while not self._is_closing:
            webhook = self._next()
            await self.deliver(webhook)
            if self._chance.random() < AGAIN:
                await self.deliver(webhook)
            await asyncio.sleep(self._chance.expovariate(1 / pause))

    def _next(self) -> Webhook:
        self._number = number = self._number + 1
        if self._turns:
            pipeline = self._turns[number % len(self._turns)]
            return Webhook.of(f"{self._name}-{pipeline}-{number}", pipeline, amount=number)
        pipeline = "parked" if number % 4 == 0 else "repeatable"
        note = BIG_NOTE if number % 25 == 0 else "short"
        return Webhook.of(f"{self._name}-{number}", pipeline, amount=number, note=note)

    async def deliver(self, webhook: Webhook) -> None:
        """Deliver under the same id until a 2xx comes back, sometimes disconnecting first."""
        while True:
            patience = LITTLE_PATIENCE if self._chance.random() < IMPATIENT else PATIENCE
            answer = await self._try(webhook, patience)
            if answer is not None and answer.is_success:
                document = answer.json()
                accepted = Accepted(document.get("event"), tuple(document["runs"]), document.get("duplicate", False))
                self.answers[webhook.id].append(accepted)
                return
            if answer is not None and answer.status_code != 503:
                self.problems.append(f"{webhook.id} was answered {answer.status_code}: {answer.text[:200]}")
                return
            await asyncio.sleep(RETRY_PAUSE)

    async def _try(self, webhook: Webhook, patience: float) -> httpx.Response | None:
        if not self.url:
            return None
        try:
            async with asyncio.timeout(patience):
                url = f"{self.url}/hooks/{webhook.pipeline}"
                return await self._client.post(url, content=webhook.body, headers=self._sign(webhook))
        except (httpx.TransportError, TimeoutError):
            return None

    def _sign(self, webhook: Webhook) -> dict[str, str]:
        """Headers according to https://www.standardwebhooks.com."""
        moment = str(int(time.time()))
        signature = hmac.digest(self._secret, f"{webhook.id}.{moment}.".encode() + webhook.body, hashlib.sha256)
        return {
            "content-type": "application/json",
            "webhook-id": webhook.id,
            "webhook-timestamp": moment,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
