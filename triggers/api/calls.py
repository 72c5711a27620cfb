"""Calls of the API's operations, for requests and for the pages of the service: with the checks of a request, and with
the rows of the audit log."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from durable.limit import Rate
from durable.values import JSON
from triggers.api.access import ensure_permitted
from triggers.api.operation import ApiRequest, Operation
from triggers.api.problem import ApiError, make_api_error
from triggers.api.request import read_body_of, read_parameters_of
from triggers.audit import AuditLog, Caller
from triggers.http.rate_limit import RateLimiter

RECORDED_REFUSALS = Rate(20, 60_000)
"""Refusals for want of a scope that are recorded for each key: a program that goes on trying fills no table."""


class _Made(msgspec.Struct):
    """The part of an answer that names what was made."""

    id: str | None = None


class OperationCalls:
    """Calls operations, the pages by their id."""

    def __init__(self, operations: Sequence[Operation[Any, Any]], audit: AuditLog) -> None:
        self.operations = operations
        self._by_id = {operation.id: operation for operation in operations}
        self._audit = audit
        self._refusals = RateLimiter(RECORDED_REFUSALS, time.monotonic_ns)

    async def call(self, id: str, caller: Caller, parameters: Mapping[str, str], body: Mapping[str, JSON]) -> Response:
        """Perform an operation for somebody who is signed in; raises what `make_api_error` understands."""
        operation = self._by_id[id]
        await self.ensure_permitted(operation, caller, parameters)
        read = read_parameters_of(operation, parameters)
        asked = ApiRequest(read, read_body_of(operation.body, dict(body)), caller.holder)
        return await self.perform(operation, asked, caller)

    async def ensure_permitted(
        self, operation: Operation[Any, Any], caller: Caller, parameters: Mapping[str, str]
    ) -> None:
        """Raise `ApiError` unless the scope of the caller suffices. The refusal of an action is recorded."""
        if operation.scope is None or caller.holder is None:
            return
        try:
            ensure_permitted(caller.holder, operation.scope, operation.grant)
        except ApiError as error:
            if operation.is_audited and not self._refusals.take(caller.holder.key):
                await self._audit.add_refusal(caller, operation.id, *_find_target(operation, parameters), error.status)
            raise

    async def perform(self, operation: Operation[Any, Any], asked: ApiRequest[Any, Any], caller: Caller) -> Response:
        """Perform an operation. An action is recorded before it begins, and its result after it."""
        if not operation.is_audited:
            return await operation.perform(asked)
        given = {**asked.body.model_dump(include={"name"}), **asked.parameters.model_dump(mode="json")}
        kind, target = _find_target(operation, given)
        reason = getattr(asked.body, "reason", None) or getattr(asked.body, "comment", None)
        record = await self._audit.begin(caller, operation.id, kind, target, reason)
        try:
            response = await operation.perform(asked)
        except Exception as error:
            problem = make_api_error(error)
            await self._audit.end(record, problem.status)
            raise problem from error
        await self._audit.end(record, response.status_code, None if "{" in operation.path else _find_made(response))
        return response


def _find_target(operation: Operation[Any, Any], given: Mapping[str, Any]) -> tuple[str, str | None]:
    """The kind and the id of what an operation changes: its first path parameter, or what its path lists."""
    _, noun, *rest = operation.path.split("/")
    name = next((part[1:-1] for part in rest if part.startswith("{")), None)
    if name is None:
        return noun.removesuffix("s"), given.get("name")
    return name, given.get(name)


def _find_made(response: Response) -> str | None:
    return msgspec.json.decode(response.body, type=_Made).id
