"""What the models of the pipeline language are built of: their base class, and the types of names and expressions."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.types import StringConstraints

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
