"""Failures by their cause: the list of groups, and one of them with its runs."""

from durable.values import JSON
from triggers.dashboard.page import PageRequest, PageRoute, View
from triggers.documents.bulks import BulkPreviewDocument
from triggers.documents.errors import ErrorGroupsDocument
from triggers.documents.pipelines import PipelinesDocument
from triggers.documents.runs import RunsDocument

FILTERS = ("pipeline", "from", "to")

RUNS_SHOWN = 20


class ErrorPages:
    """Shows groups of failures."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/errors", self.list_errors), PageRoute("GET", "/errors/{key}", self.show_error)]

    async def list_errors(self, request: PageRequest) -> View:
        """The groups, the one with the newest run first."""
        filters = request.pick(*FILTERS)
        found = await request.read("list_errors", ErrorGroupsDocument, **filters, after=request.query.get("after"))
        values = {
            "errors": found.errors,
            "filters": filters,
            "pipelines": (await request.read("list_pipelines", PipelinesDocument)).pipelines,
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("errors.html", values, live=("rows",), watches=("runs",))

    async def show_error(self, request: PageRequest) -> View:
        """One group: the newest failure, how many runs there are, since when, and what can be done with all."""
        key = request.path["key"]
        found = await request.read("list_runs", RunsDocument, error=key, limit=RUNS_SHOWN)
        body: dict[str, JSON] = {"action": "retry", "filter": {"error": key}}
        failed = await request.act("preview_bulk", BulkPreviewDocument, {}, body)
        values = {"key": key, "runs": found.runs, "newest": found.runs[0] if found.runs else None, "failed": failed}
        return View("error.html", values, live=("error",), watches=("runs",))
