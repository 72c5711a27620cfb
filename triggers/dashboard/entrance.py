"""The root of the service: people get a page, programs get a list of where everything is. Neither is a 404."""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from triggers.api.operation import respond

ROOT = "/"


class EntranceDocument(Struct, frozen=True):
    """Where the parts of the service are, for a program that knows only its address."""

    service: str = "Waypost"
    dashboard: str = "/sign-in"
    api: str = "/api"
    description: str = "/api/openapi.json"
    documentation: str = "/api/docs"
    webhooks: str = "/hooks"
    health: str = "/health"
    ready: str = "/ready"


def wants_page(request: Request) -> bool:
    """Whether a person with a browser asks: programs do not ask for HTML."""
    return "text/html" in request.headers.get("accept", "")


def answer_program(request: Request) -> Response | None:
    """The answer to a program at the root, which says nothing that a stranger may not know; None for anything else."""
    if request.url.path != ROOT or request.method not in ("GET", "HEAD") or wants_page(request):
        return None
    return respond(EntranceDocument(), headers={"Vary": "Accept"})
