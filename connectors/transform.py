"""`transform.set`: checkpoints the values of expressions."""

from typing import Any

from pydantic import Field

from durable.action import Connector, Context, Inputs, action
from durable.values import JSON


class SetInput(Inputs):
    """The values to store."""

    values: dict[str, Any] = Field(description="Values by name, which become the output; they may be expressions")


@action("set", input=SetInput, idempotent="yes", is_immediate=True)
async def set_(context: Context, input: SetInput) -> JSON:
    """Store values under names, as the step's output."""
    return input.values


CONNECTOR = Connector("transform", "Values made from values", (set_,))
