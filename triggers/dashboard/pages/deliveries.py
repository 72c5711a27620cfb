"""Requests on webhooks: the list, one of them with its request and its replays, capture of the next ones, and requests
to paths that no webhook serves."""

import shlex
from collections.abc import Iterable
from typing import get_args

from durable.units import DeliveryOutcome
from triggers.api.problem import ApiError
from triggers.dashboard.page import PageAnswer, PageNotice, PageRequest, PageRoute, Redirect, View, make_path
from triggers.documents.deliveries import DeliveriesDocument, DeliveryDetailsDocument, DeliveryHeaderDocument
from triggers.documents.fields import format_time
from triggers.documents.pipelines import PipelinesDocument
from triggers.documents.starts import ReplayedDocument
from triggers.documents.unknown_paths import UnknownPathsDocument

FILTERS = ("trigger", "outcome", "event", "from", "to")

CAPTURED = 5
"""How many requests a capture shows."""

HEX_BYTES = 4_096
"""How much of a body is shown as bytes."""

_SENT_BY_CURL = frozenset({"host", "content-length", "connection", "accept-encoding", "user-agent", "accept"})
"""Headers that `curl` sends by itself, or that belonged to the connection."""


class DeliveryPages:
    """Shows deliveries and replays them."""

    def routes(self) -> list[PageRoute]:
        return [
            PageRoute("GET", "/deliveries", self.list_deliveries),
            PageRoute("GET", "/deliveries/unknown", self.list_unknown_paths),
            PageRoute("GET", "/deliveries/capture", self.capture),
            PageRoute("GET", "/deliveries/{delivery}", self.show_delivery),
            PageRoute("POST", "/deliveries/{delivery}/replay", self.replay),
        ]

    async def list_deliveries(self, request: PageRequest) -> View:
        """The deliveries that a filter selects, the newest first."""
        filters = request.pick(*FILTERS)
        found = await request.read("list_deliveries", DeliveriesDocument, **filters, after=request.query.get("after"))
        values = {
            "tabs": _make_tabs(request),
            "deliveries": found.deliveries,
            "filters": filters,
            "outcomes": get_args(DeliveryOutcome),
            "hooks": sorted({each.trigger for each in found.deliveries}),
            "chips": [(name, value, request.link(**{name: None, "after": None})) for name, value in filters.items()],
            "newest": request.link(after=None) if "after" in request.query else None,
            "older": request.link(after=found.after) if found.after else None,
        }
        return View("deliveries.html", values, live=("rows",), watches=("deliveries",))

    async def list_unknown_paths(self, request: PageRequest) -> View:
        """The paths that were asked for and that no webhook serves."""
        found = await request.read("list_unknown_paths", UnknownPathsDocument)
        return View("unknown_paths.html", {"tabs": _make_tabs(request), "paths": found.paths})

    async def capture(self, request: PageRequest) -> PageAnswer:
        """The next requests on webhooks, in full as they arrive. Without a time to begin at, it begins now."""
        if "from" not in request.query:
            return Redirect(request.link(**{"from": format_time(request.now)}))
        filters = request.pick("trigger", "from")
        found = await request.read("list_deliveries", DeliveriesDocument, **filters, limit=CAPTURED)
        captured = [
            await request.read("get_delivery", DeliveryDetailsDocument, delivery=each.id) for each in found.deliveries
        ]
        values = {
            "trigger": request.query.get("trigger"),
            "since": request.query["from"],
            "again": request.link(**{"from": None}),
            "captured": [(each, make_curl(each, request.origin)) for each in captured],
        }
        return View("capture.html", values, live=("captured",), watches=("deliveries",), refreshes=True)

    async def show_delivery(self, request: PageRequest) -> View:
        """One delivery: its request, what became of it, its runs and its replays."""
        id, shown = request.path["delivery"], request.query.get("body", "text")
        found = await request.read("get_delivery", DeliveryDetailsDocument, delivery=id)
        values = {
            "delivery": found,
            "shown": shown,
            "hex": await _read_hex(request, id) if shown == "hex" and found.kept else None,
            "curl": make_curl(found, request.origin),
            "targets": await _list_targets(request),
        }
        return View("delivery.html", values, live=("outcome",), watches=("deliveries", "runs"))

    async def replay(self, request: PageRequest) -> Redirect:
        """Process a delivery again, as a new run."""
        delivery, form = request.path["delivery"], request.form
        body = {"to": form.get("to") or None, "reason": form.get("reason") or None}
        given = {name: value for name, value in body.items() if value is not None}
        extra = {"unverified": True} if form.get("unverified") else {}
        replayed = await request.act("replay_delivery", ReplayedDocument, {"delivery": delivery}, {**given, **extra})
        text = f"The delivery was replayed as this run of {replayed.pipeline}."
        return Redirect(make_path("runs", replayed.id), PageNotice(text))


def make_curl(delivery: DeliveryDetailsDocument, origin: str) -> str | None:
    """A command that sends the request again, as far as it is known: credentials are not kept, and a body may be too
    large to be shown. None if nothing of the request is kept."""
    if not delivery.headers and not delivery.kept:
        return None
    query = f"?{delivery.query}" if delivery.query else ""
    parts = ["curl", "-X", delivery.method, shlex.quote(f"{origin}{delivery.path}{query}")]
    lines = [" ".join(parts), *(f"-H {shlex.quote(header)}" for header in _list_headers(delivery.headers))]
    if isinstance(delivery.body, str):
        lines.append(f"--data-binary {shlex.quote(delivery.body)}")
    elif delivery.body is not None:
        lines.append(f"--data-binary @{delivery.id}.body")
    return " \\\n  ".join(lines)


def _list_headers(headers: Iterable[DeliveryHeaderDocument]) -> list[str]:
    return [
        f"{each.name}: {each.value}" for each in headers if each.value is not None and each.name not in _SENT_BY_CURL
    ]


async def _read_hex(request: PageRequest, delivery: str) -> str | None:
    """The first bytes of a body as hexadecimal digits and letters; None for those who may not read them."""
    try:
        body = await request.read_bytes("get_delivery_body", delivery=delivery)
    except ApiError:
        return None
    lines = []
    for start in range(0, min(len(body), HEX_BYTES), 16):
        part = body[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {letters}")
    rest = len(body) - HEX_BYTES
    return "\n".join([*lines, *([f"… {rest:,} more bytes"] if rest > 0 else [])])


async def _list_targets(request: PageRequest) -> list[str]:
    """The pipelines to which a delivery can be replayed."""
    found = await request.read("list_pipelines", PipelinesDocument)
    return [each.id for each in found.pipelines if each.webhooks]


def _make_tabs(request: PageRequest) -> list[tuple[object, ...]]:
    here = request.url.partition("?")[0]
    tabs = (("Deliveries", "/deliveries"), ("Unknown paths", "/deliveries/unknown"))
    return [(label, href, here == href, None) for label, href in tabs]
