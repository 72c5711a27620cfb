"""What somebody named and nobody has.

RunMissing           there is no such run
"""


class RunMissing(LookupError):
    """There is no such run."""

    def __init__(self, run: str) -> None:
        super().__init__(f"there is no run {run}")
