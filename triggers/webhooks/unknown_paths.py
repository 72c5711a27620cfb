"""Requests for unknown webhooks: counted, and logged once a minute for each first part of a path."""

import logging
from collections.abc import Sequence

from durable import metrics
from durable.wording import find_nearest, quote
from triggers.webhooks.trigger import WebhookTrigger

log = logging.getLogger("waypost.webhook")

MOST_GROUPS = 100
"""The first parts of paths that get a log line of their own in a minute. Strangers choose them, so there is a limit."""

OTHERS = "…"
"""The group of the rest."""

_COMPARED = 200
"""The served paths that an unknown one is compared with; each comparison takes 10 µs."""


class UnknownPaths:
    """Counts the requests of the current minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[str, int] = {}

    def count(self, method: str, path: str, hooks: Sequence[WebhookTrigger], at: int, *, are_all: bool) -> None:
        """Count a request at a time (ms). Log the first request of its group, with the served hook that its sender
        probably meant. `are_all`: no file has errors, so no other hooks exist."""
        metrics.count_delivery("unknown")
        if at // 60_000 != self._minute:
            self._minute = at // 60_000
            self._counts = {}
        group = path.strip("/").partition("/")[0][:60]
        if group not in self._counts and len(self._counts) >= MOST_GROUPS:
            group = OTHERS
        self._counts[group] = self._counts.get(group, 0) + 1
        if self._counts[group] == 1:
            log.warning("%s %s: %s", method, quote(f"/hooks{path}"), _explain(path, hooks, are_all=are_all))


def _explain(path: str, hooks: Sequence[WebhookTrigger], *, are_all: bool) -> str:
    what = "no pipeline serves this webhook"
    methods = sorted({method for hook in hooks if hook.pattern.fullmatch(path) for method in hook.methods})
    if methods:
        return f"the webhook takes only {', '.join(methods)}"
    if path.startswith("/hooks/"):
        return f"{what}; the path begins with /hooks twice"
    if meant := find_nearest(path, [hook.path for hook in hooks[:_COMPARED]]):
        return f"{what}; did you mean {quote(f'/hooks{meant}')}"
    if not are_all:
        return f"{what}, unless it is in a file with errors, which `waypost validate` lists"
    return f"{what}; `waypost pipelines` lists those that are served"
