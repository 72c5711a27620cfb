"""An attempt of a step: calls the action, and converts the result to a fact."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from durable import metrics
from durable.action import (
    Action,
    ActionError,
    ConnectionMissing,
    Context,
    LoginNeeded,
    OpenConnection,
    Returned,
    Stored,
)
from durable.blocks.pages import locate_attempt
from durable.decide.attempts import report_error, report_return
from durable.declared import write_texts
from durable.definition import Definition
from durable.history.entries import AttemptFailed, Fact, InputRefused, PageCompleted, StepCompleted
from durable.history.state import State
from durable.journal.errors import RunUnreadable
from durable.limit import NO_LIMIT, Limit
from durable.links import log_fields
from durable.metrics import AttemptOutcome
from durable.page import PagePosition
from durable.path import make_key
from durable.redactor import Redactor
from durable.runner.gates import FindLimit, GatePass
from durable.runner.output import Output, list_problems, settle_output, take_turns
from durable.runner.pages import settle_page
from durable.runner.payloads import call_with_payloads
from durable.runner.timeout import SuspendableTimeout
from durable.secrets import SecretMissing, Secrets, fill_secrets
from durable.turns import take_turn
from durable.values import NotJSON, encode

log = logging.getLogger("waypost.run")

Clock = Callable[[], int]
Connect = Callable[[str, str], OpenConnection]
"""Opens a connection, given its name and the action's; raises `ActionError` or `SecretMissing`."""


Restore = Callable[[str, Stored], Action]
"""Makes an action from its stored form, given its `use`; raises `ValueError` for a form that this code does not
know."""


def refuse_stored(use: str, stored: Stored) -> Action:
    """Raise an error: no form of connectors is installed."""
    raise ValueError(f"the stored form of {use} is unknown")


def refuse_connection(name: str, use: str) -> OpenConnection:
    """Raise an error: no connections are configured."""
    raise ConnectionMissing(f"there is no connection {name!r}")


def find_no_limit(connection: str) -> Limit:
    """Return that the connection has no limit."""
    return NO_LIMIT


@dataclass(frozen=True, slots=True)
class ActionRuntime:
    """What all attempts share: the actions by name, the secrets, the resources of actions, the bytes of payloads by
    SHA-256, the clock, the connections, what restores stored actions, and the limits of connections."""

    actions: Mapping[str, Action]
    secrets: Secrets
    resources: Mapping[type, object]
    payload: Callable[[str], Awaitable[bytes]]
    now: Clock
    connect: Connect = refuse_connection
    restore: Restore = refuse_stored
    find_limit: FindLimit = find_no_limit

    def find_action(self, use: str, definition: Definition) -> Action | None:
        """Return the action of a step: as its pipeline version stored it, or else as it is installed. Raises
        `ValueError`."""
        stored = definition.pipeline.actions
        if stored and use in stored:
            return self.restore(use, stored[use])
        return self.actions.get(use)


class StepLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds run, step and attempt to each line, and redactors for the proofs in the run's links and for
    the secrets of the attempt."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}


