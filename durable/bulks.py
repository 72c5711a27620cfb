"""Bulks: an action on many runs or deliveries, as a value that is stored."""

from typing import Literal, TypeAlias

import msgspec

from durable.history.words import RunStatus
from durable.units import DeliveryOutcome

BulkAction: TypeAlias = Literal["cancel", "retry", "rerun", "replay"]
BulkStatus: TypeAlias = Literal["running", "stopping", "stopped", "finished"]
BulkOutcome: TypeAlias = Literal["pending", "done", "refused"]

REPEATING: tuple[BulkAction, ...] = ("rerun", "replay")
"""The actions that start another run of what has been worked on already."""


class BulkFilter(msgspec.Struct, frozen=True, omit_defaults=True, rename={"since": "from", "until": "to"}):
    """Selects the items of a bulk: those that meet every condition that is not None.

    `until`, `since`: items from before `until` (ms), and from `since` or later; None means from the beginning.
    `status`: None means every unfinished run.
    `error`: the key of an error.
    `outcome`: the outcome of a delivery.
    `ids`: the items themselves.
    `again`: of a rerun, also runs that were rerun or forked already; of a replay, also deliveries that were replayed.
    """

    until: int
    since: int | None = None
    pipeline: str | None = None
    status: RunStatus | None = None
    tag: str | None = None
    trigger: str | None = None
    error: str | None = None
    version: str | None = None
    outcome: DeliveryOutcome | None = None
    ids: tuple[str, ...] | None = None
    again: bool = False


class Bulk(msgspec.Struct, frozen=True):
    """An action on every run or delivery that a filter selects, oldest first.

    `rate`: at most this many items a second.
    `total`: how many items matched when it was created; at least that many unless `is_exact`.
    `done`, `refused`: how many items had these outcomes.
    `cursor`: the last item that was selected.
    `finished_at`: when it finished or was stopped; `stopped_by`: who asked for that.
    """

    id: str
    action: BulkAction
    filter: BulkFilter
    by: str
    reason: str | None
    rate: int
    status: BulkStatus
    total: int
    is_exact: bool
    created_at: int
    done: int = 0
    refused: int = 0
    cursor: str | None = None
    finished_at: int | None = None
    stopped_by: str | None = None


class BulkItem(msgspec.Struct, frozen=True):
    """A run or a delivery of a bulk, and what became of it.

    `run`: the run that the action concerned, or started.
    `reason`: why it was refused.
    `status`: that of the run, where items are read.
    """

    item: str
    outcome: BulkOutcome = "pending"
    run: str | None = None
    reason: str | None = None
    status: RunStatus | None = None


class BulkMatches(msgspec.Struct, frozen=True):
    """The items that match a filter: how many (at least that many unless `is_exact`), the oldest and the newest.

    `repeated`: how many more would match with `again`; both numbers end at the same limit.
    """

    count: int
    is_exact: bool
    oldest: str | None
    newest: str | None
    repeated: int = 0
