"""The webhooks of the service: verifies requests, makes events of them, and answers after the commit.

Bytes are verified before anything is parsed. An unknown webhook and a bad signature get the same response in the same
time, so that a response does not reveal which webhooks exist. Unverified requests count against the rate of their
network; only verified ones count against the rate of the webhook, so that a stranger cannot use up another sender's.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple, Self, get_args

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from durable import metrics
from durable.clock import new_id
from durable.engine import Engine, Overloaded, Start
from durable.history.words import RunSource, SecretName, SecretPlaceholder
from durable.journal.errors import JournalError
from durable.journal.journal import Journal
from durable.journal.scan import Scan
from durable.journal.unknown_paths import list_unknown_paths
from durable.limit import Rate
from durable.scope import to_document
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.trace import HEADER, parse_traceparent
from durable.units import Admitted, DedupeKey, Delivery, DeliveryOutcome, Event
from durable.values import JSON
from durable.wording import quote
from triggers.http.body import BadRequest, BodyLimits, receive_body
from triggers.http.rate_limit import RateLimiter
from triggers.refusals import RateExceeded, find_refusal
from triggers.trigger import EventFiltered, Trigger
from triggers.webhooks import cors, responses
from triggers.webhooks.dedupe import make_dedupe_keys
from triggers.webhooks.delivery import PendingDelivery
from triggers.webhooks.kept_request import encode_head
from triggers.webhooks.presets import load_presets
from triggers.webhooks.request import Rejected, WebhookRequest
from triggers.webhooks.request_keeper import RequestKeeper
from triggers.webhooks.responses import WebhookResponse
from triggers.webhooks.route import PREFIX, read_path
from triggers.webhooks.trigger import Method, WebhookTrigger
from triggers.webhooks.unknown_paths import UnknownPaths
from triggers.webhooks.verifier import Verified, Verifier, find_credential_headers

log = logging.getLogger("waypost.webhook")

METHODS = get_args(Method)
PROBE_METHODS = frozenset({"HEAD", "OPTIONS"})
"""Methods that deliver nothing: HEAD checks that a webhook exists, OPTIONS asks what a browser may send."""

ANSWERED_METHODS = (*METHODS, *PROBE_METHODS)

DECOY = Verifier(load_presets()["github"], ())
REJECTIONS = Rate(60, 60_000)
"""How many rejected deliveries of one webhook are recorded; all of them are counted."""

COMPLAINTS = Rate(1, 60_000)
"""How many log lines one webhook gets about a missing secret."""

RESULT_SECONDS = 25.0
"""How long a response waits for the result or for a step's answer. Most senders wait for 30 s."""

TOO_MANY = "too many requests"


class WebhookLimiters(NamedTuple):
    """The rate limiters of webhooks: requests by network, and by webhook its deliveries, its recorded rejections and
    its log lines about missing secrets."""

    networks: RateLimiter
    webhooks: RateLimiter
    rejections: RateLimiter
    complaints: RateLimiter

    @classmethod
    def make(cls, network_rate: Rate | None, webhook_rate: Rate | None, clock: Callable[[], int]) -> Self:
        return cls(*(RateLimiter(rate, clock) for rate in (network_rate, webhook_rate, REJECTIONS, COMPLAINTS)))


