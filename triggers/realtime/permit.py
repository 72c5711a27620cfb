"""What a stream may show to the holder of a key or of a token."""

import msgspec

from durable.units import Run
from triggers.documents.streams import See, TokenScopeDocument

SEE_ORDER: tuple[See, ...] = ("status", "outputs", "history")
"""Each shows what those before it show."""


class StreamPermit(msgspec.Struct, frozen=True):
    """What somebody may follow.

    `key`: the id of the API key that permits it; the permit ends when that key is revoked.
    `scope`: the runs; None for every run.
    `may_answer`: whether links to waits are shown.
    `expires_at`: in ms; None for never.
    """

    key: str
    see: See
    scope: TokenScopeDocument | None = None
    may_answer: bool = False
    expires_at: int | None = None

    def includes(self, run: Run) -> bool:
        """Whether the run may be followed."""
        scope = self.scope
        return scope is None or (
            run.id in scope.runs or run.pipeline in scope.pipelines or any(tag in scope.tags for tag in run.tags)
        )

    def narrow(self, see: See | None) -> See:
        """What is shown if somebody asks for this: no more than is permitted."""
        return min(see or self.see, self.see, key=SEE_ORDER.index)
