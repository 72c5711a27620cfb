"""Building blocks of the pipeline language: the base class of its models, types of values, and access to unchecked
data."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.types import StringConstraints

from durable.values import JSON

Mapped: TypeAlias = "dict[str, JSON]"
"""A mapping of a file's data."""

IDENTIFIER = r"^[a-z][a-z0-9_]*$"

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=64)]
"""A name that expressions can read: small letters, digits and `_`, beginning with a letter."""

Condition = Annotated[str, StringConstraints(min_length=1)]
"""An expression without braces; one pair of `{{ }}` around it is accepted."""

Whole = Annotated[int, Field(strict=True)]


KIND_TAG = "kind of step: "
"""The prefix of the tags of kinds of steps, which pydantic adds to the `loc` of errors. Data contain no such key."""

MIXED_TAG = f"{KIND_TAG}mixed"
"""The tag of steps that have no single kind: they are validated against all kinds at once."""


class SpecModel(BaseModel):
    """Base class of the language's models: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def get_mapping(value: JSON) -> Mapped:
    """Return the value if it is a mapping, otherwise an empty mapping."""
    return value if isinstance(value, dict) else {}


def get_list(value: JSON) -> list[JSON]:
    """Return the value if it is a list, otherwise an empty list."""
    return value if isinstance(value, list) else []


def get_in(value: JSON, *keys: str | int) -> JSON:
    """Return the value at a path of keys; null if it does not exist."""
    for key in keys:
        value = get_mapping(value).get(str(key))
    return value
