"""Filters of bulks: what each action can select, what it selects if nothing is said, and a filter in words."""

from collections.abc import Mapping
from typing import get_args

from msgspec.structs import replace

from durable.bulks import REPEATING, Bulk, BulkAction, BulkFilter
from durable.history.words import EndStatus, RunStatus
from durable.wording import quote
from triggers.documents.bulks import BulkDocument
from triggers.documents.fields import format_time
from triggers.runs.lists import split_trigger

END_STATUSES: tuple[RunStatus, ...] = get_args(EndStatus)

STATUSES: Mapping[BulkAction, tuple[RunStatus, ...]] = {
    "cancel": tuple(status for status in get_args(RunStatus) if status not in END_STATUSES),
    "retry": ("failed", "paused"),
    "rerun": END_STATUSES,
}
"""The statuses of runs with which each action can do something."""

DEFAULT_STATUS: Mapping[BulkAction, RunStatus | None] = {"cancel": None, "retry": "failed", "rerun": "failed"}
"""The status of runs that an action selects; None is every unfinished run."""

OF_RUNS = ("pipeline", "status", "tag", "error", "version")
OF_DELIVERIES = ("outcome",)
"""The conditions that only runs have, and that only deliveries have."""


class InvalidFilter(Exception):
    """A condition of a filter does not fit its action; `name` is the condition."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def complete_filter(action: BulkAction, filter: BulkFilter) -> BulkFilter:
    """Return the filter with the status that its action selects by default; raises `InvalidFilter`."""
    kind, foreign = ("deliveries", OF_RUNS) if action == "replay" else ("runs", OF_DELIVERIES)
    for name in foreign:
        if getattr(filter, name) is not None:
            raise InvalidFilter(name, f"{action} selects {kind}, which do not have it; omit it")
    if filter.again and action not in REPEATING:
        raise InvalidFilter("again", f"it goes with {' and '.join(REPEATING)}; omit it")
    if action == "replay":
        if filter.outcome is None and filter.ids is None:
            raise InvalidFilter("outcome", "it is missing; name one, such as rejected or filtered")
        return filter
    pipeline, trigger = split_trigger(filter.pipeline, filter.trigger)
    filter = replace(filter, pipeline=pipeline, trigger=trigger)
    if filter.status is None:
        return replace(filter, status=DEFAULT_STATUS[action])
    if filter.status not in (known := STATUSES[action]):
        what = f"{action} cannot act on {filter.status} runs; use one of {', '.join(known)}"
        raise InvalidFilter("status", what)
    return filter


def describe_bulk(bulk: Bulk) -> BulkDocument:
    """Return a bulk as the API and the commands show it."""
    return BulkDocument.of(bulk, describe_filter(bulk.action, bulk.filter))


def describe_filter(action: BulkAction, filter: BulkFilter) -> str:
    """Return a complete filter in words, such as `failed runs of the pipeline 'orders' that started before …`."""
    if action == "replay":
        parts = [f"{filter.outcome} deliveries" if filter.outcome else "deliveries"]
        parts += [f"to the webhook {quote(filter.trigger)}"] if filter.trigger else []
    else:
        parts = [f"{filter.status or 'unfinished'} runs"]
        named = {"of the pipeline": filter.pipeline, "with the tag": filter.tag, "of the version": filter.version}
        named |= {"of the trigger": filter.trigger, "with the error": filter.error}
        parts += [f"{what} {quote(value)}" for what, value in named.items() if value is not None]
    if filter.ids is not None:
        parts.append(f"among {len(filter.ids)} given ids")
    return f"{' '.join(parts)} that {_describe_window(action, filter)}{_describe_repeats(action, filter)}"


def _describe_repeats(action: BulkAction, filter: BulkFilter) -> str:
    if action not in REPEATING or filter.again:
        return ""
    return f" and have not been {describe_repetition(action)} yet"


def describe_repetition(action: BulkAction) -> str:
    """Return what must not have been done with an item, unless an action is wanted `again`."""
    return "replayed" if action == "replay" else "rerun or forked"


def _describe_window(action: BulkAction, filter: BulkFilter) -> str:
    what = "arrived" if action == "replay" else "started"
    until = format_time(filter.until)
    return f"{what} before {until}" if filter.since is None else f"{what} from {format_time(filter.since)} to {until}"
