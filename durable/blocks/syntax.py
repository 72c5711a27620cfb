"""How a kind of step is written: its model, the sequences of steps in it, and what the loader needs to know about both.

These values and pure functions work on the data of a file even if it has errors elsewhere. `durable.language` walks the
file, tracks the scopes and reports the problems.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field

from durable.action import Action, Stored
from durable.blocks.policies import DefaultsSpec
from durable.known_values import KnownMapping, KnownValue
from durable.problem import DataProblem, Explanation, Pointer
from durable.spec_model import Condition, Identifier, Mapped, SpecModel, get_list
from durable.steps.resolved import ResolvedStep, Steps, make_steps
from durable.values import JSON

EXAMPLE_STEP = "{id: note, use: log.write, with: {message: …}}"

Schema: TypeAlias = dict[str, Any]
Shows: TypeAlias = Literal["items", "turn"]


class StepSpec(SpecModel):
    """A step: it uses an action, or is a block (switch, foreach, parallel, try, repeat)."""

    id: Identifier = Field(description="The name of the step, unique in the file")
    if_: Condition | None = Field(None, alias="if", description="An expression; if it is false, the step is skipped")


if TYPE_CHECKING:
    AnyStep: TypeAlias = StepSpec  # at run time, the union of all kinds: see `durable.language.steps`


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A sequence of steps inside a step, under `key` of the mapping `owner`.

    `label`: its name in messages.
    `adds`: names that are available only in this branch.
    `reads`: labels of earlier branches whose steps are visible in this one.
    `has_when`: the owner may have a condition under `when`.
    `until`: the mapping and the key, within the step, of a condition that is evaluated after the branch.
    `is_loop`: the branch is repeated; its steps are not visible from outside.
    `may_be_left_out`: the branch is not performed in every run.
    """

    label: str
    owner: Mapped
    owner_pointer: Pointer
    key: str
    adds: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    has_when: bool = False
    until: tuple[str, str] | None = None
    is_loop: bool = False
    may_be_left_out: bool = False

    @property
    def steps(self) -> list[JSON]:
        return get_list(self.owner.get(self.key))

    @property
    def pointer(self) -> Pointer:
        return (*self.owner_pointer, self.key)


@dataclass(frozen=True, slots=True)
class Resolver:
    """Makes the resolved form of validated steps.

    `find_action`: finds a connector's action by name.
    `defaults`: those of the pipeline.
    `kinds`: the kinds of steps, by model.
    `stored`: collects what the version keeps of the actions that the steps use, by `use`.
    `uses`: collects the actions that the steps use.
    `fills_undo`: a step whose action declares an undo gets it, unless it has its own.
    """

    find_action: Callable[[str], Action | None]
    defaults: DefaultsSpec
    kinds: Mapping[type[StepSpec], "StepSyntax"]
    stored: dict[str, Stored] = field(default_factory=dict)
    uses: set[str] = field(default_factory=set)
    fills_undo: bool = False

    def resolve_steps(self, steps: Sequence[StepSpec] | None) -> Steps:
        """Resolve a sequence of steps, with every default filled in."""
        return make_steps(self.kinds[type(step)].resolve(step, self) for step in steps or ())


