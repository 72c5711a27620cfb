"""The pipeline language as models: every key that a file may hold, and what it means.

The models give the JSON Schema that editors use and the reference documentation. They check shapes; `load` checks what
needs the whole file or the installed connectors. Durations stay text here: `parse_duration` reads them.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag
from pydantic import model_validator as validator
from pydantic_core import PydanticCustomError

from durable.action import ErrorClass, OnCrash
from durable.durations import Duration, Timeout, parse_duration
from durable.spec_model import KEYS_CLASH, Condition, Identifier, SpecModel, Whole

# -- policies ---------------------------------------------------------------------------------------------------


class RetrySpec(SpecModel, title="Retry"):
    """How often, when and after which errors an attempt is repeated."""

    max_attempts: Annotated[Whole, Field(ge=1, le=1_000)] = Field(3, description="Attempts in all; 1: no retry")
    min_delay: Duration | None = Field(None, description="The first delay; default 1s")
    max_delay: Duration | None = Field(None, description="What a delay grows to at most; default 5m")
    factor: Annotated[float, Field(strict=True, ge=1, le=10, allow_inf_nan=False)] | None = Field(
        None, description="By how much each delay is longer than the one before; default 2"
    )
    errors: Annotated[tuple[ErrorClass, ...], Field(min_length=1)] | None = Field(
        None,
        description="The classes of error worth repeating; default: all but client, auth and invalid",
    )

    @validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        if self.min_delay and self.max_delay and parse_duration(self.min_delay) > parse_duration(self.max_delay):
            raise ValueError("'min_delay' is longer than 'max_delay'; exchange them")
        return self


class DefaultsSpec(SpecModel, title="Defaults"):
    """What steps that use a connector's action have unless they say otherwise; `undo` has it too."""

    timeout: Timeout | None = Field(None, description="Of one attempt; default 30s")
    retry: RetrySpec | None = Field(None, description="When attempts are repeated; a step's own keys go first")


class ConcurrencySpec(SpecModel, title="Concurrency"):
    """How many runs of the pipeline may work at once."""

    key: str | None = Field(None, description="Runs with the same key are counted together; default: all of them")
    limit: Annotated[Whole, Field(ge=1, le=100_000)] = Field(1, description="Runs at once")
    overflow: Literal["queue", "skip", "cancel_oldest"] = Field(
        "queue", description="What becomes of a run above the limit"
    )


class TriggerSpec(SpecModel, title="TriggerSpec"):
    """What starts the pipeline by itself."""

    id: Identifier = Field(description="The trigger's name, unique in the file")
    use: str = Field(description="The kind of trigger: webhook, schedule …")
    with_: dict[str, JsonValue] | None = Field(None, alias="with", description="The trigger's settings")
    when: Condition | None = Field(
        None, description="An expression over `trigger`; what does not fulfil it is filtered"
    )
    inputs: dict[str, JsonValue] | None = Field(None, description="The run's inputs, made from `trigger`")


# -- steps ------------------------------------------------------------------------------------------------------


class CaseSpec(SpecModel, title="Case"):
    """One branch of a switch."""

    when: Condition = Field(description="An expression; the first case that it holds for is performed")
    steps: "tuple[StepSpec, ...]" = Field(description="What is then performed")


class HandlerSpec(SpecModel, title="Handler"):
    """One branch of a catch."""

    when: Condition | None = Field(None, description="An expression over `error`; default: any error")
    steps: "tuple[StepSpec, ...]" = Field(description="What is then performed")


class UndoSpec(SpecModel, title="Undo"):
    """The action that takes a step's effect back."""

    use: str = Field(description="connector.action")
    connection: Identifier | None = Field(None, description="Named credentials for the connector")
    with_: dict[str, JsonValue] | None = Field(
        None, alias="with", description="The action's inputs; `output` is the step's"
    )


class RepeatSpec(SpecModel, title="Repeat"):
    """How often the steps of the block are performed."""

    until: Condition = Field(description="An expression, evaluated after each turn")
    every: Timeout | None = Field(None, description="From one turn to the next; default: at once")
    max_times: Annotated[Whole, Field(ge=1, le=100_000)] | None = Field(
        None, description="Turns after which the step fails; needed where `every` is not given"
    )

    @validator(mode="after")
    def _ends_or_pauses(self) -> Self:
        if self.every is None and self.max_times is None:
            raise ValueError("'repeat' could run on without a pause; give it 'every', 'max_times' or both")
        return self


