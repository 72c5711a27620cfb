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
from typing import get_args

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from durable import metrics
from durable.clock import new_id
from durable.history.words import SecretName, SecretPlaceholder
from durable.journal import Admitted, DedupeKey, Delivery, DeliveryOutcome, Event, Journal, JournalError, Scan
from durable.problem import quote
from durable.runner import Overloaded, Runner
from durable.scope import to_document
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.values import JSON, Value
from triggers.body import Bounds, Unreadable, receive_body
from triggers.filtering import EventFiltered, check_when, make_start
from triggers.limits import Limiters, network_of
from triggers.urlencoded import collect
from triggers.webhooks import answers, cors
from triggers.webhooks.answers import Answer
from triggers.webhooks.dedupe import dedupe_key, former_ids, former_keys
from triggers.webhooks.hook import Hook, Method
from triggers.webhooks.presets import presets
from triggers.webhooks.received import Received, Rejected, withhold
from triggers.webhooks.route import read_parameters, read_path
from triggers.webhooks.signature import mac
from triggers.webhooks.unknown import UnknownPaths
from triggers.webhooks.verifier import Verified, Verifier, credential_headers

log = logging.getLogger("waypost.webhook")

PREFIX = "/hooks"
METHODS = get_args(Method)
UNDELIVERED = frozenset({"HEAD", "OPTIONS"})
"""Methods that deliver nothing: HEAD checks that a webhook exists, OPTIONS asks what a browser may send."""

ANSWERED = (*METHODS, *UNDELIVERED)

DECOY = Verifier(presets()["github"], ())
REJECTIONS_A_MINUTE = 60
"""Rejected deliveries that are written down for each webhook; all are counted."""

RESULT_SECONDS = 25.0
"""How long a sender waits who is to be told the result, or what a step says; most of them wait for 30 s."""

BROKEN_SECONDS = 60
"""After which a sender may try again whose webhook may be one of a broken file."""

PATH_LIMIT = 500
"""Characters of a request's path that a delivery keeps."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request on its way: what came, where to, and when (ms). `parameters` are the path's as it matched. `headers`
    are without credentials, of which `withheld` has the keyed hashes."""

    hook: Hook
    parameters: Mapping[str, str]
    received: Received
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
            headers=Value.encoded(msgspec.json.encode(headers)),  # Latin-1 is always JSON: see Received.of
            body_hash=hashlib.sha256(received.body).hexdigest(),
            size=len(received.body),
        )


