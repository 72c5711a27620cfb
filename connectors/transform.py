"""`transform.set`: checkpoints the values of expressions."""

from typing import Any

from pydantic import Field

from durable.action import Connector, Context, Inputs, action
from durable.values import JSON


class SetInput(Inputs):
    """The values to keep."""

    values: dict[str, Any] = Field(description="The output, by name; the values may be expressions")


@action("set", input=SetInput, is_immediate=True)
async def set_(context: Context, input: SetInput) -> JSON:
    """Keep values under names of their own."""
    return input.values


CONNECTOR = Connector("transform", "Values made from values", (set_,))
