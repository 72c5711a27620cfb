"""How what went wrong on the way out becomes the `ActionError` that says what is known of the effect."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import httpx

from connectors.answer import Answer
from connectors.egress import EgressRefused
from durable.action import ActionError, ErrorClass
from durable.language.problem import printable

EXCERPT_LIMIT = 64_000
"""Characters of an answer's body that an error carries. The history keeps the beginning of them; it is cut there, after
secrets were taken out, since half a secret is not recognised any more."""

LOCATION_LIMIT = 200
"""Characters of a Location in a message."""

GATEWAY = (502, 504)
"""What a gateway answers when it lost the answer of the service behind it."""

LONGEST_WAIT = 86_400.0
"""Seconds; a service that asks for a longer pause is asked again after a day."""


def of_transport(error: httpx.TransportError, where: str) -> ActionError:
    """What a transport's error means: only a connection that was never made is certainly not sent."""
    match error:
        case EgressRefused():
            return ActionError(f"{where}: {error}", error_class="invalid", code="egress_refused", ending="not_sent")
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return ActionError(f"{where}: {error}", error_class="invalid", code="invalid_request", ending="not_sent")
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ActionError(f"{where}: {error}", error_class="timeout", code="connect_timeout", ending="not_sent")
        case httpx.ConnectError():
            return ActionError(f"{where}: {error}", error_class="network", code="connect_failed", ending="not_sent")
        case httpx.TimeoutException():
            return ActionError(f"{where}: {error}", error_class="timeout", code="answer_timeout", ending="unknown")
        case _:
            return ActionError(f"{where}: {error}", error_class="network", code="answer_lost", ending="unknown")


def of_answer(answer: Answer, where: str, reason: str = "") -> ActionError:
    """An answer that is a refusal: its status is the code, and the beginning of its body the details. `reason` is why
    a redirect was not followed, or why the rest of the answer is not known."""
    body, location = answer.text(), describe_location(answer)
    leads = f" and leads to {location}" if location else ""
    return ActionError(
        f"{where} answered {answer.status}{leads}{reason and f': {reason}'}",
        error_class=error_class(answer),
        code=str(answer.status),
        ending="unknown" if answer.status in GATEWAY else "answered",
        retry_after=retry_after(answer.headers),
        details={
            "status": answer.status,
            "body": None if body is None else body[:EXCERPT_LIMIT],
            **({"location": location} if location else {}),
        },
    )


def describe_location(answer: Answer) -> str | None:
    """What a redirect's Location says, without user, query and fragment, which may hold what is secret."""
    location = answer.headers.get("location", "").strip()
    if not 300 <= answer.status < 400 or not location:
        return None
    address, mark, _ = re.sub(r"//[^/?#]*@", "//***@", location).partition("?")
    address, fragment, _ = address.partition("#")
    return printable(address[:LOCATION_LIMIT]) + ("…" if mark or fragment or len(address) > LOCATION_LIMIT else "")


def error_class(answer: Answer) -> ErrorClass:
    """The class of a refusal. Some services say 403 where they mean 429, and then when to come back."""
    match answer.status:
        case 429:
            return "rate_limit"
        case 403 if "retry-after" in answer.headers:
            return "rate_limit"
        case 401 | 403 | 407:
            return "auth"
        case 408:
            return "timeout"
        case status if status >= 500:
            return "server"
        case _:
            return "client"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait (RFC 9110, 10.2.3); a date counts from the answer's own Date."""
    asked = headers.get("retry-after", "").strip()
    try:
        seconds = float(asked) if asked[:1].isdigit() else _between(headers.get("date", ""), asked)
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None


def _between(earlier: str, later: str) -> float:
    return (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds()
