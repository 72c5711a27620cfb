"""Steps of all kinds: the union of their models, their keys, and the tree that they form in a file's data."""

from collections.abc import Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias, Union

from pydantic import Discriminator, Tag, create_model, model_validator

from durable.blocks.kinds import BLOCKS
from durable.blocks.syntax import Branch, StepSpec, StepSyntax
from durable.problem import DataProblem, Pointer
from durable.spec_model import KIND_TAG, MIXED_TAG, Mapped, get_list
from durable.values import JSON
from durable.yaml.syntax import Words

SYNTAXES = tuple(block.syntax for block in BLOCKS.values() if block.syntax)
SYNTAX_BY_KEY: dict[str, StepSyntax] = {each.key: each for each in SYNTAXES}
"""The kinds of steps, by the key that identifies each."""

SYNTAX_BY_MODEL: dict[type[StepSpec], StepSyntax] = {each.model: each for each in SYNTAXES}

_BELONGING = frozenset(chain.from_iterable(each.keys for each in SYNTAXES))
STEP_KEYS = frozenset({"id", "if"}) | _BELONGING | SYNTAX_BY_KEY.keys()


STEPS_KEYS = ("steps", "on_failure", *chain.from_iterable(each.steps_keys for each in SYNTAXES))
WORDS = Words(
    conditions=frozenset({"if", "when", *chain.from_iterable(each.conditions for each in SYNTAXES)}),
    loops=frozenset(each.key for each in SYNTAXES if each.shows),
)
EXAMPLES = {key: example for each in SYNTAXES for key, example in each.examples.items()}
ITEM_EXAMPLES = {key: example for each in SYNTAXES for key, example in each.item_examples.items()}
"""Examples of values under the keys of steps, and of items in lists under them."""


# -- keys -------------------------------------------------------------------------------------------------------


def find_kind(keys: Collection[str]) -> str | None:
    """Return the kind of a step with these keys; None if it has no kind, or several."""
    kinds = [kind for kind in SYNTAX_BY_KEY if kind in keys]
    return kinds[0] if len(kinds) == 1 else None


def find_key_problems(keys: Collection[str]) -> Iterator[DataProblem]:
    """Return what is wrong with the combination of a step's keys."""
    kinds = [kind for kind in SYNTAX_BY_KEY if kind in keys]
    are_known = STEP_KEYS.issuperset(keys)
    if not kinds:
        if are_known:  # an unknown key is reported separately, and is probably a misspelt kind
            yield DataProblem((), "the step does nothing", f"give it one of {', '.join(SYNTAX_BY_KEY)}", is_key=True)
        return
    kind = kinds[0]
    for other in kinds[1:]:
        hint = f"move '{other}' to a step of its own"
        if kind == "use" and SYNTAX_BY_KEY[other].shows:
            hint = f"put the steps to repeat under 'steps': [{{id: …, use: …}}], and leave '{other}' here"
        yield DataProblem((other,), f"a step has one kind, and this one is already a '{kind}'", hint, is_key=True)
    if missing := SYNTAX_BY_KEY[kind].check_keys(keys, are_known):
        yield DataProblem((), missing.message, missing.hint, is_key=True)
    fitting = frozenset(chain.from_iterable(SYNTAX_BY_KEY[each].keys for each in kinds))
    for key in sorted(_BELONGING & set(keys) - fitting):
        owners = " or ".join(f"'{each.key}'" for each in SYNTAXES if key in each.keys)
        hint = (
            "it is allowed only with an action; to repeat a block use 'repeat'"
            if key == "retry"
            else f"it belongs to {owners}"
        )
        yield DataProblem((key,), f"'{key}' does not go with '{kind}'", hint, is_key=True)


# -- models -----------------------------------------------------------------------------------------------------


def choose_kind(value: object) -> str:
    """Return the tag of the model with which to validate a step: that of its kind, or that of all kinds if it has no
    single kind."""
    if isinstance(value, StepSpec):
        return f"{KIND_TAG}{SYNTAX_BY_MODEL[type(value)].key}"
    # A key without a value is reported separately; the model of its kind would report it again.
    if not isinstance(value, dict) or any(each is None for key, each in value.items() if key != "with"):
        return MIXED_TAG
    kind = find_kind(value)
    return f"{KIND_TAG}{kind}" if kind and not any(find_key_problems(value)) else MIXED_TAG


class _NoKindSpec(StepSpec):
    """A step of no kind, or of several kinds: never valid."""

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        raise ValueError("a step has one kind, and only the keys of that kind")


MixedStepSpec: Any = create_model("MixedStepSpec", __base__=(_NoKindSpec, *(each.model for each in SYNTAXES)))

_TAGGED = [
    *(Annotated[each.model, Tag(f"{KIND_TAG}{each.key}")] for each in SYNTAXES),
    Annotated[MixedStepSpec, Tag(MIXED_TAG)],
]
if TYPE_CHECKING:
    AnyStep: TypeAlias = StepSpec
else:
    AnyStep = Annotated[Union[tuple(_TAGGED)], Discriminator(choose_kind)]  # noqa: UP007

# The models of the kinds refer to the union of all kinds, which exists only now.
_models: list[Any] = [*(part for each in SYNTAXES for part in each.parts), MixedStepSpec, *SYNTAX_BY_MODEL]
for _model in _models:
    _model.model_rebuild(_types_namespace={"AnyStep": AnyStep}, force=True)


# -- the tree of steps in a file's data -------------------------------------------------------------------------


def list_branches(step: Mapped, pointer: Pointer) -> Iterator[Branch]:
    """Return the sequences inside a step. A step without a single kind is treated as every kind."""
    found: set[Pointer] = set()
    for syntax in sorted(SYNTAXES, key=lambda syntax: syntax.key not in step):
        for branch in syntax.list_branches(step, pointer):
            if branch.pointer not in found:
                found.add(branch.pointer)
                yield branch


def walk_steps(steps: JSON, pointer: Pointer) -> Iterator[tuple[Mapped, Pointer]]:
    """Return all steps of a sequence, and all steps inside them."""
    for index, step in enumerate(get_list(steps)):
        if isinstance(step, dict):
            yield step, (*pointer, index)
            for branch in list_branches(step, (*pointer, index)):
                yield from walk_steps(branch.steps, branch.pointer)
