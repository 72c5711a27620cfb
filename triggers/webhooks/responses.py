"""What the sender of a webhook is told.

Where a sender expects an answer of its own (`reply`), it gets that, and the ids stand in `Waypost-` headers.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from starlette.types import Send

from durable.blocks.respond import BODILESS, RespondInputs
from durable.history.words import RunStatus
from durable.units import Admitted
from durable.values import JSON
from triggers.webhooks import handshake
from triggers.webhooks.scheme import PresetReply


class WebhookResponse(NamedTuple):
    """A whole answer; names of headers are in lower case."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def with_headers(self, headers: tuple[tuple[bytes, bytes], ...]) -> "WebhookResponse":
        """The answer with more headers; what it has already stays."""
        own = {name for name, _ in self.headers}
        return self._replace(headers=(*self.headers, *(pair for pair in headers if pair[0] not in own)))

    async def send(self, send: Send) -> None:
        """Say it as ASGI does."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def render_accepted(admitted: Admitted, reply: PresetReply | None) -> WebhookResponse:
    """The ids of the event and its runs: 202, and 200 if they are those of an earlier delivery."""
    if reply:
        return _build_response(
            reply.status, {"waypost-event": admitted.event, "waypost-runs": ", ".join(admitted.runs)}
        )
    body: dict[str, JSON] = {"event": admitted.event, "runs": list(admitted.runs)}
    if admitted.is_duplicate:
        return _build_json(200, body | {"duplicate": True})
    if admitted.skipped and not admitted.runs:
        return _build_json(200, body | {"reason": "skipped: the pipeline's concurrency allows no more runs now"})
    return _build_json(202, body)


def render_result(
    admitted: Admitted, status: RunStatus, outputs: msgspec.Raw | None, error: JSON, *, owes_answer: bool
) -> WebhookResponse:
    """What the run came to: its status, and its outputs (JSON already) or its error. One that `owes_answer` and did not
    complete is an error to its sender."""
    came_to = {"status": status, "outputs": outputs, "error": error}
    code = 500 if owes_answer and status != "completed" else 200
    return _build_json(code, {"event": admitted.event, "runs": list(admitted.runs), **came_to})


def render_step_answer(admitted: Admitted, given: JSON) -> WebhookResponse:
    """What a `flow.respond` says. It may be a page; but then one that a browser keeps apart from what is here else."""
    said = RespondInputs.model_validate(given)
    own = {
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "waypost-event": admitted.event,
        "waypost-runs": ", ".join(admitted.runs),
    }
    body = said.encode_body()
    media_type = "text/plain; charset=utf-8" if isinstance(said.body, str) else "application/json"
    typed = {"content-type": media_type} if body else {}
    return _build_response(
        said.status, typed | {name.lower(): value for name, value in said.headers.items()} | own, body
    )


def render_filtered(reason: str, reply: PresetReply | None) -> WebhookResponse:
    """No run was started, and why."""
    if reply:
        return _build_response(reply.status, {"waypost-runs": ""})
    return _build_json(200, {"event": None, "runs": [], "reason": reason})


def render_handshake(answer: handshake.HandshakeAnswer) -> WebhookResponse:
    """What a handshake asked for, which no browser is to take for a page."""
    headers = {"x-content-type-options": "nosniff"}
    if answer.media_type:
        headers["content-type"] = answer.media_type
    return _build_response(answer.status, headers, answer.body)


def render_unauthorized() -> WebhookResponse:
    """The one answer to a bad signature and to a webhook that does not exist."""
    return render_error(401, "the signature does not fit, or there is no such webhook")


def render_empty(status: int) -> WebhookResponse:
    """An answer that says nothing but its status."""
    return _build_response(status, {})


def render_method_not_allowed(methods: Iterable[str]) -> WebhookResponse:
    """405, the same whether or not there is such a webhook."""
    return _build_json(405, {"error": "a webhook is not asked with this method"}, {"allow": ", ".join(methods)})


def render_error(status: int, message: str) -> WebhookResponse:
    """An error. Where the body was not read to its end, the connection is of no more use."""
    return _build_json(status, {"error": message}, {"connection": "close"} if status in (408, 413) else {})


def render_unavailable(message: str, retry_after: int) -> WebhookResponse:
    """503: the sender may try again after so many seconds."""
    return _build_json(503, {"error": message}, {"retry-after": str(retry_after)})


def render_too_many(retry_after: int, *, is_read: bool) -> WebhookResponse:
    """429: more than the rate allows. `is_read` says whether the request's body was taken in."""
    headers = {"retry-after": str(retry_after)} | ({} if is_read else {"connection": "close"})
    return _build_json(429, {"error": f"too many requests; try again in {retry_after} s"}, headers)


def _build_json(
    status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> WebhookResponse:
    return _build_response(
        status, {"content-type": "application/json", **(headers or {})}, msgspec.json.encode(content)
    )


def _build_response(status: int, headers: Mapping[str, str], body: bytes = b"") -> WebhookResponse:
    sized = headers if status in BODILESS else {**headers, "content-length": str(len(body))}
    return WebhookResponse(status, body, tuple([(name.encode(), value.encode()) for name, value in sized.items()]))
