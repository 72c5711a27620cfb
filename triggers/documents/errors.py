"""Failed runs in groups with the same cause."""

from typing import Annotated

import msgspec
from msgspec import Struct

from durable.action import ErrorClass
from triggers.documents.fields import PageCursor, Time, note


class ErrorGroupDocument(Struct, frozen=True):
    """Runs that failed, or are paused, for the same reason; step, class, code and message are those of the newest."""

    key: Annotated[str, note("Send it as `error` to `GET /api/runs` to list the runs")]
    count: Annotated[int, note("How many runs there are; counting ends at 1,000")]
    has_more: Annotated[bool, note("Whether there are more than were counted")]
    newest: Annotated[str, note("The id of the newest run")]
    why: Annotated[str | None, note("One sentence: why the newest run failed")]
    step: str | None
    error_class: ErrorClass | None = msgspec.field(name="class")
    code: str | None
    message: str | None
    pipelines: Annotated[list[str], note("The pipelines of the runs, at most ten")]
    first_seen: Annotated[Time | None, note("When the first of its runs began")]
    last_seen: Annotated[Time | None, note("When the newest of its runs ended")]


class ErrorGroupsDocument(Struct, frozen=True):
    """A page of failures, that with the newest run first."""

    errors: list[ErrorGroupDocument]
    after: PageCursor