ListBranches: TypeAlias = Callable[[Mapped, Pointer], Iterator[Branch]]
CheckKeys: TypeAlias = Callable[[Collection[str], bool], Explanation | None]
CheckNames: TypeAlias = Callable[[Mapped, Collection[str]], Iterator[DataProblem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSyntax:
    """How one kind of step is written.

    `key`: the key that identifies the kind.
    `model`, `parts`: the model of its keys, and the models of mappings inside it.
    `resolve`: makes the resolved form of a step.
    `list_branches`: returns the sequences of steps in a step.
    `check_keys`: explains which key is missing, given a step's keys and whether all of them are known.
    `check_names`: reports problems with the names that a step adds, given the names already in use.
    `items`: the key of an expression that returns a list.
    `shows`: the step's output contains its inner steps: those of each item, or those of the last turn.
    `examples`, `item_examples`: values to write under its keys, and in lists under them.
    `conditions`: keys, at any level, that hold an expression without braces.
    `steps_keys`: keys, at any level, that hold a list of steps.
    `mapping_keys`: keys, at any level, that hold a mapping with keys of the language.
    """

    key: str
    model: type[StepSpec]
    resolve: Callable[[Any, Resolver], ResolvedStep]
    list_branches: ListBranches = lambda step, pointer: iter(())
    check_keys: CheckKeys = lambda keys, are_known: None
    check_names: CheckNames = lambda step, taken: iter(())
    items: str | None = None
    shows: Shows | None = None
    examples: Mapping[str, str] = field(default_factory=dict)
    item_examples: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[type[SpecModel], ...] = ()
    conditions: tuple[str, ...] = ()
    steps_keys: tuple[str, ...] = ()
    mapping_keys: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are allowed besides `kind`."""
        common = StepSpec.model_fields
        return frozenset(each.alias or name for name, each in self.model.model_fields.items() if name not in common) - {
            self.key
        }


# -- the core's own actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a step's checks need to know about the file around it.

    `pipeline`: the pipeline's id.
    `ids`: the ids of all steps.
    `undoable`: the ids of steps that have an undo, and of the blocks around them.
    `may_end_before`: a run may end before it reaches the step, or skip the step.
    """

    pipeline: str
    ids: Collection[str]
    undoable: Collection[str]
    may_end_before: bool


def hold(*keys: str) -> Callable[[Mapped], KnownValue]:
    """Return a function for `CoreSyntax.returns`: a mapping with these keys, whatever the inputs are."""
    held = KnownMapping(dict.fromkeys(keys))
    return lambda given: held


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSyntax:
    """How a step with an action of the core is written.

    `keys`: keys of a connector's step that are also allowed here.
    `returns`: what is known about the output, given the inputs.
    `check`: reports problems of a step.
    `list_inner`: returns the inputs of core actions nested inside the step's own: a pointer, and the action's `use`.
    `find_called`: returns the pipeline that the inputs call.
    `find_links`: returns the names of the waits in the inputs that have links; empty if the step itself has the link.
    `schemas`: the input that holds JSON Schemas by name.
    `ends_run`: the run ends with the step.
    `ends_by_itself`: the wait ends without an answer or an event, so `on_timeout` is not required.
    `needs_timeout`: whether `on_timeout` is required: for all steps, or for those that match a JSON Schema.
    """

    keys: frozenset[str] = frozenset()
    returns: Callable[[Mapped], KnownValue] = lambda given: None
    check: Callable[[Mapped, Outline], Iterator[DataProblem]] = lambda step, outline: iter(())
    list_inner: Callable[[Mapped], Iterator[tuple[Pointer, str]]] = lambda given: iter(())
    find_called: Callable[[Mapped], str | None] = lambda given: None
    find_links: Callable[[Mapped], Collection[str] | None] = lambda given: None
    schemas: str | None = None
    ends_run: bool = False
    ends_by_itself: bool = False
    needs_timeout: bool | Schema = False


PLAIN = CoreSyntax()


# -- for the kinds of steps -------------------------------------------------------------------------------------


def find_branch(key: str, step: Mapped, pointer: Pointer, **more: Any) -> Iterator[Branch]:
    """Return the sequence under a key of the step, if there is one; `more` are fields of the branch."""
    if isinstance(step.get(key), list):
        yield Branch(label=key, owner=step, owner_pointer=pointer, key=key, **more)


def list_conditional_branches(key: str, label: str, step: Mapped, pointer: Pointer, **more: Any) -> Iterator[Branch]:
    """Return the branches with a `when` that are listed under a key of the step."""
    for index, owner in enumerate(get_list(step.get(key))):
        if isinstance(owner, dict):
            at, name = (*pointer, key, index), f"{label} {index + 1}"
            yield Branch(
                label=name, owner=owner, owner_pointer=at, key="steps", has_when=True, may_be_left_out=True, **more
            )


def needs_steps(kind: str) -> CheckKeys:
    """Return a check that a loop has `steps`."""
    missing = Explanation(f"a '{kind}' needs 'steps'", "list under 'steps' what is performed each time")
    return lambda keys, are_known: None if "steps" in keys else missing
