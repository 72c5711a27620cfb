"""What the sender of a webhook is told.

Where a sender expects an answer of its own (`reply`), it gets that, and the ids stand in `Waypost-` headers.
"""

from typing import Any

from starlette.responses import JSONResponse, Response

from durable.journal import Admitted
from triggers.webhooks.handshake import Answer
from triggers.webhooks.scheme import Reply


def accepted(admitted: Admitted, reply: Reply | None) -> Response:
    """The ids of the event and its runs: 202, and 200 if they are those of an earlier delivery."""
    if reply:
        ids = {"Waypost-Event": admitted.event, "Waypost-Runs": ", ".join(admitted.runs)}
        return Response(status_code=reply.status, headers=ids)
    body: dict[str, Any] = {"event": admitted.event, "runs": list(admitted.runs)}
    if admitted.is_duplicate:
        return JSONResponse(body | {"duplicate": True}, 200)
    return JSONResponse(body, 202)


def filtered(reason: str, reply: Reply | None) -> Response:
    """No run was started, and why."""
    if reply:
        return Response(status_code=reply.status, headers={"Waypost-Runs": ""})
    return JSONResponse({"event": None, "runs": [], "reason": reason})


def greeted(answer: Answer) -> Response:
    """What a handshake asked for, which no browser is to take for a page."""
    headers = {"X-Content-Type-Options": "nosniff"}
    return Response(answer.body, answer.status, headers, answer.media_type)


def refused() -> Response:
    """The one answer to a bad signature and to a webhook that does not exist."""
    return error(401, "the signature does not fit, or there is no such webhook")


def error(status: int, message: str) -> Response:
    """An error. Where the body was not read to its end, the connection is of no more use."""
    headers = {"Connection": "close"} if status in (408, 413) else None
    return JSONResponse({"error": message}, status, headers)


def busy(message: str, retry_after: int) -> Response:
    """503: the sender may try again after so many seconds."""
    return JSONResponse({"error": message}, 503, {"Retry-After": str(retry_after)})


def too_many(retry_after: int, *, is_read: bool) -> Response:
    """429: more than the rate allows. `is_read` says whether the request's body was taken in."""
    headers = {"Retry-After": str(retry_after)} | ({} if is_read else {"Connection": "close"})
    return JSONResponse({"error": f"too many requests; try again in {retry_after} s"}, 429, headers)
