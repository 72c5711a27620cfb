"""The catalogue: the actions and kinds of triggers that a pipeline can use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from durable.action import Action
from durable.blocks.core_actions import CORE_INPUTS
from durable.language.foreign import suggest_action, suggest_connector
from durable.problem import Explanation
from durable.trigger_inputs import TriggerInputs
from durable.wording import quote, suggest


def _need_none(_connector: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Connectors' actions by `connector.action`, and the input models of triggers by kind.

    `broken`: why installed connectors cannot be used.
    `skipped`: why operations of imported documents are not actions, by the names that these would have.
    `needs_connection`: whether the actions of a connector can do nothing without a connection.
    """

    actions: Mapping[str, Action]
    triggers: Mapping[str, type[TriggerInputs]]
    broken: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    needs_connection: Callable[[str], bool] = _need_none

    def input_of(self, use: str) -> type[BaseModel] | None:
        """Return the model of an action's inputs; None if there is no such action."""
        if use in CORE_INPUTS:
            return CORE_INPUTS[use]
        action = self.actions.get(use)
        return action.input if action else None

    def explain_unknown(self, use: str) -> Explanation:
        """Explain that an action does not exist."""
        known = {*self.actions, *CORE_INPUTS}
        connectors = {name.partition(".")[0] for name in known}
        connector, dot, action = use.partition(".")
        if connector in self.broken:
            return explain_broken(connector, self.broken[connector])
        if use in self.skipped:
            what = f"the operation {quote(action)} of the connector {quote(connector)} cannot be used"
            return Explanation(
                f"{what}: {self.skipped[use]}", "change the document, or write the request with http.request"
            )
        own = sorted(name for name in known if name.partition(".")[0] == connector)
        meant = suggest_action(use, known)
        hint: str | None
        if not dot:
            hint = _one_of(own) if own else meant or suggest(use, known) or suggest_connector(known)
            return Explanation(f"{quote(use)} is not the name of an action", hint)
        if own:
            hint = meant or suggest(use, own)
            return Explanation(f"the connector {quote(connector)} has no action {quote(action)}", hint)
        hint = suggest(use, known) if len(use) > 3 else None
        if hint is None or hint.startswith("known"):
            near = suggest(connector, connectors)
            hint = meant or (near if near and not near.startswith("known") else suggest_connector(known))
        return Explanation(f"there is no connector {quote(connector)}", hint)


def explain_broken(connector: str, why: str) -> Explanation:
    """Explain that a connector is installed but cannot be used."""
    return Explanation(f"the connector {quote(connector)} cannot be used: {why}", "fix or remove it")


def _one_of(names: list[str]) -> str:
    return f"write connector.action: {', '.join(names[:8])}"
