"""What a pipeline can name: connectors' actions, the core's own, and kinds of triggers."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from durable.action import Action
from durable.language.cures import cure_of_action, cure_of_connector
from durable.language.known import Fault
from durable.language.problem import quoted, suggestion


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Actions by `connector.action`, the input models of `flow.…` and `wait.…`, and those of triggers by their kind."""

    actions: Mapping[str, Action]
    core: Mapping[str, type[BaseModel]]
    triggers: Mapping[str, type[BaseModel]]

    def input_of(self, use: str) -> type[BaseModel] | None:
        """The model of what an action is given; None if there is no such action."""
        if use in self.core:
            return self.core[use]
        action = self.actions.get(use)
        return action.input if action else None

    def unknown(self, use: str) -> Fault:
        """What to say of an action that is not there."""
        known = {*self.actions, *self.core}
        connectors = {name.partition(".")[0] for name in known}
        connector, dot, action = use.partition(".")
        own = sorted(name for name in known if name.partition(".")[0] == connector)
        meant = cure_of_action(use, known)
        hint: str | None
        if not dot:
            hint = _one_of(own) if own else meant or suggestion(use, known) or cure_of_connector(known)
            return Fault(f"{quoted(use)} names no action", hint)
        if own:
            hint = meant or suggestion(use, own)
            return Fault(f"the connector {quoted(connector)} has no action {quoted(action)}", hint)
        hint = suggestion(use, known) if len(use) > 3 else None
        if hint is None or hint.startswith("known"):
            near = suggestion(connector, connectors)
            hint = meant or (near if near and not near.startswith("known") else cure_of_connector(known))
        return Fault(f"there is no connector {quoted(connector)}", hint)


def _one_of(names: list[str]) -> str:
    return f"write connector.action: {', '.join(names[:8])}"