class Attempt:
    """An attempt of a step: first `prepare` it, then `perform` it. If it has a `target`, take a permit for it in
    between.

    It ends with a single fact, which `perform` returns or, if the action may still be running, is passed to
    `report_timeout`; or it is abandoned. `is_recorded`: its input was recorded earlier, perhaps by other code.
    """

    def __init__(
        self,
        runtime: ActionRuntime,
        definition: Definition,
        state: State,
        path: str,
        report_timeout: Callable[[Fact], None],
        *,
        is_recorded: bool,
    ) -> None:
        self.path = path
        self.number = state.steps[path].attempt
        self._runtime = runtime
        self._definition = definition
        self._state = state
        self._node = definition.actions[path]
        self._report_timeout = report_timeout
        self._is_recorded = is_recorded
        self.task: asyncio.Task[None] | None = None
        """The task that performs it."""
        self.gate_pass: GatePass | None = None
        """What lets it pass the gate of its connection."""
        self.target: str | None = None
        self._is_address = False
        self._problem: Fact | None = None
        self._action: Action
        self._input: BaseModel
        self._redact: Redactor
        self.started_at = runtime.now()
        step = state.steps[path]
        place, number = path, self.number
        if self._node.step.is_paged:
            place, number = locate_attempt(self._node, step, path, number)
        key = make_key(state.run, path, step.cleanup_pass)
        self.context = Context(
            run=state.run,
            path=place,
            attempt=number,
            key=key + place.removeprefix(path),
            log=StepLog(log, log_fields(state.run, state.started) | {"step": place, "attempt": number}),
            resources=runtime.resources,
            traceparent=state.started.traceparent if state.started else None,
        )

        if pages := step.pages:
            self.context.page = PagePosition(pages.number, pages.cursor.load(), pages.count)

    async def perform(self) -> Fact | None:
        """Call the action and return the fact that reports its end, when none of it is running any more; None if the
        attempt was abandoned, or its timeout was already reported."""
        try:
            fact = self._problem or await self._call_action()
        except asyncio.CancelledError:
            if not self.context.is_open:
                return None
            if self.task and self.task.cancelling():
                raise
            error = ActionError("the action cancelled itself", error_class="internal", ending="unknown")
            fact = self._build_failure(error)
        return self._close_with(fact) if self.context.is_open else None

    def admit(self, gate_pass: GatePass) -> None:
        """Let the attempt pass the gate of its connection."""
        self.gate_pass = self.context.gate = gate_pass

    def _close_with(self, fact: Fact) -> Fact:
        self.context.close()
        if self.gate_pass and not isinstance(fact, InputRefused):
            self.gate_pass.note(fact)
        if isinstance(fact, AttemptFailed):
            self.context.log.warning("attempt failed: %s: %s", fact.error.error_class, fact.error.message)
        return fact

    def abandon(self) -> None:
        """End the attempt without a fact, because its result is no longer needed."""
        self.context.close()
        if self.task and self.task is not asyncio.current_task():
            self.task.cancel()

    def _expire(self) -> None:
        timeout = self._node.step.timeout or 0
        message = f"the attempt took longer than its timeout of {timeout / 1000:g} s"
        error = ActionError(message, error_class="timeout", code="attempt_timeout", ending="unknown")
        if self.context.is_open:
            self._report_timeout(self._close_with(self._build_failure(error)))
            self.abandon()

    async def prepare(self) -> None:
        """Make the input, connection and context of the action. If this fails, the attempt ends without calling it.
        Nothing is sent."""
        step = self._state.steps[self.path]
        try:
            input = await call_with_payloads(step.input.load, self._runtime.payload)
            filled, values = fill_secrets(input, step.secrets, self._runtime.secrets)
            if self._node.step.connection and (name := self._connection):
                values |= self._open_connection(name)
        except (SecretMissing, ActionError) as missing:
            # A mistake of the operator, not of the pipeline: no cleanup and no undo should follow from it.
            self._problem = self._refuse_input(str(missing))
            return
        except RunUnreadable:
            raise  # the caller pauses the run, because a retry would not help
        except (LookupError, OSError, SQLAlchemyError) as problem:
            message = f"the step's input cannot be read: {problem}"
            unread = ActionError(message, error_class="internal", code="input", ending="not_sent")
            self._problem = self._build_failure(unread)
            return
        self._redact = self.context.redactor = Redactor(values)
        if values:
            self.context.log = StepLog(log, {**(self.context.log.extra or {}), "secrets": self._redact})
        try:
            action = self._runtime.find_action(self._node.step.use, self._definition)
        except ValueError as unknown:
            self._problem = self._refuse_input(str(unknown))
            return
        if action is None:
            self._problem = self._refuse_input(f"no connector offers {self._node.step.use} any more")
            return
        self._action = action
        try:
            self._input = action.input.model_validate(write_texts(action.input, filled))
        except ValidationError as unfit:
            self._problem = self._unfit_input(self._redact, unfit)
            return
        self.target = None if action.is_immediate else self._find_target(action, self._input)

    @property
    def _connection(self) -> str | None:
        """The name of the step's connection."""
        connection = self._node.step.connection
        return (
            connection if connection is None or isinstance(connection, str) else self._state.steps[self.path].connection
        )

    def _open_connection(self, name: str) -> frozenset[str]:
        """Put the step's connection into the context; returns the secret values in it."""
        opened, context = self._runtime.connect(name, self._node.step.use), self.context
        context.connection_name, context.connection, context.auth = name, opened.fields, opened.auth
        context.base_url = opened.base_url
        return opened.secrets

    def _find_target(self, action: Action, input: BaseModel) -> str:
        """Return the target of the attempt; if its action does not determine one, the connector with the step's
        connection."""
        try:
            target = action.target and action.target(input, self.context.connection)
        except Exception:  # noqa: BLE001  # the action will report what is wrong with its input
            target = None
        self._is_address = target is not None
        if target:
            return target
        connector, _, _ = self._node.step.use.partition(".")
        return f"{connector} ({name})" if (name := self._connection) else connector

    @property
    def use(self) -> str:
        return self._node.step.use

    def describe_target(self) -> str:
        """Describe what the attempt waits for if its target has no room."""
        what = "a connection to" if self._is_address else "its turn at"
        return self._redact.redact_text(f"{what} {self.target}")

    @property
    def waits_for(self) -> str | None:
        """Which of Waypost's own limits the action waits for."""
        timer = self.context.timer
        return self._redact.redact_text(timer.waits[0]) if timer and timer.waits else None

    async def _call_action(self) -> Fact:
        """Call the action and return the fact that reports its end. After the call nothing is repeated."""
        redact, timeout = self._redact, self._node.step.timeout
        timer = self.context.timer = SuspendableTimeout(timeout / 1000 if timeout else None, self._expire)
        began = perf_counter()
        try:
            output = await self._action.perform(self.context, self._input)
        except LoginNeeded as needed:
            self._end_call(timer, began, "failed")
            return self._refuse_input(redact.redact_text(needed.message))
        except ActionError as error:
            self._end_call(timer, began, "failed")
            return self._build_failure(await redact_error(error, redact))
        except Exception as error:  # noqa: BLE001  # an action may raise anything; its effect is then unknown
            self._end_call(timer, began, "failed")
            return self._build_failure(wrap_unknown(error, redact))
        except BaseException:
            self._end_call(timer, began, "cancelled")
            raise
        self._end_call(timer, began, "completed")
        is_paged = self._node.step.is_paged
        settled = await (self._settle_page(output) if is_paged else settle_output(self._action.output, output, redact))
        if not isinstance(settled, Output):
            return settled
        try:
            return await call_with_payloads(partial(self._build_result, settled), self._runtime.payload)
        except Exception as error:  # noqa: BLE001  # the effect has happened, whatever fails now
            return self._build_result(settled._replace(problem=f"what follows the action failed: {error}"))

    async def _settle_page(self, returned: Returned) -> Output | PageCompleted | AttemptFailed:
        """Return the output of all pages if this is the last; otherwise the fact that reports the page."""
        before = self._state.steps[self.path].pages
        try:
            page = await settle_page(self._action, returned, before, self._redact, self._runtime.payload)
        except ActionError as error:
            return self._build_failure(error)
        except RunUnreadable:
            raise  # the caller pauses the run, because a retry would not help
        except Exception as error:  # noqa: BLE001  # the earlier pages could not be loaded; this one is requested again
            return self._build_failure(wrap_unknown(error, self._redact))
        if isinstance(page, Output):
            is_read = self._node.keep is not None or self._node.undo is not None
            if not is_read or page.plain is not None:
                return page
            if page.encoded.ref:  # it is long: joining it took a turn, and decoding it takes another
                await take_turn()
            return page._replace(plain=page.encoded.load())
        now = self._runtime.now()
        return PageCompleted(
            at=now,
            path=self.path,
            attempt=self.number,
            page=self.context.page.number,
            started_at=self.started_at,
            items=page.items,
            count=page.length,
            cursor=page.cursor,
            marks=page.marks,
            due=now + page.delay if page.delay else None,
        )

    def _end_call(self, timer: SuspendableTimeout, began: float, outcome: AttemptOutcome) -> None:
        if not timer.is_over:  # the action may have stopped it after the response
            timer.cancel()
        metrics.count_attempt(self._node.step.use, outcome, perf_counter() - began)

    def _build_result(self, output: Output) -> StepCompleted | AttemptFailed:
        return report_return(
            self._definition,
            self._state,
            self.path,
            self.number,
            output.plain,
            encoded=output.encoded,
            problem=output.problem,
            started_at=self.started_at,
            at=self._runtime.now(),
        )

    def _build_failure(self, error: ActionError) -> AttemptFailed:
        place = self.context.path, self.context.attempt
        return report_error(self.path, self.number, error, place, started_at=self.started_at, at=self._runtime.now())

    def _refuse_input(self, reason: str) -> InputRefused:
        return InputRefused(at=self._runtime.now(), path=self.path, attempt=self.number, reason=reason)

    def _unfit_input(self, redact: Redactor, error: ValidationError) -> Fact:
        """Report an input that the action's model rejects: it fails the step, unless it was recorded under other code;
        then it pauses the run."""
        message = redact.redact_text(f"input of {self._node.step.use}: {list_problems(error)}")
        if self._is_recorded:
            return self._refuse_input(message)
        return self._build_failure(ActionError(message, error_class="invalid", code="input", ending="not_sent"))


async def redact_error(error: ActionError, redact: Redactor) -> ActionError:
    """Return the error without secrets. Its details are truncated only later, because part of a secret is not
    recognised."""
    try:
        encode(error.details)  # raises NotJSON
        details = await take_turns(redact.redact_in_slices(error.details))
    except NotJSON as problem:
        details = f"the details are not JSON: {problem}"
    return ActionError(
        redact.redact_text(str(error.message)),
        error_class=error.error_class,
        code=None if error.code is None else redact.redact_text(str(error.code)),
        ending=error.ending,
        retry_after=error.retry_after,
        details=details,
    )


def wrap_unknown(error: Exception, redact: Redactor) -> ActionError:
    frames = "".join(traceback.format_exception(error, limit=-8))
    return ActionError(
        redact.redact_text("".join(traceback.format_exception_only(error)).strip()),
        error_class="internal",
        code=type(error).__name__,
        ending="unknown",
        details={"traceback": redact.redact_text(frames)},
    )
