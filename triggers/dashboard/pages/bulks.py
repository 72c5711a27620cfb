"""One action on many runs: the confirmation, which says what is selected; the list; the progress of one."""

from collections.abc import Mapping
from typing import get_args

from durable.bulks import BulkAction
from durable.values import JSON
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageNotice, PageRequest, PageRoute, Redirect, View, make_path, parse_number
from triggers.documents.bulks import BulkDocument, BulkItemsDocument, BulkPreviewDocument, BulksDocument

CONDITIONS = ("pipeline", "status", "tag", "trigger", "error", "version", "outcome", "from", "to")
FOREIGN = ("event", "source", "q")
"""The filters of lists that a bulk has, and those that it lacks: without them it would concern more than is shown."""

VERBS: Mapping[str, str] = {"cancel": "Cancel", "retry": "Retry", "rerun": "Rerun", "replay": "Replay"}


class BulkPages:
    """Confirms, creates, shows and stops bulks."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/bulks", self.list_bulks),
            PageRoute("POST", "/bulks", self.create),
            PageRoute("POST", "/bulks/new", self.confirm),
            PageRoute("GET", "/bulks/{bulk}", self.show_bulk),
            PageRoute("POST", "/bulks/{bulk}/stop", self.stop),
            PageRoute("POST", "/bulks/{bulk}/resume", self.resume),
        ]

    async def list_bulks(self, request: PageRequest) -> View:
        """The bulks, the newest first."""
        found = await request.read("list_bulks", BulksDocument, after=request.query.get("after"))
        values = {
            "bulks": found.bulks,
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("bulks.html", values, live=("rows",), watches=("bulks",))

    async def confirm(self, request: PageRequest) -> View:
        """What an action would concern: those that were chosen, or all that match. It changes nothing."""
        action, filter = request.form.get("action", ""), _read_filter(request)
        body: dict[str, JSON] = {"action": action, "filter": filter}
        found = await request.act("preview_bulk", BulkPreviewDocument, {}, body)
        values = {
            "preview": found,
            "verb": VERBS[found.action],
            "fields": [(name, value) for name, value in filter.items() if isinstance(value, str) and name != "from"],
            "since": found.filter.since,
            "ids": filter.get("ids") or [],
            "until": found.filter.until,
        }
        return View("new_bulk.html", values)

    async def create(self, request: PageRequest) -> Redirect:
        """Create a bulk as it was confirmed: refused if more matches now."""
        form = request.form
        body: dict[str, JSON] = {"action": form.get("action", ""), "filter": _read_filter(request)}
        if form.get("reason"):
            body["reason"] = form["reason"]
        for name in ("expected", "rate"):
            if form.get(name):
                body[name] = parse_number(name, form[name])
        bulk = await request.act("create_bulk", BulkDocument, {}, body)
        return Redirect(make_path("bulks", bulk.id))

    async def show_bulk(self, request: PageRequest) -> View:
        """One bulk with its progress and its items."""
        id, outcome = request.path["bulk"], request.query.get("outcome")
        bulk = await request.read("get_bulk", BulkDocument, bulk=id)
        items = await request.read(
            "list_bulk_items", BulkItemsDocument, bulk=id, outcome=outcome, after=request.query.get("after"), limit=100
        )
        tabs = (
            ("All", None, bulk.done + bulk.refused),
            ("Refused", "refused", bulk.refused),
            ("Done", "done", bulk.done),
        )
        values = {
            "bulk": bulk,
            "verb": VERBS[bulk.action],
            "items": items.items,
            "tabs": [(label, request.link(outcome=each, after=None), outcome == each, n) for label, each, n in tabs],
            "next": request.link(after=items.after) if items.after else None,
        }
        is_open = bulk.status in ("running", "stopping")
        return View("bulk.html", values, live=("progress", "rows"), watches=(f"bulk:{id}",), refreshes=is_open)

    async def stop(self, request: PageRequest) -> Redirect:
        """Stop a bulk after the items in progress."""
        bulk = await request.act("stop_bulk", BulkDocument, {"bulk": request.path["bulk"]})
        return Redirect(make_path("bulks", bulk.id), PageNotice("It stops after the items in progress."))

    async def resume(self, request: PageRequest) -> Redirect:
        """Let a stopped bulk go on."""
        bulk = await request.act("resume_bulk", BulkDocument, {"bulk": request.path["bulk"]})
        return Redirect(make_path("bulks", bulk.id), PageNotice("It goes on."))


def _read_filter(request: PageRequest) -> dict[str, JSON]:
    """The filter in a form: what was chosen, or all that match. Raises `ApiError`."""
    form = request.form
    if form.get("action") not in get_args(BulkAction):
        raise ApiError(422, f"choose what to do: {', '.join(get_args(BulkAction))}")
    filter: dict[str, JSON]
    if form.get("scope") == "all":
        if foreign := [name for name in FOREIGN if form.get(name)]:
            what = (
                f"a bulk action cannot select by {' and '.join(foreign)}, so that it would concern more than the list"
            )
            raise ApiError(422, f"{what}; choose the runs one by one, or remove that filter")
        filter = {name: form[name] for name in CONDITIONS if form.get(name)}
        return filter
    ids: list[JSON] = [*request.choices.get("ids", [])]
    if not ids:
        raise ApiError(422, "nothing is chosen; choose some, or all that match")
    filter = {"ids": ids} | {name: form[name] for name in ("to", "status") if form.get(name)}
    return filter
