"""The checks of an action: each makes the service behave in a certain way, and examines what the action does."""

import base64
import itertools
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote

from pydantic import ValidationError

from connectors.conformance.samples import CANARY, ELSEWHERE, ActionSample, play_in_order
from connectors.conformance.stub import Respond, StubAnswer, StubRequest
from connectors.conformance.world import NO_WAIT, CheckFailed, CheckWorld, NotApplicable, Trace
from connectors.wire.client import RESPONSE_LIMIT, UNSAFE_METHODS
from durable.action import Action
from durable.values import JSON

WAIT = 120
"""Seconds for which the stub asks."""

TOLERANCE = 10.0
"""Seconds that a wait may differ, because the test itself takes time."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An action that is checked, and the world in which it runs."""

    world: CheckWorld
    sample: ActionSample

    @property
    def action(self) -> Action:
        return self.sample.action

    async def run(self, *answers: StubAnswer, retry: Mapping[str, JSON] | None = None, timeout: str = "10s") -> Trace:
        """Run the action against these answers, and ensure that no credential is visible."""
        given = self.sample.make_inputs()
        trace = await self.world.run(
            self.action.name, given, play_in_order(answers), retry=retry, timeout=timeout, on_crash="retry"
        )
        ensure_secret(trace)
        return trace


Check = Callable[[Subject], Awaitable[None]]
"""Raises `CheckFailed` or `NotApplicable`."""


def ensure(is_fine: bool, message: str) -> None:
    """Raise `CheckFailed` unless the condition holds."""
    if not is_fine:
        raise CheckFailed(message)


def ensure_secret(trace: Trace) -> None:
    """Raise `CheckFailed` if a credential is visible in the history or in the log."""
    spellings = {CANARY, quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-1]}
    found = next((each for each in spellings if each in trace.texts), None)
    ensure(found is None, "a credential of the connection is in the history or the log of a run")


def ensure_asked(trace: Trace) -> None:
    """Raise `NotApplicable` for an action that sends no request."""
    if not trace.requests:
        if trace.is_completed:
            raise NotApplicable("the action sends no request")
        if trace.failure.code == LookupError.__name__:
            raise NotApplicable("the action does not call its service by HTTP")
        raise CheckFailed(f"no request was sent: {trace.describe()}")


def ensure_class(trace: Trace, *expected: str) -> None:
    """Raise `CheckFailed` unless the attempt failed with one of these classes."""
    ensure_asked(trace)
    ensure(
        trace.failure.error_class in expected,
        f"the error must have the class {' or '.join(expected)}; {trace.describe()}",
    )


# -- what every action does -------------------------------------------------------------------------------------


async def check_unknown_inputs(subject: Subject) -> None:
    given = subject.sample.make_inputs()
    try:
        subject.action.input.model_validate({**given, "not_an_input": 1})
    except ValidationError:
        return
    raise CheckFailed("an input that does not exist is accepted: derive the model from `Inputs`")


async def check_repeatable(subject: Subject) -> None:
    ensure(
        subject.action.idempotent is not None,
        "the action does not say whether it can be repeated: `@action(…, idempotent='yes'|'key'|'no')`",
    )


async def check_success(subject: Subject) -> None:
    trace = await subject.run(*subject.sample.make_success())
    ensure_asked(trace)
    if subject.sample.is_made_up and not trace.is_completed:
        raise NotApplicable(f"no sample answer can be made ({trace.describe()}): add a test of the action")
    ensure(trace.is_completed, f"the answer to a successful request is refused: {trace.describe()}")


async def check_authentication(subject: Subject) -> None:
    trace = await subject.run(StubAnswer.of({"error": "unauthorized"}, 401), retry=NO_WAIT)
    ensure_class(trace, "auth")
    ensure(len(trace.requests) == 1, f"a request that is refused (401) was sent {len(trace.requests)} times")


async def check_rate_limit(subject: Subject) -> None:
    declared = subject.sample.declared
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=WAIT), usegmt=True)
    for form, value in (("seconds", str(WAIT)), ("a date", later)):
        trace = await subject.run(StubAnswer.of({"error": "slow down"}, 429, {"retry-after": value}))
        ensure_class(trace, "rate_limit")
        if declared and "retry-after" not in [(each.header or "").lower() for each in declared.retry_after]:
            raise NotApplicable("the connector declares another place that says when to try again")
        asked = (trace.failure.retry_after or 0) / 1000
        ensure(
            math.isclose(asked, WAIT, abs_tol=TOLERANCE),
            f"a Retry-After with {form} asks for {WAIT} s; the action reports {asked:g} s",
        )


async def check_server_error(subject: Subject) -> None:
    for status in (500, 503):
        ensure_class(await subject.run(StubAnswer.of({"error": "oops"}, status)), "server")