class Webhooks:
    """Answers every request below `/hooks`, as an ASGI application."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        secrets: Secrets,
        now: Callable[[], int],
        bounds: BodyLimits,
        limiters: WebhookLimiters,
        keeper: RequestKeeper,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._secrets = secrets
        self._now = now
        self._keeper = keeper
        self.unknown_paths = UnknownPaths(secrets.redactor.redact_text)
        self._bounds = bounds
        self._limiters = limiters
        self._serve([], are_all=True)

    async def serve(self, triggers: Sequence[Trigger], broken: Collection[str] = ()) -> None:
        """Serve the webhooks among these triggers from now on. While a pipeline is `broken`, its webhooks may come back
        soon."""
        self._serve([each for each in triggers if isinstance(each, WebhookTrigger)], are_all=not broken)

    def _serve(self, hooks: Sequence[WebhookTrigger], *, are_all: bool) -> None:
        self._are_all = are_all
        self._hooks = hooks
        self._has_cors = any(hook.cors is not None for hook in hooks)
        own = [(hook.methods, hook) for hook in hooks]
        handshakes = [(hook.handshake_methods, hook) for hook in hooks if hook.handshake_methods]
        self._routes = (*own, *handshakes)
        schemes = [*load_presets().values(), *(hook.verifier.scheme for hook in hooks)]
        self._credentials = frozenset[str]().union(*map(find_credential_headers, schemes))

    @property
    def served(self) -> tuple[Sequence[WebhookTrigger], bool]:
        """The webhooks that are served, and whether these are all: no file has errors."""
        return self._hooks, self._are_all

    async def load_unknown_paths(self) -> None:
        """Go on counting unknown paths where the process before left off."""
        try:
            self.unknown_paths.load(await self._journal.read(list_unknown_paths))
        except JournalError as error:
            log.warning("the unknown paths of earlier requests cannot be read: %s", error)

    async def keep_unknown_paths(self) -> None:
        """Write the counts of unknown paths, if they have changed."""
        paths = self.unknown_paths.take_changed(self._now())
        if paths is not None:
            with contextlib.suppress(JournalError):  # the next minute writes them
                await self._journal.keep_unknown_paths(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 with the ids after the commit, or why no run was started."""
        response = await self._respond(scope, receive)
        if self._has_cors:
            response = self._add_cors_headers(scope, response)
        await response.send(send)

    async def _respond(self, scope: Scope, receive: Receive) -> WebhookResponse:
        try:
            if seconds := self._limiters.networks.take_for(scope):
                raise RateExceeded(TOO_MANY, seconds)
            request = WebhookRequest.from_scope(scope, await receive_body(scope, receive, self._bounds))
            self._refuse_repeated_credentials(request)
        except (BadRequest, ClientDisconnect, RateExceeded) as error:
            return responses.render_refusal(find_refusal(error))
        if request.method in PROBE_METHODS:
            return self._answer_probe(request)
        found = self._find_webhook(request.path, request.method)
        if found is None:
            return self._answer_unknown(request)
        return await self._take_delivery(self._make_delivery(request, *found))

    def _refuse_repeated_credentials(self, request: WebhookRequest) -> None:
        if len(dict(request.headers)) == len(request.headers):
            return
        seen = [name for name, _ in request.headers if name in self._credentials]
        for name in seen:
            if seen.count(name) > 1:
                raise BadRequest(f"the header {name} came several times")

    def _make_delivery(
        self, request: WebhookRequest, hook: WebhookTrigger, parameters: Mapping[str, str]
    ) -> PendingDelivery:
        at = self._now()
        request.charset = hook.charset
        return PendingDelivery(new_id("dlv", at), hook, parameters, request, at)

    def _find_webhook(self, raw_path: str, method: str) -> tuple[WebhookTrigger, Mapping[str, str]] | None:
        path = read_path(raw_path)
        if path is None:
            return None
        path = path.removeprefix(PREFIX)
        for methods, hook in self._routes:
            if method in methods and (match := hook.pattern.fullmatch(path)):
                return hook, match.groupdict()
        return None

    def _answer_probe(self, request: WebhookRequest) -> WebhookResponse:
        """Answer a HEAD or OPTIONS request, which delivers nothing: 200 to HEAD if GET or POST would be served, 204 to
        a browser's preflight request (`_add_cors_headers` adds the permissions)."""
        if request.method == "OPTIONS":
            asked = dict(request.headers).get("access-control-request-method", "")
            found = self._find_webhook(request.path, asked)
            return (
                responses.render_empty(204)
                if found and found[0].cors is not None
                else responses.render_method_not_allowed(METHODS)
            )
        is_served = any(self._find_webhook(request.path, method) for method in ("POST", "GET"))
        return responses.render_empty(200) if is_served else self._answer_unknown(request)

    def _add_cors_headers(self, scope: Scope, answer: WebhookResponse) -> WebhookResponse:
        """Add the headers that let a page of another origin read the response, if its webhook allows that."""
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

    def _answer_unknown(self, request: WebhookRequest) -> WebhookResponse:
        """Answer a request for an unknown webhook, after as much work as a bad signature takes."""
        at = self._now()
        new_id("dlv", at)
        self.unknown_paths.count(request.method, request.path, self._hooks, at, are_all=self._are_all)
        encode_head(request, None, {}, self._keeper.key)
        with contextlib.suppress(Rejected):
            DECOY.check(request, ["decoy"], at / 1000)
        hmac.digest(b"decoy", request.body, "sha256")
        hashlib.sha256(request.body).digest()
        return self._refuse_unverified()

    def _refuse_unverified(self) -> WebhookResponse:
        return responses.render_refusal(responses.UNVERIFIED if self._are_all else responses.MAYBE_BROKEN)

    async def _take_delivery(self, delivery: PendingDelivery) -> WebhookResponse:
        hook, explain, began = delivery.hook, delivery.request.explain, perf_counter()
        try:
            verified = self._verify(delivery)
            if verified.answer:
                self._record(delivery, "handshake")
                return responses.render_handshake(verified.answer)
            document = delivery.build_document(verified)
            hook.check_when(document)
            admitted = await self._admit(delivery, verified, document)
        except Rejected as rejected:
            self._record(delivery, "rejected", self._explain_rejection(hook, rejected))
            return self._refuse_unverified()
        except EventFiltered as filtered:
            reason = explain(str(filtered))
            self._record(delivery, "filtered", reason)
            return responses.render_filtered(reason, hook.reply)
        except (BadRequest, RateExceeded) as error:
            refusal = find_refusal(error)
            refusal = msgspec.structs.replace(refusal, detail=explain(refusal.detail))
            self._record(delivery, "rejected", refusal.detail)
            return responses.render_refusal(refusal)
        except (Overloaded, JournalError) as error:
            return responses.render_refusal(find_refusal(error))
        outcome = "duplicate" if admitted.is_duplicate else "accepted" if admitted.runs else "skipped"
        metrics.count_acceptance(hook.name, outcome, perf_counter() - began)
        if hook.respond != "accepted" and admitted.runs:
            return await self._wait_for_result(admitted, hook)
        return responses.render_accepted(admitted, hook.reply)

    def _verify(self, delivery: PendingDelivery) -> Verified:
        """Verify the request and take it from the webhook's rate; raises `Rejected`, `BadRequest` and
        `RateExceeded`."""
        hook, request = delivery.hook, delivery.request
        secrets = self._fill_secrets(hook, hook.secrets)
        token = "".join(self._fill_secrets(hook, [hook.verify_token])) if hook.verify_token else ""
        verified = hook.verifier.check(request, secrets, delivery.at / 1000, token)
        if not verified.answer and request.method not in hook.methods:
            raise Rejected("wrong_method", f"{request.method} is accepted for handshakes only")
        if seconds := self._limiters.webhooks.take(hook.name):
            raise RateExceeded(TOO_MANY, seconds, closes=False)
        return verified

    def _admit(self, delivery: PendingDelivery, verified: Verified, document: dict[str, JSON]) -> Awaitable[Admitted]:
        """Start the run in one commit with the event, the delivery and its dedupe keys."""
        hook, request, at = delivery.hook, delivery.request, delivery.at
        _, data = request.read_body()
        event = Event(new_id("evt", at), hook.name + request.path, str(document["id"]), verified.type, at, data=data)
        start = hook.make_start(document)
        if start.error:
            reason = request.explain(start.error.message or "")
            start = replace(start, error=msgspec.structs.replace(start.error, message=reason))
        headers = document["headers"]
        if isinstance(headers, dict) and HEADER in headers:
            start = replace(start, traceparent=parse_traceparent(headers[HEADER]))
        keys = make_dedupe_keys(hook, verified, document, at)
        if hook.after_failure == "rerun":
            return self._admit_or_rerun(event, start, keys, delivery.make_record(self._keeper, "accepted"))
        return self._engine.admit(
            event, [start], dedupe_keys=keys, delivery=delivery.make_record(self._keeper, "accepted")
        )

    async def _admit_or_rerun(
        self, event: Event, start: Start, keys: Sequence[DedupeKey], record: Delivery
    ) -> Admitted:
        """Start the run. For a duplicate of runs that have all failed, start a new run of their event."""
        admitted = await self._engine.admit(event, [start], dedupe_keys=keys, delivery=record, renews=())
        while admitted.is_duplicate and admitted.has_failed:  # nothing was written; another duplicate may be first
            failed = admitted.runs
            recorded = await self._journal.find_event(admitted.event)
            source = RunSource("rerun", failed[0], reason="the event was delivered again")
            admitted = await self._engine.admit(
                recorded or event,
                [replace(start, source=source, at=event.time)],
                dedupe_keys=keys,
                delivery=msgspec.structs.replace(
                    record, reason=f"a new run was started because {failed[0]} has failed"
                ),
                is_recorded=recorded is not None,
                renews=failed,
            )
        return admitted

    def _explain_rejection(self, hook: WebhookTrigger, rejected: Rejected) -> str:
        """The reason for the record. A secret with an invisible newline or byte order mark is pointed out."""
        reason = f"{rejected.reason}: {rejected}"
        if rejected.reason not in {"bad_signature", "missing_secret"}:
            return reason
        parts = [part for slots in (*hook.secrets, hook.verify_token) for slot in slots for part in slot.parts]
        names = dict.fromkeys(part.secret for part in parts if isinstance(part, SecretName))
        doubts = [
            f"the secret {quote(name)} {problem}" for name in names for problem in self._secrets.find_doubts(name)
        ]
        return "; ".join([reason, *doubts])

    def _fill_secrets(self, hook: WebhookTrigger, secrets: Iterable[Sequence[SecretPlaceholder]]) -> list[str]:
        """The current values of the secrets. A missing one is left out and logged; without any the request is
        rejected."""
        values = []
        for slots in filter(None, secrets):
            try:
                values.append(str(fill_secrets(None, slots, self._secrets)[0]))
            except SecretMissing as missing:
                if not self._limiters.complaints.take(hook.name):
                    log.error("webhook %s: %s", hook.name, missing)
        return values

    async def _wait_for_result(self, admitted: Admitted, hook: WebhookTrigger) -> WebhookResponse:
        """Respond with a step's answer or with the run's result, or with the ids if that takes too long."""
        run = admitted.runs[0]
        wait = self._engine.wait_for_answer if hook.respond == "step" else self._engine.wait_for_end
        try:
            await wait(run, RESULT_SECONDS)
            answer = await self._journal.scan(lambda scan: _read_result(scan, run, admitted, hook))
        except JournalError as error:  # the delivery is accepted, whether or not its run can be read now
            log.warning("a result could not be sent: %s", error, extra={"run": run})
            answer = None
        return answer or responses.render_accepted(admitted, hook.reply)

    def _record(self, delivery: PendingDelivery, outcome: DeliveryOutcome, reason: str | None = None) -> None:
        """Record the delivery without making its sender wait. Of rejected ones only a limited number is recorded."""
        metrics.count_delivery(delivery.hook.name, outcome)
        if outcome == "rejected":
            if self._limiters.rejections.take(delivery.hook.name):
                return
            log.warning("a delivery to %s was rejected: %s", delivery.hook.name, reason)
        with contextlib.suppress(JournalError):
            record = self._journal.add_delivery(delivery.make_record(self._keeper, outcome, reason))
            record.add_done_callback(_log_failed_record)


def _read_result(scan: Scan, run: str, admitted: Admitted, hook: WebhookTrigger) -> WebhookResponse | None:
    """Read the result of a run, in the thread of a scan; None if the run goes on."""
    state = scan.load_state(run)
    if hook.respond == "step" and state.answer:
        return responses.render_step_answer(admitted, scan.load_value(state.answer).load())
    if not state.finished:
        return None
    outputs = scan.load_value(state.main.outputs).data if state.main else None
    error = to_document(state.error) if state.error else None
    return responses.render_result(admitted, state.status, outputs, error, owes_answer=hook.respond == "step")


def _log_failed_record(record: "asyncio.Future[None]") -> None:
    if not record.cancelled() and (error := record.exception()):
        log.warning("a delivery could not be recorded: %s", error)
