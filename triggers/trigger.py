"""What all kinds of triggers share: the compiled form, the entry in the list of kinds, the `trigger` document.

EventFiltered   what arrived was understood and starts nothing
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

from durable.definition import Definition, InputsRefused
from durable.engine import Start
from durable.expressions.expression import Expression, ExpressionError, UndefinedName
from durable.expressions.template import Template
from durable.history.words import Failure
from durable.language.pipeline import TriggerSpec
from durable.trigger_inputs import TriggerInputs
from durable.units import Event
from durable.values import JSON


class EventFiltered(Exception):
    """What arrived was understood and starts nothing; the message says why."""


@dataclass(frozen=True)
class Trigger:
    """A trigger of a pipeline, compiled. `id` is unique in the pipeline, `name` among all pipelines."""

    definition: Definition
    id: str
    when: Expression | None
    inputs: Template | None

    @cached_property
    def name(self) -> str:
        return f"{self.definition.id}/{self.id}"

    @property
    def address(self) -> str | None:
        """Where the world reaches it, in words; None if it has no address."""
        return None

    def list_claims(self) -> dict[object, str]:
        """What no second pipeline may have, each with what to call it."""
        return {}

    def start_for(self, event: Event) -> Start | None:
        """The run that an event on the service's own bus starts, if the trigger waits for such events."""
        return None

    def takes(self, event: Event) -> bool:
        """Whether an event of the journal is one that this trigger reacts to, whatever `when` says."""
        return event.source == self.name or event.source.startswith(f"{self.name}/")

    def rebuild_document(self, event: Event) -> JSON:
        """The `trigger` document of an event that is in the journal; None if the event alone does not give it."""
        return None

    def check_when(self, document: JSON) -> None:
        """Raise `EventFiltered` unless `when` holds. If it cannot be decided, nothing is started."""
        if self.when is None:
            return
        try:
            holds = self.when.holds({"trigger": document})
        except UndefinedName as undefined:
            raise EventFiltered(f"`when` is false: {undefined}") from None
        except ExpressionError as error:
            raise EventFiltered(f"`when` failed: {error}") from None
        if not holds:
            raise EventFiltered("`when` is false")

    def make_start(self, document: JSON) -> Start:
        """The run to start. Inputs that cannot be made give a failed run, which can be redone after a correction."""
        given: JSON = {}
        try:
            if self.inputs is not None:
                given, _ = self.inputs.render({"trigger": document})
            if not isinstance(given, dict):
                raise InputsRefused([f"the trigger's inputs are {type(given).__name__}, not a mapping"])
            return Start(self.definition, self.id, self.definition.accept(given), document)
        except (ExpressionError, InputsRefused) as error:
            return Start(self.definition, self.id, {}, document, Failure("invalid", "inputs", str(error)))


Compiled = TypeVar("Compiled", bound=Trigger)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Compiled]):
    """A kind of trigger: the name that `use` gives, the model of `with`, and how a checked trigger is compiled.

    `describe` says in a few words what a compiled one reacts to, and `listed_as` under which name lists of pipelines
    have that.
    """

    name: str
    model: type[TriggerInputs]
    compile: Callable[[Definition, TriggerSpec], Compiled]
    describe: Callable[[Compiled], str]
    listed_as: Literal["webhooks", "schedules", "events", "alerts"]


def parse_expressions(spec: TriggerSpec) -> tuple[Expression | None, Template | None]:
    """A trigger's `when` and `inputs`, which the loader has checked."""
    when = Expression.parse(spec.when) if spec.when is not None else None
    return when, Template.parse(spec.inputs) if spec.inputs is not None else None


def build_trigger_document(
    id: str, source: str, time: int, *, type: str | None = None, subject: str | None = None, **parts: JSON
) -> dict[str, JSON]:
    """What expressions read as `trigger`: the same for every kind, and the parts that only some kinds have."""
    return {"id": id, "type": type, "time": time, "source": source, "subject": subject, **parts}
