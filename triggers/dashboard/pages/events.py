"""Events: the list, one of them with its data and its runs, and the form that sends one."""

from durable.values import JSON, NotJSON, decode
from durable.wording import count_things
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_path
from triggers.documents.events import EventDocument, EventsDocument
from triggers.documents.starts import EmittedDocument

FILTERS = ("type", "source", "subject", "from", "to")


class EventPages:
    """Shows events and sends them."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/events", self.list_events),
            PageRoute("GET", "/events/new", self.show_form),
            PageRoute("POST", "/events/new", self.emit),
            PageRoute("GET", "/events/{event}", self.show_event),
        ]

    async def list_events(self, request: PageRequest) -> View:
        """The events that a filter selects, the newest first."""
        filters = request.pick(*FILTERS)
        found = await request.read("list_events", EventsDocument, **filters, after=request.query.get("after"))
        values = {
            "events": found.events,
            "filters": filters,
            "chips": [(name, value, request.link(**{name: None, "after": None})) for name, value in filters.items()],
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("events.html", values, live=("rows",), watches=("runs", "deliveries"))

    async def show_event(self, request: PageRequest) -> View:
        """One event."""
        found = await request.read("get_event", EventDocument, event=request.path["event"])
        return View("event.html", {"event": found}, live=("runs",), watches=("runs",))

    async def show_form(self, request: PageRequest) -> View:
        """The form that sends an event."""
        return View("new_event.html", {"form": request.query, "problem": None})

    async def emit(self, request: PageRequest) -> PageAnswer:
        """Send an event."""
        form = request.form
        try:
            body: dict[str, JSON] = {"type": form.get("type", ""), "data": _read_data(form.get("data", ""))}
            body |= {name: form[name] for name in ("subject", "source") if form.get(name)}
            emitted = await request.act("emit_event", EmittedDocument, {}, body)
        except ApiError as error:
            return View("new_event.html", {"form": form, "problem": error.document()}, error.status)
        text = f"The event was sent; it started {count_things(len(emitted.runs), 'run')}."
        return Redirect(make_path("events", emitted.event), PageNotice(text))


def _read_data(text: str) -> JSON:
    try:
        return decode(text) if text.strip() else None
    except NotJSON as error:
        raise ApiError(422, f"the data are not JSON: {error}") from None
