"""The audit log: who did what, from where, and with which result."""

from typing import get_args

from durable.audit import AuditOutcome, AuditVia
from triggers.dashboard.page import PageRequest, PageRoute, View, make_path
from triggers.documents.audit import AuditDocument, AuditRecordDocument

FILTERS = ("by", "action", "target", "via", "outcome", "from", "to")

PAGES = {
    "run": "runs",
    "delivery": "deliveries",
    "bulk": "bulks",
    "pipeline": "pipelines",
    "connection": "connections",
}
"""The kinds of things that have a page, and where it is."""


class AuditPages:
    """Shows the audit log."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/audit", self.list_records)]

    async def list_records(self, request: PageRequest) -> View:
        """The actions that a filter selects, the newest first."""
        filters = request.pick(*FILTERS)
        found = await request.read("list_audit", AuditDocument, **filters, after=request.query.get("after"))
        values = {
            "records": [(each, _find_page(each)) for each in found.records],
            "filters": filters,
            "ways": get_args(AuditVia),
            "outcomes": get_args(AuditOutcome),
            "chips": [(name, value, request.link(**{name: None, "after": None})) for name, value in filters.items()],
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("audit.html", values, live=("rows",), watches=("audit",))


def _find_page(record: AuditRecordDocument) -> str | None:
    """The page of what an action was done to."""
    place = PAGES.get(record.kind or "")
    return make_path(place, record.target) if place and record.target else None
