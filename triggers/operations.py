"""What operators and their tools ask: is it alive, is it ready, what has it done."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from durable import metrics
from durable.journal import Journal, JournalError
from durable.runner import Runner
from triggers.folder import Folder


class Operations:
    """Answers `/health`, `/ready` and `/metrics`."""

    def __init__(self, journal: Journal, runner: Runner, folder: Folder, largest_body: int) -> None:
        self._journal = journal
        self._runner = runner
        self._folder = folder
        self._room = 2 * largest_body
        """Bytes that a delivery of the largest body takes at most: the event, and what a run is given of it."""

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/ready", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """The journal takes writes, so that events can be accepted; 503 otherwise, with the reason."""
        invalid = [file.path.name for file in self._folder.files if not file.is_valid]
        if self._folder.connections and not self._folder.connections.is_valid:
            invalid.append(self._folder.connections.path.name)
        try:
            problem = "the service is shutting down" if self._runner.is_draining else await self._unwritable()
        except JournalError as error:
            problem = str(error)
        if problem:
            return JSONResponse({"ready": False, "reason": problem}, 503, {"Retry-After": "5"})
        return JSONResponse({"ready": True, "invalid": invalid})

    async def _unwritable(self) -> str | None:
        if self._journal.damage:
            return self._journal.damage
        if await self._journal.is_writable(self._room):
            return None
        return "the journal takes no writes, or the disk has no room for a delivery"

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text exposition."""
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)
