"""Errors for ids that nothing has.

RunNotFound          there is no such run
KeyNotFound          there is no such key of the API
"""


class RunNotFound(LookupError):
    """There is no such run."""

    def __init__(self, run: str) -> None:
        super().__init__(f"there is no run {run}")


class KeyNotFound(LookupError):
    """There is no such key of the API."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no key {key!r}")
