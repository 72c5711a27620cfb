"""Responses to webhooks.

A preset's `reply` replaces the default ones; the ids are in `Waypost-` headers then.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from starlette.types import Send

from durable.blocks.respond import BODILESS, RespondInputs
from durable.history.words import RunStatus
from durable.units import Admitted
from durable.values import JSON
from triggers.documents.starts import suggest_retry
from triggers.refusals import Refusal
from triggers.webhooks.handshake import HandshakeAnswer
from triggers.webhooks.scheme import PresetReply

UNVERIFIED = Refusal(401, "the signature is wrong, or there is no such webhook")
"""The response to a bad signature and to an unknown webhook alike, so that it does not reveal which webhooks exist."""

MAYBE_BROKEN = Refusal(
    503, "the signature is wrong, or the webhook's pipeline file has errors at the moment", {"Retry-After": "60"}
)
"""Used instead while a pipeline file has errors, since the webhook may belong to that file."""


JSON_TYPE = (b"content-type", b"application/json")


class WebhookResponse(msgspec.Struct, frozen=True):
    """A whole response; names of headers are in lower case."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def with_headers(self, headers: tuple[tuple[bytes, bytes], ...]) -> "WebhookResponse":
        """A copy with more headers; existing ones are kept."""
        own = {name for name, _ in self.headers}
        more = tuple(pair for pair in headers if pair[0] not in own)
        return WebhookResponse(self.status, self.body, self.headers + more)

    async def send(self, send: Send) -> None:
        """Send it as ASGI messages."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def render_accepted(admitted: Admitted, reply: PresetReply | None) -> WebhookResponse:
    """202 with the ids of the event and its runs; 200 if an earlier delivery brought them."""
    if reply:
        return _render(reply.status, {"waypost-event": admitted.event, "waypost-runs": ", ".join(admitted.runs)})
    body: dict[str, JSON] = {"event": admitted.event, "runs": list(admitted.runs)}
    if admitted.is_duplicate:
        return _render_json(200, body | {"duplicate": True} | _describe_failed(admitted.failed))
    if admitted.skipped and not admitted.runs:
        return _render_json(200, body | {"reason": "skipped: the pipeline's concurrency allows no more runs now"})
    return _render_json(202, body)


def _describe_failed(failed: Sequence[str]) -> dict[str, JSON]:
    hint = suggest_retry(failed)
    return {"failed": list(failed), "hint": hint} if hint else {}


def render_result(
    admitted: Admitted, status: RunStatus, outputs: msgspec.Raw | None, error: JSON, *, owes_answer: bool
) -> WebhookResponse:
    """The run's status with its outputs (JSON already) or its error. 500 if the run `owes_answer` and did not
    complete."""
    result = {"status": status, "outputs": outputs, "error": error}
    code = 500 if owes_answer and status != "completed" else 200
    return _render_json(code, {"event": admitted.event, "runs": list(admitted.runs), **result})


def render_step_answer(admitted: Admitted, given: JSON) -> WebhookResponse:
    """The answer of a `flow.respond`. It may be a page, which the headers isolate from other pages of this origin."""
    answer = RespondInputs.model_validate(given)
    own = {
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
        "waypost-event": admitted.event,
        "waypost-runs": ", ".join(admitted.runs),
    }
    body = answer.encode_body()
    media_type = "text/plain; charset=utf-8" if isinstance(answer.body, str) else "application/json"
    typed = {"content-type": media_type} if body else {}
    return _render(answer.status, typed | {name.lower(): value for name, value in answer.headers.items()} | own, body)


def render_filtered(reason: str, reply: PresetReply | None) -> WebhookResponse:
    """200 with the reason why no run was started."""
    if reply:
        return _render(reply.status, {"waypost-runs": ""})
    return _render_json(200, {"event": None, "runs": [], "reason": reason})


def render_handshake(answer: HandshakeAnswer) -> WebhookResponse:
    """The response to a handshake. Browsers are told not to treat it as a page."""
    headers = {"x-content-type-options": "nosniff"}
    if answer.media_type:
        headers["content-type"] = answer.media_type
    return _render(answer.status, headers, answer.body)


def render_empty(status: int) -> WebhookResponse:
    """A status and nothing else."""
    return _render(status, {})


def render_method_not_allowed(methods: Iterable[str]) -> WebhookResponse:
    """405, the same whether or not there is such a webhook."""
    return _render_json(405, {"error": "webhooks do not accept this method"}, {"allow": ", ".join(methods)})


def render_refusal(refusal: Refusal) -> WebhookResponse:
    headers = {name.lower(): value for name, value in refusal.headers.items()}
    return _render_json(refusal.status, {"error": refusal.detail}, headers)


def _render_json(
    status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> WebhookResponse:
    body = msgspec.json.encode(content)
    if headers:
        return _render(status, {"content-type": "application/json", **headers}, body)
    return WebhookResponse(status, body, (JSON_TYPE, (b"content-length", b"%d" % len(body))))


def _render(status: int, headers: Mapping[str, str], body: bytes = b"") -> WebhookResponse:
    sized = headers if status in BODILESS else {**headers, "content-length": str(len(body))}
    return WebhookResponse(status, body, tuple([(name.encode(), value.encode()) for name, value in sized.items()]))
