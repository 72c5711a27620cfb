"""The list of the actions that the core performs itself: `flow.*` and `wait.*`."""

from pydantic import BaseModel

from durable.blocks import call, emit, fail, respond, stop, undo, wait
from durable.blocks.block import CoreAction

CORE_ACTIONS: dict[str, CoreAction] = {
    action.use: action
    for action in (
        stop.ACTION,
        fail.ACTION,
        call.ACTION,
        undo.ACTION,
        emit.ACTION,
        respond.ACTION,
        *wait.ACTIONS,
    )
}

CORE_INPUTS: dict[str, type[BaseModel]] = {use: action.input for use, action in CORE_ACTIONS.items()}
"""The models of their inputs."""
