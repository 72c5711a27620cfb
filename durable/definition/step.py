"""The resolved form of a pipeline: every default and policy filled in, every duration in milliseconds.

It is stored whole with the runs of it, so a field here is kept for ever; a default is not written.
"""

from typing import Any, Literal, TypeAlias

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
    timeout_steps: "tuple[ResolvedStep, ...]" = ()
    urls: tuple[tuple[str | int, ...], ...] = ()


class SwitchCase(msgspec.Struct, frozen=True):
    """A case of a switch."""

    when: str
    steps: "tuple[ResolvedStep, ...]"


class SwitchStep(msgspec.Struct, frozen=True, tag="switch", tag_field="kind", omit_defaults=True):
    """The first case that holds is performed, or `otherwise`."""

    id: str
    cases: tuple[SwitchCase, ...]
    otherwise: "tuple[ResolvedStep, ...]" = ()
    condition: str | None = None


class ForeachStep(msgspec.Struct, frozen=True, tag="foreach", tag_field="kind", omit_defaults=True):
    """The steps are performed for each of `items`, an expression's list; each item is read as `name`."""

    id: str
    items: str
    steps: "tuple[ResolvedStep, ...]"
    name: str = "item"
    max_parallel: int = 1
    on_item_error: Literal["stop", "collect"] = "stop"
    condition: str | None = None


class ParallelStep(msgspec.Struct, frozen=True, tag="parallel", tag_field="kind", omit_defaults=True):
    """The branches are performed at the same time; when one fails, the others are cancelled or come to their end."""

    id: str
    branches: "dict[str, tuple[ResolvedStep, ...]]"
    on_branch_error: Literal["cancel", "finish"] = "cancel"
    condition: str | None = None


class CatchHandler(msgspec.Struct, frozen=True, omit_defaults=True):
    """What answers a failure for which `when` holds, or any."""

    steps: "tuple[ResolvedStep, ...]"
    when: str | None = None


class TryStep(msgspec.Struct, frozen=True, tag="try", tag_field="kind", omit_defaults=True):
    """A failure of the steps is answered by the first handler that holds; `cleanup` (`finally`) is performed in any
    case."""

    id: str
    steps: "tuple[ResolvedStep, ...]"
    catch: tuple[CatchHandler, ...] = ()
    cleanup: "tuple[ResolvedStep, ...]" = ()
    condition: str | None = None


class RepeatStep(msgspec.Struct, frozen=True, tag="repeat", tag_field="kind", omit_defaults=True):
    """The steps are performed until an expression holds, `max_times` at most, and a turn begins `every` (ms) after the
    one before it."""

    id: str
    until: str
    steps: "tuple[ResolvedStep, ...]"
    every: int | None = None
    max_times: int | None = None
    condition: str | None = None


ResolvedStep: TypeAlias = ActionStep | SwitchStep | ForeachStep | ParallelStep | TryStep | RepeatStep


class ResolvedConcurrency(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many runs with the same key work at once, and what becomes of one more."""

    limit: int
    key: str | None = None
    overflow: Overflow = "queue"


class ResolvedPipeline(msgspec.Struct, frozen=True, omit_defaults=True):
    """The resolved pipeline. `inputs` are JSON Schemas by name, `timeout` is of the run, in milliseconds."""

    id: str
    steps: tuple[ResolvedStep, ...]
    timeout: int = RUN_TIMEOUT
    inputs: dict[str, Tree] | None = None
    outputs: Tree = None
    on_failure: tuple[ResolvedStep, ...] = ()
    concurrency: ResolvedConcurrency | None = None