class Quota:
    """So many a minute for each name."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[str, tuple[int, int]] = {}

    def take(self, name: str, at: int) -> bool:
        """Whether there is one left in the minute of `at` (ms)."""
        minute = at // 60_000
        since, taken = self._taken.get(name, (minute, 0))
        taken = taken + 1 if since == minute else 1
        self._taken[name] = minute, taken
        return taken <= self._limit


class TooMany(Exception):
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
        bounds: Bounds,
        limiters: Limiters,
        hash_key: bytes,
    ) -> None:
        self._runner = runner
        self._journal = journal
        self._secrets = secrets
        self._now = now
        self._hash_key = hash_key
        self._rejections = Quota(REJECTIONS_A_MINUTE)
        self._complaints = Quota(1)
        self._unknown_paths = UnknownPaths()
        self._bounds = bounds
        self._limiters = limiters
        self.serve([])

    def serve(self, hooks: Sequence[Hook], *, are_all: bool = True) -> None:
        """Answer for these from now on. Unless they `are_all`, as a file is broken, others may be there again soon."""
        self._are_all = are_all
        self._hooks = hooks
        self._has_cors = any(hook.cors is not None for hook in hooks)
        own = [(hook.methods, hook) for hook in hooks]
        greeting = [(hook.greeting_methods, hook) for hook in hooks if hook.greeting_methods]
        self._routes = (*own, *greeting)
        schemes = [*presets().values(), *(hook.verifier.scheme for hook in hooks)]
        self._credentials = frozenset[str]().union(*map(credential_headers, schemes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 with the ids after the commit, or what stands in the way."""
        answer = await self._answer(scope, receive)
        if self._has_cors:
            answer = self._open_to_pages(scope, answer)
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        client = scope["client"]
        if wait := self._limiters.addresses.take(network_of(client[0]) if client else ""):
            return answers.too_many(wait, is_read=False)
        try:
            body = await receive_body(scope, receive, self._bounds)
        except Unreadable as unreadable:
            return answers.error(unreadable.status, str(unreadable))
        except ClientDisconnect:
            return answers.error(400, "the client hung up before its request was whole")
        received = Received.of(scope, body)
        if twice := _repeated(received, self._credentials):
            return answers.error(400, f"the header {twice} came several times")
        if received.method in UNDELIVERED:
            return self._about(received)
        found = self._find(received.path, received.method)
        return await self._take(self._arrived(received, *found)) if found else self._unknown(received)

    def _arrived(self, received: Received, hook: Hook, parameters: Mapping[str, str]) -> Arrived:
        kept, hashes = withhold(received.headers, hook.credentials, self._hash_key)
        at = self._now()
        if hook.charset is not received.charset:
            received = replace(received, charset=hook.charset)
        return Arrived(hook, parameters, received, collect(kept), collect(hashes), new_id("dlv", at), at)

    def _find(self, raw_path: str, method: str) -> tuple[Hook, Mapping[str, str]] | None:
        path = read_path(raw_path)
        if path is None:
            return None
        path = path.removeprefix(PREFIX)
        for methods, hook in self._routes:
            if method in methods and (match := hook.pattern.fullmatch(path)):
                return hook, match.groupdict()
        return None

    def _about(self, received: Received) -> Answer:
        """The answer to a HEAD or OPTIONS, which delivers nothing: 200 to a HEAD where a GET or POST would be served,
        204 to a browser that asks beforehand what it may send (`_open_to_pages` says that)."""
        if received.method == "OPTIONS":
            asked = dict(received.headers).get("access-control-request-method", "")
            found = self._find(received.path, asked)
            return answers.empty(204) if found and found[0].cors is not None else answers.not_allowed(METHODS)
        is_served = any(self._find(received.path, method) for method in ("POST", "GET"))
        return answers.empty(200) if is_served else self._unknown(received)

    def _open_to_pages(self, scope: Scope, answer: Answer) -> Answer:
        """The answer with the headers by which a browser lets a page of another origin read it, if its webhook does."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if "origin" not in headers:
            return answer
        is_asking = scope["method"] == "OPTIONS"
        method = headers.get("access-control-request-method", "") if is_asking else scope["method"]
        found = self._find(scope["raw_path"].decode("latin-1"), method)
        allowed = cors.allow_origin(found[0].cors, headers["origin"]) if found else ()
        if found and allowed and is_asking:
            allowed += cors.allow_request(found[0].methods, headers)
        return answer.extend(allowed)

    def _unknown(self, received: Received) -> Answer:
        """The answer to a request for no hook, after the work that a bad signature costs."""
        at = self._now()
        new_id("dlv", at)
        path = (read_path(received.path) or received.path).removeprefix(PREFIX)
        self._unknown_paths.note(received.method, path, self._hooks, at, are_all=self._are_all)
        for pairs in withhold(received.headers, self._credentials, self._hash_key):
            collect(pairs)
        with contextlib.suppress(Rejected):
            DECOY.check(received, ["decoy"], at / 1000)
        mac(b"decoy", received.body, "sha256")
        hashlib.sha256(received.body).digest()
        return self._refused()

    def _refused(self) -> Answer:
        if self._are_all:
            return answers.refused()
        return answers.busy("the signature does not fit, or the webhook's pipeline is broken for now", BROKEN_SECONDS)

    async def _take(self, arrived: Arrived) -> Answer:
        hook = arrived.hook
        try:
            verified = self._verify(arrived)
            if verified.answer:
                self._record(arrived, "filtered", "handshake")
                return answers.greeted(verified.answer)
            arrival = _arrival(arrived, verified)
            check_when(hook.when, arrival)
            return await self._admit(arrived, verified, arrival)
        except Rejected as rejected:
            self._record(arrived, "rejected", self._explain_rejection(hook, rejected))
            return self._refused()
        except TooMany as too_many:
            self._record(arrived, "rejected", str(too_many))
            return answers.too_many(too_many.wait, is_read=True)
        except Unreadable as unreadable:
            reason = arrived.received.explain(str(unreadable))
            self._record(arrived, "rejected", reason)
            return answers.error(unreadable.status, reason)
        except EventFiltered as filtered:
            reason = arrived.received.explain(str(filtered))
            self._record(arrived, "filtered", reason)
            return answers.filtered(reason, hook.reply)
        except Overloaded as overloaded:
            return answers.busy(str(overloaded), overloaded.retry_after)
        except JournalError as error:
            return answers.busy(str(error), 5)

    def _verify(self, arrived: Arrived) -> Verified:
        """What a genuine request tells of itself; raises `Rejected`, `Unreadable` and `TooMany`."""
        hook, received = arrived.hook, arrived.received
        secrets = self._values(hook, hook.secrets)
        token = "".join(self._values(hook, [hook.verify_token])) if hook.verify_token else ""
        verified = hook.verifier.check(received, secrets, arrived.at / 1000, token)
        if not verified.answer and received.method not in hook.methods:
            raise Rejected("wrong_method", f"{received.method} is taken for a handshake only")
        if wait := self._limiters.hooks.take(hook.name):
            raise TooMany(wait)
        return verified

    def _explain_rejection(self, hook: Hook, rejected: Rejected) -> str:
        """Why a request is not believed; a secret with an unseen newline or byte order mark fits no signature."""
        reason = f"{rejected.reason}: {rejected}"
        if rejected.reason not in {"bad_signature", "missing_secret"}:
            return reason
        parts = [part for slots in (*hook.secrets, hook.verify_token) for slot in slots for part in slot.parts]
        names = dict.fromkeys(part.secret for part in parts if isinstance(part, SecretName))
        doubts = [f"the secret {quote(name)} {problem}" for name in names for problem in self._secrets.examine(name)]
        return "; ".join([reason, *doubts])

    def _values(self, hook: Hook, secrets: Iterable[Sequence[SecretPlaceholder]]) -> list[str]:
        """The secrets as they are now; a missing one is left out, and no secret at all rejects."""
        values = []
        for slots in filter(None, secrets):
            try:
                values.append(str(fill_secrets(None, slots, self._secrets)[0]))
            except SecretMissing as missing:
                if self._complaints.take(hook.name, self._now()):
                    log.error("webhook %s: %s", hook.name, missing)
        return values

    async def _admit(self, arrived: Arrived, verified: Verified, arrival: dict[str, JSON]) -> Answer:
        hook = arrived.hook
        event = Event(
            id=new_id("evt", arrived.at),
            source=f"{hook.name}{arrived.received.path}",
            key=str(arrival["id"]),
            type=verified.type,
            time=arrived.at,
            data=arrived.received.kept,
        )
        start = make_start(hook.definition, hook.trigger, hook.inputs, arrival)
        if start.error:
            reason = arrived.received.explain(start.error.message or "")
            start = replace(start, error=msgspec.structs.replace(start.error, message=reason))
        admitted = await self._runner.admit(
            event,
            [start],
            claims=self._claims(arrived, verified, arrival),
            delivery=arrived.record("accepted"),
        )
        metrics.count_delivery("duplicate" if admitted.is_duplicate else "accepted" if admitted.runs else "skipped")
        if hook.respond != "accepted" and admitted.runs:
            return await self._came_to(admitted, hook)
        return answers.accepted(admitted, hook.reply)

    async def _came_to(self, admitted: Admitted, hook: Hook) -> Answer:
        """What a step of the run answers, or what the run came to; if it goes on for longer than senders wait, its
        ids."""
        run = admitted.runs[0]
        wait = self._runner.wait_for_answer if hook.respond == "step" else self._runner.wait_for_end
        try:
            await wait(run, RESULT_SECONDS)
            answer = await self._journal.scan(lambda scan: _came_to(scan, run, admitted, hook))
        except JournalError as error:  # the delivery is accepted, whether or not its run can be read now
            log.warning("a result could not be sent: %s", error, extra={"run": run})
            answer = None
        return answer or answers.accepted(admitted, hook.reply)

    def _claims(self, arrived: Arrived, verified: Verified, arrival: dict[str, JSON]) -> list[DedupeKey]:
        hook = arrived.hook
        scope = _scope_of(hook, arrival)
        until = arrived.at + hook.claim_for
        claims = []
        if hook.dedupe is not None:
            key = dedupe_key(hook.dedupe, arrival)
            claims.append(
                DedupeKey(scope, key, until, former_keys=former_keys(hook.dedupe, arrival, arrived.received, key))
            )
        elif (key_of_sender := verified.key) is not None:
            former = former_ids(hook.verifier.scheme, arrived.received, key_of_sender)
            claims.append(DedupeKey(scope, key_of_sender, until, former_keys=former))
        if verified.replay_key is not None:
            claims.append(DedupeKey(f"{scope}#replay", verified.replay_key, until))
        return claims

    def _record(self, arrived: Arrived, outcome: DeliveryOutcome, reason: str) -> None:
        """Write the delivery down without making its sender wait for it; what strangers send, not without end."""
        metrics.count_delivery(outcome)
        if outcome == "rejected" and not self._rejections.take(arrived.hook.name, arrived.at):
            return
        if outcome == "rejected":
            log.warning("a delivery to %s was rejected: %s", arrived.hook.name, reason)
        with contextlib.suppress(JournalError):
            self._journal.record(arrived.record(outcome, reason)).add_done_callback(_settled)


def _came_to(scan: Scan, run: str, admitted: Admitted, hook: Hook) -> Answer | None:
    """What a run has come to, in the thread of a scan; None if it goes on."""
    state = scan.state(run)
    if hook.respond == "step" and state.answer:
        return answers.of_step(admitted, scan.load(state.answer).load())
    if not state.finished:
        return None
    outputs = scan.load(state.main.outputs).data if state.main else None
    error = to_document(state.error) if state.error else None
    return answers.result(admitted, state.status, outputs, error, owes_answer=hook.respond == "step")


def _arrival(arrived: Arrived, verified: Verified) -> dict[str, JSON]:
    """What expressions read as `trigger`."""
    received = arrived.received
    path: JSON = dict(read_parameters(arrived.parameters, arrived.hook.charset)) if arrived.parameters else {}
    return {
        "id": verified.key or arrived.delivery,
        "type": verified.type,
        "time": arrived.at,
        "source": arrived.hook.name,
        "subject": None,
        "method": received.method,
        "path": path,
        "query": received.query,
        "headers": arrived.headers,
        "body": received.parsed,
    }


def _scope_of(hook: Hook, arrival: dict[str, JSON]) -> str:
    """Where keys of the delivery are taken: the trigger and the values of its path. A slash in one of them is doubled,
    so that no others read the same."""
    values = sorted(_mapping(arrival["path"]).items())
    return "/".join([hook.name, *(f"{name}={str(value).replace('/', '//')}" for name, value in values)])


def _mapping(value: JSON) -> dict[str, JSON]:
    assert isinstance(value, dict)
    return value


def _repeated(received: Received, names: Collection[str]) -> str | None:
    seen = [name for name, _ in received.headers if name in names]
    return next((name for name in seen if seen.count(name) > 1), None)


def _settled(record: "asyncio.Future[None]") -> None:
    if not record.cancelled() and (error := record.exception()):
        log.warning("a delivery was not written down: %s", error)
