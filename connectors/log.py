"""`log.write`: writes a line to the service's log."""

import logging
from typing import Literal

from pydantic import Field, JsonValue

from durable import values
from durable.action import Connector, Context, Inputs, action

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))} | {0x2028: " ", 0x2029: " "}
"""Characters that could make a message look like several lines, or send commands to a terminal."""


class LogInput(Inputs):
    """The line to write."""

    message: str = Field(description="The message")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The log level")
    fields: dict[str, JsonValue] = Field(default={}, description="Values to append to the message as JSON")


@action("write", input=LogInput, idempotent="no", on_crash="retry", is_immediate=True)
async def write(context: Context, input: LogInput) -> None:
    """Write a line to the service's log."""
    text = input.message.translate(_ESCAPED)
    if input.fields:
        text = f"{text} {values.encode(input.fields).decode().translate(_ESCAPED)}"
    context.ensure_open()
    context.log.log(logging.getLevelNamesMapping()[input.level.upper()], "%s", text)


CONNECTOR = Connector("log", "Lines in the service's log", (write,))
