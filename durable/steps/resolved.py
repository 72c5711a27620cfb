"""The resolved form of a pipeline: every default and policy filled in, every duration in milliseconds.

It is stored with the pipeline's runs, so fields can never be removed. Default values are not written.
"""

from collections.abc import Iterable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from durable.action import OnCrash
from durable.durations import parse_duration
from durable.history.words import Overflow, TimesOut
from durable.retry import RetryPolicy

RUN_TIMEOUT = parse_duration("90d")

Tree: TypeAlias = Any
"""JSON; msgspec does not support recursive aliases."""

Part: TypeAlias = Literal["main", "cleanup"]
OnExhausted: TypeAlias = Literal["fail", "pause"]


class ResolvedStep(Protocol):
    """The fields common to the resolved forms of all kinds of steps. Each form is defined in the file of its kind."""

    @property
    def id(self) -> str: ...

    @property
    def condition(self) -> str | None: ...


class Steps(tuple[ResolvedStep, ...]):
    """A sequence of steps. A distinct type, so that msgspec decodes it with `durable.blocks.compiling.decode_steps`,
    which knows all kinds."""

    __slots__ = ()


NO_STEPS = Steps()
"""The only empty sequence: msgspec omits a default only if it is this same object."""


def make_steps(steps: Iterable[ResolvedStep]) -> Steps:
    return Steps(steps) or NO_STEPS


class ConnectionChoice(msgspec.Struct, frozen=True):
    """A connection that an expression chooses: `name` is a template, whose text must match one of `one_of`."""

    name: str
    one_of: tuple[str, ...]


class ActionStep(msgspec.Struct, frozen=True, tag="action", tag_field="kind", omit_defaults=True):
    """A step that uses an action, with every policy filled in.

    `timeout`: of one attempt, of a whole wait, or of a called run, in ms.
    `times_out`: when a wait times out, it fails, returns `timeout_value`, or performs `timeout_steps`.
    `connection`: an undo with a `ConnectionChoice` uses the connection that was chosen for its step.
    `undo`: the action that undoes the step's effect.
    `urls`: the places in the input where an expression is part of a URL.
    `is_paged`: the action returns its output in pages.
    `step_inputs`: of an undo that the connector declares: the values of the step's inputs that it does not give. The
    expressions of such an undo read the step's inputs as `inputs`.
    """

    id: str
    use: str
    input: Tree = None
    condition: str | None = None
    keep: Tree = None
    retry: RetryPolicy = RetryPolicy()
    timeout: int | None = None
    on_crash: OnCrash = "retry"
    on_exhausted: OnExhausted = "fail"
    connection: str | ConnectionChoice | None = None
    undo: "ActionStep | None" = None
    times_out: TimesOut = "fail"
    timeout_value: Tree = None
    timeout_steps: Steps = NO_STEPS
    urls: tuple[tuple[str | int, ...], ...] = ()
    is_paged: bool = False
    step_inputs: dict[str, Tree] | None = None


class ResolvedConcurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many runs with the same key may be unfinished at the same time, and what happens to further runs."""

    limit: int
    key: str | None = None
    overflow: Overflow = "queue"


class ResolvedPipeline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pipeline with every default filled in. `inputs` are JSON Schemas by name; `timeout` is that of the run, in ms;
    `actions` are the stored forms of connectors' actions, by `use`."""

    id: str
    steps: Steps
    timeout: int = RUN_TIMEOUT
    inputs: dict[str, Tree] | None = None
    outputs: Tree = None
    on_failure: Steps = NO_STEPS
    concurrency: ResolvedConcurrency | None = None
    actions: dict[str, Tree] | None = None
