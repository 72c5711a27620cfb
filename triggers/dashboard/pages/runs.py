"""The list of runs."""

from collections.abc import Mapping
from urllib.parse import urlencode

from durable.ids import is_whole_id, next_id
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageRequest, PageRoute, Values, View, make_link
from triggers.documents.pipelines import PipelinesDocument
from triggers.documents.runs import RunsDocument

FILTERS = ("pipeline", "status", "trigger", "tag", "error", "event", "version", "source", "from", "to", "q")

VIEWS = (
    ("All", None),
    ("Failed", "failed"),
    ("Running", "running"),
    ("Waiting", "waiting"),
    ("Queued", "queued"),
    ("Paused", "paused"),
    ("Completed", "completed"),
    ("Cancelled", "cancelled"),
)
"""The statuses, as tabs."""

TIMES = (
    ("any time", ""),
    ("last hour", "1h"),
    ("last 24 hours", "24h"),
    ("last 7 days", "7d"),
    ("last 30 days", "30d"),
)

LIMIT = 50

NEW_COUNTED = 100
"""How many runs that began after the page was loaded are counted."""


class RunPages:
    """Shows runs."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/runs", self.list_runs)]

    async def list_runs(self, request: PageRequest) -> View:
        """The runs that a filter selects, the newest first. The list of an open page ends at the newest run that it had
        (`until`), so that rows do not move: newer ones are counted."""
        filters, problem = request.pick(*FILTERS), None
        try:
            found = await _read_page(request, filters)
        except ApiError as error:  # a filter that is wrong is shown beside the form that can be corrected
            found, problem = RunsDocument([], None), error.document()
        runs, after = found.runs, found.after
        values: Values = {
            "runs": runs,
            "new": await self._count_new(request, filters),
            "filters": filters,
            "list": urlencode(filters) or None,
            "problem": problem,
            "views": _make_views(request),
            "times": TIMES,
            "chips": _make_chips(request, filters),
            "pipelines": (await request.read("list_pipelines", PipelinesDocument)).pipelines,
            "reload": request.link(until=None, after=None),
            "newest": request.link(after=None, until=None) if "after" in request.query else None,
            "older": request.link(after=after, until=None) if after else None,
            "looked_at": found.looked_at,
        }
        live_at = request.link(until=runs[0].id) if runs and not {"after", "until"} & request.query.keys() else None
        status = problem.status if problem else 200
        if "q" in filters:  # a search reads the inputs of thousands of runs, which is too much for each commit
            return View("runs.html", values, status)
        return View("runs.html", values, status, live=("new", "rows"), watches=("runs",), live_at=live_at)

    async def _count_new(self, request: PageRequest, filters: Mapping[str, str]) -> int:
        """How many runs began since the page was loaded."""
        seen = request.query.get("until")
        if seen is None:
            return 0
        found = await request.read("list_runs", RunsDocument, **filters, limit=NEW_COUNTED)
        return sum(run.id > seen for run in found.runs)


async def _read_page(request: PageRequest, filters: Mapping[str, str]) -> RunsDocument:
    """The runs of a page. One that ends at a run of its own begins with it."""
    last = request.query.get("until")
    after = next_id(last) if last and is_whole_id(last) else request.query.get("after")
    return await request.read("list_runs", RunsDocument, **filters, after=after, limit=LIMIT)


def _make_views(request: PageRequest) -> list[tuple[object, ...]]:
    current = request.query.get("status")
    return [
        (label, request.link(status=status, after=None, until=None), current == status, None) for label, status in VIEWS
    ]


def _make_chips(request: PageRequest, filters: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What is filtered by, besides the status, which the tabs show."""
    return [
        (name, value, make_link("/runs", **{**filters, name: None}))
        for name, value in filters.items()
        if name != "status"
    ]
