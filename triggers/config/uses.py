"""What the steps of a pipeline use: actions, and connections."""

from collections.abc import Iterator
from typing import NamedTuple

from durable.definition import Definition
from durable.steps.resolved import ActionStep


class StepUse(NamedTuple):
    """What a step uses: an action, and the connection that its file names, or those that an expression may choose."""

    use: str
    connections: tuple[str, ...]


def list_uses(definition: Definition) -> Iterator[StepUse]:
    """What the steps of a definition use, undos and the steps of `on_failure` included."""
    return (_describe_use(node.step) for node in definition.actions.values())


def _describe_use(step: ActionStep) -> StepUse:
    match step.connection:
        case None:
            return StepUse(step.use, ())
        case str(name):
            return StepUse(step.use, (name,))
        case choice:
            return StepUse(step.use, choice.one_of)
