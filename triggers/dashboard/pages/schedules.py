"""Schedules: when they fired, when they will fire, what they missed; and a run for a fire by hand."""

from durable.durations import parse_moment
from durable.values import JSON
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageNotice, PageRequest, PageRoute, Redirect, View, make_path
from triggers.documents.fields import format_time
from triggers.documents.runs import RunLineDocument, RunsDocument
from triggers.documents.schedules import ScheduleDocument, ScheduleListDocument
from triggers.documents.starts import StartedDocument

RUNS_SHOWN = 20

SCHEDULES_WITH_RUNS = 50
"""How many schedules are shown with their runs: each costs a query."""


class SchedulePages:
    """Shows schedules, and starts their runs."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/schedules", self.list_schedules),
            PageRoute("POST", "/schedules/{pipeline}/{trigger}/run", self.run_schedule),
        ]

    async def list_schedules(self, request: PageRequest) -> View:
        """Every schedule that is served."""
        found = (await request.read("list_schedules", ScheduleListDocument)).schedules
        rows: list[tuple[ScheduleDocument, list[RunLineDocument]]] = []
        for index, each in enumerate(found):
            rows.append((each, await _list_runs(request, each) if index < SCHEDULES_WITH_RUNS else []))
        return View("schedules.html", {"schedules": rows}, live=("rows",), watches=("schedules", "runs"))

    async def run_schedule(self, request: PageRequest) -> Redirect:
        """Start a run as a fire of the schedule would: one of now, or one that was missed."""
        pipeline, trigger = request.path["pipeline"], request.path["trigger"]
        fire = _parse_fire(request.form.get("fire"), request.now)
        document: JSON = {"id": format_time(fire), "type": "schedule", "time": fire}
        body: dict[str, JSON] = {"document": document, "trigger": trigger}
        started = await request.act("trigger_run", StartedDocument, {"pipeline": pipeline}, body)
        return Redirect(make_path("runs", started.id), PageNotice("The run was started as a fire of the schedule."))


def _parse_fire(text: str | None, now: int) -> int:
    """The time of a fire in ms; raises `ApiError`."""
    try:
        return parse_moment(text) if text else now
    except ValueError as error:
        raise ApiError(422, str(error)) from None


async def _list_runs(request: PageRequest, schedule: ScheduleDocument) -> list[RunLineDocument]:
    found = await request.read("list_runs", RunsDocument, trigger=schedule.id, limit=RUNS_SHOWN)
    return found.runs
