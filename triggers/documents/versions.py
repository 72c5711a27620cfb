"""The versions of a pipeline."""

from typing import Annotated

from msgspec import Struct

from durable.history.words import RunStatus
from triggers.documents.fields import PageCursor, Time, note


class VersionDocument(Struct, frozen=True):
    """A version of a pipeline: what its file meant at some time."""

    version: Annotated[str, note("The hash of its meaning")]
    stored_at: Annotated[Time | None, note("When it was first served")]
    is_current: Annotated[bool, note("Whether it is served now, so that new runs begin with it")]
    runs: Annotated[dict[RunStatus, int], note("Its runs by status; of more than 1,000 only the newest are counted")]
    has_more_runs: Annotated[bool, note("Whether it has more runs than are counted")]


class VersionsDocument(Struct, frozen=True):
    """A page of a pipeline's versions, the newest first."""

    versions: list[VersionDocument]
    after: PageCursor


class VersionTextDocument(Struct, frozen=True):
    """A version's text, and how it differs from another one."""

    version: str
    stored_at: Time | None
    is_current: bool
    text: Annotated[str, note("Its resolved definition as YAML: every default and policy is filled in")]
    against: Annotated[str | None, note("The version that it is compared with")]
    diff: Annotated[str | None, note("A unified diff from this version to the other one; empty if they are equal")]
