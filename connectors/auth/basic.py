"""`basic`: a user name and a password in the Authorization header (RFC 7617)."""

import base64
from typing import Annotated

from pydantic import Field, StringConstraints

from connectors.auth.request import OutgoingRequest
from durable.action import Context, Credential, Inputs, Secret
from durable.auth_schemes import AuthScheme


class BasicSettings(Inputs):
    """The user name and the password, sent in UTF-8. Some services take an API key as the user name, and no
    password."""

    username: Annotated[Secret, StringConstraints(pattern="^[^:]*$")] = Field(
        description="The user name, without a colon"
    )
    password: Credential = Field(default="", description="The password; default: empty")


async def add_basic(context: Context, settings: BasicSettings, request: OutgoingRequest) -> OutgoingRequest:
    credentials = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    context.conceal(credentials)
    return request.with_headers({"authorization": f"Basic {credentials}"})


BASIC = AuthScheme("basic", BasicSettings, add_basic, "A user name and a password in the Authorization header")
