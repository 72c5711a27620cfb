"""Reads the answers of token endpoints (RFC 6749, section 5), also those that differ from the standard.

GitHub and Slack answer errors with the status 200; older services send a form instead of JSON; `expires_in` may be
missing, or be a text.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard
from urllib.parse import parse_qsl

from connectors.wire.errors import GATEWAY, classify_response, read_retry_after
from connectors.wire.response import Response
from durable.action import ActionError, Context, ErrorClass
from durable.grant import Grant, GrantRefused
from durable.values import NotJSON
from durable.wording import make_printable

REFUSED = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked", "token_expired"})
"""Codes that say that a grant has ended: the standard's, GitHub's and Slack's."""

TRANSIENT = frozenset({"server_error", "temporarily_unavailable", "slow_down", "internal_error", "ratelimited"})

OTHER_TOKENS = frozenset({"mac", "dpop", "pop"})
"""Types of tokens that need more than a header."""

LONGEST_LIFETIME = 10 * 365 * 86_400
"""In seconds."""

DESCRIPTION_LIMIT = 300


def read_grant(response: Response, context: Context, at: int) -> Grant:
    """Return the grant in an answer to a request that was sent at this time (ms). Raises `ActionError`, and
    `GrantRefused` if the grant has ended."""
    body = _read_body(response)
    token = body.get("access_token")
    if not response.is_success or body.get("error") or body.get("ok") is False or not _is_token(token):
        raise explain_refusal(response, context)
    context.conceal(token)
    kind = body.get("token_type")
    if isinstance(kind, str) and kind.lower() in OTHER_TOKENS:
        message = f"the service issued an access token of the type {kind.lower()}, which is not supported"
        raise ActionError(message, error_class="invalid", code="token_type")
    refresh = body.get("refresh_token")
    lifetime = _read_lifetime(body.get("expires_in"))
    return Grant(
        token,
        at,
        None if lifetime is None else at + lifetime,
        refresh if _is_token(refresh) else None,
    )


def explain_refusal(response: Response, context: Context) -> ActionError:
    """Return the error that an answer reports."""
    body = _read_body(response)
    code = body.get("error")
    description = body.get("error_description")
    if not isinstance(code, str):
        code = None
    what = f"the service refused the request for a token: {response.status}"
    if response.is_success and code is None:
        return ActionError("the service's answer has no access token", error_class="invalid", code="no_access_token")
    said = [each for each in (code, description) if isinstance(each, str) and each]
    if said:
        text = make_printable(": ".join(said)[:DESCRIPTION_LIMIT])
        what = f"{what}, {context.redactor.redact_text(text) if context.redactor else text}"
    if code in REFUSED:
        return GrantRefused(what, code)
    return ActionError(
        what,
        error_class=_classify(response, code),
        code=code or str(response.status),
        ending="unknown" if response.status in GATEWAY else "answered",
        retry_after=read_retry_after(response),
    )


def _classify(response: Response, code: str | None) -> ErrorClass:
    if code in TRANSIENT:
        return "rate_limit" if code in {"slow_down", "ratelimited"} else "server"
    found = classify_response(response)
    return "auth" if found == "client" else found


def _read_body(response: Response) -> Mapping[str, Any]:
    """Return the fields of an answer; empty if it has none."""
    try:
        body = response.json()
    except NotJSON:
        text = response.text() or ""
        is_form = "=" in text and "<" not in text
        return dict(parse_qsl(text)) if is_form else {}
    return body if isinstance(body, dict) else {}


def _is_token(value: Any) -> TypeGuard[str]:
    """Whether a value is a token, which fits in a header."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _read_lifetime(value: Any) -> int | None:
    """Return milliseconds; None if the answer does not say how long the token is valid."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return round(min(seconds, LONGEST_LIFETIME) * 1000) if seconds > 0 else None
