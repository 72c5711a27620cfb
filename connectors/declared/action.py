"""Makes actions from their compiled form, and performs them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
from pydantic import BaseModel

from connectors.auth.request import OutgoingRequest
from connectors.auth.send import send_signed, send_unsigned
from connectors.declared.compiled import DeclaredAction, decode_action, derive_idempotent, encode_action
from connectors.declared.judge import Judge
from connectors.declared.pages import Pager, PageResponse, refuse_page
from connectors.declared.request import Address, RequestTemplate, Scope, compile_template
from connectors.wire.body import ResponseBody, read_body
from connectors.wire.client import LARGE
from connectors.wire.errors import describe_path, describe_request
from connectors.wire.redirect import Hop, follow_redirects, is_redirect
from connectors.wire.response import Response
from connectors.wire.url import add_params, parse_url
from durable.action import ON_CRASH, Action, Context, Idempotent, InvalidOutput, Stored, Undo
from durable.expressions.expression import ExpressionError
from durable.page import Page, PagePosition, always_returns_pages
from durable.schema_model import SchemaModel, make_model
from durable.turns import take_turn
from durable.values import JSON

_CACHED = 256
"""How many restored actions are kept."""


def make_action(
    name: str,
    declared: DeclaredAction,
    *,
    summary: str = "",
    idempotent: Idempotent | None = None,
    undo: Undo | None = None,
) -> Action:
    """Make an action from its compiled form; `idempotent` overrules what follows from its method. Raises `ValueError`
    if a part of the form cannot be compiled."""
    call = DeclaredCall(name, declared)
    idempotent = idempotent or derive_idempotent(declared.method, declared.idempotency)
    return Action(
        name=name,
        perform=call.perform,
        input=call.input,
        output=call.output,
        on_crash=ON_CRASH[idempotent],
        summary=summary,
        target=call.find_target,
        idempotent=idempotent,
        stored=encode_action(declared),
        undo=undo,
        returns_pages=None if declared.page is None else always_returns_pages,
    )


def restore_action(use: str, stored: Stored) -> Action:
    """Restore an action from the form that a pipeline version stored; raises `ValueError` if this code does not know
    it."""
    return _restore(use, msgspec.json.encode(stored))


@lru_cache(maxsize=_CACHED)
def _restore(use: str, stored: bytes) -> Action:
    return make_action(use.partition(".")[2], decode_action(msgspec.json.decode(stored)))


class DeclaredCall:
    """A declarative action with its templates compiled."""

    def __init__(self, name: str, declared: DeclaredAction) -> None:
        """Raise `ValueError` if a part of the form cannot be compiled."""
        if declared.redirects == "without_credentials" and (declared.method != "GET" or declared.has_body):
            raise ValueError("'redirects: without_credentials' is only for GET requests without a body")
        self._declared = declared
        self._template = RequestTemplate(declared)
        self._judge = Judge(declared)
        self._output = compile_template(declared.output, "output")
        self._pager = Pager(declared, declared.page) if declared.page else None
        properties: Mapping[str, Any] = declared.inputs.get("properties", {})
        self._optional: Mapping[str, None] = dict.fromkeys(properties)
        self._null_by_default = {name for name, each in properties.items() if _is_null_by_default(each)}
        self.input = make_model(f"{name}_input", declared.inputs)
        self.output = None if declared.returns is None else make_model(f"{name}_output", declared.returns)

    def find_target(self, input: SchemaModel, connection: BaseModel | None) -> str:
        """Return the origin of `base_url`, of which an attempt takes a permit."""
        base_url = self._template.fixed_base_url
        if base_url is None:
            base_url = self._template.find_base_url(self._make_scope(input, connection))
        return parse_url(base_url).origin.address

    async def perform(self, context: Context, input: SchemaModel) -> "BaseModel | InvalidOutput | Page | JSON":
        """Send the request, and return the action's output, or the requested page of it."""
        scope = self._make_scope(input, context.connection)
        address, params = self._template.find_address(scope), dict[str, JSON]()
        if self._pager:
            address, params = self._pager.place_request(context.page, address, scope["inputs"])
        nulls = [name for name, value in input.root.items() if value is None and name not in self._null_by_default]
        request = self._template.make_request(scope, context.next_key(), address, params, nulls)
        received = await self._send(context, request, address)
        context.stop_timeout()
        if len(received.response.body) <= LARGE:
            return self.read_response(context.page, received, read_body(received.response), scope, address)
        await take_turn()
        body = read_body(received.response)
        await take_turn()
        output = self.read_response(context.page, received, body, scope, address)
        await take_turn()
        return output

    def _make_scope(self, input: SchemaModel, connection: BaseModel | None) -> dict[str, Any]:
        """Return the names that the templates read; an input that was not given is null."""
        fields = connection.root if isinstance(connection, SchemaModel) else connection and connection.model_dump()
        return {"inputs": {**self._optional, **input.root}, "connection": fields}

    # -- sending

    async def _send(self, context: Context, request: OutgoingRequest, address: Address) -> PageResponse:
        """Send the request, and follow the redirects that the action allows."""
        redirects, where = self._declared.redirects, self._describe(address)
        response, signed = await send_signed(context, request)
        if redirects == "refuse" or not is_redirect(response):
            return PageResponse(response, request, signed, where)

        async def send(hop: Hop) -> Response:
            moved = replace(request, url=hop.url, headers=hop.headers, params={})
            if redirects == "without_credentials":
                return await send_unsigned(context, moved)
            return (await send_signed(context, moved)).response

        response, hop = await follow_redirects(
            response,
            Hop(request.method, add_params(request.url, request.params), request.headers, address.base_url),
            redirects,
            send=send,
            is_expected=lambda response: response.is_success,
            describe=lambda hop: describe_request(hop.method, parse_url(hop.url)),
        )
        return PageResponse(response, replace(request, url=hop.url, params={}), signed, where)

    # -- reading

    def read_response(
        self, position: PagePosition, received: PageResponse, body: ResponseBody, scope: Scope, address: Address
    ) -> "BaseModel | InvalidOutput | Page | JSON":
        """Return the output that a response gives; raises `ActionError` if the response is an error. The effect of a
        success has happened, so whatever fails after it is an `InvalidOutput`. `body` is that of the response."""
        response, where = received.response, received.where
        scope = {**scope, "answer": _make_answer(response, body)}
        if error := self._judge.find_error(response, scope, where):
            if not self._judge.accepts(error, response):
                raise error
            if self._pager:
                return Page([])
            return None if self.output is None else self.output.model_construct(root=None)
        raw: JSON = {"status": response.status, "body": body.value}
        if body.problem and self._pager:
            raise refuse_page(where, "output", body.problem)
        if body.problem:
            return InvalidOutput(raw, f"{where}: {body.problem}")
        if self._pager:
            return self._pager.read_page(position, received, scope, address.base_url)
        try:
            return self._output.render(scope)[0]
        except ExpressionError as error:
            return InvalidOutput(raw, f"the response of {where} is not as expected: {error}")

    def _describe(self, address: Address) -> str:
        """Describe the request for a message, without its query; without its host and `base_url`, if that is secret."""
        path = describe_path(address.path)
        if self._declared.has_secret_url:
            return f"{self._declared.method} {path}"
        url = parse_url(address.base_url)
        return f"{describe_request(self._declared.method, url)}{url.target.decode().rstrip('/')}{path}"


def _is_null_by_default(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("default", 0) is None


def _make_answer(response: Response, body: ResponseBody) -> dict[str, Any]:
    return {"status": response.status, "headers": {**response.headers, **response.repeated}, "body": body.value}
