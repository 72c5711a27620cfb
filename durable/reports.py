"""Data types of the journal that only people read: summaries of runs, of versions, of unknown paths, and of space."""

import msgspec

from durable.history.words import RunStatus
from durable.units import Run


class Space(msgspec.Struct, frozen=True):
    """The size of the journal's files, in bytes. `free`: the part of `database` that contains nothing and is used
    again; `log`: the commits that were not moved into it yet."""

    database: int
    free: int
    log: int
    page: int


class FailureGroup(msgspec.Struct, frozen=True):
    """Runs with the same error key.

    `count`: how many there are, of those that were counted; `has_more`: there are more.
    `newest`: the newest run; `first_at`: when the oldest was created, in ms.
    `pipelines`: some of the pipelines that they are runs of.
    """

    key: str
    count: int
    has_more: bool
    newest: Run
    first_at: int
    pipelines: tuple[str, ...]


class PipelineVersion(msgspec.Struct, frozen=True):
    """A stored version of a pipeline, and when it was first stored (ms)."""

    version: str
    created_at: int


class VersionRuns(msgspec.Struct, frozen=True):
    """How many runs of a version have each status. `has_more`: it has more runs than were counted."""

    by_status: dict[RunStatus, int]
    has_more: bool


class UnknownPath(msgspec.Struct, frozen=True):
    """Requests with one method to one path that no webhook serves: how many came, and when the first and the last."""

    method: str
    path: str
    count: int
    first_at: int
    last_at: int