def _choose_tag(value: object) -> str:
    return "steps" if isinstance(value, list | tuple) else "value"


OnTimeout: TypeAlias = Annotated[
    Annotated["tuple[StepSpec, ...]", Tag("steps")] | Annotated[JsonValue, Tag("value")],
    Discriminator(_choose_tag),
]


class StepSpec(SpecModel, title="Step"):
    """One named use of an action, or one block: switch, foreach, parallel, try, repeat."""

    id: Identifier = Field(description="The step's name, unique in the file")
    if_: Condition | None = Field(None, alias="if", description="An expression; the step is skipped if it is false")

    use: str | None = Field(None, description="The action: connector.action, flow.… or wait.…")
    with_: dict[str, JsonValue] | None = Field(None, alias="with", description="The action's inputs")
    connection: Identifier | None = Field(None, description="Named credentials for the connector")
    retry: RetrySpec | None = Field(
        None, description="When attempts are repeated; a key that is left out is that of `defaults.retry`"
    )
    timeout: Timeout | None = Field(
        None, description="Of one attempt; of the whole wait on wait.*, of the called run on flow.call"
    )
    keep: JsonValue = Field(None, description="What is checkpointed of `output`; default: all of it")
    on_crash: OnCrash | None = Field(
        None, description="What an unknown ending means: retry, park for a person, or fail; default: the action's"
    )
    on_exhausted: Literal["fail", "pause"] | None = Field(
        None, description="When no attempt is left: the step fails (default), or the run is paused for a person"
    )
    undo: UndoSpec | None = Field(None, description="What takes the effect back, performed by flow.undo")
    on_timeout: OnTimeout | None = Field(
        None, description="When a wait is over unanswered: fail, a value as the output, or steps"
    )

    switch: Annotated[tuple[CaseSpec, ...], Field(min_length=1)] | None = Field(
        None, description="Cases, of which the first that holds is performed"
    )
    else_: "tuple[StepSpec, ...] | None" = Field(None, alias="else", description="Performed where no case holds")

    foreach: Condition | None = Field(None, description="An expression that gives the items")
    as_: Identifier | None = Field(None, alias="as", description="The item's name inside; default item")
    max_parallel: Annotated[Whole, Field(ge=1, le=1_000)] | None = Field(
        None, description="Items at work at once; default 1"
    )
    on_item_error: Literal["stop", "collect"] | None = Field(
        None, description="Whether a failed item ends the block, or is collected; default stop"
    )
    steps: "Annotated[tuple[StepSpec, ...], Field(min_length=1)] | None" = Field(
        None, description="The steps of a foreach or repeat"
    )

    parallel: "Annotated[dict[Identifier, tuple[StepSpec, ...]], Field(min_length=1)] | None" = Field(
        None, description="Branches by name, performed at the same time"
    )
    on_branch_error: Literal["cancel", "finish"] | None = Field(
        None, description="When a branch fails: the others are cancelled (default), or come to their end first"
    )

    try_: "Annotated[tuple[StepSpec, ...], Field(min_length=1)] | None" = Field(
        None, alias="try", description="Steps whose failure is caught"
    )
    catch: Annotated[tuple[HandlerSpec, ...], Field(min_length=1)] | None = Field(
        None, description="What answers a failure; the first handler that holds is performed"
    )
    finally_: "tuple[StepSpec, ...] | None" = Field(
        None, alias="finally", description="Performed in any case, also after a cancel"
    )

    repeat: RepeatSpec | None = Field(None, description="How often the block's steps are performed")

    @validator(mode="after")
    def _keys_go_together(self) -> Self:
        fields = type(self).model_fields
        for misfit in find_key_problems({fields[name].alias or name for name in self.model_fields_set}):
            raise PydanticCustomError(KEYS_CLASH, "{message}", {"message": misfit.message})
        return self


