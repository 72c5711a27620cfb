"""The pipeline language's building blocks: the base class of its models, the types of their values, and access to data
that no model has checked yet."""

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
"""A bare expression; one wrapping `{{ }}` is accepted."""

Whole = Annotated[int, Field(strict=True)]


KIND_TAG = "kind of step: "
"""What begins the tag of a kind of step, which pydantic puts into the place of an error; it is no key of any data."""

MIXED_TAG = f"{KIND_TAG}mixed"
"""The tag of a step that is none of the kinds, or several: it is held against all of them at once."""


class SpecModel(BaseModel):
    """What every part of the language is: frozen, with no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def get_mapping(value: JSON) -> Mapped:
    """The value if it is a mapping, or an empty one."""
    return value if isinstance(value, dict) else {}


def get_list(value: JSON) -> list[JSON]:
    """The value if it is a list, or an empty one."""
    return value if isinstance(value, list) else []


def get_in(value: JSON, *keys: str | int) -> JSON:
    """The value to which keys lead through mappings; null if they lead nowhere."""
    for key in keys:
        value = get_mapping(value).get(str(key))
    return value
