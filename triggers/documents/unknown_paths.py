"""Requests to paths that no webhook serves."""

from typing import Annotated

from msgspec import Struct

from triggers.documents.fields import Time, note


class UnknownPathDocument(Struct, frozen=True):
    """The requests with one method to one path that no webhook served."""

    method: str
    path: Annotated[str, note("As it was sent; at most 200 characters")]
    count: Annotated[int, note("The number of requests since `first_at`")]
    first_at: Time | None
    last_at: Time | None
    nearest: Annotated[str | None, note("The most similar served path, if any")]
    hint: Annotated[str, note("What to do about it")]


class UnknownPathsDocument(Struct, frozen=True):
    """The paths that were asked for and that no webhook served, the last request first."""

    paths: list[UnknownPathDocument]
