"""What somebody named and nobody has; apart from what reads runs, as a command over the API needs no more of it."""


class RunNotFound(LookupError):
    """There is no such run."""

    def __init__(self, run: str) -> None:
        super().__init__(f"there is no run {run}")
