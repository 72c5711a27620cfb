"""How much of the requests of deliveries is kept: bounds for one, for all, and for the rejected ones apart.

Strangers choose what is rejected, so that their requests have a bound of their own and displace no others. The oldest
are dropped first, in small batches. The sums are those of the rows; in memory there is only what was added since.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from durable.journal.deliveries import list_oldest_kept, sum_kept
from durable.journal.errors import JournalClosed, JournalError
from durable.journal.journal import Journal
from durable.units import DeliveryOutcome
from triggers.webhooks.kept_request import encode_head
from triggers.webhooks.request import WebhookRequest
from triggers.webhooks.trigger import WebhookTrigger

log = logging.getLogger("waypost.webhook")

CHECK_SECONDS = 60
"""The time between two looks at the sums. Much that is added brings the next one forward."""

SHARE = 16
"""The part of a bound (one sixteenth) that is added before the sums are looked at again."""

BATCH_ROWS = 100
BATCH_BYTES = 2 * 1024 * 1024
"""What one unit drops at most. A larger one would delay the commits of runs: a megabyte has 256 pages."""


class KeptLimits(NamedTuple):
    """The bytes that are kept: of one delivery, of all that were not rejected, and of the rejected ones."""

    delivery: int
    total: int
    rejected: int


class RequestKeeper:
    """Decides what is kept of each request, and drops the oldest. `key` is the key of the hashes of credentials."""

    def __init__(self, journal: Journal, limits: KeptLimits, key: bytes) -> None:
        self.key = key
        self.limits = limits
        self._journal = journal
        self._added = 0
        self._added_rejected = 0
        self._is_due = asyncio.Event()

    def keep(
        self, request: WebhookRequest, hook: WebhookTrigger, parameters: Mapping[str, str], outcome: DeliveryOutcome
    ) -> tuple[bytes | None, bytes | None]:
        """The head and the body to keep of a request; None for what is not kept."""
        if not (self.limits.rejected if outcome == "rejected" else self.limits.total):
            return None, None
        head = encode_head(request, hook, parameters, self.key)
        body = None if outcome == "rejected" and _is_multipart(request) else request.body
        if len(head) + len(body or b"") > self.limits.delivery:
            body = None
        size = len(head) + len(body or b"")
        if size > self.limits.delivery or not self._take_room(size, outcome):
            return None, None
        return head, body

    def _take_room(self, size: int, outcome: DeliveryOutcome) -> bool:
        """Count a request. Rejected ones find no room until the oldest are dropped; others never wait for that."""
        if outcome == "rejected":
            has_room = self._added_rejected + size <= self.limits.rejected // SHARE
            self._added_rejected += size if has_room else 0
        else:
            has_room = self._added + size <= self.limits.total // SHARE
            self._added += size
        if not has_room:
            self._is_due.set()
        return has_room or outcome != "rejected"

    async def watch(self) -> None:
        """Drop the oldest requests whenever there are too many bytes, until cancelled."""
        while True:
            try:
                await self.drop_oldest()
            except JournalClosed:
                return
            except JournalError as error:
                log.warning("old requests of deliveries could not be dropped; the next try follows: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._is_due.wait()

    async def drop_oldest(self) -> None:
        """Drop the oldest requests until the sums are within the bounds; raises `JournalError`."""
        self._is_due.clear()
        self._added = self._added_rejected = 0
        for limit, is_rejected in ((self.limits.rejected, True), (self.limits.total, False)):
            excess = await self._journal.read(sum_kept, is_rejected=is_rejected) - limit
            while excess > 0:
                dropped = await self._drop_batch(min(excess, BATCH_BYTES), is_rejected=is_rejected)
                if not dropped:
                    break
                excess -= dropped

    async def _drop_batch(self, least: int, *, is_rejected: bool) -> int:
        """Drop the oldest requests, until they have this many bytes; returns how many they had."""
        ids, size = [], 0
        for id, kept in await self._journal.read(list_oldest_kept, BATCH_ROWS, is_rejected=is_rejected):
            if size >= least:
                break
            ids.append(id)
            size += kept
        if ids:
            await asyncio.shield(self._journal.drop_requests(ids))
        return size


def _is_multipart(request: WebhookRequest) -> bool:
    """Whether a body holds files, which are kept only of accepted requests."""
    return any(name == "content-type" and value.lower().startswith("multipart/") for name, value in request.headers)
