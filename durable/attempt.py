"""One try of a step: the action is called, and how it ended becomes a fact."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from durable import metrics
from durable.action import Action, ActionError, Context
from durable.decide import raised, returned
from durable.definition import Definition
from durable.history import AttemptFailed, Fact, InputRefused, State, StepCompleted
from durable.secrets import Redactor, SecretMissing, Secrets, fill
from durable.values import JSON, PayloadMissing

log = logging.getLogger("waypost.run")

Clock = Callable[[], int]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every attempt needs: the actions by name, the secrets, the shared things that actions use, the bytes of a
    stored payload by its SHA-256, the clock."""

    actions: Mapping[str, Action]
    secrets: Secrets
    resources: Mapping[type, object]
    payload: Callable[[str], Awaitable[bytes]]
    now: Clock


async def loaded(ask: Callable[[], Result], payload: Callable[[str], Awaitable[bytes]]) -> Result:
    """Ask the core, bringing in the stored payloads that it misses."""
    while True:
        try:
            return ask()
        except PayloadMissing as missing:
            missing.value.attach(await payload(missing.value.ref or ""))


class StepLog(logging.LoggerAdapter[logging.Logger]):
    """A log whose lines carry run, step and attempt beside what a call adds."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}


class Attempt:
    """An attempt under way. `report` takes the one fact in which it ends, by itself, by its timeout or never."""

    def __init__(
        self,
        bench: Workbench,
        definition: Definition,
        state: State,
        path: str,
        report: Callable[[Fact], Awaitable[None]],
        *,
        is_recorded: bool,
    ) -> None:
        self.path = path
        self.number = state.steps[path].attempt
        self._bench = bench
        self._definition = definition
        self._state = state
        self._node = definition.nodes[path]
        self._report = report
        self._is_recorded = is_recorded
        self._expiry: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.started_at = bench.now()
        self.context = Context(
            run=state.run,
            path=path,
            attempt=self.number,
            key=f"{state.run}:{path}",
            log=StepLog(log, {"run": state.run, "step": path, "attempt": self.number}),
            resources=bench.resources,
        )

    async def perform(self) -> None:
        """Call the action and report how it ended; returns when nothing of it works any more."""
        self._task = asyncio.current_task()
        timeout = self._node.spec.timeout
        timer = asyncio.get_running_loop().call_later(timeout / 1000, self._expire) if timeout else None
        try:
            fact = await self._outcome()
        except asyncio.CancelledError:
            if self.context.is_open:
                raise
            return
        finally:
            if timer:
                timer.cancel()
        if self.context.is_open:
            self.context.close()
            await self._report(fact)

    def abandon(self) -> None:
        """End it without a fact: nobody waits for it any more."""
        self.context.close()
        if self._task:
            self._task.cancel()

    def _expire(self) -> None:
        if not self.context.is_open:
            return
        timeout = self._node.spec.timeout or 0
        error = ActionError(
            f"the attempt took longer than its timeout of {timeout / 1000:g} s",
            error_class="timeout",
            code="attempt_timeout",
            ending="unknown",
        )
        fact = raised(self.path, self.number, error, started_at=self.started_at, at=self._bench.now())
        self.abandon()
        self._expiry = asyncio.ensure_future(self._report(fact))

    async def _outcome(self) -> Fact:
        step = self._state.steps[self.path]
        spec = self._node.spec
        redact = Redactor()
        try:
            input = await loaded(step.input.load, self._bench.payload)
            filled, values = fill(input, step.secrets, self._bench.secrets)
            redact = Redactor(values)
            action = self._bench.actions.get(spec.use)
            if action is None:
                return self._refused(f"no connector offers {spec.use} any more")
            try:
                given = action.input.model_validate(filled)
            except ValidationError as error:
                return self._unfit_input(redact, error)
            with metrics.attempt(spec.use):
                output = await action.perform(self.context, given)
        except SecretMissing as error:
            return self._raised(ActionError(str(error), error_class="auth", code="secret_missing", ending="not_sent"))
        except ActionError as error:
            return self._raised(_redacted(error, redact))
        except Exception as error:  # noqa: BLE001  # an action may raise anything; it is journaled and not known to us
            return self._raised(_unknown(error, redact))
        return await loaded(partial(self._returned, action, redact, output), self._bench.payload)

    def _returned(self, action: Action, redact: Redactor, output: "BaseModel | JSON") -> StepCompleted | AttemptFailed:
        plain, problem = _plain(action, output)
        return returned(
            self._definition,
            self._state,
            self.path,
            self.number,
            redact.value(plain),
            problem=problem and redact.text(problem),
            started_at=self.started_at,
            at=self._bench.now(),
        )

    def _raised(self, error: ActionError) -> AttemptFailed:
        return raised(self.path, self.number, error, started_at=self.started_at, at=self._bench.now())

    def _refused(self, reason: str) -> InputRefused:
        return InputRefused(at=self._bench.now(), path=self.path, attempt=self.number, reason=reason)

    def _unfit_input(self, redact: Redactor, error: ValidationError) -> Fact:
        """An input that its own code refuses fails the step; one that was recorded under other code pauses the run."""
        message = redact.text(f"input of {self._node.spec.use}: {_listed(error)}")
        if self._is_recorded:
            return self._refused(message)
        return self._raised(ActionError(message, error_class="invalid", code="input", ending="not_sent"))


def _plain(action: Action, output: "BaseModel | JSON") -> tuple[JSON, str | None]:
    """The output as JSON, and what its model finds wrong with it."""
    problem = None
    if action.output is not None and not isinstance(output, action.output):
        try:
            output = action.output.model_validate(output)
        except ValidationError as error:
            problem = _listed(error)
    if isinstance(output, BaseModel):
        plain: JSON = output.model_dump(mode="json", by_alias=True)
        return plain, problem
    return output, problem


def _listed(error: ValidationError) -> str:
    """Every problem with its place, without the offending values (they may be secret)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'it'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_context=False, include_url=False)
    )


def _redacted(error: ActionError, redact: Redactor) -> ActionError:
    return ActionError(
        redact.text(error.message),
        error_class=error.error_class,
        code=error.code,
        ending=error.ending,
        retry_after=error.retry_after,
        details=redact.value(error.details),
    )


def _unknown(error: Exception, redact: Redactor) -> ActionError:
    frames = "".join(traceback.format_exception(error, limit=-8))
    return ActionError(
        redact.text(f"{type(error).__name__}: {error}"),
        error_class="internal",
        code=type(error).__name__,
        ending="unknown",
        details={"traceback": redact.text(frames)},
    )
