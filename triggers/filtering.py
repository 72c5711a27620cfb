"""From what arrived to a run's start: the filter of a trigger, and the inputs that it makes.

Filtered   it was understood and starts nothing
"""

from durable.definition.definition import Definition, InputsRefused
from durable.expressions import Expression, ExpressionError, Template, UndefinedName
from durable.history.words import Failure
from durable.runner.start import Start
from durable.values import JSON


class EventFiltered(Exception):
    """What arrived was understood and starts nothing; the message says why."""


def check_when(when: Expression | None, arrival: JSON) -> None:
    """Raise `EventFiltered` unless `when` holds; what it cannot decide starts nothing."""
    if when is None:
        return
    try:
        holds = when.holds({"trigger": arrival})
    except UndefinedName as undefined:
        raise EventFiltered(f"`when` is false: {undefined}") from None
    except ExpressionError as error:
        raise EventFiltered(f"`when` failed: {error}") from None
    if not holds:
        raise EventFiltered("`when` is false")


def make_start(definition: Definition, trigger: str, inputs: Template | None, arrival: JSON) -> Start:
    """The run to be. What is wrong with its inputs makes a failed run, which can be redone once it is mended."""
    given: JSON = {}
    try:
        if inputs is not None:
            given, _ = inputs.render({"trigger": arrival})
        if not isinstance(given, dict):
            raise InputsRefused([f"the trigger's inputs are {type(given).__name__}, not a mapping"])
        return Start(definition, trigger, definition.accept(given), arrival)
    except (ExpressionError, InputsRefused) as error:
        return Start(definition, trigger, {}, arrival, Failure("invalid", "inputs", str(error)))