class PipelineSpec(SpecModel):
    """One YAML file: a named list of steps, and what starts it."""

    id: Identifier = Field("", description="The pipeline's name; default: the file's")
    description: str | None = Field(None, description="What it does, for people")
    triggers: tuple[TriggerSpec, ...] | None = Field(
        None, description="What starts it by itself; every pipeline can be started over the API as well"
    )
    inputs: dict[str, Any] | None = Field(
        None, description="JSON Schemas by name, checked before a run starts; one with a default may be left out"
    )
    concurrency: ConcurrencySpec | None = Field(None, description="How many runs may work at once")
    timeout: Timeout | None = Field(None, description="Of the whole run, waiting included; default 90d")
    defaults: DefaultsSpec | None = Field(None, description="Policies of the steps that use a connector's action")
    steps: Annotated[tuple[StepSpec, ...], Field(min_length=1)] = Field(description="What is performed, in this order")
    outputs: dict[str, JsonValue] | None = Field(None, description="What the run answers with")
    on_failure: tuple[StepSpec, ...] | None = Field(None, description="Performed when the run has failed")


# -- which keys go together -------------------------------------------------------------------------------------

KINDS: dict[str, frozenset[str]] = {
    "use": frozenset(
        {"with", "connection", "retry", "timeout", "keep", "on_crash", "on_exhausted", "undo", "on_timeout"}
    ),
    "switch": frozenset({"else"}),
    "foreach": frozenset({"as", "max_parallel", "on_item_error", "steps"}),
    "parallel": frozenset({"on_branch_error"}),
    "try": frozenset({"catch", "finally"}),
    "repeat": frozenset({"steps"}),
}
"""What a step can be, by the key that makes it so, with the keys that go with it."""

OF_CONNECTORS = frozenset({"connection", "retry", "on_crash", "on_exhausted", "undo"})
"""Keys that go with a connector's action and not with those of the core."""


_BELONGING = frozenset().union(*KINDS.values())
_KNOWN = _BELONGING | KINDS.keys() | {"id", "if"}


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """A key of a step that does not go with its others; `key` is None where one is missing."""

    key: str | None
    message: str
    hint: str


def find_kind(keys: Collection[str]) -> str | None:
    """What a step with these keys is; None if it is nothing, or several things."""
    kinds = [kind for kind in KINDS if kind in keys]
    return kinds[0] if len(kinds) == 1 else None


def find_key_problems(keys: Collection[str]) -> Iterator[KeyProblem]:
    """What is wrong with a step's keys taken together."""
    kinds = [kind for kind in KINDS if kind in keys]
    if not kinds:
        if _KNOWN.issuperset(keys):  # an unknown key is told of itself, and is likely meant to be one of these
            yield KeyProblem(None, "the step does nothing", f"give it one of {', '.join(KINDS)}")
        return
    for other in kinds[1:]:
        hint = f"move '{other}' to a step of its own"
        if kinds[0] == "use" and other in {"foreach", "repeat"}:
            hint = f"put what is performed each time under 'steps': [{{id: …, use: …}}], and leave '{other}' here"
        yield KeyProblem(other, f"a step is one thing, and this one is '{kinds[0]}' already", hint)
    kind = kinds[0]
    if kind in {"foreach", "repeat"} and "steps" not in keys:
        yield KeyProblem(None, f"a '{kind}' needs 'steps'", "list under 'steps' what is performed each time")
    if kind == "try" and not {"catch", "finally"} & set(keys) and _KNOWN.issuperset(keys):
        yield KeyProblem(None, "a 'try' without 'catch' or 'finally' changes nothing", "add one of them")
    fitting = frozenset().union(*(KINDS[each] for each in kinds))
    for key in sorted(_BELONGING & set(keys) - fitting):
        yield _explain_misplaced(key, kind)


def _explain_misplaced(key: str, kind: str) -> KeyProblem:
    message = f"'{key}' does not go with '{kind}'"
    if key == "retry":
        return KeyProblem(key, message, "it stands on an action; 'repeat' is what repeats a block")
    owners = [f"'{owner}'" for owner, keys in KINDS.items() if key in keys]
    return KeyProblem(key, message, f"it belongs to {' or '.join(owners)}")
