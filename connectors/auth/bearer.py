"""`bearer`: a token in the Authorization header (RFC 6750)."""

from pydantic import Field, RootModel

from connectors.auth.request import OutgoingRequest
from durable.action import Context, Credential
from durable.auth_schemes import AuthScheme


class BearerSettings(RootModel[Credential]):
    """The token."""

    root: Credential = Field(min_length=1, description="The token, sent as `Authorization: Bearer TOKEN`")


async def add_token(context: Context, settings: BearerSettings, request: OutgoingRequest) -> OutgoingRequest:
    return request.with_headers({"authorization": f"Bearer {settings.root}"})


BEARER = AuthScheme("bearer", BearerSettings, add_token, "A token in the Authorization header")
