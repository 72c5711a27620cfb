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


KEYS_CLASH = "keys_clash"
"""The type of the validation error for keys that do not go together; the loader explains it by the keys."""


class SpecModel(BaseModel):
    """What every part of the language is: frozen, with no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
