"""Home: what needs a person and how the service does; before the first run, what to do first."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from durable.history.words import RunStatus
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageNotice, PageRequest, PageRoute, Redirect, View, make_link
from triggers.documents.about import AboutDocument
from triggers.documents.overview import (
    AttentionDocument,
    AttentionKind,
    AttentionLineDocument,
    ColumnDocument,
    OverviewDocument,
    Period,
)
from triggers.documents.pipelines import FirstExampleDocument, PipelinesDocument, SentExampleDocument
from triggers.documents.runs import RunsDocument

FIRST_FACE = "/?face=first"
"""The address of the page for a service in which nothing has happened yet."""

PERIODS: Mapping[Period, str] = {"hour": "1 h", "day": "24 h", "week": "7 d"}

STATES: Mapping[AttentionKind, str] = {
    "journal": "broken",
    "failure": "failed",
    "uncertain": "uncertain",
    "exhausted": "paused",
    "paused": "paused",
    "approval": "waiting",
    "file": "warning",
    "connection": "warning",
    "schedule": "warning",
    "rejected": "rejected",
}
"""The status whose glyph and colour stand before a line."""

BUTTONS: Mapping[AttentionKind, str] = {
    "uncertain": "Decide",
    "exhausted": "Decide",
    "approval": "Answer",
    "file": "See the line",
}

RUNNING_SHOWN = 5

UNFINISHED: tuple[RunStatus, ...] = ("running", "waiting", "queued", "paused")

Bar = tuple[float, str, str]
"""A column of a chart: its height from 0 to 1, its status, its title."""


class Need(msgspec.Struct, frozen=True):
    """A line of what needs a person, with its status and the label of its link."""

    line: AttentionLineDocument
    state: str
    button: str

    @property
    def text(self) -> str:
        """Its sentence. That on a file begins with the name of the file, which stays as it is."""
        text = self.line.text
        return text if self.line.kind == "file" else text[:1].upper() + text[1:]


class HomePages:
    """Shows Home."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/", self.show_home), PageRoute("POST", "/example", self.send_example)]

    async def show_home(self, request: PageRequest) -> View:
        """Home, in the face that fits: before the first run, or from day to day."""
        period = request.query.get("period", "day")
        overview, found, running = await asyncio.gather(  # each is read by a thread of its own
            request.read("get_overview", OverviewDocument, period=period),
            request.read("get_attention", AttentionDocument),
            request.read("list_runs", RunsDocument, status="running", limit=RUNNING_SHOWN),
        )
        if overview.newest_run is None or request.query.get("face") == "first":
            return await _show_first(request)
        values = {
            "needs": [Need(line, STATES[line.kind], BUTTONS.get(line.kind, "Look")) for line in found.lines],
            "attention": found,
            "overview": overview,
            "periods": [(label, make_link("/", period=each), each == period, None) for each, label in PERIODS.items()],
            "charts": {"runs": make_bars(overview.columns), "failed": make_failed_bars(overview.columns)},
            "unfinished": [(status, overview.unfinished.get(status, 0)) for status in UNFINISHED],
            "running": running.runs,
        }
        watches = ("runs", "deliveries", "schedules")
        return View("home.html", values, live=("needs", "figures", "pipelines", "now"), watches=watches)

    async def send_example(self, request: PageRequest) -> Redirect:
        """Send the example request to the service itself, for those who have no shell at hand."""
        sent = await request.act("send_example", SentExampleDocument, {})
        if sent.status >= 400:
            return Redirect(FIRST_FACE, PageNotice(f"The webhook answered {sent.status}: {sent.body}", "bad"))
        return Redirect(FIRST_FACE, PageNotice(f"The request was sent; the webhook answered {sent.status}."))


async def _show_first(request: PageRequest) -> View:
    """What to do first: a request to send, the run that it starts, and what makes that remarkable."""
    example, refusal = None, None
    try:
        example = await request.read("get_example", FirstExampleDocument)
    except ApiError as error:
        refusal = str(error)
    values = {
        "example": example,
        "refusal": refusal,
        "about": await request.read("get_about", AboutDocument),
        "pipelines": (await request.read("list_pipelines", PipelinesDocument)).pipelines,
        "newest": (await request.read("list_runs", RunsDocument, limit=1)).runs,
    }
    return View("welcome.html", values, live=("arrival",), watches=("runs",), live_at=FIRST_FACE, refreshes=True)


def make_bars(columns: Sequence[ColumnDocument]) -> list[Bar]:
    """All runs of each column, the largest of which is 1 high."""
    return _scale((_count(column), "completed", _title(column, _count(column), "started")) for column in columns)


def make_failed_bars(columns: Sequence[ColumnDocument]) -> list[Bar]:
    """The failed runs of each column, the largest of which is 1 high."""
    return _scale((column.failed, "failed", _title(column, column.failed, "failed")) for column in columns)


def _scale(counts: Iterable[tuple[int, str, str]]) -> list[Bar]:
    known = list(counts)
    most = max((number for number, _, _ in known), default=0) or 1
    return [(number / most, status, title) for number, status, title in known]


def _count(column: ColumnDocument) -> int:
    return column.completed + column.failed + column.cancelled + column.unfinished


def _title(column: ColumnDocument, number: int, what: str) -> str:
    return f"{(column.start or '')[:16].replace('T', ' ')} UTC: {number:,} {what}"
