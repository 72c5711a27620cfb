"""Calls of one action, whose requests get prepared answers."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from connectors.conformance.samples import make_connection
from connectors.conformance.world import SampleTokens
from connectors.service_requests import ServiceRequests
from connectors.wire.client import HttpClient
from durable.action import Action, ActionError, Connector, Context
from durable.grant import AccessTokens
from durable.http_port import HttpRequests
from durable.page import Page, PagePosition
from durable.redactor import Redactor
from durable.runner.output import settle_output
from durable.values import JSON

KEY = "run_test:step"
"""The idempotency key of the call."""


class NoAnswerLeft(AssertionError):
    """An action sent more requests than there are answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a service. `body`: JSON, a text, or bytes, which are sent as they are."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_response(self) -> httpx.Response:
        """Return it as a response of httpx."""
        match self.body:
            case None:
                return httpx.Response(self.status, headers=dict(self.headers))
            case bytes():
                return httpx.Response(self.status, headers=dict(self.headers), content=self.body)
            case str():
                return httpx.Response(self.status, headers=dict(self.headers), text=self.body)
        return httpx.Response(self.status, headers=dict(self.headers), json=self.body)


@dataclass(frozen=True, slots=True)
class ActionCall:
    """The result of a call: its `output`, or its `error`. `requests` are those that were sent."""

    output: JSON
    error: ActionError | None
    requests: Sequence[httpx.Request]


class AnswersInOrder:
    """A service with prepared answers. `requests` are those that it got."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; raises `NoAnswerLeft`."""
        self.requests.append(request)
        if not self.answers:
            raise NoAnswerLeft(f"no answer is left for {request.method} {request.url}")
        return self.answers.pop(0).to_response()


def call_action(
    connector: Connector,
    action: str,
    given: Mapping[str, JSON] | None = None,
    *,
    answers: Sequence[Answer] = (),
    connection: Mapping[str, JSON] | None = None,
) -> ActionCall:
    """Call an action once, or once for each page, and return its result.

    `connection` are fields of the connection; the others are made up. Raises pydantic's `ValidationError` for inputs
    that the action does not accept, and whatever the action raises beside `ActionError`.
    """
    service = AnswersInOrder(*answers)
    transport = httpx.MockTransport(service)
    return asyncio.run(call_over(connector, action, given or {}, connection or {}, transport, service.requests))


async def call_over(
    connector: Connector,
    name: str,
    given: Mapping[str, JSON],
    connection: Mapping[str, JSON],
    transport: httpx.AsyncBaseTransport,
    requests: Sequence[httpx.Request],
) -> ActionCall:
    """Call an action over a transport that records its `requests`."""
    action = connector.actions[name]
    input = action.input.model_validate(given)
    async with HttpClient(transport=transport) as client:
        try:
            returned = await _perform(action, make_context(connector, client, connection), input)
        except ActionError as error:
            return ActionCall(None, error, requests)
    output = await settle_output(action.output, returned, Redactor(frozenset()))
    problem = ActionError(output.problem, error_class="invalid", code="output") if output.problem else None
    return ActionCall(output.plain, problem, requests)


async def _perform(action: Action, context: Context, input: Any) -> Any:
    """Call the action, and again for each further page."""
    items: list[JSON] = []
    while isinstance(returned := await action.perform(context, input), Page):
        items += returned.items
        if returned.next is None:
            return items
        position = PagePosition(context.page.number + 1, returned.next, len(items))
        context = replace(context, page=position, key=f"{KEY}.page[{position.number}]")
    return returned


def make_context(connector: Connector, client: HttpClient, connection: Mapping[str, JSON]) -> Context:
    """Make the context of an attempt whose requests go through a client. `connection` are fields of its connection; the
    others are made up."""
    made = make_connection(connector, connection)
    return Context(
        run="run_test",
        path="step",
        attempt=1,
        key=KEY,
        log=logging.LoggerAdapter(logging.getLogger("waypost.run"), {}),
        resources={
            HttpClient: client,
            HttpRequests: ServiceRequests,
            AccessTokens: SampleTokens(made.secrets),
        },
        connection=made.fields,
        connection_name="test",
        auth=made.auth,
        base_url=made.base_url,
        redactor=Redactor(made.secrets),
    )