async def check_timeout(subject: Subject) -> None:
    trace = await subject.run(StubAnswer(end="never"), timeout="150ms")
    ensure_class(trace, "timeout")


async def check_malformed_answer(subject: Subject) -> None:
    broken = StubAnswer(200, {"content-type": "application/json"}, b'{"items": [{"id"')
    trace = await subject.run(broken, retry=NO_WAIT)
    ensure_asked(trace)
    ensure(len(trace.requests) == 1, "the request was sent again after a malformed answer")
    ensure(
        trace.is_completed or trace.failure.error_class == "invalid",
        f"a malformed answer must be an error of the class invalid; {trace.describe()}",
    )


async def check_bounded_answer(subject: Subject) -> None:
    endless = StubAnswer(200, {"content-type": "application/json"}, b" " * 1_048_576, "endless")
    trace = await subject.run(endless, retry=NO_WAIT, timeout="20s")
    ensure_class(trace, "invalid")
    ensure(
        trace.failure.code == "response_too_large", f"an answer of more than {RESPONSE_LIMIT:,} bytes must be refused"
    )


async def check_secrets(subject: Subject) -> None:
    if not subject.world.connection.secrets:
        raise NotApplicable("a connection has no credentials")
    given = subject.sample.make_inputs()
    for status in (200, 400, 500):
        trace = await subject.world.run(subject.action.name, given, _repeat_request(status), on_crash="retry")
        ensure_asked(trace)
        ensure_secret(trace)


def _repeat_request(status: int) -> Respond:
    """Answer with everything that the request says, credentials included."""
    return lambda request, number: StubAnswer.of({"you_sent": request.dump()}, status)


# -- what some actions do ----------------------------------------------------------------------------------------


async def check_error_within_success(subject: Subject) -> None:
    answer = subject.sample.make_error_within_success()
    if answer is None:
        raise NotApplicable("errors are recognised by their status")
    trace = await subject.run(answer)
    ensure_asked(trace)
    ensure(not trace.is_completed, "an error with the status 200 counts as success")


async def check_key(subject: Subject) -> None:
    if subject.action.idempotent != "key":
        raise NotApplicable("the action sends no idempotency key")
    success = subject.sample.make_success()
    trace = await subject.run(StubAnswer.of({}, 500), StubAnswer.of({}, 503), *success, retry=NO_WAIT)
    ensure_asked(trace)
    sent = [request for request in trace.requests if request.method in UNSAFE_METHODS][:3]
    if not sent:
        raise NotApplicable("this call changes nothing")
    keys = [_find_key(subject, request) for request in sent]
    ensure(None not in keys, "no request has an idempotency key")
    ensure(len(set(keys)) == 1 and len(keys) == 3, f"the attempts have different idempotency keys: {keys}")
    _ensure_shape(subject, str(keys[0]))


def _find_key(subject: Subject, request: StubRequest) -> str | None:
    """The idempotency key of a request: where the action declares it, or in the usual header."""
    rule = subject.sample.declared.idempotency if subject.sample.declared else None
    if rule is None or rule.header:
        name = (rule.header or "").lower() if rule else "idempotency-key"
        found = request.headers.get(name)
        return found or next((text for text in request.headers.values() if ":call" in text), None)
    body = request.read_body()
    found_in = (
        request.params.get(rule.param) if rule.param else body.get(rule.json or "") if isinstance(body, dict) else None
    )
    return None if found_in is None else str(found_in)


_SHAPES = {
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hex": r"[0-9a-f]+",
    "base32hex": r"[0-9a-v]+",
    "text": r"[\x21-\x7e]+",
}


def _ensure_shape(subject: Subject, key: str) -> None:
    rule = subject.sample.declared.idempotency if subject.sample.declared else None
    form, most = (rule.format, rule.max) if rule else ("text", None)
    ensure(re.fullmatch(_SHAPES[form], key) is not None, f"the idempotency key {key!r} is not {form}")
    ensure(
        most is None or len(key) <= most, f"the idempotency key has {len(key)} characters; at most {most} are allowed"
    )


async def check_undo(subject: Subject) -> None:
    undo = subject.action.undo
    if undo is None:
        raise NotApplicable("the action has no undo")
    actions = subject.world.connector.actions
    ensure(undo.action in actions, f"its undo is {undo.action}, which is not an action of the connector")
    success, calls = subject.sample.make_success(), itertools.count()
    trace = await subject.world.run(
        subject.action.name,
        subject.sample.make_inputs(),
        lambda request, number: success[min(next(calls), len(success) - 1)],
        more=[{"id": "back", "use": "flow.undo"}],
        on_crash="retry",
    )
    ensure_secret(trace)
    if subject.sample.is_made_up and not trace.is_completed:
        raise NotApplicable(f"no sample answer can be made ({trace.describe()}): add a test of the action")
    ensure(trace.is_completed, f"the undo failed: {trace.describe()}")
    ensure(len(trace.requests) > len(success), f"nothing was undone: {undo.action} sent no request")
    await _check_second_undo(subject, undo.action)


