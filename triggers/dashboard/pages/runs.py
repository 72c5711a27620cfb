"""The list of runs."""

from typing import get_args
from urllib.parse import urlencode

from durable.history.words import RunStatus
from triggers.dashboard.page import PageRequest, PageRoute, View
from triggers.documents.runs import RunsDocument

FILTERS = ("pipeline", "status", "trigger", "tag", "error", "event", "version", "source", "from", "to")


class RunPages:
    """Shows runs."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/runs", self.list_runs)]

    async def list_runs(self, request: PageRequest) -> View:
        """The runs that a filter selects, the newest first."""
        filters = request.pick(*FILTERS)
        found = await request.read("list_runs", RunsDocument, **filters, after=request.query.get("after"))
        values = {
            "runs": found.runs,
            "filters": filters,
            "list": urlencode(filters) or None,
            "chips": [(name, value, request.link(**{name: None, "after": None})) for name, value in filters.items()],
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
            "statuses": get_args(RunStatus),
        }
        return View("runs.html", values, live=("rows",), watches=("runs",))
