"""Replays: the request of a delivery is taken in again, by the webhooks that are served now.

It is verified again, with the secrets of today and the clock of its receipt. Then `when`, the inputs and the pipeline
are those of today. The run is a new one, whether or not an earlier delivery had the same dedupe key.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from durable.clock import new_id
from durable.engine import Engine, Start
from durable.history.words import RunSource
from durable.journal.deliveries import find_delivery
from durable.journal.errors import RunUnreadable
from durable.journal.journal import Journal
from durable.journal.runs import find_newest_repeat
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.units import DedupeKey, Delivery, Event
from durable.values import JSON
from durable.wording import quote
from triggers.config.folder import Folder
from triggers.http.body import BadRequest
from triggers.not_found import DeliveryNotFound, RequestNotKept
from triggers.repeats.refusal import RepeatRefused
from triggers.repeats.repeated import ensure_admitted
from triggers.trigger import EventFiltered
from triggers.webhooks.dedupe import make_dedupe_keys
from triggers.webhooks.delivery import PendingDelivery
from triggers.webhooks.kept_delivery import KeptDelivery
from triggers.webhooks.request import Rejected
from triggers.webhooks.scheme import Token
from triggers.webhooks.trigger import WebhookTrigger
from triggers.webhooks.verifier import Verified


@dataclass(frozen=True, slots=True)
class Replayed:
    """The run of a replay.

    `is_duplicate`: an earlier request with the same key started it.
    `earlier`: the newest run that had already replayed the delivery.
    """

    run: str
    event: str
    pipeline: str
    version: str
    is_duplicate: bool
    earlier: str | None


class Replays:
    """Replays deliveries. `hash_key` is the key of the hashes of credentials."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        folder: Folder,
        secrets: Secrets,
        hash_key: bytes,
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._folder = folder
        self._secrets = secrets
        self._hash_key = hash_key
        self._now = now

    async def replay(
        self,
        delivery: str,
        *,
        to: str | None = None,
        is_unverified: bool = False,
        by: str | None,
        reason: str | None = None,
        key: DedupeKey | None = None,
    ) -> Replayed:
        """Take a delivery in again, and return after the commit of its run. `to` is another pipeline's webhook, as
        `PIPELINE` or `PIPELINE/TRIGGER`. With a `key`, only the first request does.

        Raises `DeliveryNotFound`, `RepeatRefused`, `Overloaded` and a `JournalError`.
        """
        kept = await self._load(delivery)
        hook, own = self._find_webhook(to or kept.row.trigger), self._find_own(kept.row)
        said = (own or hook).verifier.read_identity(kept.request)
        verified = said if is_unverified else self._verify(kept, hook, own)
        pending, at = kept.renew(hook), self._now()
        document = _build_document(pending, verified)
        start = _make_start(hook, document, RunSource("replay", delivery, by=by, reason=reason), at)
        recorded = await self._find_event(kept.row)
        earlier = await self._journal.read(find_newest_repeat, delivery)
        admitted = await self._engine.admit(
            recorded or _make_event(pending, verified, document, at),
            [start],
            dedupe_keys=[key] if key else (),
            free_keys=_make_keys(hook, verified, document, at),
            is_recorded=recorded is not None,
        )
        run, is_duplicate = ensure_admitted(admitted), admitted.is_duplicate
        earlier = None if is_duplicate else earlier
        return Replayed(run, admitted.event, hook.definition.id, hook.definition.version, is_duplicate, earlier)

    async def _load(self, id: str) -> KeptDelivery:
        delivery = await self._journal.read(find_delivery, id)
        if delivery is None:
            raise DeliveryNotFound(id)
        if delivery.outcome == "handshake":
            raise RepeatRefused(f"delivery {id} is a handshake, which starts no run")
        try:
            return KeptDelivery.of(delivery)
        except RequestNotKept as missing:
            raise RepeatRefused(str(missing)) from None

    async def _find_event(self, delivery: Delivery) -> Event | None:
        """The event that the delivery brought. Without it, the replay brings a new one."""
        try:
            return await self._journal.find_event(delivery.event) if delivery.event else None
        except RunUnreadable:
            return None

    def _find_own(self, delivery: Delivery) -> WebhookTrigger | None:
        """The webhook that received a delivery, if it is served now."""
        served = self._folder.find_triggers(WebhookTrigger)
        return next((each for each in served if each.name == delivery.trigger), None)

    def _find_webhook(self, name: str) -> WebhookTrigger:
        """The webhook of a pipeline, or the one of this name; raises `RepeatRefused`."""
        served = self._folder.find_triggers(WebhookTrigger)
        found = [each for each in served if name in (each.name, each.definition.id)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.name for each in found)
            raise RepeatRefused(f"the pipeline {quote(name)} has several webhooks: name one of {names}")
        what = f"no webhook {quote(name)} is served"
        raise RepeatRefused(f"{what}; `waypost pipelines` lists them, and `--to PIPELINE` replays to another")

    def _verify(self, kept: KeptDelivery, hook: WebhookTrigger, own: WebhookTrigger | None) -> Verified:
        """Verify a request as its own webhook would, or else as `hook` would: a signature proves who sent the request
        to the address that it was sent to. Raises `RepeatRefused`."""
        problems: list[Rejected] = []
        for each in dict.fromkeys((own or hook, hook)):
            try:
                return self._check(kept, each)
            except Rejected as rejected:
                problems.append(rejected)
        what = f"the request is not verified: {problems[0].reason}: {problems[0]}"
        raise RepeatRefused(f"{what}; correct the secret or `verify`, or let an admin replay it with `--unverified`")

    def _check(self, kept: KeptDelivery, hook: WebhookTrigger) -> Verified:
        """Check a request as of its receipt; raises `Rejected` and `RepeatRefused`."""
        secrets = self._load_secrets(hook)
        request = kept.restore_token(hook, secrets, self._hash_key)
        request.charset = hook.charset
        if hook.verifier.is_handshake(request):
            raise RepeatRefused(f"delivery {kept.row.id} is a handshake, which starts no run")
        try:
            return hook.verifier.check(request, secrets, kept.row.at / 1000)
        except BadRequest as error:
            raise RepeatRefused(str(error), is_unfit=True) from None
        except Rejected as rejected:
            raise _explain_withheld(kept, hook, rejected) from None

    def _load_secrets(self, hook: WebhookTrigger) -> list[str]:
        """The secrets of a webhook that are set today."""
        values = []
        for slots in hook.secrets:
            with contextlib.suppress(SecretMissing):
                values.append(str(fill_secrets(None, slots, self._secrets)[0]))
        return values


