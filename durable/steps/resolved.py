"""The resolved form of a pipeline: every default and policy filled in, every duration in milliseconds.

It is stored whole with the runs of it, so a field here is kept for ever; a default is not written.
"""

from collections.abc import Iterable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from durable.action import OnCrash
from durable.durations import parse_duration
from durable.retry import RetryPolicy

RUN_TIMEOUT = parse_duration("90d")

Tree: TypeAlias = Any
"""JSON; msgspec reads no recursive alias."""

Part: TypeAlias = Literal["main", "cleanup"]
Overflow: TypeAlias = Literal["queue", "skip", "cancel_oldest"]
OnExhausted: TypeAlias = Literal["fail", "pause"]
TimesOut: TypeAlias = Literal["fail", "value", "steps"]


class ResolvedStep(Protocol):
    """The part that the resolved forms of all kinds of steps have in common; each form is in the file of its kind."""

    @property
    def id(self) -> str: ...

    @property
    def condition(self) -> str | None: ...


class Steps(tuple[ResolvedStep, ...]):
    """A sequence of steps. It is a type of its own, so that msgspec calls `durable.blocks.compiling.decode_steps`,
    which knows all kinds."""

    __slots__ = ()


NO_STEPS = Steps()
"""The one empty sequence: msgspec leaves a default out only where it is this very object."""


def make_steps(steps: Iterable[ResolvedStep]) -> Steps:
    return Steps(steps) or NO_STEPS


class ActionStep(msgspec.Struct, frozen=True, tag="action", tag_field="kind", omit_defaults=True):
    """A step that uses an action, with every policy filled in. `timeout` (ms) is of one attempt, of a whole wait, or of
    a call. When a wait `times_out`, it fails, has the output `timeout_value`, or goes on with `timeout_steps`. `undo`
    is the action that takes the effect back. `urls` are the places in the input where expressions stand in a URL."""

    id: str
    use: str
    input: Tree = None
    condition: str | None = None
    keep: Tree = None
    retry: RetryPolicy = RetryPolicy()
    timeout: int | None = None
    on_crash: OnCrash = "retry"
    on_exhausted: OnExhausted = "fail"
    connection: str | None = None
    undo: "ActionStep | None" = None
    times_out: TimesOut = "fail"
    timeout_value: Tree = None
    timeout_steps: Steps = NO_STEPS
    urls: tuple[tuple[str | int, ...], ...] = ()


class ResolvedConcurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many runs with the same key work at once, and what becomes of one more."""

    limit: int
    key: str | None = None
    overflow: Overflow = "queue"


class ResolvedPipeline(msgspec.Struct, frozen=True, omit_defaults=True):
    """The resolved pipeline. `inputs` are JSON Schemas by name, `timeout` is of the run, in milliseconds."""

    id: str
    steps: Steps
    timeout: int = RUN_TIMEOUT
    inputs: dict[str, Tree] | None = None
    outputs: Tree = None
    on_failure: Steps = NO_STEPS
    concurrency: ResolvedConcurrency | None = None
