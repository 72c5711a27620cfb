"""Calls of actions outside of runs, such as the test of a connection: once, within the limits, and without a record."""

import asyncio
import logging
from collections.abc import Mapping
from time import perf_counter

from pydantic import BaseModel, ValidationError

from durable import metrics
from durable.action import Action, ActionError, Context, OpenConnection
from durable.clock import new_id
from durable.gate.gate import FailedAttempt
from durable.page import Page
from durable.redactor import Redactor
from durable.runner.attempt import ActionRuntime, redact_error, wrap_unknown
from durable.runner.gates import ConnectionGate, ConnectionGates
from durable.runner.output import list_problems, settle_output
from durable.secrets import SecretMissing
from durable.values import JSON

log = logging.getLogger("waypost.call")

TIMEOUT = 30.0
"""Seconds that a call may take."""


async def call_outside(
    runtime: ActionRuntime, gates: ConnectionGates, use: str, connection: str, given: Mapping[str, JSON]
) -> JSON:
    """Call an action once, and return its output. It passes the gate of its connection, and does not wait there.

    Raises `ActionError`. Neither output nor error contains a secret.
    """
    action = runtime.actions.get(use)
    if action is None:
        raise ActionError(f"there is no action {use}", error_class="invalid", code="action_missing", ending="not_sent")
    try:
        opened = runtime.connect(connection, use)
    except SecretMissing as missing:
        raise ActionError(str(missing), error_class="auth", code="secret_missing", ending="not_sent") from None
    redactor = Redactor(opened.secrets)
    try:
        input = action.input.model_validate(given)
    except ValidationError as unfit:
        message = redactor.redact_text(f"input of {use}: {list_problems(unfit)}")
        raise ActionError(message, error_class="invalid", code="input", ending="not_sent") from None
    gate = gates.find(connection, use, runtime.find_limit)
    if not gate.may_enter(None):
        why = gate.report().reason or "its limits are used up"
        message = f"the connection is held back: {why}; try again later"
        raise ActionError(message, error_class="rate_limit", code="held_back", ending="not_sent")
    began, context = perf_counter(), _make_context(runtime, opened, redactor)
    is_success = False
    try:
        output = await _perform(action, context, input, gate, redactor)
        is_success = True
    finally:
        metrics.count_attempt(use, "completed" if is_success else "failed", perf_counter() - began)
    return output


def _make_context(runtime: ActionRuntime, opened: OpenConnection, redactor: Redactor) -> Context:
    extra = {"connection": opened.name, "secrets": redactor}
    return Context(
        run="",
        path="call",
        attempt=1,
        key=new_id("call", runtime.now()),
        log=logging.LoggerAdapter(log, extra),
        resources=runtime.resources,
        connection=opened.fields,
        connection_name=opened.name,
        auth=opened.auth,
        redactor=redactor,
    )


async def _perform(
    action: Action, context: Context, input: BaseModel, gate: ConnectionGate, redactor: Redactor
) -> JSON:
    passed = context.gate = gate.enter("", None)
    try:
        async with asyncio.timeout(TIMEOUT):
            returned = await action.perform(context, input)
        gate.note(passed.passage, None)
    except Exception as error:  # noqa: BLE001  # an action may raise anything
        caught = await redact_error(_read_error(error, redactor), redactor)
        wait = None if caught.retry_after is None else round(caught.retry_after * 1000)
        gate.note(passed.passage, FailedAttempt(caught.error_class, caught.code, caught.ending, wait))
        raise caught from None
    finally:
        context.close()
        passed.leave()  # a call that was cancelled tells nothing of the service
    if isinstance(returned, Page):  # the first one; the model describes the output of all
        output = await settle_output(None, list(returned.items), redactor)
    else:
        output = await settle_output(action.output, returned, redactor)
    if output.problem:
        raise ActionError(output.problem, error_class="invalid", code="output")
    return output.plain


def _read_error(error: Exception, redactor: Redactor) -> ActionError:
    if isinstance(error, ActionError):
        return error
    if isinstance(error, TimeoutError):
        message = f"it took longer than {TIMEOUT:g} s"
        return ActionError(message, error_class="timeout", code="attempt_timeout", ending="unknown")
    return wrap_unknown(error, redactor)
