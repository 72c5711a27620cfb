"""What the service is and runs on, and what its checks found."""

from typing import Annotated, Literal

from msgspec import Struct

from triggers.documents.fields import Time, note


class AboutDocument(Struct, frozen=True):
    """The running service."""

    waypost: Annotated[str, note("Its version")]
    python: str
    sqlite: str
    started_at: Time | None
    config: Annotated[str, note("Its config folder")]
    data: Annotated[str, note("Its data folder")]
    url: Annotated[str, note("Where it is reached")]
    process: Annotated[int, note("The id of its process")]
    database_bytes: Annotated[int, note("The size of the journal's database")]
    free_bytes: Annotated[int, note("The part of it that contains nothing and is used again")]
    log_bytes: Annotated[int, note("The size of its write-ahead log")]


class CheckDocument(Struct, frozen=True):
    """What a check found."""

    check: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    cure: Annotated[str | None, note("What to do about it")]


class ChecksDocument(Struct, frozen=True):
    """The findings of `waypost doctor`."""

    checks: list[CheckDocument]
