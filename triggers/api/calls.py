"""Calls of the API's operations from within the service, as its pages make them: with the checks of a request."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from durable.values import JSON
from triggers.api.access import ensure_scope
from triggers.api.operation import ApiRequest, Operation
from triggers.api.request import read_body_of, read_parameters_of
from triggers.keys import KeyHolder


class OperationCalls:
    """Calls operations by their id."""

    def __init__(self, operations: Iterable[Operation[Any, Any]]) -> None:
        self._operations = {operation.id: operation for operation in operations}

    async def call(
        self, id: str, holder: KeyHolder, parameters: Mapping[str, str], body: Mapping[str, JSON]
    ) -> Response:
        """Perform an operation for somebody; raises what `make_api_error` understands."""
        operation = self._operations[id]
        if operation.scope is not None:
            ensure_scope(holder.scope, operation.scope)
        read = read_parameters_of(operation, parameters)
        return await operation.perform(ApiRequest(read, read_body_of(operation.body, dict(body)), holder))