def _explain_withheld(kept: KeptDelivery, hook: WebhookTrigger, rejected: Rejected) -> Rejected:
    """Why a request was rejected whose token is kept only as a hash."""
    scheme = hook.verifier.scheme
    if isinstance(scheme, Token) and any(each.hash for each in kept.head.headers if each.name == scheme.header):
        what = f"the token in {scheme.header} is stored only as a hash, which does not match the current secret"
        return Rejected("bad_signature", what)
    return rejected


def _build_document(pending: PendingDelivery, verified: Verified) -> dict[str, JSON]:
    """The `trigger` document, if it passes `when`; raises `RepeatRefused`."""
    try:
        document = pending.build_document(verified)
        pending.hook.check_when(document)
    except BadRequest as error:
        raise RepeatRefused(f"the request cannot be read: {error}", is_unfit=True) from None
    except EventFiltered as filtered:
        reason = pending.request.explain(str(filtered))
        raise RepeatRefused(f"the webhook {pending.hook.name} starts no run: {reason}") from None
    return document


def _make_start(hook: WebhookTrigger, document: dict[str, JSON], source: RunSource, at: int) -> Start:
    """The run to start; raises `RepeatRefused` if its inputs cannot be made."""
    start = hook.make_start(document)
    if start.error:
        raise RepeatRefused(f"the inputs do not fit: {start.error.message}", is_unfit=True)
    return replace(start, source=source, at=at)


def _make_keys(hook: WebhookTrigger, verified: Verified, document: dict[str, JSON], at: int) -> list[DedupeKey]:
    try:
        return make_dedupe_keys(hook, verified, document, at)
    except BadRequest:
        return []  # without a key no later delivery is a duplicate


def _make_event(pending: PendingDelivery, verified: Verified, document: dict[str, JSON], at: int) -> Event:
    """The event of a delivery that brought none. It happens now, so that steps that wait today match it."""
    _, data = pending.request.read_body()
    source = pending.hook.name + pending.request.path
    return Event(new_id("evt", at), source, str(document["id"]), verified.type, at, data=data)
