"""Queues: what waits for Waypost's own limits, and why."""

from triggers.dashboard.page import PageRequest, PageRoute, View
from triggers.documents.queues import QueuesDocument


class QueuePages:
    """Shows the queues."""

    def routes(self) -> list[PageRoute]:
        return [PageRoute("GET", "/queues", self.show_queues)]

    async def show_queues(self, request: PageRequest) -> View:
        """The runs that are queued for a slot, the attempts that wait for a permit, and the commits."""
        filters = request.pick("pipeline")
        found = await request.read("get_queues", QueuesDocument, **filters)
        chips = [(name, value, request.link(**{name: None})) for name, value in filters.items()]
        return View("queues.html", {"found": found, "chips": chips}, live=("rows",), watches=("runs",))
