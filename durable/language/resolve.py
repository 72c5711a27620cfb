"""From a checked pipeline to the definition that it means."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from durable.action import Action, OnCrash
from durable.blocks.core_actions import CORE_INPUTS
from durable.blocks.foreach import ForeachStep
from durable.blocks.parallel import ParallelStep
from durable.blocks.repeat import RepeatStep
from durable.blocks.switch import SwitchCase, SwitchStep
from durable.blocks.try_ import CatchHandler, TryStep
from durable.definition import Definition
from durable.durations import parse_duration
from durable.language.pipeline import ConcurrencySpec, DefaultsSpec, PipelineSpec, RetrySpec, StepSpec, UndoSpec
from durable.language.validation import get_shape
from durable.retry import RetryPolicy
from durable.steps.resolved import (
    RUN_TIMEOUT,
    ActionStep,
    ResolvedConcurrency,
    ResolvedPipeline,
    ResolvedStep,
    Steps,
    make_steps,
)

STEP_TIMEOUT = parse_duration("30s")

FindAction = Callable[[str], Action | None]


def resolve_pipeline(pipeline: PipelineSpec, action: FindAction, run_timeout: int = RUN_TIMEOUT) -> Definition:
    """The definition that a checked pipeline means; `action` finds a connector's action by name, `run_timeout` (ms) is
    for pipelines that give none."""
    resolving = _Resolving(pipeline.defaults or DefaultsSpec(), action)
    return Definition(
        ResolvedPipeline(
            id=pipeline.id,
            steps=resolving.sequence(pipeline.steps),
            timeout=parse_duration(pipeline.timeout) if pipeline.timeout else run_timeout,
            inputs=pipeline.inputs,
            outputs=pipeline.outputs,
            on_failure=resolving.sequence(pipeline.on_failure or ()),
            concurrency=_resolve_concurrency(pipeline.concurrency),
        )
    )


class _Resolving:
    """Fills in what a step leaves open."""

    def __init__(self, defaults: DefaultsSpec, action: FindAction) -> None:
        self._defaults = defaults
        self._action = action

    def sequence(self, steps: Sequence[StepSpec] | None) -> Steps:
        return make_steps(self._step(step) for step in steps or ())

    def _step(self, step: StepSpec) -> ResolvedStep:
        if step.use is not None:
            return self._use(step, step.use)
        if step.switch is not None:
            cases = tuple(SwitchCase(case.when, self.sequence(case.steps)) for case in step.switch)
            return SwitchStep(step.id, cases, self.sequence(step.else_), step.if_)
        if step.parallel is not None:
            branches = {name: self.sequence(steps) for name, steps in step.parallel.items()}
            return ParallelStep(step.id, branches, step.on_branch_error or "cancel", step.if_)
        if step.try_ is not None:
            handlers = tuple(CatchHandler(self.sequence(each.steps), each.when) for each in step.catch or ())
            return TryStep(step.id, self.sequence(step.try_), handlers, self.sequence(step.finally_), step.if_)
        return self._loop(step)

    def _loop(self, step: StepSpec) -> ResolvedStep:
        if step.foreach is not None:
            return ForeachStep(
                step.id,
                step.foreach,
                self.sequence(step.steps),
                step.as_ or "item",
                step.max_parallel or 1,
                step.on_item_error or "stop",
                step.if_,
            )
        if step.repeat is None:
            raise TypeError(f"step {step.id!r} does nothing; the loader refuses it")
        every = parse_duration(step.repeat.every) if step.repeat.every else None
        return RepeatStep(step.id, step.repeat.until, self.sequence(step.steps), every, step.repeat.max_times, step.if_)

    def _use(self, step: StepSpec, use: str) -> ActionStep:
        plain = ActionStep(
            id=step.id,
            use=use,
            input=step.with_ or {},
            condition=step.if_,
            keep=step.keep,
            timeout=parse_duration(step.timeout) if step.timeout else None,
            connection=step.connection,
        )
        if use in CORE_INPUTS:
            return self._with_timeout(plain, step)
        return msgspec.structs.replace(
            self._with_policy(plain, step.retry, step.on_crash),
            on_exhausted=step.on_exhausted or "fail",
            undo=self._undo(step.undo) if step.undo else None,
        )

    def _with_timeout(self, plain: ActionStep, step: StepSpec) -> ActionStep:
        """A wait says what happens when it is over."""
        if isinstance(step.on_timeout, tuple):
            steps = self.sequence(step.on_timeout)
            return msgspec.structs.replace(plain, times_out="steps", timeout_steps=steps)
        if "on_timeout" not in step.model_fields_set or step.on_timeout == "fail":
            return plain
        return msgspec.structs.replace(plain, times_out="value", timeout_value=step.on_timeout)

    def _with_policy(self, plain: ActionStep, retry: RetrySpec | None, on_crash: OnCrash | None) -> ActionStep:
        found = self._action(plain.use)
        if found is None:
            return plain
        default = parse_duration(self._defaults.timeout) if self._defaults.timeout else STEP_TIMEOUT
        return msgspec.structs.replace(
            plain,
            urls=get_shape(found.input).urls(plain.input),
            retry=_merge_policy(self._defaults.retry, retry),
            timeout=plain.timeout or default,
            on_crash=on_crash or found.on_crash,
        )

    def _undo(self, undo: UndoSpec) -> ActionStep:
        plain = ActionStep(id="undo", use=undo.use, input=undo.with_ or {}, connection=undo.connection)
        return self._with_policy(plain, None, None)


def _merge_policy(default: RetrySpec | None, own: RetrySpec | None) -> RetryPolicy:
    """A step's own `retry` over that of `defaults`, key by key."""
    given: dict[str, Any] = {}
    for policy in filter(None, (default, own)):
        given |= policy.model_dump(exclude_unset=True, exclude_none=True)
    for name in ("min_delay", "max_delay"):
        if name in given:
            given[name] = parse_duration(given[name])
    return msgspec.convert(given, RetryPolicy)


def _resolve_concurrency(given: ConcurrencySpec | None) -> ResolvedConcurrency | None:
    return ResolvedConcurrency(given.limit, given.key, given.overflow) if given else None
