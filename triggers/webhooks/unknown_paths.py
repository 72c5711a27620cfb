"""Requests for unknown webhooks: counted and listed by path, and logged once a minute for each first part of a path.

Strangers choose the paths, so that memory, the table and the log are bounded. The counts are written to the journal
about once a minute and when the service stops, never with a request.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from durable import metrics
from durable.durations import parse_duration
from durable.reports import UnknownPath
from durable.wording import find_nearest, quote
from triggers.documents.fields import format_time
from triggers.documents.unknown_paths import UnknownPathDocument
from triggers.webhooks.route import PREFIX, read_path
from triggers.webhooks.trigger import WebhookTrigger

log = logging.getLogger("waypost.webhook")

MOST_GROUPS = 100
"""The first parts of paths that get a log line of their own in a minute."""

OTHERS = "…"
"""The group of the rest."""

MOST_PATHS = 200
"""The paths that are listed. A new one takes the place of the one with the fewest requests, so that a scanner, which
asks for each path once, does not push out the wrong URL of a sender that repeats."""

PATH_LIMIT = 200
"""The characters of a path that are kept."""

FORGOTTEN_AFTER = parse_duration("30d")

_COMPARED = 200
"""The served paths that an unknown one is compared with; each comparison takes 10 µs."""


class UnknownPathHint(NamedTuple):
    """What a sender probably meant: the nearest served path if there is one, and what to do, in words."""

    nearest: str | None
    text: str


class UnknownPaths:
    """Counts requests by method and path, and those of the current minute by the first part of the path."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._minute = 0
        self._counts: dict[str, int] = {}
        self._paths: dict[tuple[str, str], UnknownPath] = {}
        self._has_changed = False

    def load(self, kept: Iterable[UnknownPath]) -> None:
        """Go on from what an earlier process counted."""
        self._paths = {(each.method, each.path): each for each in kept}

    def count(self, method: str, path: str, hooks: Sequence[WebhookTrigger], at: int, *, are_all: bool) -> None:
        """Count a request for an undecoded path at a time (ms). Log the first request of its group, with the served
        hook that its sender probably meant. `are_all`: no file has errors, so no other hooks exist."""
        metrics.count_delivery("", "unknown")
        self._count_path(method, path[: 2 * PATH_LIMIT], at)
        if at // 60_000 != self._minute:
            self._minute = at // 60_000
            self._counts = {}
        group = _decode_path(path).strip("/").partition("/")[0][:60]
        if group not in self._counts and len(self._counts) >= MOST_GROUPS:
            group = OTHERS
        self._counts[group] = self._counts.get(group, 0) + 1
        if self._counts[group] == 1:
            hint = explain_unknown_path(method, path, hooks, are_all=are_all)
            log.warning("%s %s: %s", method, quote(f"{PREFIX}{_decode_path(path)}"), hint.text)

    def _count_path(self, method: str, path: str, at: int) -> None:
        known = self._paths.get((method, path))
        if known is None:
            if len(self._paths) >= MOST_PATHS:
                del self._paths[min(self._paths, key=self._rank)]
            # Redacting takes 0.15 ms, so it is done once for each path.
            known = UnknownPath(method, self._redact(path)[:PATH_LIMIT], 0, at, at)
        self._paths[method, path] = msgspec.structs.replace(known, count=known.count + 1, last_at=at)
        self._has_changed = True

    def _rank(self, key: tuple[str, str]) -> tuple[int, int]:
        return self._paths[key].count, self._paths[key].last_at

    def list_paths(self) -> list[UnknownPath]:
        """The paths, the one that was asked for last first. Those that are equal once they are redacted are one."""
        found: dict[tuple[str, str], UnknownPath] = {}
        for each in self._paths.values():
            same = found.get((each.method, each.path))
            found[each.method, each.path] = _add_up(same, each) if same else each
        return sorted(found.values(), key=lambda each: each.last_at, reverse=True)

    def take_changed(self, at: int) -> list[UnknownPath] | None:
        """All paths, to be written to the journal, without those of long ago; None if nothing has changed since the
        last call."""
        if not self._has_changed:
            return None
        self._has_changed = False
        self._paths = {key: each for key, each in self._paths.items() if each.last_at > at - FORGOTTEN_AFTER}
        return self.list_paths()


def _add_up(one: UnknownPath, other: UnknownPath) -> UnknownPath:
    first_at, last_at = min(one.first_at, other.first_at), max(one.last_at, other.last_at)
    return UnknownPath(one.method, one.path, one.count + other.count, first_at, last_at)


def describe_unknown_path(found: UnknownPath, hooks: Sequence[WebhookTrigger], *, are_all: bool) -> UnknownPathDocument:
    """An unknown path as the API and the commands show it."""
    hint = explain_unknown_path(found.method, found.path, hooks, are_all=are_all)
    first_at, last_at = format_time(found.first_at), format_time(found.last_at)
    return UnknownPathDocument(found.method, found.path, found.count, first_at, last_at, hint.nearest, hint.text)


def explain_unknown_path(
    method: str, path: str, hooks: Sequence[WebhookTrigger], *, are_all: bool = True
) -> UnknownPathHint:
    """What the sender of a request for an undecoded path probably meant."""
    path = _decode_path(path)
    what = "no pipeline serves this webhook"
    methods = sorted({method for hook in hooks if hook.pattern.fullmatch(path) for method in hook.methods})
    if method in methods:
        return UnknownPathHint(PREFIX + path, "it is served now")
    if methods:
        return UnknownPathHint(PREFIX + path, f"the webhook accepts only {', '.join(methods)}")
    meant = find_nearest(path.removeprefix(PREFIX), [hook.path for hook in hooks[:_COMPARED]])
    nearest = None if meant is None else PREFIX + meant
    if path.startswith(f"{PREFIX}/"):
        return UnknownPathHint(nearest, f"{what}; the path begins with {PREFIX} twice")
    if nearest:
        return UnknownPathHint(nearest, f"{what}; did you mean {quote(nearest)}")
    if not are_all:
        return UnknownPathHint(None, f"{what}, unless it is in a file with errors, which `waypost validate` lists")
    return UnknownPathHint(None, f"{what}; `waypost pipelines` lists those that are served")


def _decode_path(path: str) -> str:
    """The path in the form that routes match, below the prefix."""
    return (read_path(path) or path).removeprefix(PREFIX)