async def _check_second_undo(subject: Subject, name: str) -> None:
    """Call the undo for something that no longer exists."""
    other = ActionSample(subject.world.connector, subject.world.connector.actions[name], subject.sample.siblings)
    is_delete = other.declared is not None and (other.declared.method == "DELETE" or bool(other.declared.errors.ok))
    answer = [other.make_gone()] if is_delete else other.make_success()
    trace = await subject.world.run(name, other.make_inputs(), play_in_order(answer), on_crash="retry")
    ensure_secret(trace)
    ensure(
        trace.is_completed,
        f"a second undo fails: {trace.describe()}; let {name} count it as success: `errors: {{ok: ['404']}}`",
    )


# -- pages ------------------------------------------------------------------------------------------------------


async def check_pages(subject: Subject) -> None:
    if subject.sample.pages is None:
        raise NotApplicable("the action returns no pages")
    pages = [subject.sample.make_page(number, 3) for number in range(3)]
    for what, answers in (
        ("three pages", pages),
        ("three pages, the third of which failed at first", [*pages[:2], StubAnswer.of({}, 500), pages[2]]),
    ):
        trace = await subject.run(*answers, retry=NO_WAIT)
        ensure_asked(trace)
        ensure(trace.is_completed, f"{what}: {trace.describe()}")
        expected = [item for page in pages for item in subject.sample.read_items(page)]
        items = trace.output.get("items") if isinstance(trace.output, dict) else trace.output
        ensure(items == expected, f"{what}: {_count(items)} items arrived, and {len(expected)} were sent")
        ensure(len(trace.requests) == len(answers), f"{what}: {len(trace.requests)} requests were sent")


def _count(items: JSON) -> int:
    return len(items) if isinstance(items, list) else 0


async def check_repeated_cursor(subject: Subject) -> None:
    rules = subject.sample.pages
    if rules is None or not (rules.cursor or rules.next or rules.link):
        raise NotApplicable("no cursor leads to the next page")
    trace = await subject.run(subject.sample.make_page(0, 3), retry=NO_WAIT)
    ensure_class(trace, "invalid")
    ends = {"repeated_page", "too_many_pages"}
    ensure(trace.failure.code in ends, f"a repeated cursor must end the list; {trace.describe()}")


async def check_page_elsewhere(subject: Subject) -> None:
    answer = subject.sample.make_page_elsewhere()
    if answer is None:
        raise NotApplicable("no URL leads to the next page")
    trace = await subject.run(answer, retry=NO_WAIT)
    ensure_class(trace, "invalid")
    hosts = {request.host for request in trace.requests}
    ensure(ELSEWHERE.removeprefix("https://") not in hosts, "the next page was requested from another host")


async def check_options(subject: Subject) -> None:
    properties = subject.action.input.model_json_schema().get("properties", {})
    listed = {name: each["options"] for name, each in properties.items() if isinstance(each.get("options"), dict)}
    if not listed:
        raise NotApplicable("no input has options")
    connector = subject.world.connector
    for name, options in listed.items():
        lister = connector.actions.get(str(options.get("use")))
        ensure(lister is not None, f"the options of {name} use an action that does not exist")
        assert lister
        other = ActionSample(connector, lister, subject.sample.siblings)
        answers = [other.make_page(number, 2) for number in range(2)] if other.pages else other.make_success()
        trace = await subject.world.run(lister.name, other.make_inputs(), play_in_order(answers), on_crash="retry")
        ensure(trace.is_completed, f"the options of {name} cannot be listed: {trace.describe()}")
        ensure(isinstance(trace.output, list), f"the options of {name} are not a list")
        ensure(len(trace.requests) == len(answers), f"the options of {name} are not listed completely")


CHECKS: Mapping[str, Check] = {
    "unknown inputs are refused before sending": check_unknown_inputs,
    "says whether it can be repeated": check_repeatable,
    "a plain answer is a success": check_success,
    "401 is an error of authentication, and is not repeated": check_authentication,
    "429 with Retry-After, in seconds and as a date": check_rate_limit,
    "500 and 503 are errors of the server": check_server_error,
    "a service that does not answer times out": check_timeout,
    "a malformed answer is an error, and is not repeated": check_malformed_answer,
    "an error with the status 200": check_error_within_success,
    "the same idempotency key in every attempt, in the declared form": check_key,
    "undo, also a second time": check_undo,
    "all pages, with a retry of the third": check_pages,
    "a repeated cursor ends the list": check_repeated_cursor,
    "a next page on another host is refused": check_page_elsewhere,
    "options are listed completely": check_options,
    "no credentials in history, log or message": check_secrets,
}
"""The checks of each action, by their names in reports."""
