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
"""The beginning of the tags of kinds of steps, which pydantic adds to the `loc` of errors. No data has such a key."""

MIXED_TAG = f"{KIND_TAG}mixed"
"""The tag of steps that have no single kind: they are validated against all kinds at once."""


class SpecModel(BaseModel):
    """Base class of the language's models: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def get_mapping(value: JSON) -> Mapped:
    """The value if it is a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def get_list(value: JSON) -> list[JSON]:
    """The value if it is a list, or an empty one."""
    return value if isinstance(value, list) else []


def get_in(value: JSON, *keys: str | int) -> JSON:
    """The value behind keys of nested mappings; null if there is none."""
    for key in keys:
        value = get_mapping(value).get(str(key))
    return value
