"""The webhook trigger: a signed request becomes an event and the runs of it, answered after their commit.

The bytes are verified before anything is parsed. An unknown hook and a bad signature get the same answer in the same
time, so that nobody learns which hooks exist. Strangers count against the rate of their address, and only what is
verified against that of the webhook, so that nobody can use up somebody else's.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, get_args

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from durable import metrics
from durable.clock import new_id
from durable.history.words import SecretName, SecretPlaceholder
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.runner import Overloaded, Runner
from durable.scope import to_document
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.units import Admitted, Delivery, DeliveryOutcome, Event
from durable.values import JSON, Value
from durable.wording import quote
from triggers.http.body import BadRequest, BodyLimits, receive_body
from triggers.http.rate_limit import Rate, RateLimiter
from triggers.http.urlencoded import collect_pairs
from triggers.trigger import EventFiltered, Trigger, build_trigger_document
from triggers.webhooks import cors, responses
from triggers.webhooks.dedupe import make_dedupe_keys
from triggers.webhooks.presets import load_presets
from triggers.webhooks.request import Rejected, WebhookRequest, withhold_headers
from triggers.webhooks.responses import WebhookResponse
from triggers.webhooks.route import read_parameters, read_path
from triggers.webhooks.signature import compute_mac
from triggers.webhooks.trigger import Method, WebhookTrigger
from triggers.webhooks.unknown_paths import UnknownPaths
from triggers.webhooks.verifier import Verified, Verifier, find_credential_headers

log = logging.getLogger("waypost.webhook")

PREFIX = "/hooks"
METHODS = get_args(Method)
PROBE_METHODS = frozenset({"HEAD", "OPTIONS"})
"""Methods that deliver nothing: HEAD checks that a webhook exists, OPTIONS asks what a browser may send."""

ANSWERED_METHODS = (*METHODS, *PROBE_METHODS)

DECOY = Verifier(load_presets()["github"], ())
REJECTIONS = Rate(60, 60_000)
"""Rejected deliveries of one webhook that are recorded; all are counted."""

COMPLAINTS = Rate(1, 60_000)
"""Log lines of one webhook about a missing secret."""

RESULT_SECONDS = 25.0
"""How long a sender waits who is to be told the result, or what a step says; most of them wait for 30 s."""

BROKEN_SECONDS = 60
"""After which a sender may try again whose webhook may be one of a broken file."""

PATH_LIMIT = 500
"""Characters of a request's path that a delivery keeps."""


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """One request on its way: what came, where to, and when (ms). `parameters` are the path's as it matched. `headers`
    are without credentials, of which `withheld` has the keyed hashes."""

    hook: WebhookTrigger
    parameters: Mapping[str, str]
    received: WebhookRequest
    headers: dict[str, JSON]
    withheld: dict[str, JSON]
    delivery: str
    at: int

    def record(self, outcome: DeliveryOutcome, reason: str | None = None) -> Delivery:
        received = self.received
        is_known = outcome != "rejected"
        headers: dict[str, JSON] = {"headers": self.headers, "withheld": self.withheld} if is_known else {}
        return Delivery(
            id=self.delivery,
            trigger=self.hook.name,
            path=received.path[:PATH_LIMIT],
            method=received.method,
            at=self.at,
            outcome=outcome,
            reason=reason,
            headers=Value.from_json(msgspec.json.encode(headers)),  # Latin-1 is always JSON: see Received.of
            body_hash=hashlib.sha256(received.body).hexdigest(),
            size=len(received.body),
        )


class WebhookLimiters(NamedTuple):
    """What is limited by name: requests by the network that they come from, deliveries by their webhook, and by webhook
    also the rejections that are recorded and the log lines about missing secrets."""

    networks: RateLimiter
    webhooks: RateLimiter
    rejections: RateLimiter
    complaints: RateLimiter

    @classmethod
    def make(cls, network_rate: Rate | None, webhook_rate: Rate | None, clock: Callable[[], int]) -> Self:
        return cls(*(RateLimiter(rate, clock) for rate in (network_rate, webhook_rate, REJECTIONS, COMPLAINTS)))


