"""Converts the errors of requests to an `ActionError` that says what is known about the effect.

ActionError
└── InvalidRequest      a request that cannot be made; nothing was sent
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from connectors.wire.egress import EgressRefused
from connectors.wire.inflate import InflateError, ResponseTooLarge
from connectors.wire.lenient import MalformedResponse
from connectors.wire.proxy import ProxyRefused
from connectors.wire.response import Response
from connectors.wire.url import ParsedURL
from durable.action import ActionError, ErrorClass
from durable.wording import make_printable

_NUMBER = re.compile(r"[0-9]{1,300}(?:\.[0-9]{0,300})?")
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{5,15}(?:[Zz]|[+-][0-9:]{4,5})?"
_DATE = r"(?:[A-Za-z]{3,9},?\s)?[^,]{1,20}\s[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\s[A-Za-z0-9+-]{1,5})?"
_TIMES = re.compile(rf"(?:^|(?<=,))\s*({_NUMBER.pattern}|{_ISO}|{_DATE})\s*(?=,|$)")
"""The seconds and dates in a Retry-After; a proxy may have joined several with commas."""

LOCATION_LIMIT = 200
"""The maximum length of a Location or a path in a message. It is cut between two path segments, because the redactor
does not recognise parts of secrets."""

GATEWAY = frozenset({502, 504, 520, 522, 524, 598, 599})
"""Statuses of gateways that got no response from the service behind them; 520 to 524 are Cloudflare's."""

LONGEST_WAIT = 86_400.0
"""In seconds; if a service asks for a longer wait, the next attempt is made after a day."""


class InvalidRequest(ActionError):
    """A request that cannot be made; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, error_class="invalid", code="invalid_request", ending="not_sent")


def describe_request(method: str, url: ParsedURL) -> str:
    """Describe a request for a message, without its path and query, which may contain a secret."""
    return f"{method} {url.origin.scheme}://{url.host.decode()}"


def explain_transport_error(error: httpx.TransportError, where: str) -> ActionError:
    """Convert an error of the transport. A request was certainly not sent only if no connection was made."""
    match error:
        case MalformedResponse(status=int(status)) if status >= 300:
            return explain_refusal(Response(status, {}, b""), where, str(error))
        case MalformedResponse(status=status):  # the service has responded, so the request is not repeated
            return _invalid(f"{where}: {error}", "malformed_response", status)
        case EgressRefused():
            return ActionError(f"{where}: {error}", error_class="invalid", code="egress_refused", ending="not_sent")
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return InvalidRequest(f"{where}: {error}")
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ActionError(f"{where}: {error}", error_class="timeout", code="connect_timeout", ending="not_sent")
        case ProxyRefused(status=status):
            refused: ErrorClass = "auth" if status in {401, 403, 407} else "client" if status < 500 else "network"
            return ActionError(f"{where}: {error}", error_class=refused, code="proxy_refused", ending="not_sent")
        case httpx.ConnectError():
            return ActionError(f"{where}: {error}", error_class="network", code="connect_failed", ending="not_sent")
        case httpx.TimeoutException():
            return ActionError(f"{where}: {error}", error_class="timeout", code="answer_timeout", ending="unknown")
        case _:
            return ActionError(f"{where}: {error}", error_class="network", code="answer_lost", ending="unknown")


def explain_unreadable(error: Exception, head: Response, where: str) -> ActionError:
    """Explain a response whose body cannot be read; `head` is the rest of it. The status determines whether to
    retry."""
    if not head.is_success:
        return explain_refusal(head, where, f"its body cannot be read: {error}")
    message = f"{where} answered {head.status} with a body that cannot be read: {error}"
    match error:
        case ResponseTooLarge():
            return _invalid(message, "response_too_large", head.status)
        case InflateError():
            return _invalid(message, "undecodable_response", head.status)
        case httpx.TransportError() if not isinstance(error, MalformedResponse):
            return explain_transport_error(error, f"{where} answered {head.status}")
        case _:
            return _invalid(message, "malformed_response", head.status)


def _invalid(message: str, code: str, status: int | None) -> ActionError:
    return ActionError(message, error_class="invalid", code=code, details={"status": status})


def explain_redirected(error: ActionError, where: str) -> ActionError:
    """Add to the error of a request that followed a redirect the address that redirected it, which is in the file."""
    return append_doubt(error, f"{where} redirects there")


def append_doubt(error: ActionError, doubt: str) -> ActionError:
    """Return the error with a possible cause after its message."""
    return ActionError(
        f"{error.message} ({doubt})",
        error_class=error.error_class,
        code=error.code,
        ending=error.ending,
        retry_after=error.retry_after,
        details=error.details,
    )


def explain_refusal(response: Response, where: str, reason: str = "") -> ActionError:
    """Explain a response that is not a success: its status is the code, and its body (of which the history keeps the
    beginning) the details. `reason` is why a redirect was not followed, or why the body is not known."""
    location = describe_location(response)
    leads = f" with a redirect to {location}" if location else ""
    return ActionError(
        f"{where} answered {response.status}{leads}{reason and f': {reason}'}",
        error_class=classify_response(response),
        code=str(response.status),
        ending="unknown" if response.status in GATEWAY else "answered",
        retry_after=read_retry_after(response),
        details={
            "status": response.status,
            "body": response.text(),
            **({"location": location} if location else {}),
        },
    )


def describe_location(response: Response) -> str | None:
    """Return a redirect's Location without user, query and fragment, which may contain a secret."""
    location = response.headers.get("location", "").strip()
    if not 300 <= response.status < 400 or not location:
        return None
    address, mark, _ = re.sub(r"//[^/?#]*@", "//***@", location).partition("?")
    address, fragment, _ = address.partition("#")
    shown = _cut_address(address)
    return make_printable(shown) + ("…" if mark or fragment or len(shown) < len(address) else "")


