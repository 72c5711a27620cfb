"""The connection of a step: a name, or one that an expression chooses when the step begins.

The choice is recorded with the step's input, and all its attempts, pages and its undo use the same connection. There is
no fallback: a name that is not allowed fails the step before anything is sent.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, TypeAlias

from pydantic import Discriminator, Field, Tag
from pydantic.types import StringConstraints

from durable.expressions.expression import ExpressionError
from durable.spec_model import Identifier, SpecModel
from durable.steps.node import ActionNode
from durable.steps.resolved import ConnectionChoice
from durable.wording import describe_value, name_kind, quote

NamePattern: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\*?$", max_length=64)]
"""The name of a connection, or its beginning with `*` after it."""


class ConnectionChoiceSpec(SpecModel, title="Connection"):
    """A connection that an expression chooses."""

    one_of: tuple[NamePattern, ...] = Field(
        min_length=1, description="The names that may be chosen; `gmail_*` allows all that begin with `gmail_`"
    )
    name: str = Field(min_length=1, description="The name, with expressions: `gmail_{{ inputs.user }}`")


def _choose_tag(value: object) -> str:
    return "choice" if isinstance(value, dict | ConnectionChoiceSpec) else "name"


StepConnection: TypeAlias = Annotated[
    Annotated[Identifier, Tag("name")] | Annotated[ConnectionChoiceSpec, Tag("choice")], Discriminator(_choose_tag)
]


def resolve_connection(spec: str | ConnectionChoiceSpec | None) -> str | ConnectionChoice | None:
    """Return the stored form of a step's connection."""
    return ConnectionChoice(spec.name, spec.one_of) if isinstance(spec, ConnectionChoiceSpec) else spec


def choose_connection(node: ActionNode, scope: Mapping[str, object]) -> str | None:
    """Return the connection that the step's expression names; None if its name is fixed. Raises `ExpressionError`."""
    choice = node.step.connection
    if node.connection is None or not isinstance(choice, ConnectionChoice):
        return None
    name, _ = node.connection.render(scope)
    if isinstance(name, str) and any(fnmatchcase(name, pattern) for pattern in choice.one_of):
        return name
    what = describe_value(name) if isinstance(name, str | int | float) else name_kind(name)
    raise ExpressionError(f"connection: {what} is none of {', '.join(map(quote, choice.one_of))}")
