"""Data types that only people read: summaries of runs, of versions, of unknown paths, of space,
and of what holds a connection back."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from durable.history.words import RunStatus
from durable.units import Cause, Run


class UnfinishedRuns(msgspec.Struct, frozen=True):
    """How many unfinished runs have a status, and when the oldest of them was created (ms)."""

    status: RunStatus
    count: int
    oldest: int


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


class RunSample(msgspec.Struct, frozen=True):
    """Some of the row of a run, for summaries of many. Times are in ms."""

    id: str
    status: RunStatus
    created_at: int
    finished_at: int | None
    cause: Cause | None


class RunCounts(msgspec.Struct, frozen=True):
    """How many runs have each status at the end; `unfinished` are those that have not ended."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unfinished: int = 0


class HaltedRun(msgspec.Struct, frozen=True):
    """Some of the row of a run that stands still. `created_at`: in ms."""

    id: str
    pipeline: str
    status: RunStatus
    reason: str | None
    cause: Cause | None
    created_at: int
    error_key: str | None


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


GateState: TypeAlias = Literal["ready", "held_back", "circuit_open"]


@dataclass(frozen=True, slots=True)
class GateReport:
    """What holds the attempts of a connection back.

    `state`: `ready`; `held_back`, because the service asked for time; `circuit_open`, because the service fails.
    `in_flight`, `waiting`: how many attempts run, and how many attempts and requests wait for their turn in memory.
    `limit`: its limits as people read them.
    `since`, `until`: of a state other than `ready`, in ms. While a probe is under way, `until` is None.
    `reason`: the same as text.
    """

    state: GateState
    in_flight: int
    waiting: int
    limit: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The access token of a connection, without the token: when it was issued and expires (ms; None: when the service
    refuses it), and whether it can be renewed without a person."""

    issued_at: int
    expires_at: int | None
    is_renewable: bool


@dataclass(frozen=True, slots=True)
class QueueReport:
    """The runs with the same key of concurrency: how many hold a slot (`held`), how many may (`limit`), and how many
    are queued (`waiting`). `oldest`: the queued run that is next; `behind`: the run with the oldest slot."""

    key: str
    held: int
    limit: int
    waiting: int
    oldest: str | None
    behind: str | None


@dataclass(frozen=True, slots=True)
class DelayReport:
    """The queued runs whose time has not come, and when the first is due (ms). `has_more`: not all were looked at."""

    count: int
    has_more: bool
    next_at: int | None


@dataclass(frozen=True, slots=True)
class PermitShare:
    """The attempts of a pipeline, or at a target: how many hold a permit, how many wait, and how many may hold one."""

    name: str | None
    held: int
    waiting: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class PermitReport:
    """The permits for attempts: how many there are, and how many are free; and the largest shares of them."""

    number: int
    free: int
    waiting: int
    pipelines: tuple[PermitShare, ...]
    targets: tuple[PermitShare, ...]