def describe_path(path: str) -> str:
    """Return a path for a message: without its query, and shortened."""
    path = path.partition("?")[0]
    shown = _cut_address(path)
    return shown if shown == path else f"{shown}…"


def _cut_address(address: str) -> str:
    return address if len(address) <= LOCATION_LIMIT else address[: address.rfind("/", 0, LOCATION_LIMIT) + 1]


def classify_response(response: Response) -> ErrorClass:
    """Return the error class of a response. Some services send 403, with a Retry-After, instead of 429."""
    match response.status:
        case 429:
            return "rate_limit"
        case 403 if "retry-after" in response.headers:
            return "rate_limit"
        case 401 | 403 | 407:
            return "auth"
        case 408:
            return "timeout"
        case 421 | 423 | 425:  # misdirected, locked, too early: the same request may succeed later
            return "server"
        case status if status >= 500:
            return "server"
        case _:
            return "client"


def read_retry_after(response: Response) -> float | None:
    """Return the seconds to wait before the next attempt: the longest of the Retry-After headers (RFC 9110, 10.2.3).

    A date is relative to the response's own Date, which comes from the same clock, or otherwise to our clock.
    """
    asked = response.headers.get("retry-after")
    return limit_wait(parse_wait(asked, response)) if asked else None


def parse_wait(text: str, response: Response) -> float | None:
    """Return the longest of the waits, in seconds, and dates in a text; None if it contains neither."""
    found = [_count_seconds(each, response.headers.get("date", "")) for each in _TIMES.findall(text)]
    return max((each for each in found if each is not None), default=None)


def count_seconds_until(timestamp: float, response: Response) -> float:
    """Return the seconds until a Unix timestamp, which is on the service's clock if the response has a Date."""
    return timestamp - (_parse_date(response.headers.get("date", "")) or datetime.now(UTC)).timestamp()


def limit_wait(seconds: float | None) -> float | None:
    """Return a wait that a service asked for within our limits."""
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def _count_seconds(time: str, date: str) -> float | None:
    if _NUMBER.fullmatch(time):
        return float(time)
    later = _parse_date(time)
    return None if later is None else (later - (_parse_date(date) or datetime.now(UTC))).total_seconds()


def _parse_date(date: str) -> datetime | None:
    """Parse a date in a form of RFC 9110, 5.6.7, or of ISO 8601; without a zone, or in the zone -0000, it is in UTC."""
    try:
        found = datetime.fromisoformat(date) if date[4:5] == "-" else parsedate_to_datetime(date)
    except (ValueError, OverflowError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
