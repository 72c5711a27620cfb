"""`header` and `query`: API keys in headers or in the query of the URL.

A key that is part of the URL's path needs no scheme: the connection's `base_url` contains it.
"""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, RootModel, ValidationInfo

from connectors.auth.request import OutgoingRequest
from connectors.wire.request import find_header_problem
from durable.action import Context, Credential, LiteralError
from durable.auth_schemes import AuthScheme


def _check_headers(headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    """Check headers when a file is loaded; in an attempt, the client checks them before it sends."""
    if info.context is not None:
        for name, value in headers.items():
            if problem := find_header_problem(name, value):
                raise LiteralError(problem)
    return headers


Keys: TypeAlias = Annotated[dict[str, Credential], Field(min_length=1)]


class HeaderSettings(RootModel[Keys]):
    """Headers by name."""

    root: Annotated[Keys, AfterValidator(_check_headers)] = Field(
        description="Request headers by name, such as `x-api-key`"
    )


class QuerySettings(RootModel[Keys]):
    """Query parameters by name."""

    root: Keys = Field(description="Query parameters by name, such as `api_key`")


async def add_headers(context: Context, settings: HeaderSettings, request: OutgoingRequest) -> OutgoingRequest:
    return request.with_headers(settings.root)


async def add_params(context: Context, settings: QuerySettings, request: OutgoingRequest) -> OutgoingRequest:
    return request.with_params(settings.root)


HEADER = AuthScheme("header", HeaderSettings, add_headers, "API keys in headers")
QUERY = AuthScheme("query", QuerySettings, add_params, "API keys in the query of the URL")
