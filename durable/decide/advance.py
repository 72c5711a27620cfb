"""The one door to the core: a fact goes in, and what follows from it comes out."""

from collections import deque

from durable.decide.decide import decide, is_current
from durable.definition.definition import Definition
from durable.effects import Effect, FollowUp, Resume
from durable.history.entries import AnyEntry, Entry, Fact
from durable.history.state import State
from durable.replay import apply_entry


class Advance:
    """A fact on its way through the core: it and all that follows from it, each folded into the state in the moment it
    is decided, so that every decision knows of all those before it.

    `follow` raises `PayloadMissing` where an expression needs a value that is not in memory; attach its bytes and call
    it again: it goes on where it stopped. A fact that comes too late changes nothing.
    """

    def __init__(self, definition: Definition, state: State, fact: Fact) -> None:
        self._definition = definition
        self._was_paused = bool(state.pauses)
        self._pending: deque[FollowUp] = deque()
        self.state = state
        self.entries: list[AnyEntry] = []
        self.effects: list[Effect] = []
        if is_current(state, fact):
            self._take(fact)

    def follow(self) -> None:
        """Decide until nothing more follows; then `entries` are to be appended and `effects` performed."""
        while self._pending:
            moves, effects = decide(self._definition, self.state, self._pending[0])
            self._pending.popleft()
            for move in moves:
                self._take(move)
            self.effects.extend(effects)
        if self._was_paused and not self.state.pauses and not self.state.finished:
            self.effects.append(Resume())
            self._was_paused = False

    def _take(self, move: FollowUp) -> None:
        if isinstance(move, Entry):
            apply_entry(self.state, move)
            self.entries.append(move)
        self._pending.append(move)
