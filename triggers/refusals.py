"""Refusals: the one table from what went wrong to the status, the words and the headers of the answer.

Webhooks, links to waits and the API all look up a refusal here, and each renders it in its own form.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect

from durable.encrypted_store.errors import SecretRefused, StoreError
from durable.engine import Overloaded
from durable.journal.errors import JournalError, RunUnreadable
from triggers.http.body import BadRequest
from triggers.not_found import (
    BulkNotFound,
    ConnectionNotFound,
    ConnectorNotFound,
    DeliveryNotFound,
    EventNotFound,
    IdAmbiguous,
    IdNotFound,
    PipelineNotFound,
    RunNotFound,
    SecretNotFound,
    StepNotFound,
    TriggerNotFound,
    VersionNotFound,
)
from triggers.problem_details import ProblemDetails, make_problem

log = logging.getLogger("waypost.api")

CLOSE = {"Connection": "close"}
"""For requests whose body was not read to its end: the connection cannot be used for another request."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a request gets no better answer."""

    status: int
    detail: str
    headers: Mapping[str, str] = {}


class RateExceeded(Exception):
    """There were more requests than are accepted; try again in `seconds`. `closes`: the connection ends, since the body
    was not read."""

    def __init__(self, what: str, seconds: int, *, closes: bool = True) -> None:
        super().__init__(f"{what}; try again in {seconds} s")
        self.seconds = seconds
        self.closes = closes


class CrossSiteRequest(Exception):
    """A page of another site has made a browser send this request."""


class WrongHost(Exception):
    """The request names a host that is not this service."""


class LoginRefused(Exception):
    """A connection cannot be logged in; the message says why."""


class BulkRefused(Exception):
    """A bulk cannot be created, stopped or resumed; the message says why."""


class TokenRefused(Exception):
    """A token for streams cannot be used; the message says why."""


class StreamRefused(Exception):
    """A stream cannot show what is asked for; the message says why."""


REFUSALS: Mapping[type[Exception], Callable[[Any], Refusal]] = {
    BadRequest: lambda error: Refusal(error.status, str(error), CLOSE if error.status in (408, 413) else {}),
    ClientDisconnect: lambda error: Refusal(400, "the client disconnected before its request was complete"),
    IdNotFound: lambda error: Refusal(404, str(error)),
    IdAmbiguous: lambda error: Refusal(409, str(error)),
    RunNotFound: lambda error: Refusal(404, f"{error}; GET /api/runs lists them"),
    ConnectionNotFound: lambda error: Refusal(404, f"{error}; GET /api/connections lists them"),
    ConnectorNotFound: lambda error: Refusal(404, str(error)),
    SecretNotFound: lambda error: Refusal(404, f"{error}; GET /api/secrets lists them"),
    SecretRefused: lambda error: Refusal(422, str(error)),
    CrossSiteRequest: lambda error: Refusal(403, str(error), CLOSE),
    WrongHost: lambda error: Refusal(421, str(error), CLOSE),
    LoginRefused: lambda error: Refusal(409, str(error)),
    StoreError: lambda error: Refusal(409, str(error)),
    PipelineNotFound: lambda error: Refusal(404, str(error)),
    TriggerNotFound: lambda error: Refusal(404, str(error)),
    VersionNotFound: lambda error: Refusal(404, str(error)),
    BulkNotFound: lambda error: Refusal(404, f"{error}; GET /api/bulks lists them"),
    BulkRefused: lambda error: Refusal(409, str(error)),
    TokenRefused: lambda error: Refusal(401, str(error), {"WWW-Authenticate": 'Bearer error="invalid_token"'}),
    StreamRefused: lambda error: Refusal(403, str(error)),
    StepNotFound: lambda error: Refusal(404, f"{error}; GET /api/runs/{error.run}/steps lists its steps"),
    DeliveryNotFound: lambda error: Refusal(404, f"{error}; GET /api/deliveries lists them"),
    EventNotFound: lambda error: Refusal(404, f"{error}; GET /api/events lists them"),
    RunUnreadable: lambda error: Refusal(409, f"{error}; restore a backup, or cancel the run"),
    RateExceeded: lambda error: Refusal(
        429, str(error), {"Retry-After": str(error.seconds), **(CLOSE if error.closes else {})}
    ),
    Overloaded: lambda error: Refusal(503, str(error), {"Retry-After": str(error.retry_after)}),
    JournalError: lambda error: Refusal(503, str(error), {"Retry-After": "5"}),
}


def describe_error(error: Exception) -> ProblemDetails:
    """The refusal of an error, as a document."""
    refusal = find_refusal(error)
    return make_problem(refusal.status, refusal.detail)


def find_refusal(error: Exception) -> Refusal:
    """The refusal of an error. One that is not in the table is logged, and the client may try again."""
    for kind in type(error).__mro__:
        if make := REFUSALS.get(kind):
            return make(error)
    log.error("a request failed", exc_info=error)
    return Refusal(503, "the request cannot be processed now; see the service's log", {"Retry-After": "5"})
