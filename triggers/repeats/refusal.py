"""Why a run is not repeated."""


class RepeatRefused(Exception):
    """A run is not repeated; the message says why, and what to do. `is_unfit`: it is because of what was sent."""

    def __init__(self, reason: str, *, is_unfit: bool = False) -> None:
        super().__init__(reason)
        self.is_unfit = is_unfit
