"""Limits the number of runs that descend from one event, so that pipelines that start each other come to an end."""

import logging
from collections.abc import Sequence

from durable.engine import Start
from durable.history.state import State
from durable.history.words import Failure
from durable.journal.errors import TooManyRuns
from durable.units import Descent

NAMED = 3
"""The maximum number of pipelines that a message names."""

REMEMBERED = 1_000
"""The maximum number of events for which this process remembers that it logged a refusal."""

log = logging.getLogger("waypost.run")


class DescentBound:
    """Allows at most `limit` runs to descend from one event, through events and calls of runs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._logged: dict[str, None] = {}

    def build_descent(self, state: State) -> Descent:
        """Return the event from which the runs started by this run descend."""
        return Descent(state.origin, self._limit)

    def refuse(self, refusal: TooManyRuns, state: State, path: str, starts: Sequence[Start]) -> Failure:
        """Return the failure of a step that may not start its runs. Only the first refusal for an event is logged,
        because there may be thousands."""
        pipeline = state.started.pipeline if state.started else ""
        message = (
            f"the event {refusal.origin} has started {refusal.count} of the {refusal.limit} runs that "
            f"max_runs_per_event allows, so {pipeline} starts no run of {_name_pipelines(starts)}; if they start each "
            "other in a loop, break it, otherwise raise the setting"
        )
        if refusal.origin not in self._logged:
            self._remember(refusal.origin)
            log.warning(message, extra={"run": state.run, "step": path, "pipeline": pipeline})
        return Failure.of("invalid", "too_many_runs", message, path)

    def _remember(self, origin: str) -> None:
        self._logged[origin] = None
        if len(self._logged) > REMEMBERED:
            del self._logged[next(iter(self._logged))]


def _name_pipelines(starts: Sequence[Start]) -> str:
    """Return the names of the pipelines whose runs were to start, as text."""
    ids = sorted({start.definition.id for start in starts})
    more = [f"{len(ids) - NAMED} more"] if len(ids) > NAMED else []
    *others, last = [*ids[:NAMED], *more]
    return f"{', '.join(others)} and {last}" if others else last
