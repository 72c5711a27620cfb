"""Definitions: pipeline versions, resolved and compiled.

A version is identified by the SHA-256 of its resolved form in canonical JSON, so comments and the order of keys do not
change it. The resolved form is stored with the first run; `Definition.load` restores the definition from it, even if
the file has changed or was deleted.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice

import msgspec

from durable.blocks.compiling import compile_steps, decode_steps
from durable.expressions.template import Template
from durable.schema import CompiledSchema
from durable.steps.node import CompiledPipeline
from durable.steps.resolved import ResolvedPipeline, Tree
from durable.values import JSON
from durable.wording import PROBLEMS_LIMIT, find_nearest, quote

PROBLEM_LENGTH = 300
"""The maximum number of characters of each reported input problem."""


class InputsRefused(ValueError):
    """The inputs of a run do not match the pipeline's schema; `problems` lists where and why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class Definition(CompiledPipeline):
    """A pipeline version, from which runs can be started."""

    def __init__(self, pipeline: ResolvedPipeline) -> None:
        self.data = msgspec.json.encode(pipeline, order="deterministic")
        # Decode the stored form, so that a run renders mappings in the same order before and after a restart.
        stored = msgspec.json.decode(self.data, type=ResolvedPipeline, dec_hook=decode_steps)
        nodes = compile_steps(stored.steps, "main") | compile_steps(stored.on_failure, "cleanup")
        super().__init__(stored, hashlib.sha256(self.data).hexdigest(), nodes)
        self.pipeline = stored
        concurrency = stored.concurrency.key if stored.concurrency else None
        self.concurrency_key = Template.parse(concurrency) if concurrency is not None else None

    @classmethod
    def load(cls, data: bytes) -> "Definition":
        """Restore a definition from its stored form."""
        return cls(msgspec.json.decode(data, type=ResolvedPipeline, dec_hook=decode_steps))

    @cached_property
    def reads_arrival(self) -> bool:
        """Whether an expression reads `trigger`, so that the run must store its value."""
        read = {name for node in self.nodes.values() for name in node.names}
        return any(name[0] == "trigger" for name in (read | self.outputs.names if self.outputs else read))

    @cached_property
    def listens(self) -> bool:
        """Whether a step waits for an event."""
        return any(node.listens for node in self.actions.values())

    @cached_property
    def has_claims(self) -> bool:
        """Whether a step starts or waits for something that needs a dedupe key."""
        return any(node.counts_once for node in self.actions.values())

    @cached_property
    def has_links(self) -> bool:
        """Whether a wait can be answered through a link."""
        return any(node.links is not None for node in self.actions.values())

    def accept(self, inputs: dict[str, JSON]) -> dict[str, JSON]:
        """Validate the inputs and return them with defaults filled in; raises `InputsRefused`."""
        schemas = self.pipeline.inputs
        if schemas is None:
            return inputs
        inputs = _find_defaults(schemas) | inputs
        problems = [
            *(f"inputs.{name}: it is missing" for name in schemas if name not in inputs),
            *(
                f"inputs.{name}: there is no such input; {_suggest_name(name, schemas)}"
                for name in inputs.keys() - schemas
            ),
            *(problem for name in schemas if name in inputs for problem in self._find_problems(name, inputs[name])),
        ]
        if problems:
            raise InputsRefused(problems[:PROBLEMS_LIMIT])
        return inputs

    def _find_problems(self, name: str, value: JSON) -> Iterator[str]:
        for place, message in islice(self._schemas[name].find_problems(value), PROBLEMS_LIMIT):
            where = ".".join(str(part) for part in ("inputs", name, *place))
            yield f"{where[:PROBLEM_LENGTH]}: {message[:PROBLEM_LENGTH]}"

    @cached_property
    def _schemas(self) -> dict[str, CompiledSchema]:
        return {name: CompiledSchema(schema) for name, schema in (self.pipeline.inputs or {}).items()}


def _find_defaults(schemas: dict[str, Tree]) -> dict[str, JSON]:
    return {
        name: schema["default"] for name, schema in schemas.items() if isinstance(schema, dict) and "default" in schema
    }


def _suggest_name(name: str, known: Collection[str]) -> str:
    nearest = find_nearest(name, known)
    return f"did you mean {quote(nearest)}" if nearest else f"there are {_join_names(known)}"


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
