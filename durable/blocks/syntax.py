"""How a kind of step is written: its model, the sequences of steps in it, and what the loader has to know of both.

These are values and pure functions over the data of a file, whatever else is wrong with it; `durable.language` walks
the file, keeps the scopes and reports the problems.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field

from durable.action import Action
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
    AnyStep: TypeAlias = StepSpec  # at run time the union of all kinds, see `durable.language.steps`


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A sequence of steps inside a step, at `key` of the mapping `owner`; `label` names it in messages.

    `adds` are the names that can be read only in it, `reads` the labels of those branches before it whose steps it can
    read. Its owner may have a condition under `when`; `until` is where in the step (in which mapping, under which key)
    a condition is that is evaluated after it. What is in a loop cannot be read from outside, and what `may_be_left_out`
    is not performed in every run.
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
    """Makes the resolved form of checked steps. `find_action` finds a connector's action by its name, `defaults` are
    those of the pipeline, `kinds` the kinds of steps by their models."""

    find_action: Callable[[str], Action | None]
    defaults: DefaultsSpec
    kinds: Mapping[type[StepSpec], "StepSyntax"]

    def resolve_steps(self, steps: Sequence[StepSpec] | None) -> Steps:
        """Every default filled in."""
        return make_steps(self.kinds[type(step)].resolve(step, self) for step in steps or ())


ListBranches: TypeAlias = Callable[[Mapped, Pointer], Iterator[Branch]]
CheckKeys: TypeAlias = Callable[[Collection[str], bool], Explanation | None]
CheckNames: TypeAlias = Callable[[Mapped, Collection[str]], Iterator[DataProblem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSyntax:
    """How one kind of step is written.

    `kind` is the key that makes a step one, `model` its keys, with the `parts` that are models of their own;
    `resolve` makes its resolved form.
    `list_branches` gives the sequences in a step. `check_keys` says what is missing among a step's keys (told whether
    all of them are known), `check_names` what is wrong with the names that it adds (told which are taken). `items` is
    the key of an expression that gives a list. A block that `shows` its steps after its end has them as its output:
    those of each item, or of the last turn.
    `examples` are values to write under its keys, `item_examples` those to write in lists under them. Of its keys, and
    those inside them, `conditions` have an expression without braces, `steps_keys` a list of steps, and `mapping_keys`
    a mapping with keys of the language.
    """

    kind: str
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
        """The keys that go with `kind`."""
        common = StepSpec.model_fields
        return frozenset(each.alias or name for name, each in self.model.model_fields.items() if name not in common) - {
            self.kind
        }


# -- the core's own actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the file around a step means for it: the pipeline's id, the ids of all steps, those of the steps that can be
    undone with the blocks around them, and whether a run may end before the step or leave it out."""

    pipeline: str
    ids: Collection[str]
    undoable: Collection[str]
    may_end_before: bool


def hold(*keys: str) -> Callable[[Mapped], KnownValue]:
    """A mapping with these keys, whatever the action is given."""
    held = KnownMapping(dict.fromkeys(keys))
    return lambda given: held


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSyntax:
    """How a step is written that uses one of the core's own actions.

    `keys` are those of a connector's action that go with it too. `returns` says what its output holds, by its inputs.
    `check` finds what is wrong with a step, `list_inner` the inputs of other core actions inside its own, as pointers
    with their `use`. `find_called` is the pipeline that its inputs call, `find_links` the names of the waits in them
    that a link answers (none: it is answered by one itself). `schemas` is the input with JSON Schemas by name. A run
    ends with a step that `ends_run`. A wait that `ends_by_itself` need not say what happens when nothing comes;
    `needs_timeout` says which steps must, all or those of a JSON Schema.
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
    """The sequence under a key of the step, if there is one; `more` are fields of the branch."""
    if isinstance(step.get(key), list):
        yield Branch(label=key, owner=step, owner_pointer=pointer, key=key, **more)


def list_conditional_branches(key: str, label: str, step: Mapped, pointer: Pointer, **more: Any) -> Iterator[Branch]:
    """The branches with a `when` that are listed under a key of the step."""
    for index, owner in enumerate(get_list(step.get(key))):
        if isinstance(owner, dict):
            at, name = (*pointer, key, index), f"{label} {index + 1}"
            yield Branch(
                label=name, owner=owner, owner_pointer=at, key="steps", has_when=True, may_be_left_out=True, **more
            )


def needs_steps(kind: str) -> CheckKeys:
    """What a loop has to have."""
    missing = Explanation(f"a '{kind}' needs 'steps'", "list under 'steps' what is performed each time")
    return lambda keys, are_known: None if "steps" in keys else missing
