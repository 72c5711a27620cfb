"""What a run performs: a pipeline resolved to its meaning, named by the hash of it, and compiled.

`resolve` fills in every default and every policy that a connector gives; the SHA-256 of the result in canonical JSON
is the pipeline's version, so that a comment or a reordered mapping changes nothing. The resolved form is stored whole
with the first run of it, and `Definition.load` makes the same definition of it again, whatever became of the file.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal, TypeAlias

import msgspec

from durable.action import Action, OnCrash
from durable.expressions import Expression, Template
from durable.flow import CORE_ACTIONS
from durable.language.pipeline import Defaults, Pipeline, Retry, Step, parse_duration
from durable.retry import Policy
from durable.schema import Schema
from durable.values import JSON

RUN_TIMEOUT = parse_duration("90d")
STEP_TIMEOUT = parse_duration("30s")

PROBLEMS_LIMIT = 20
PROBLEM_LENGTH = 300
"""How many misfits of a run's inputs are told, and how many characters of each."""

Tree: TypeAlias = Any
"""JSON; msgspec reads no recursive alias."""

Part: TypeAlias = Literal["main", "cleanup"]


class ActionSpec(msgspec.Struct, frozen=True, tag="action", tag_field="kind", omit_defaults=True):
    """A step that uses an action, with every policy filled in. `timeout` is of one attempt, in milliseconds."""

    id: str
    use: str
    input: Tree = None
    condition: str | None = None
    keep: Tree = None
    retry: Policy = Policy()
    timeout: int | None = None
    on_crash: OnCrash = "retry"


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The resolved pipeline. `inputs` are JSON Schemas by name, `timeout` is of the run, in milliseconds."""

    id: str
    steps: tuple[ActionSpec, ...]
    timeout: int = RUN_TIMEOUT
    inputs: dict[str, Tree] | None = None
    outputs: Tree = None
    on_failure: tuple[ActionSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A step, compiled. `follower` is the path of what comes after it in its sequence."""

    spec: ActionSpec
    part: Part
    follower: str | None
    input: Template
    condition: Expression | None
    keep: Template | None


class InputsRefused(ValueError):
    """A run's inputs do not fit the pipeline's schema; `problems` say where and why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Definition:
    """A pipeline version, ready to decide with."""

    def __init__(self, spec: Spec) -> None:
        self.data = msgspec.json.encode(spec, order="deterministic")
        # Taken from its stored form, so that a run renders its mappings in the same order before and after a restart.
        self.spec = spec = msgspec.json.decode(self.data, type=Spec)
        self.version = hashlib.sha256(self.data).hexdigest()
        self.nodes = _nodes(spec.steps, "main") | _nodes(spec.on_failure, "cleanup")
        self.outputs = Template.parse(spec.outputs) if spec.outputs is not None else None

    @classmethod
    def load(cls, data: bytes) -> "Definition":
        """Make it of its stored form."""
        return cls(msgspec.json.decode(data, type=Spec))

    def first(self, part: Part) -> str | None:
        """The path of the part's first step."""
        steps = self.spec.steps if part == "main" else self.spec.on_failure
        return steps[0].id if steps else None

    @cached_property
    def reads_arrival(self) -> bool:
        """Whether a step reads `trigger`, so that the run must keep what arrived."""
        trees = [tree for node in self.nodes.values() for tree in (node.input, node.condition, node.keep)]
        return any(names[0] == "trigger" for tree in [*trees, self.outputs] if tree for names in tree.names)

    def accept(self, inputs: dict[str, JSON]) -> dict[str, JSON]:
        """The inputs with defaults filled in; raises `InputsRefused`."""
        schemas = self.spec.inputs
        if schemas is None:
            return inputs
        inputs = _defaults(schemas) | inputs
        problems = [
            *(f"inputs.{name}: it is missing" for name in schemas if name not in inputs),
            *(
                f"inputs.{name}: there is no such input; there are {_listed(schemas)}"
                for name in inputs.keys() - schemas
            ),
            *(problem for name in schemas if name in inputs for problem in self._misfits(name, inputs[name])),
        ]
        if problems:
            raise InputsRefused(problems[:PROBLEMS_LIMIT])
        return inputs

    def _misfits(self, name: str, value: JSON) -> Iterator[str]:
        for place, message in islice(self._schemas[name].misfits(value), PROBLEMS_LIMIT):
            where = ".".join(str(part) for part in ("inputs", name, *place))
            yield f"{where[:PROBLEM_LENGTH]}: {message[:PROBLEM_LENGTH]}"

    @cached_property
    def _schemas(self) -> dict[str, Schema]:
        return {name: Schema(schema) for name, schema in (self.spec.inputs or {}).items()}


def _defaults(schemas: dict[str, Tree]) -> dict[str, JSON]:
    return {
        name: schema["default"] for name, schema in schemas.items() if isinstance(schema, dict) and "default" in schema
    }


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def resolve(pipeline: Pipeline, action: Callable[[str], Action | None], run_timeout: int = RUN_TIMEOUT) -> Definition:
    """The definition that a checked pipeline means; `action` finds a connector's action by name, `run_timeout` (ms) is
    for pipelines that give none."""
    defaults = pipeline.defaults or Defaults()

    def sequence(steps: Sequence[Step]) -> tuple[ActionSpec, ...]:
        return tuple(_action_spec(step, defaults, action) for step in steps)

    return Definition(
        Spec(
            id=pipeline.id,
            steps=sequence(pipeline.steps),
            timeout=parse_duration(pipeline.timeout) if pipeline.timeout else run_timeout,
            inputs=pipeline.inputs,
            outputs=pipeline.outputs,
            on_failure=sequence(pipeline.on_failure or ()),
        )
    )


def _action_spec(step: Step, defaults: Defaults, action: Callable[[str], Action | None]) -> ActionSpec:
    if step.use is None:
        raise TypeError(f"step {step.id!r} is not an action; the loader refuses what is not performed")
    plain = ActionSpec(id=step.id, use=step.use, input=step.with_ or {}, condition=step.if_, keep=step.keep)
    found = action(step.use)
    if step.use in CORE_ACTIONS or found is None:
        return plain
    timeout = step.timeout or defaults.timeout
    return msgspec.structs.replace(
        plain,
        retry=_policy(step.retry or defaults.retry),
        timeout=parse_duration(timeout) if timeout else STEP_TIMEOUT,
        on_crash=step.on_crash or found.on_crash,
    )


def _policy(retry: Retry | None) -> Policy:
    if retry is None:
        return Policy()
    given = retry.model_dump(exclude_none=True)
    for name in ("min_delay", "max_delay"):
        if name in given:
            given[name] = parse_duration(given[name])
    return msgspec.convert(given, Policy)


def _nodes(steps: Sequence[ActionSpec], part: Part) -> dict[str, Node]:
    ids = [*(step.id for step in steps), None]
    return {step.id: _node(step, part, ids[number]) for number, step in enumerate(steps, 1)}


def _node(spec: ActionSpec, part: Part, follower: str | None) -> Node:
    return Node(
        spec=spec,
        part=part,
        follower=follower,
        input=Template.parse(spec.input),
        condition=Expression.parse(spec.condition) if spec.condition is not None else None,
        keep=Template.parse(spec.keep) if spec.keep is not None else None,
    )
