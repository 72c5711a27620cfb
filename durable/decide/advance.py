"""The entry point of the core: takes a fact, and returns the entries and effects that follow from it."""

from collections import deque

from durable.blocks.block import Decide, merge_tables
from durable.blocks.kinds import EVERY_KIND
from durable.decide.current import NEED_ACTIVE, NEED_OPEN, is_current
from durable.decide.fork import FORK_DECISIONS
from durable.decide.run import RUN_DECISIONS
from durable.decide.steps import STEP_DECISIONS
from durable.definition import Definition
from durable.effects import BeginBranch, Effect, EnterStep, FollowUp, Resume
from durable.history.entries import AnyEntry, Fact
from durable.history.state import State
from durable.replay import apply_entry

DECISIONS: dict[type, Decide] = merge_tables(
    RUN_DECISIONS, STEP_DECISIONS, FORK_DECISIONS, *(kind.decisions for kind in EVERY_KIND)
)


class Advance:
    """Processes one fact and everything that follows from it. Each decision is applied to the state at once, so that
    the next decision takes it into account.

    `follow` raises `PayloadMissing` if an expression needs a value that is not in memory. Attach its bytes and call
    `follow` again to continue. A fact that is no longer current changes nothing.
    """

    def __init__(self, definition: Definition, state: State, fact: Fact) -> None:
        self._definition = definition
        self._was_paused = bool(state.pauses)
        self._pending: deque[FollowUp] = deque()
        self.state = state
        self.entries: list[AnyEntry] = []
        self.effects: list[Effect] = []
        if is_current(state, fact):
            apply_entry(state, fact)
            self.entries.append(fact)
            self._pending.append(fact)

    def follow(self) -> None:
        """Decide until nothing more follows. The caller then appends `entries` and performs `effects`."""
        while self._pending:
            subject = self._pending[0]
            kind = type(subject)
            decide = DECISIONS.get(kind)
            # An earlier decision may have ended the step or block that this follow-up concerns.
            needed_in = self.state.active if kind in NEED_ACTIVE else self.state.open if kind in NEED_OPEN else None
            if decide is not None and (needed_in is None or subject.path in needed_in):  # type: ignore[union-attr, operator]
                follow_ups, effects = decide(self._definition, self.state, subject)
                self.effects += effects
                for each in follow_ups:
                    if not isinstance(each, (EnterStep, BeginBranch)):
                        apply_entry(self.state, each)
                        self.entries.append(each)
                self._pending += follow_ups
            self._pending.popleft()
        if self._was_paused and not self.state.pauses and not self.state.finished:
            self.effects.append(Resume())
            self._was_paused = False