class RateExceeded(Exception):
    """The webhook had more than its rate allows; the next one may come after `wait` seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"too many: the next one may come in {wait} s")
        self.wait = wait


class Webhooks:
    """Answers every request below `/hooks`, as an ASGI application."""

    def __init__(
        self,
        runner: Runner,
        journal: Journal,
        secrets: Secrets,
        now: Callable[[], int],
        bounds: BodyLimits,
        limiters: WebhookLimiters,
        hash_key: bytes,
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._secrets = secrets
        self._now = now
        self._hash_key = hash_key
        self._unknown_paths = UnknownPaths()
        self._bounds = bounds
        self._limiters = limiters
        self._serve([], are_all=True)

    async def serve(self, triggers: Sequence[Trigger], broken: Collection[str] = ()) -> None:
        """Answer for the webhooks among these triggers from now on. While a pipeline is `broken`, others may be back
        soon."""
        self._serve([each for each in triggers if isinstance(each, WebhookTrigger)], are_all=not broken)

    def _serve(self, hooks: Sequence[WebhookTrigger], *, are_all: bool) -> None:
        self._are_all = are_all
        self._hooks = hooks
        self._has_cors = any(hook.cors is not None for hook in hooks)
        own = [(hook.methods, hook) for hook in hooks]
        greeting = [(hook.handshake_methods, hook) for hook in hooks if hook.handshake_methods]
        self._routes = (*own, *greeting)
        schemes = [*load_presets().values(), *(hook.verifier.scheme for hook in hooks)]
        self._credentials = frozenset[str]().union(*map(find_credential_headers, schemes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 with the ids after the commit, or what stands in the way."""
        answer = await self._answer(scope, receive)
        if self._has_cors:
            answer = self._add_cors_headers(scope, answer)
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> WebhookResponse:
        if wait := self._limiters.networks.take_for(scope):
            return responses.render_too_many(wait, is_read=False)
        try:
            body = await receive_body(scope, receive, self._bounds)
        except BadRequest as unreadable:
            return responses.render_error(unreadable.status, str(unreadable))
        except ClientDisconnect:
            return responses.render_error(400, "the client hung up before its request was whole")
        received = WebhookRequest.of(scope, body)
        if twice := _find_repeated_header(received, self._credentials):
            return responses.render_error(400, f"the header {twice} came several times")
        if received.method in PROBE_METHODS:
            return self._answer_probe(received)
        found = self._find_webhook(received.path, received.method)
        return (
            await self._take_delivery(self._make_delivery(received, *found))
            if found
            else self._answer_unknown(received)
        )

    def _make_delivery(
        self, received: WebhookRequest, hook: WebhookTrigger, parameters: Mapping[str, str]
    ) -> PendingDelivery:
        kept, hashes = withhold_headers(received.headers, hook.credentials, self._hash_key)
        at = self._now()
        if hook.charset is not received.charset:
            received = replace(received, charset=hook.charset)
        return PendingDelivery(
            hook, parameters, received, collect_pairs(kept), collect_pairs(hashes), new_id("dlv", at), at
        )

    def _find_webhook(self, raw_path: str, method: str) -> tuple[WebhookTrigger, Mapping[str, str]] | None:
        path = read_path(raw_path)
        if path is None:
            return None
        path = path.removeprefix(PREFIX)
        for methods, hook in self._routes:
            if method in methods and (match := hook.pattern.fullmatch(path)):
                return hook, match.groupdict()
        return None

    def _answer_probe(self, received: WebhookRequest) -> WebhookResponse:
        """The answer to a HEAD or OPTIONS, which delivers nothing: 200 to a HEAD where a GET or POST would be served,
        204 to a browser that asks beforehand what it may send (`_add_cors_headers` says that)."""
        if received.method == "OPTIONS":
            asked = dict(received.headers).get("access-control-request-method", "")
            found = self._find_webhook(received.path, asked)
            return (
                responses.render_empty(204)
                if found and found[0].cors is not None
                else responses.render_method_not_allowed(METHODS)
            )
        is_served = any(self._find_webhook(received.path, method) for method in ("POST", "GET"))
        return responses.render_empty(200) if is_served else self._answer_unknown(received)

    def _add_cors_headers(self, scope: Scope, answer: WebhookResponse) -> WebhookResponse:
        """The answer with the headers by which a browser lets a page of another origin read it, if its webhook does."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if "origin" not in headers:
            return answer
        is_asking = scope["method"] == "OPTIONS"
        method = headers.get("access-control-request-method", "") if is_asking else scope["method"]
        found = self._find_webhook(scope["raw_path"].decode("latin-1"), method)
        allowed = cors.allow_origin(found[0].cors, headers["origin"]) if found else ()
        if found and allowed and is_asking:
            allowed += cors.allow_request(found[0].methods, headers)
        return answer.with_headers(allowed)

    def _answer_unknown(self, received: WebhookRequest) -> WebhookResponse:
        """The answer to a request for no hook, after the work that a bad signature costs."""
        at = self._now()
        new_id("dlv", at)
        path = (read_path(received.path) or received.path).removeprefix(PREFIX)
        self._unknown_paths.count(received.method, path, self._hooks, at, are_all=self._are_all)
        for pairs in withhold_headers(received.headers, self._credentials, self._hash_key):
            collect_pairs(pairs)
        with contextlib.suppress(Rejected):
            DECOY.check(received, ["decoy"], at / 1000)
        compute_mac(b"decoy", received.body, "sha256")
        hashlib.sha256(received.body).digest()
        return self._answer_unverified()

    def _answer_unverified(self) -> WebhookResponse:
        if self._are_all:
            return responses.render_unauthorized()
        return responses.render_unavailable(
            "the signature does not fit, or the webhook's pipeline is broken for now", BROKEN_SECONDS
        )

    async def _take_delivery(self, arrived: PendingDelivery) -> WebhookResponse:
        hook = arrived.hook
        try:
            verified = self._verify(arrived)
            if verified.answer:
                self._record(arrived, "handshake")
                return responses.render_handshake(verified.answer)
            document = _build_document(arrived, verified)
            hook.check_when(document)
            return await self._admit(arrived, verified, document)
        except Rejected as rejected:
            self._record(arrived, "rejected", self._explain_rejection(hook, rejected))
            return self._answer_unverified()
        except RateExceeded as too_many:
            self._record(arrived, "rejected", str(too_many))
            return responses.render_too_many(too_many.wait, is_read=True)
        except BadRequest as unreadable:
            reason = arrived.received.explain(str(unreadable))
            self._record(arrived, "rejected", reason)
            return responses.render_error(unreadable.status, reason)
        except EventFiltered as filtered:
            reason = arrived.received.explain(str(filtered))
            self._record(arrived, "filtered", reason)
            return responses.render_filtered(reason, hook.reply)
        except Overloaded as overloaded:
            return responses.render_unavailable(str(overloaded), overloaded.retry_after)
        except JournalError as error:
            return responses.render_unavailable(str(error), 5)

    def _verify(self, arrived: PendingDelivery) -> Verified:
        """What a genuine request tells of itself; raises `Rejected`, `BadRequest` and `RateExceeded`."""
        hook, received = arrived.hook, arrived.received
        secrets = self._fill_secrets(hook, hook.secrets)
        token = "".join(self._fill_secrets(hook, [hook.verify_token])) if hook.verify_token else ""
        verified = hook.verifier.check(received, secrets, arrived.at / 1000, token)
        if not verified.answer and received.method not in hook.methods:
            raise Rejected("wrong_method", f"{received.method} is taken for a handshake only")
        if wait := self._limiters.webhooks.take(hook.name):
            raise RateExceeded(wait)
        return verified

    def _explain_rejection(self, hook: WebhookTrigger, rejected: Rejected) -> str:
        """Why a request is not believed; a secret with an unseen newline or byte order mark fits no signature."""
        reason = f"{rejected.reason}: {rejected}"
        if rejected.reason not in {"bad_signature", "missing_secret"}:
            return reason
        parts = [part for slots in (*hook.secrets, hook.verify_token) for slot in slots for part in slot.parts]
        names = dict.fromkeys(part.secret for part in parts if isinstance(part, SecretName))
        doubts = [f"the secret {quote(name)} {problem}" for name in names for problem in self._secrets.examine(name)]
        return "; ".join([reason, *doubts])

    def _fill_secrets(self, hook: WebhookTrigger, secrets: Iterable[Sequence[SecretPlaceholder]]) -> list[str]:
        """The secrets as they are now; a missing one is left out, and no secret at all rejects."""
        values = []
        for slots in filter(None, secrets):
            try:
                values.append(str(fill_secrets(None, slots, self._secrets)[0]))
            except SecretMissing as missing:
                if not self._limiters.complaints.take(hook.name):
                    log.error("webhook %s: %s", hook.name, missing)
        return values

    async def _admit(self, arrived: PendingDelivery, verified: Verified, document: dict[str, JSON]) -> WebhookResponse:
        hook = arrived.hook
        event = Event(
            id=new_id("evt", arrived.at),
            source=f"{hook.name}{arrived.received.path}",
            key=str(document["id"]),
            type=verified.type,
            time=arrived.at,
            data=arrived.received.kept,
        )
        start = hook.make_start(document)
        if start.error:
            reason = arrived.received.explain(start.error.message or "")
            start = replace(start, error=msgspec.structs.replace(start.error, message=reason))
        admitted = await self._runner.admit(
            event,
            [start],
            dedupe_keys=make_dedupe_keys(hook, verified, document, arrived.at),
            delivery=arrived.record("accepted"),
        )
        metrics.count_delivery("duplicate" if admitted.is_duplicate else "accepted" if admitted.runs else "skipped")
        if hook.respond != "accepted" and admitted.runs:
            return await self._wait_for_result(admitted, hook)
        return responses.render_accepted(admitted, hook.reply)

    async def _wait_for_result(self, admitted: Admitted, hook: WebhookTrigger) -> WebhookResponse:
        """What a step of the run answers, or what the run came to; if it goes on for longer than senders wait, its
        ids."""
        run = admitted.runs[0]
        wait = self._runner.wait_for_answer if hook.respond == "step" else self._runner.wait_for_end
        try:
            await wait(run, RESULT_SECONDS)
            answer = await self._journal.scan(lambda scan: _read_result(scan, run, admitted, hook))
        except JournalError as error:  # the delivery is accepted, whether or not its run can be read now
            log.warning("a result could not be sent: %s", error, extra={"run": run})
            answer = None
        return answer or responses.render_accepted(admitted, hook.reply)

    def _record(self, arrived: PendingDelivery, outcome: DeliveryOutcome, reason: str | None = None) -> None:
        """Write the delivery down without making its sender wait for it; what strangers send, not without end."""
        metrics.count_delivery(outcome)
        if outcome == "rejected" and self._limiters.rejections.take(arrived.hook.name):
            return
        if outcome == "rejected":
            log.warning("a delivery to %s was rejected: %s", arrived.hook.name, reason)
        with contextlib.suppress(JournalError):
            self._journal.add_delivery(arrived.record(outcome, reason)).add_done_callback(_log_failed_record)


def _read_result(scan: Scan, run: str, admitted: Admitted, hook: WebhookTrigger) -> WebhookResponse | None:
    """What a run has come to, in the thread of a scan; None if it goes on."""
    state = scan.load_state(run)
    if hook.respond == "step" and state.answer:
        return responses.render_step_answer(admitted, scan.load_value(state.answer).load())
    if not state.finished:
        return None
    outputs = scan.load_value(state.main.outputs).data if state.main else None
    error = to_document(state.error) if state.error else None
    return responses.render_result(admitted, state.status, outputs, error, owes_answer=hook.respond == "step")


def _build_document(arrived: PendingDelivery, verified: Verified) -> dict[str, JSON]:
    """What expressions read as `trigger`; raises `BadRequest`."""
    received = arrived.received
    return build_trigger_document(
        verified.key or arrived.delivery,
        arrived.hook.name,
        arrived.at,
        type=verified.type,
        method=received.method,
        path=dict(read_parameters(arrived.parameters, arrived.hook.charset)) if arrived.parameters else {},
        query=received.query,
        headers=arrived.headers,
        body=received.parsed,
    )


def _find_repeated_header(received: WebhookRequest, names: Collection[str]) -> str | None:
    seen = [name for name, _ in received.headers if name in names]
    return next((name for name in seen if seen.count(name) > 1), None)


def _log_failed_record(record: "asyncio.Future[None]") -> None:
    if not record.cancelled() and (error := record.exception()):
        log.warning("a delivery was not written down: %s", error)
