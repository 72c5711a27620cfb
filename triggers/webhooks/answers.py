"""What the sender of a webhook is told.

Where a sender expects an answer of its own (`reply`), it gets that, and the ids stand in `Waypost-` headers.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from starlette.types import Send

from durable.history.words import RunStatus
from durable.journal import Admitted
from durable.respond import BODILESS, Respond
from durable.values import JSON
from triggers.webhooks import handshake
from triggers.webhooks.scheme import Reply


class Answer(NamedTuple):
    """A whole answer; names of headers are in lower case."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def extend(self, headers: tuple[tuple[bytes, bytes], ...]) -> "Answer":
        """The answer with more headers; what it has already stays."""
        own = {name for name, _ in self.headers}
        return self._replace(headers=(*self.headers, *(pair for pair in headers if pair[0] not in own)))

    async def send(self, send: Send) -> None:
        """Say it as ASGI does."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def accepted(admitted: Admitted, reply: Reply | None) -> Answer:
    """The ids of the event and its runs: 202, and 200 if they are those of an earlier delivery."""
    if reply:
        return _text(reply.status, {"waypost-event": admitted.event, "waypost-runs": ", ".join(admitted.runs)})
    body: dict[str, JSON] = {"event": admitted.event, "runs": list(admitted.runs)}
    if admitted.is_duplicate:
        return _json(200, body | {"duplicate": True})
    if admitted.skipped and not admitted.runs:
        return _json(200, body | {"reason": "skipped: the pipeline's concurrency allows no more runs now"})
    return _json(202, body)


def result(
    admitted: Admitted, status: RunStatus, outputs: msgspec.Raw | None, error: JSON, *, owes_answer: bool
) -> Answer:
    """What the run came to: its status, and its outputs (JSON already) or its error. One that `owes_answer` and did not
    complete is an error to its sender."""
    came_to = {"status": status, "outputs": outputs, "error": error}
    code = 500 if owes_answer and status != "completed" else 200
    return _json(code, {"event": admitted.event, "runs": list(admitted.runs), **came_to})


def of_step(admitted: Admitted, given: JSON) -> Answer:
    """What a `flow.respond` says. It may be a page; but then one that a browser keeps apart from what is here else."""
    said = Respond.model_validate(given)
    own = {
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "waypost-event": admitted.event,
        "waypost-runs": ", ".join(admitted.runs),
    }
    body = said.encode_body()
    media_type = "text/plain; charset=utf-8" if isinstance(said.body, str) else "application/json"
    typed = {"content-type": media_type} if body else {}
    return _text(said.status, typed | {name.lower(): value for name, value in said.headers.items()} | own, body)


def filtered(reason: str, reply: Reply | None) -> Answer:
    """No run was started, and why."""
    if reply:
        return _text(reply.status, {"waypost-runs": ""})
    return _json(200, {"event": None, "runs": [], "reason": reason})


def greeted(answer: handshake.Answer) -> Answer:
    """What a handshake asked for, which no browser is to take for a page."""
    headers = {"x-content-type-options": "nosniff"}
    if answer.media_type:
        headers["content-type"] = answer.media_type
    return _text(answer.status, headers, answer.body)


def refused() -> Answer:
    """The one answer to a bad signature and to a webhook that does not exist."""
    return error(401, "the signature does not fit, or there is no such webhook")


def empty(status: int) -> Answer:
    """An answer that says nothing but its status."""
    return _text(status, {})


def not_allowed(methods: Iterable[str]) -> Answer:
    """405, the same whether or not there is such a webhook."""
    return _json(405, {"error": "a webhook is not asked with this method"}, {"allow": ", ".join(methods)})


def error(status: int, message: str) -> Answer:
    """An error. Where the body was not read to its end, the connection is of no more use."""
    return _json(status, {"error": message}, {"connection": "close"} if status in (408, 413) else {})


def busy(message: str, retry_after: int) -> Answer:
    """503: the sender may try again after so many seconds."""
    return _json(503, {"error": message}, {"retry-after": str(retry_after)})


def too_many(retry_after: int, *, is_read: bool) -> Answer:
    """429: more than the rate allows. `is_read` says whether the request's body was taken in."""
    headers = {"retry-after": str(retry_after)} | ({} if is_read else {"connection": "close"})
    return _json(429, {"error": f"too many requests; try again in {retry_after} s"}, headers)


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Answer:
    return _text(status, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(content))


def _text(status: int, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    sized = headers if status in BODILESS else {**headers, "content-length": str(len(body))}
    return Answer(status, body, tuple([(name.encode(), value.encode()) for name, value in sized.items()]))
